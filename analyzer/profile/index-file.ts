/**
 * An exit index as bytes: a line of JSON, the cells, and everything else as varints (LEB128): exits and samples of each
 * cell, its times as the steps from one to the next, and the instructions. A tag over all of it ends the file. Ten
 * million exits take some 13 MB, and a tenth of a second to read.
 */
import { createCipheriv, createHash } from 'node:crypto';
import { CELL_WORDS } from './cells.js';
import type { ExitIndex, LaneSpan } from './exit-index.js';
import { withSums } from './stats.js';
import type { Unit } from './view.js';
import type { Code } from './walk.js';

/** To be raised whenever other exits, sub-keys or times come out of the same events, or the bytes mean something else. */
export const INDEX_VERSION = 8;

const TAG_BYTES = 16;
const KEY = createHash('sha256').update('trapline exit index').digest().subarray(0, 16);
const CODE_MOST = 15;

/** GMAC under a fixed key: finds accidents, as the tags of a trace do (traces/digest.ts). */
function tagOf(bytes: Uint8Array): Uint8Array {
  const mac = createCipheriv('aes-128-gcm', KEY, Buffer.alloc(12));
  mac.setAAD(bytes);
  mac.final();
  return mac.getAuthTag();
}

interface Head {
  readonly trapline: 'exit index';
  readonly version: number;
  /** What the index is of; it is used for nothing else. */
  readonly of: string;
  readonly unit: Unit;
  readonly lost: number;
  readonly coarse: number;
  readonly lanes: readonly LaneSpan[];
  readonly cells: number;
  readonly samples: number;
  readonly code: number;
}

class ByteWriter {
  #bytes = new Uint8Array(1 << 16);
  length = 0;

