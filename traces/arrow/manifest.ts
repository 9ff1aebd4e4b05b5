/**
 * An Arrow trace is a folder: one IPC stream a table (`event.arrow`, ...) and `manifest.jsonl`, to which a line is
 * appended after each record batch is in its file. A line counts only if it is whole, so a killed recorder leaves a
 * folder that opens up to the last whole chunk. Each line is JSON, a space, and the CRC-32 of the JSON in hex; the
 * first names the format.
 */
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { FORMAT_VERSION, TABLE_NAMES, type TableName } from '../schema.js';
import type { StoredChunk } from '../sink.js';

export const manifestPath = (folder: string): string => join(folder, 'manifest.jsonl');
export const streamPath = (folder: string, table: TableName): string => join(folder, `${table}.arrow`);

const checksum = (json: string): string => crc32(json).toString(16).padStart(8, '0');
const line = (json: string): string => `${json} ${checksum(json)}\n`;

export const firstLine = (version: number = FORMAT_VERSION): string =>
  line(JSON.stringify({ trapline: 'arrow', format: version }));

export const chunkLine = ({ tags, ...chunk }: StoredChunk): string =>
  line(JSON.stringify({ ...chunk, tags: Object.fromEntries(tags) }));

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

/** The format version of the first line, or null where it is no manifest. */
export function versionOf(text: string): number | null {
  const content = contentOf(text);
  if (!isRecord(content) || content.trapline !== 'arrow' || typeof content.format !== 'number') return null;
  return content.format;
}

export function chunkOf(text: string): StoredChunk | null {
  const content = contentOf(text);
  if (!isRecord(content)) return null;
  const { table, first, rows, offset, length, tags } = content;
  if (!isTable(table) || !isCount(first) || !isCount(rows) || !isCount(offset) || !isCount(length)) return null;
  if (!isRecord(tags)) return null;
  const entries = Object.entries(tags).map(([name, tag]): [string, string] => [name, String(tag)]);
  return { table, first, rows, offset, length, tags: new Map(entries) };
}
