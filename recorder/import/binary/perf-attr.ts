/**
 * What perf.data says of its events: struct perf_event_attr, and from its sample_type where the parts of a record lie
 * (include/uapi/linux/perf_event.h; tools/perf/Documentation/perf.data-file-format.txt).
 */
import { HEADER, RECORD } from './perf-records.js';
import type { Scanner } from './scanner.js';

/** Bits of sample_type whose parts have 8 bytes each, in the order in which a sample holds them. */
const SAMPLE = {
  identifier: 1 << 16,
  ip: 1 << 0,
  tid: 1 << 1,
  time: 1 << 2,
  addr: 1 << 3,
  id: 1 << 6,
  streamId: 1 << 9,
  cpu: 1 << 7,
  period: 1 << 8,
} as const;
const READ = 1 << 4;
const CALLCHAIN = 1 << 5;
const RAW = 1 << 10;
/** The same of the identity that other records end with, where the attribute asks for it. */
const TRAILER = [SAMPLE.tid, SAMPLE.time, SAMPLE.id, SAMPLE.streamId, SAMPLE.cpu, SAMPLE.identifier] as const;
/** Flags of perf_event_attr by bit; with the first, a tracepoint of the kernel makes no sample (perf_tp_event_match). */
const FLAG = { excludeKernel: 5, freq: 10, sampleIdAll: 18, writeBackward: 27 } as const;
/** perf_event_attr of its first version; larger ones are read as far as they matter here. */
const SMALLEST = 64;
const LARGEST = 4096;

export const TRACEPOINT = 2;
/** PERF_TYPE_HARDWARE and PERF_TYPE_SOFTWARE by config. */
const NAMES: readonly (readonly string[])[] = [
  [
    'cycles',
    'instructions',
    'cache-references',
    'cache-misses',
    'branches',
    'branch-misses',
    'bus-cycles',
    'stalled-cycles-frontend',
    'stalled-cycles-backend',
    'ref-cycles',
  ],
  [
    'cpu-clock',
    'task-clock',
    'page-faults',
    'context-switches',
    'cpu-migrations',
    'minor-faults',
    'major-faults',
    'alignment-faults',
    'emulation-faults',
    'dummy',
    'bpf-output',
  ],
];

/** Offsets from the start of a sample; -1 where it has no such part. */
export interface SampleLayout {
  readonly ip: number;
  readonly tid: number;
  readonly time: number;
  readonly addr: number;
  readonly id: number;
  readonly cpu: number;
  readonly period: number;
  /** Where the parts of variable length begin. */
  readonly end: number;
  readonly read: boolean;
  readonly callchain: boolean;
  readonly raw: boolean;
  /** Where the raw data lies if nothing of variable length comes before it; else -1. */
  readonly rawAt: number;
  /** Offsets from the end of other records: negative, or 0 where there is none. */
  readonly trailer: { readonly time: number; readonly cpu: number; readonly size: number };
}

export interface Attribute {
  readonly type: number;
  readonly config: bigint;
  /** Its low half: of a tracepoint, the number of its event. */
  readonly id: number;
  readonly readFormat: number;
  readonly layout: SampleLayout;
  /** Every event of it makes a sample, and stays: not those of user space alone, nor one of several, nor the newest. */
  readonly isWhole: boolean;
  /** `perf record --overwrite`: a ring that is full loses its oldest events, and no record tells of it. */
  readonly isOverwritten: boolean;
  name: string;
}

function layoutOf(sampleType: number, all: boolean): SampleLayout {
  const at: { [part: string]: number } = {};
  let end = HEADER;
  for (const [part, bit] of Object.entries(SAMPLE)) {
    at[part] = (sampleType & bit) === 0 ? -1 : end;
    if ((sampleType & bit) !== 0) end += 8;
  }
  const present = all ? TRAILER.filter((bit) => (sampleType & bit) !== 0) : [];
  const behind = (bit: number): number =>
    present.includes(bit as 2) ? 8 * (present.indexOf(bit as 2) - present.length) : 0;
  const part = (name: keyof typeof SAMPLE): number => at[name] ?? -1;
  return {
    ip: part('ip'),
    tid: part('tid'),
    time: part('time'),
    addr: part('addr'),
    id: part('identifier') >= 0 ? part('identifier') : part('id'),
    cpu: part('cpu'),
    period: part('period'),
    end,
    read: (sampleType & READ) !== 0,
    callchain: (sampleType & CALLCHAIN) !== 0,
    raw: (sampleType & RAW) !== 0,
    rawAt: (sampleType & (RAW | READ | CALLCHAIN)) === RAW ? end : -1,
    trailer: { time: behind(SAMPLE.time), cpu: behind(SAMPLE.cpu), size: 8 * present.length },
  };
}

/** Where the time of a record of `size` bytes lies, or -1 where it has none. */
export function timeAt({ time, trailer }: SampleLayout, type: number, size: number): number {
  if (type === RECORD.sample) return time >= 0 && time + 8 <= size ? time : -1;
  return trailer.time < 0 && size + trailer.time >= HEADER ? size + trailer.time : -1;
}

/** Reads an attribute of `size` bytes, or of the size that it says itself. */
export function readAttribute(scanner: Scanner, size: number | null): Attribute {
  const start = scanner.at;
  const type = scanner.u32('type of an event');
  const own = scanner.u32('size of an event attribute');
  const length = size ?? (own === 0 ? SMALLEST : own);
  if (length < SMALLEST || length > LARGEST) throw scanner.corrupt(`an event attribute of ${length} bytes`);
  const config = scanner.big('config of an event');
  const period = scanner.big('sample period');
  const sampleType = Number(scanner.big('sample type') & 0xffff_ffffn);
  const readFormat = Number(scanner.big('read format') & 0xffn);
  // a bit field: its bits run from the other end of each byte where the byte order is big
  const flags = scanner.bytes(8, 'flags of an event');
  const has = (flag: keyof typeof FLAG): boolean => {
    const bit = FLAG[flag] & 7;
    return ((flags[FLAG[flag] >> 3] ?? 0) & (1 << (scanner.little ? bit : 7 - bit))) !== 0;
  };
  scanner.skip(start + length - scanner.at, 'an event attribute');
  const name = NAMES[type]?.[Number(config)] ?? `type ${type} config 0x${config.toString(16)}`;
  const layout = layoutOf(sampleType, has('sampleIdAll'));
  const isOverwritten = has('writeBackward');
  const isWhole = period === 1n && !has('freq') && !has('excludeKernel') && layout.raw && !isOverwritten;
  return { type, config, id: Number(config & 0xffff_ffffn), readFormat, layout, isWhole, isOverwritten, name };
}

const TIME_ENABLED = 1;
const TIME_RUNNING = 2;
const WITH_ID = 4;
const GROUP = 8;
const WITH_LOST = 16;

/** Bytes that the counter values of a sample take; `count` is their first word, which a group begins with. */
export function readSize(format: number, count: number): number {
  const times = ((format & TIME_ENABLED) !== 0 ? 8 : 0) + ((format & TIME_RUNNING) !== 0 ? 8 : 0);
  const each = 8 + ((format & WITH_ID) !== 0 ? 8 : 0) + ((format & WITH_LOST) !== 0 ? 8 : 0);
  return (format & GROUP) === 0 ? times + each : 8 + times + count * each;
}
