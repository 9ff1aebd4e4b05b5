/** What a name is of, whatever it is called meanwhile. */
import { statSync } from 'node:fs';

/** The same for all names of a file or folder; null where nothing has the name. */
export function identityOf(path: string): string | null {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat === undefined ? null : `${stat.dev} ${stat.ino}`;
}
