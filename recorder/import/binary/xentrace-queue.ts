/**
 * Records of xentrace in the order of their time. xentrace empties the buffers of all host CPUs round after round, in
 * the order of their numbers (tools/xentrace/xentrace.c). The records of a CPU stay in their order; many have no time,
 * and go with the one before.
 */

import { halvesOf, later, timeOf } from '../time.js';
import { Merge, type Timed } from './ring.js';
import { Rounds } from './rounds.js';

/** Bytes that may wait; beyond them the older half of their time goes on without the rest of its round. */
const MOST = 128 << 20;
/** What a block takes beside its bytes. */
const BLOCK = 256;
/** Bytes a CPU that a round has at the least, on average; smaller ones are put together, because each asks every CPU. */
const LEAST_ROUND = 64;

const CYCLES = 0x8000_0000;
const EVENT = 0x0fff_ffff;

/** Words that a record with this header has beyond event and time. */
export const extraWords = (header: number): number => (header >>> 28) & 7;
export const hasCycles = (header: number): boolean => header >= CYCLES;
export const eventOf = (header: number): number => header & EVENT;
export const sizeOf = (header: number): number => (hasCycles(header) ? 12 : 4) + 4 * extraWords(header);

/** Whole records of one CPU. */
export interface Block {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
  /** Offset in the input of its first byte. */
  readonly offset: number;
}

/** The records of a host CPU that wait; it stands at one of them. */
export class CpuRecords implements Timed {
  readonly cpu: number;
  view: DataView = new DataView(new ArrayBuffer(0));
  /** The current record: where its words begin, its header, and whether it has a time of its own. */
  words = 0;
  header = 0;
  hasTime = false;
  timeLow = 0;
  timeHigh = 0;
  #blocks: Block[] = [];
  #block = 0;
  #at = 0;
  #next = 0;
  /** It stands at a record; that is to be the next one again. */
  #stands = false;
  #kept = false;

  constructor(cpu: number) {
    this.cpu = cpu;
  }

  add(block: Block): void {
    this.#blocks.push(block);
  }

  /** Offset in the input of the current record. */
  get offset(): number {
    return (this.#blocks[this.#block]?.offset ?? 0) + this.#at;
  }

  /** Moves to the next record; false at the end. Behind `rest` it stays at the record where it stood. */
  next(): boolean {
    if (this.#kept) {
      this.#kept = false;
      return true;
    }
    let block = this.#blocks[this.#block];
    while (block !== undefined && this.#next >= block.bytes.length) {
      this.#block += 1;
      this.#next = 0;
      block = this.#blocks[this.#block];
    }
    this.#stands = block !== undefined;
    if (block === undefined) return false;
    const { view } = block;
    const at = this.#next;
    const header = view.getUint32(at, true);
    this.view = view;
    this.header = header;
    this.hasTime = hasCycles(header);
    this.words = at + (this.hasTime ? 12 : 4);
    if (this.hasTime) {
      this.timeLow = view.getInt32(at + 4, true);
      this.timeHigh = view.getInt32(at + 8, true);
    }
    this.#at = at;
    this.#next = at + sizeOf(header);
    return true;
  }

  /** Forgets the blocks that it went past, and returns what they took. */
  rest(): number {
    this.#kept = this.#stands;
    const gone = this.#blocks.splice(0, this.#block);
    this.#block = 0;
    return gone.reduce((sum, { bytes }) => sum + bytes.length + BLOCK, 0);
  }
}

export class XenQueue {
  readonly #emit: (record: CpuRecords) => void;
  readonly #cpus = new Map<number, CpuRecords>();
  /** What waits takes, in bytes; and the bytes that came since the last round. */
  #waiting = 0;
  #taken = 0;
  readonly #rounds = new Rounds();

  constructor(emit: (record: CpuRecords) => void) {
    this.#emit = emit;
  }

  /** Takes whole records of a CPU. */
  take(cpu: number, block: Block): void {
    let records = this.#cpus.get(cpu);
    if (records === undefined) {
      records = new CpuRecords(cpu);
      this.#cpus.set(cpu, records);
    }
    records.add(block);
    this.#taken += block.bytes.length;
    this.#waiting += block.bytes.length + BLOCK;
    if (this.#waiting > MOST) this.#relieve();
  }

  /** Takes note of the time of a record that is about to come. */
  note(low: number, high: number): void {
    this.#rounds.comes(low, high);
    this.#rounds.isLate(low, high);
  }

  /** Records with a time that came after later ones had gone on. */
  get late(): number {
    return this.#rounds.late;
  }

  /** Ends a round; two in a row are one as well. */
  round(): void {
    if (this.#taken < LEAST_ROUND * this.#cpus.size) return;
    this.#taken = 0;
    this.#flush(this.#rounds.limitHigh, this.#rounds.limitLow);
    this.#rounds.end();
  }

  /** Hands on everything that waits. */
  end(): void {
    this.#flush(-1, -1);
  }

  #relieve(): void {
    const { newestLow, newestHigh, doneLow, doneHigh } = this.#rounds;
    const middle = (timeOf(doneHigh, doneLow) + timeOf(newestHigh, newestLow)) / 2n;
    this.#flush(...halvesOf(middle));
    if (this.#waiting > MOST / 2) this.end();
  }

  #flush(high: number, low: number): void {
    const merge = new Merge(this.#cpus.values());
    for (let records = merge.first(); records !== undefined; records = merge.first()) {
      const { timeLow, timeHigh } = records;
      if (later(timeHigh, timeLow, high, low)) break;
      this.#rounds.goes(timeLow, timeHigh);
      this.#emit(records);
      merge.advance();
    }
    for (const records of this.#cpus.values()) this.#waiting -= records.rest();
  }
}
