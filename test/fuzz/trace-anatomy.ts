/** Where the numbers and units of our own stores lie: messages of an Arrow stream, pages of an SQLite file. */
import { metadataLength, PREFIX } from '../../traces/arrow/ipc.js';
import { getCount, getPair, locate } from '../../traces/arrow/record-batch.js';
import { FILE_HEADER, pageShape } from '../../traces/sqlite/btree.js';
import type { Anatomy } from './mutate.js';

type Numbers = Anatomy['numbers'][number][];
type Units = Anatomy['units'][number][];

/** Bytes at the begin of the metadata of a message that are taken for numbers: tables and vtables. */
const TABLES = 128;

/** Arrow's encapsulated message format: continuation mark, length, metadata, body. */
export function streamAnatomy(bytes: Buffer): Anatomy {
  const numbers: Numbers = [];
  const units: Units = [];
  for (let at = 0; at + PREFIX <= bytes.length; ) {
    const length = metadataLength(bytes.subarray(at, at + PREFIX)) ?? 0;
    const body = at + PREFIX + length;
    for (let word = at; word < Math.min(body, at + TABLES); word += 4) numbers.push({ at: word, size: 4 });
    const size = units.length === 0 || length === 0 ? 0 : batchNumbers(bytes, at + PREFIX, length, numbers);
    units.push({ from: at, to: body + size });
    at = body + size;
  }
  return { numbers, units };
}

/** Nodes and buffers of a record batch, and the lengths that its buffers unfold to. Returns the length of its body. */
function batchNumbers(bytes: Buffer, at: number, length: number, numbers: Numbers): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, length);
  const { bodyLength, rows, nodes, nodeCount, buffers, bufferCount } = locate(view);
  const pairs = [
    ...Array.from({ length: 2 * nodeCount }, (_, i) => nodes + 8 * i),
    ...Array.from({ length: 2 * bufferCount }, (_, i) => buffers + 8 * i),
  ];
  for (const place of [bodyLength, rows, ...pairs]) numbers.push({ at: at + place, size: 8 });
  for (let i = 0; i < bufferCount; i++) {
    const [offset, size] = getPair(view, buffers, bufferCount, i);
    if (size > 0) numbers.push({ at: at + length + offset, size: 8 });
  }
  return getCount(view, bodyLength);
}

/** "Database File Format", sections 1.3 and 1.6: the header of the file, and of each page with its pointers to cells. */
export function databaseAnatomy(bytes: Buffer): Anatomy {
  const numbers: Numbers = [16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 64, 68, 92, 96].map((at) => ({
    at,
    size: at === 16 ? 2 : at === 20 ? 1 : 4,
  }));
  const units: Units = [];
  const size = pageShape(bytes)?.size ?? bytes.length;
  for (let from = 0; from + size <= bytes.length; from += size) {
    const head = from === 0 ? FILE_HEADER.bytes : from;
    units.push({ from, to: from + size });
    numbers.push({ at: head, size: 1 }, { at: head + 8, size: 4 });
    for (let at = head + 1; at < Math.min(head + 40, from + size); at += 2) numbers.push({ at, size: 2 });
    // A cell begins with its length and its rowid, or with the page below it.
    const cells = bytes.readUInt16BE(head + 3);
    for (let i = 0; i < Math.min(cells, 12); i++) {
      const cell = from + bytes.readUInt16BE(head + 8 + 2 * i);
      if (cell + 8 <= bytes.length) numbers.push({ at: cell, size: 4 }, { at: cell + 4, size: 2 });
    }
  }
  return { numbers, units, isBigEndian: true };
}