  get written(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  put(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** An integer from 0 to 2^53 - 1. */
  number(value: number): void {
    this.#reserve(8);
    let rest = value;
    while (rest > 0x7f) {
      this.#bytes[this.length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes[this.length++] = rest;
  }

  #reserve(length: number): void {
    if (this.length + length <= this.#bytes.length) return;
    const grown = new Uint8Array(2 * (this.length + length));
    grown.set(this.written);
    this.#bytes = grown;
  }
}

/** The bytes of an index; `of` names what it is of. */
export function encodeIndex(index: ExitIndex, of: string): Uint8Array {
  const { unit, lost, coarse, lanes, cells, counts, times, code } = index;
  const { starts, values } = times;
  const head: Head = {
    trapline: 'exit index',
    version: INDEX_VERSION,
    of,
    unit,
    lost,
    coarse,
    lanes,
    cells: counts.length,
    samples: values.length,
    code: code.size,
  };
  const out = new ByteWriter();
  out.put(Buffer.from(`${JSON.stringify(head)}\n`));
  out.put(new Uint8Array(cells.buffer, cells.byteOffset, cells.byteLength));
  for (let cell = 0; cell < counts.length; cell++) {
    const [from, to] = [starts[cell] as number, starts[cell + 1] as number];
    out.number(counts[cell] as number);
    out.number(to - from);
    let last = 0;
    for (let i = from; i < to; i++) {
      out.number((values[i] as number) - last);
      last = values[i] as number;
    }
  }
  for (const [rip, { bytes, bits }] of code) {
    const words = new BigUint64Array([rip]);
    out.put(new Uint8Array(words.buffer));
    out.put(Uint8Array.of(bits, Math.min(bytes.length, CODE_MOST)));
    out.put(bytes.subarray(0, CODE_MOST));
  }
  out.put(tagOf(out.written));
  return out.written;
}

/** Reads what a ByteWriter wrote; throws RangeError beyond the end. */
class ByteReader {
  readonly #bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  take(length: number): Uint8Array {
    if (length > this.#bytes.length - this.at) throw new RangeError('the index ends early');
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }

  number(): number {
    let byte = this.#bytes[this.at++];
    if (byte !== undefined && byte < 0x80) return byte;
    let value = 0;
    let weight = 1;
    for (; byte !== undefined && byte >= 0x80; byte = this.#bytes[this.at++]) {
      value += (byte & 0x7f) * weight;
      weight *= 0x80;
    }
    if (byte === undefined || weight > 2 ** 56) throw new RangeError('the index ends early');
    return value + byte * weight;
  }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;

/** Whether a value is an object with these counts and these times. */
const holds = (value: unknown, counts: readonly string[], times: readonly string[]): value is object =>
  typeof value === 'object' &&
  value !== null &&
  counts.every((key) => isCount(Reflect.get(value, key))) &&
  times.every((key) => Number.isFinite(Reflect.get(value, key)));

function isSpan(value: unknown): boolean {
  if (!holds(value, ['lane', 'entries', 'refused', 'failedEarly'], ['span'])) return false;
  const levels: unknown = Reflect.get(value, 'levels');
  return Array.isArray(levels) && levels.every((each) => holds(each, ['level'], ['guest', 'outside']));
}

function readHead(bytes: Uint8Array, of: string): { head: Head; at: number } | null {
  const end = bytes.indexOf(0x0a);
  if (end < 0) return null;
  try {
    const head: unknown = JSON.parse(Buffer.from(bytes.subarray(0, end)).toString('utf8'));
    if (typeof head !== 'object' || head === null) return null;
    const { trapline, version, of: named, unit, lanes, ...counts } = head as Partial<Head>;
    const { lost, coarse, cells, samples, code } = counts;
    const fits =
      trapline === 'exit index' &&
      version === INDEX_VERSION &&
      named === of &&
      (unit === null || unit === 'ticks' || unit === 'cycles' || unit === 'ns') &&
      [lost, coarse, cells, samples, code].every(isCount) &&
      Array.isArray(lanes) &&
      lanes.every(isSpan);
    return fits ? { head: head as Head, at: end + 1 } : null;
  } catch {
    return null;
  }
}

/** The index that bytes hold, where they are an undamaged one of `of`; null otherwise. */
export function decodeIndex(file: Uint8Array, of: string): ExitIndex | null {
  const bytes = new Uint8Array(file.buffer, file.byteOffset, file.byteLength); // slices of a Buffer are no copies
  const body = bytes.subarray(0, Math.max(0, bytes.length - TAG_BYTES));
  const found = readHead(body, of);
  if (found === null || !Buffer.from(bytes.subarray(body.length)).equals(tagOf(body))) return null;
  try {
    return readBody(new ByteReader(body, found.at), found.head, body.length);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function readBody(input: ByteReader, head: Head, most: number): ExitIndex {
  const { unit, lost, coarse, lanes } = head;
  if (head.cells * CELL_WORDS > most || head.samples > most) throw new RangeError('the index ends early');
  const cells = new Uint32Array(input.take(4 * head.cells * CELL_WORDS).slice().buffer);
  const counts = new Float64Array(head.cells);
  const starts = new Uint32Array(head.cells + 1);
  const values = new Float64Array(head.samples);
  let at = 0;
  for (let cell = 0; cell < head.cells; cell++) {
    counts[cell] = input.number();
    const end = at + input.number();
    if (end > head.samples) throw new RangeError('the index has more samples than it says');
    let last = 0;
    while (at < end) {
      last += input.number();
      values[at++] = last;
    }
    starts[cell + 1] = at;
  }
  const code = new Map<bigint, Code>();
  for (let i = 0; i < head.code; i++) {
    const rip = new BigUint64Array(input.take(8).slice().buffer)[0] ?? 0n;
    const [bits = 0, length = 0] = input.take(2);
    code.set(rip, { bytes: input.take(length).slice(), bits: bits === 16 || bits === 32 ? bits : 64 });
  }
  return { unit, lost, coarse, lanes, cells, counts, times: withSums(starts, values), code };
}
