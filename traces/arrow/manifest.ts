/**
 * An Arrow trace is a folder: one IPC stream a table (`event.arrow`, ...) and `manifest.jsonl`, to which a line is
 * appended after each record batch is in its file. A line counts only if it is whole, so a killed recorder leaves a
 * folder that opens up to the last whole chunk. Each line is JSON, a space, and the CRC-32 of the JSON in hex; the
 * first names the format. Lines that are lost are found again in the record batches (arrow/description.ts).
 */
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Tags } from '../digest.js';
import { FORMAT_VERSION, TABLE_NAMES, type TableName } from '../schema.js';
import type { StoredChunk } from '../sink.js';

export const manifestPath = (folder: string): string => join(folder, 'manifest.jsonl');
export const streamPath = (folder: string, table: TableName): string => join(folder, `${table}.arrow`);

const checksum = (json: string): string => crc32(json).toString(16).padStart(8, '0');
/** Locked while somebody writes the trace; who is killed leaves it there, unlocked. */
export const lockPath = (folder: string): string => join(folder, 'writer.lock');
/** Any of them shows that the folder is a trace. */
export const filesOf = (folder: string): string[] => [
  manifestPath(folder),
  ...TABLE_NAMES.map((table) => streamPath(folder, table)),
];

const sealed = (json: string): string => `${json} ${checksum(json)}`;
const line = (json: string): string => `${sealed(json)}\n`;

export const firstLine = (version: number = FORMAT_VERSION): string =>
  line(JSON.stringify({ trapline: 'arrow', format: version }));

export const chunkLine = ({ tags, ...chunk }: StoredChunk): string =>
  line(JSON.stringify({ ...chunk, tags: Object.fromEntries(tags) }));

/** What a record batch carries: its line without its place, which is where it is found. */
export const description = (table: TableName, first: number, rows: number, tags: Tags): string =>
  sealed(JSON.stringify({ table, first, rows, tags: Object.fromEntries(tags) }));

/** JSON of a line with its checksum, or undefined where it does not hold. */
function contentOf(text: string): unknown {
  const space = text.length - 9;
  const json = text.slice(0, space);
  if (space < 1 || text[space] !== ' ' || text.slice(space + 1) !== checksum(json)) return undefined;
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

const isRecord = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === 'object' && value !== null;
const isTable = (name: unknown): name is TableName => TABLE_NAMES.some((table) => table === name);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;

export interface Manifest {
  /** Null where the first line is not there, or not whole. */
  readonly version: number | null;
  readonly stored: readonly StoredChunk[];
  /** Number of the first line that is damaged, counted from 1, or null. */
  readonly damaged: number | null;
  /** Whether it ends with a whole line, as it does unless its recorder was killed. */
  readonly ended: boolean;
}

/** Whole lines; what follows the last newline is what a killed recorder was writing. */
export function parseManifest(text: string): Manifest {
  const lines = text.split('\n').slice(0, -1);
  const stored: StoredChunk[] = [];
  const version = versionOf(lines[0] ?? '');
  let damaged = version === null ? 1 : null;
  for (let i = 1; i < lines.length; i++) {
    const chunk = chunkOf(lines[i] ?? '');
    if (chunk === null) damaged ??= i + 1;
    else stored.push(chunk);
  }
  return { version, stored, damaged, ended: text.endsWith('\n') };
}

/** The format version of the first line, or null where it is no manifest. */
function versionOf(text: string): number | null {
  const content = contentOf(text);
  if (!isRecord(content) || content.trapline !== 'arrow' || typeof content.format !== 'number') return null;
  return content.format;
}

/** The chunk of a line; `place` where the text is a description. */
export function chunkOf(
  text: string,
  place?: { readonly offset: number; readonly length: number },
): StoredChunk | null {
  const content = contentOf(text);
  if (!isRecord(content)) return null;
  const { table, first, rows, tags } = content;
  const { offset, length } = place ?? content;
  if (!isTable(table) || !isCount(first) || !isCount(rows) || !isCount(offset) || !isCount(length)) return null;
  if (!isRecord(tags)) return null;
  const entries = Object.entries(tags).map(([name, tag]): [string, string] => [name, String(tag)]);
  return { table, first, rows, offset, length, tags: new Map(entries) };
}
