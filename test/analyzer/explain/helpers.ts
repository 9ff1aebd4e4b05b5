/** Dumps for these tests: those that Linux printed when hardware refused an entry, and what tests make of them. */
import { existsSync, readFileSync } from 'node:fs';
import type { DumpReport } from '../../../analyzer/explain/explain.js';
import { explain, type LogExplanation } from '../../../analyzer/explain/log.js';
import { inPackage } from '../../../traces/guests/guest.js';

export const fixture = (name: string): string =>
  readFileSync(inPackage('test', 'analyzer', 'explain', 'fixtures', `${name}.txt`), 'utf8');

/** A folder of the shared collection of real data; null where the collection is not there. */
export function shared(name: string): string | null {
  const path = inPackage('..', 'shared', 'data', name);
  return existsSync(path) ? path : null;
}

export const SKIP = shared('dumps') === null ? 'the shared collection of real data is not here' : false;

export const explained = (text: string): LogExplanation => explain(text, 'test');

/** The only dump of a text. */
export function only(text: string): DumpReport {
  const { dumps } = explained(text);
  const [first] = dumps;
  if (first === undefined || dumps.length !== 1) throw new Error(`${dumps.length} dumps`);
  return first;
}

/** Checks that the state breaks, on this processor or on some. */
export const broken = ({ violated, suspects }: DumpReport): string[] => ids([...violated, ...suspects]);

export const ids = (list: readonly { readonly id: string }[]): string[] => list.map(({ id }) => id).sort();
