/** Imports text into rows in memory, for the tests of the importers. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EVENT_KINDS, type EventKind } from '../../engine/observer.js';
import { importTrace } from '../../recorder/import/import.js';
import type { ImportOptions, ImportResult } from '../../recorder/import/result.js';
import { memorySource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import type { Row } from '../../traces/store.js';

const KIND_NAMES = new Map(Object.entries(EVENT_KINDS).map(([name, code]) => [code as number, name as EventKind]));

export interface Imported {
  readonly result: ImportResult;
  readonly rows: readonly Row[];
  readonly writer: StreamWriter;
  /** Rows as short records: the kind's name, and what is not null. */
  readonly events: readonly Event[];
}
export type Event = { readonly kind: EventKind } & { readonly [column: string]: unknown };

/** A row without its nulls; 64-bit values below 2^53 as numbers. */
function shorten(row: Row): Event {
  const cells = Object.entries(row).flatMap(([name, value]): [string, unknown][] => {
    if (value === null || name === 'kind') return [];
    if (typeof value === 'bigint') return [[name, value < 1n << 53n ? Number(value) : value]];
    return [[name, value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value]];
  });
  return { ...Object.fromEntries(cells), kind: KIND_NAMES.get(Number(row.kind)) ?? 'other' };
}

export function importBytes(bytes: Uint8Array, options: ImportOptions = {}): Imported {
  const rows: Row[] = [];
  const writer = new StreamWriter((chunk) => {
    for (let i = 0; i < chunk.rows; i++) {
      const row = chunk.row(i);
      rows.push({ ...row, bytes: row.bytes instanceof Uint8Array ? row.bytes.slice() : null });
    }
  });
  const result = importTrace(memorySource(bytes, 'test.txt'), () => writer, options);
  return { result, rows, writer, events: rows.map(shorten) };
}

export const importText = (text: string): Imported => importBytes(Buffer.from(text));

function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}

export const fixturePath = (name: string): string => join(packageRoot(), 'test', 'recorder', 'fixtures', name);
export const fixture = (name: string): string => readFileSync(fixturePath(name), 'utf8');

/** A file of the shared collection of real data, or null where the collection is not there. */
export function sharedPath(name: string): string | null {
  const path = join(packageRoot(), '..', 'shared', 'data', name);
  return existsSync(path) ? path : null;
}

/** How often each name occurs. */
export function tally(names: Iterable<string>): { [name: string]: number } {
  const counts: { [name: string]: number } = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

/** Exits of an import by the name of their reason. */
export function reasons({ events, writer }: Imported): { [name: string]: number } {
  return tally(
    events
      .filter(({ kind }) => kind === 'exit' || kind === 'entry_failed')
      .map(({ isa, reason }) => {
        const code = BigInt(reason as number | bigint) & (isa === 1 ? 0xffffn : 0xffff_ffff_ffff_ffffn);
        return writer.dictionary(isa === 1 ? 'reason.vmx' : 'reason.svm').get(code)?.name ?? `0x${code.toString(16)}`;
      }),
  );
}
