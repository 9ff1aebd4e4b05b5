/** Forms of recordings: what must hold of the import of any bytes. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { originOf } from '../../analyzer/origin.js';
import { integrityOf, isIntact } from '../../analyzer/verify.js';
import { ImportError } from '../../recorder/import/errors.js';
import { importTrace } from '../../recorder/import/import.js';
import type { ImportResult } from '../../recorder/import/result.js';
import { type ByteSource, memorySource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { createTrace, openTrace } from '../../traces/open.js';
import type { Chunk, ColumnData } from '../../traces/store.js';
import type { Outcome } from './run.js';

/** Bytes that an importer may ask for, for each byte of the input: heads are looked at more than once. */
const READS = 8;
const READ_SLACK = 1 << 20;
/** Notes of a result: 200, and one that counts the rest. */
const MOST_NOTES = 201;
/** One in so many mutations becomes a trace that is verified. */
const STORED = 400;

interface Imported {
  readonly result: ImportResult | null;
  readonly rows: number;
  /** Each row in short, where they were asked for. */
  readonly keys: readonly string[];
}

/** What neither later rows nor lanes decide, as they do number, parent and levels. */
const KEY = ['kind', 'time_ns', 'reason', 'rip', 'code', 'value', 'gpa', 'text'] as const;

const cellOf = ({ valid, big, numbers, values }: ColumnData, i: number): unknown =>
  valid?.[i] === 0 ? null : (big?.[i] ?? numbers?.[i] ?? values?.[i]);

function keysOf(chunk: Chunk): string[] {
  const columns = KEY.map((name) => chunk.column(name));
  return Array.from({ length: chunk.rows }, (_, i) => columns.map((column) => cellOf(column, i)).join(' '));
}

/** Numbers of rows rise by one, and a parent comes before its child. */
function checkOrder(chunk: Chunk): void {
  const [seqs, parents] = [chunk.column('seq').big, chunk.column('parent')];
  for (let i = 0; i < chunk.rows; i++) {
    const seq = chunk.first + i;
    assert.ok(seqs?.[i] === BigInt(seq), `row ${seq} says ${seqs?.[i]}`);
    if (parents.valid?.[i] === 1) assert.ok((parents.big?.[i] ?? 0n) < BigInt(seq), 'a parent before its child');
  }
}

function counting(bytes: Uint8Array): { source: ByteSource; read: () => number } {
  const memory = memorySource(bytes, 'mutation');
  let total = 0;
  const count = (got: number): number => {
    total += got;
    return got;
  };
  const source: ByteSource = {
    ...memory,
    read: (target, at) => count(memory.read(target, at)),
    readAt: (target, offset) => count(memory.readAt?.(target, offset) ?? 0),
  };
  return { source, read: () => total };
}

/** Imports bytes and holds the rows against what the result says of them. */
function importRows(bytes: Uint8Array, wantsKeys: boolean): Imported {
  const keys: string[] = [];
  let rows = 0;
  const { source, read } = counting(bytes);
  const writer = new StreamWriter((chunk: Chunk) => {
    assert.equal(chunk.first, rows);
    checkOrder(chunk);
    rows += chunk.rows;
    if (wantsKeys) keys.push(...keysOf(chunk));
  });
  try {
    const result = importTrace(source, () => writer);
    assert.equal(result.counts.events, rows);
    assert.ok(rows > 0, 'no result without an event');
    assert.ok(result.notes.length <= MOST_NOTES);
    if (result.stopped !== null) explained(result.stopped);
    return { result, rows, keys };
  } catch (error) {
    if (!(error instanceof ImportError)) throw error;
    explained(error);
    return { result: null, rows: 0, keys: [] };
  } finally {
    assert.ok(read() <= READS * bytes.length + READ_SLACK, `${read()} bytes read of ${bytes.length}`);
  }
}

/** An error says what, where and what to do, in one line of bounded length. */
function explained({ code, what, where, advice, message }: ImportError): void {
  assert.ok(what.length > 0 && advice.length > 0, code);
  assert.ok(where.startsWith('mutation') && message.length < 1000 && !message.includes('\n'), message);
}

/** Rows of an undamaged file that any file with the same first bytes has too. */
export class Kept {
  readonly #original: Uint8Array;
  readonly #edges: readonly number[];
  readonly #from: number;
  readonly #known = new Map<number, readonly string[]>();

  /** Each of `edges` is the end of a record or line; below `from` lies what says how to read the others. */
  constructor(original: Uint8Array, edges: readonly number[], from: number) {
    this.#original = original;
    this.#edges = edges;
    this.#from = from;
  }

  before(other: Uint8Array): readonly string[] {
    const same = commonPrefix(this.#original, other);
    if (same < this.#from) return [];
    const edge = this.#edges.findLast((each) => each <= same);
    if (edge === undefined) return [];
    let rows = this.#known.get(edge);
    if (rows === undefined) {
      rows = importRows(this.#original.subarray(0, edge), true).keys;
      this.#known.set(edge, rows);
    }
    return rows;
  }
}

function commonPrefix(one: Uint8Array, other: Uint8Array): number {
  const length = Math.min(one.length, other.length);
  for (let i = 0; i < length; i++) if (one[i] !== other[i]) return i;
  return length;
}

/** Every row of `rows` is there, in this order; others may stand between. */
function assertKept(rows: readonly string[], among: readonly string[]): void {
  let next = 0;
  for (const row of among) if (next < rows.length && row === rows[next]) next += 1;
  assert.equal(next, rows.length, `the undamaged row ${next}, ${rows[next]}, is gone`);
}

export interface ImportRules {
  /** Rows that must be there, by the seed. */
  readonly kept?: (original: Uint8Array) => Kept | undefined;
  /** Rows before the damage are not only there but first. */
  readonly prefix?: boolean;
  /** Smallest bytes of an event, where nothing is compressed. */
  readonly smallest?: number;
}

/** What must hold of the import of any bytes. */
export function checkImport(input: Uint8Array, original: Uint8Array, run: number, rules: ImportRules): Outcome {
  const kept = rules.kept?.(original)?.before(input) ?? [];
  const { result, rows, keys } = importRows(input, kept.length > 0);
  if (rules.smallest !== undefined)
    assert.ok(rows <= 1 + input.length / rules.smallest, `${rows} events in ${input.length} bytes`);
  // the row that was held back at the end may go on in the next line
  if (rules.prefix === true) assert.deepEqual(keys.slice(0, Math.max(0, kept.length - 1)), kept.slice(0, -1));
  else assertKept(kept, keys);
  if (result !== null && run % STORED === 0) checkStored(input, result);
  return result === null ? 'refused' : result.stopped === null ? 'whole' : 'stopped';
}

/** A stored import is intact, and remembers where reading stopped and how much could not be read. */
function checkStored(input: Uint8Array, { counts, stopped }: ImportResult): void {
  const folder = mkdtempSync(join(tmpdir(), 'trapline-fuzz-'));
  try {
    const path = join(folder, 'a.arrow');
    importTrace(memorySource(input, 'mutation'), () => createTrace(path));
    const reader = openTrace(path);
    try {
      const integrity = integrityOf(reader);
      assert.ok(isIntact(integrity), JSON.stringify(integrity));
      assert.deepEqual([reader.complete, reader.rows('event')], [stopped === null, counts.events]);
      const { cut, damaged } = originOf((key) => reader.run(key), reader.complete);
      assert.deepEqual([cut !== null, damaged], [stopped !== null, counts.damaged]);
    } finally {
      reader.close();
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}
