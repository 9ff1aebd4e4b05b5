/**
 * How fast the stores take rows, and how small they keep them. Rows are made to look like a run: ticks rise by small
 * steps, a few reasons from a small set of places, registers that count or point, addresses that stride through arrays
 * and stay on a stack, interleaved without a fixed period.
 */
import { readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EVENT_FIELDS, EventRecord, nullObserver, type Observer, RING_RECORD } from '../../engine/observer.js';
import { TraceObserver } from '../../recorder/run/observer.js';
import { createTrace } from '../../traces/open.js';
import { REGISTERS } from '../../traces/schema.js';
import type { TraceWriter } from '../../traces/store.js';

/** One line of the benchmark's table. `bound` is what the value must reach, or (`atMost`) not pass; null: it is only told. */
export interface Measured {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly bound: number | null;
  readonly atMost: boolean;
}

type Extension = 'sqlite' | 'arrow';

/** A small generator with a fixed seed (Numerical Recipes' LCG), so that every run writes the same rows. */
function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 8;
  };
}

const PLACES = 40;
const KERNEL = 0xffff_ffff;
const REASONS = [1, 10, 12, 28, 30, 31, 32, 48, 48, 48, 30, 10] as const;
/** Rows are prepared beforehand, so that making them is not measured; they come round again after so many. */
const PREPARED_EXITS = 1 << 16;
const PREPARED_ACCESSES = 1 << 20;

/** Where the fields that are set lie in a record's words. */
const FIELDS = ['vmcs', 'reason', 'qualification', 'rip', 'cr3', 'gpa', 'intr_info', 'value'] as const;
const LOW = Object.fromEntries(FIELDS.map((name) => [name, 2 * EVENT_FIELDS.indexOf(name)])) as {
  readonly [name in (typeof FIELDS)[number]]: number;
};
const FILLED = FIELDS.reduce((mask, name) => mask | (1 << EVENT_FIELDS.indexOf(name)), 0);

/** Where the exits happen, in no fixed order, and a byte of data for each. */
export function prepareExits(): Uint8Array {
  const random = numbers(1);
  return Uint8Array.from({ length: 2 * PREPARED_EXITS }, (_, i) => (i % 2 === 0 ? random() % PLACES : random() & 0xff));
}

/** Tells of full exits, as an engine would: an event with 17 columns filled, and four registers that changed. */
export function tellExits(observer: Observer, registers: Uint32Array, exits: Uint8Array, count: number): void {
  for (let pointer = 4; pointer < 14; pointer += 2) registers[pointer + 1] = KERNEL;
  const event = new EventRecord();
  const random = numbers(3);
  const code = Uint8Array.from({ length: PLACES * 4 }, () => random() & 0xff);
  let tick = 5_000_000_000;
  let step = 4_000_000_000;
  for (let i = 0; i < count; i++) {
    const at = 2 * (i % PREPARED_EXITS);
    const place = exits[at] as number;
    const data = exits[at + 1] as number;
    const ran = 200 + data;
    tick += ran + 20;
    step += ran;
    event.begin('exit', 0, tick, step, 2, 1);
    event.mask = FILLED;
    event.words[LOW.vmcs] = 0x10_6000;
    event.words[LOW.reason] = REASONS[place % REASONS.length] as number;
    event.words[LOW.qualification] = place % 4 === 0 ? 0x181 : (place << 16) | 1;
    event.words[LOW.rip] = 0x8100_0000 + place * 0x1234;
    event.words[LOW.rip + 1] = KERNEL;
    event.words[LOW.cr3] = 0x1000 * (1 + (place >> 3));
    event.words[LOW.gpa] = 0xfee0_0000 + (place & 7) * 0x10;
    event.words[LOW.intr_info] = place % 12 === 0 ? 0x8000_0020 + (place & 3) : 0;
    event.words[LOW.value] = data;
    event.byteCount = 2 + (place % 3);
    for (let byte = 0; byte < event.byteCount; byte++) event.bytes[byte] = code[4 * place + byte] as number;
    registers[0] = (data << 8) | place;
    registers[2] = i;
    registers[4 + 2 * (place % 5)] = 0x8000_0000 + (i & 0xfff) * 8;
    registers[16 + 2 * (place % 4)] = place * 64 + data;
    observer.event(event);
  }
}

/** Records full exits into a trace. */
export function recordExits(writer: TraceWriter, exits: Uint8Array, count: number): void {
  const registers = new Uint32Array(2 * REGISTERS.length);
  tellExits(new TraceObserver(writer, { isa: 1, registers: () => registers, now: () => 0 }), registers, exits, count);
}

