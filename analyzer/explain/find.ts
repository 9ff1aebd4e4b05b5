/** Finds the dumps in the text of a log, whatever stands before, between and after their lines. */
import type { Dump } from './dump.js';
import { Finder } from './finder.js';
import type { Log } from './lines.js';
import { unquoted } from './quoted.js';

/**
 * Gives every dump of a log as it ends; never throws, and keeps none.
 * @param again forgets those that were given: the lines are cut, which their end told, and all are given anew
 */
export function findEach(log: Log, found: (dump: Dump) => void, again = (): void => {}): void {
  const column = new Finder(found).find(unquoted(log));
  if (column === null) return;
  again();
  new Finder(found, column).find(unquoted(log));
}

/** Every dump in a log, in the order of their first lines. Never throws; a log without one gives none. */
export function findDumps(log: Log): Dump[] {
  const dumps: Dump[] = [];
  findEach(
    log,
    (dump) => dumps.push(dump),
    () => {
      dumps.length = 0;
    },
  );
  return dumps.sort((a, b) => a.first - b.first || a.last - b.last);
}

/** Whether a log has a dump; never throws. */
export function hasDump(log: Log): boolean {
  let has = false;
  findEach(log, () => {
    has = true;
  });
  return has;
}