/** Memory accesses: two arrays walked by words, and a stack, in no fixed order. */
export function prepareAccesses(): DataView {
  const ring = new DataView(new ArrayBuffer(PREPARED_ACCESSES * RING_RECORD.bytes));
  const random = numbers(2);
  let tick = 5_000_000_000;
  const walked = [0, 0];
  for (let at = 0; at < ring.byteLength; at += RING_RECORD.bytes) {
    const choice = random();
    tick += 1 + (choice & 3);
    const array = (choice >> 2) % 5;
    const stack = array === 4;
    const store = array >= 2 && !stack;
    const next = 8 * ((walked[store ? 1 : 0] as number) & 0x1ffff);
    const address = stack ? 0x00ff_e000 + 8 * ((choice >> 8) & 63) : (store ? 0x0080_0000 : 0x0040_0000) + next;
    if (!stack) walked[store ? 1 : 0] = (walked[store ? 1 : 0] as number) + 1;
    ring.setBigUint64(at + RING_RECORD.tick, BigInt(tick), true);
    ring.setBigUint64(at + RING_RECORD.gva, BigInt(address) + (stack ? 0x7fffn : 0x7f00n) * 0x1_0000_0000n, true);
    ring.setBigUint64(at + RING_RECORD.gpa, BigInt(0x4000_0000 + address), true);
    ring.setBigUint64(at + RING_RECORD.value, BigInt(stack ? choice & 0xff : random() & 0xfffff), true);
    ring.setUint32(at + RING_RECORD.meta, 8 | ((store ? 1 : 0) << 8) | (1 << 12), true);
  }
  return ring;
}

export function recordAccesses(writer: TraceWriter, ring: DataView, count: number): void {
  const observer = new TraceObserver(writer, { isa: 1, registers: () => new Uint32Array(34), now: () => 0 });
  for (let done = 0; done < count; done += PREPARED_ACCESSES) {
    observer.memory(ring, Math.min(PREPARED_ACCESSES, count - done));
  }
  observer.settle();
}

function sizeOf(path: string): number {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.size;
  return readdirSync(path).reduce((sum, name) => sum + statSync(join(path, name)).size, 0);
}

/** Writes a trace and removes it; seconds from the first row to the end of finish(), and its bytes. */
function timed(extension: Extension, fill: (writer: TraceWriter) => void): { seconds: number; bytes: number } {
  const path = join(tmpdir(), `trapline-bench-${process.pid}.${extension}`);
  const writer = createTrace(path, { replace: true });
  try {
    const start = performance.now();
    fill(writer);
    writer.finish();
    return { seconds: (performance.now() - start) / 1000, bytes: sizeOf(path) };
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}

/** Seconds that making the rows takes: the same calls with an observer that sees nothing. */
function makingExits(exits: Uint8Array, count: number): number {
  const start = performance.now();
  tellExits(nullObserver, new Uint32Array(2 * REGISTERS.length), exits, count);
  return (performance.now() - start) / 1000;
}

/**
 * Rates of both stores over sustained writing, from the first row to the end of finish(). What the benchmark itself
 * takes to make the rows is measured beside and left out; a short run before warms up the compiler.
 */
export function measureStores(scale = 1): Measured[] {
  const exits = { sqlite: Math.round(200_000 * scale), arrow: Math.round(3_000_000 * scale) };
  const accesses = Math.round(16_000_000 * scale);
  const prepared = prepareExits();
  const ring = prepareAccesses();
  timed('arrow', (writer) => {
    recordExits(writer, prepared, 100_000);
    recordAccesses(writer, ring, 400_000);
  });
  const exitsInto = (extension: Extension, count: number) => {
    const { seconds, bytes } = timed(extension, (writer) => recordExits(writer, prepared, count));
    return { rate: Math.round(count / (seconds - makingExits(prepared, count))), size: bytes / count };
  };
  const sqlite = exitsInto('sqlite', exits.sqlite);
  const arrow = exitsInto('arrow', exits.arrow);
  const memory = timed('arrow', (writer) => recordAccesses(writer, ring, accesses));
  const least = { atMost: false };
  return [
    { name: 'full exits into SQLite', value: sqlite.rate, unit: '1/s', bound: 200_000, ...least },
    { name: 'full exits into Arrow', value: arrow.rate, unit: '1/s', bound: 1_500_000, ...least },
    {
      name: 'accesses into Arrow',
      value: Math.round(accesses / memory.seconds),
      unit: '1/s',
      bound: 10_000_000,
      ...least,
    },
    { name: 'size of an exit, Arrow', value: arrow.size, unit: 'bytes', bound: 40, atMost: true },
    { name: 'size of an access, Arrow', value: memory.bytes / accesses, unit: 'bytes', bound: 12, atMost: true },
  ];
}
