/**
 * Walks the events of a trace and hands out each exit once it is known how it ended: with the entry that followed on
 * its vCPU, what it was about, and how long it took. No object a row: one record is reused.
 */
import { EVENT_FLAGS, EVENT_KINDS, FIELD_INDEX } from '../../engine/observer.js';
import { ENTRY_ERRORS } from '../../engine/vmx/controls.js';
import { KVM_EXIT } from '../../traces/codes.js';
import { Recent } from '../../traces/recent.js';
import type { Chunk } from '../../traces/store.js';
import { codeWidth } from './code.js';
import { ChunkEvent, HAS, UNKNOWN_LEVEL, type WalkedEvent } from './event.js';
import type { LaneSpan, LevelTime } from './exit-index.js';
import { countedReason, isPage, keyOfExit, keyOfWork, SubKey, WORK } from './keys.js';
import { Clock, COLUMNS, EventView, type Unit } from './view.js';

const EXIT_FIELDS = ['reason', 'qualification', 'info2', 'intr_info', 'rip', 'gpa', 'code'] as const;

/** What the walkers of this room read of an event besides its kind, lane, levels and time, by its kind; of others nothing. */
const FIELDS: { readonly [kind: number]: readonly string[] } = {
  [EVENT_KINDS.exit]: EXIT_FIELDS,
  [EVENT_KINDS.entry_failed]: EXIT_FIELDS,
  [EVENT_KINDS.emulate]: ['rip'],
  [EVENT_KINDS.lost]: ['value'],
  [EVENT_KINDS.vmfail]: ['code'],
  // Tells an entry that failed without an exit, here and to the import's notes.
  [EVENT_KINDS.userspace_exit]: ['code'],
  ...Object.fromEntries(Object.entries(WORK).map(([kind, key]) => [kind, [isPage(key) ? 'gpa' : 'code', 'flags']])),
};

/** What is read of a recording by anything that goes by exits, and looks at other events too. */
export const READING = { columns: COLUMNS, fields: FIELDS } as const;
/** What a profile reads of a recording: of other events only when each lane was seen. */
export const PROFILE_READING = {
  ...READING,
  kinds: new Set([EVENT_KINDS.entry, ...Object.keys(FIELDS).map(Number)]),
} as const;

/** RIPs whose instruction is remembered. */
const MAX_CODE = 100_000;
/** Lanes that are found without a look-up, by the last bits of their number; a power of two. */
const AT_HAND = 256;
const HIGH = 0x1_0000_0000;

/** An exit, or an entry that failed after loading guest state. Valid during the call only. */
export class WalkedExit {
  lane = 0;
  seq = 0;
  level = UNKNOWN_LEVEL;
  /** 1 VMX, 2 SVM, 0 unknown. */
  isa = 0;
  failed = false;
  /** An exit of a nested guest that L0 handed on to L1. */
  reflected = false;
  reasonLow = 0;
  reasonHigh = 0;
  hasRip = false;
  ripLow = 0;
  ripHigh = 0;
  readonly key = new SubKey();
  /** Ticks or nanoseconds until the next entry of the vCPU, or -1 where there was none or no clock. */
  time = -1;
  /** The same from the entry of the vCPU before it. */
  guest = -1;
}

/** Places of the sums of a level in those of its lane, and how many levels those have room for at first. */
const SUM = { guest: 0, outside: 1 } as const;
const FEW_LEVELS = 4;
const LEVELS = UNKNOWN_LEVEL + 1;

/** What is open on a lane: an exit, or after its entry the guest. */
class Lane {
  readonly exit = new WalkedExit();
  open = false;
  running = false;
  timed = false;
  /** Since when, in two halves of 32 bits, signed: V8 keeps those as integers. */
  low = 0;
  high = 0;
  /** Times that are accounted for, two a level, the unknown one first; longer where levels are deep. */
  sums = new Float64Array(2 * FEW_LEVELS);
  seen = false;
  firstLow = 0;
  firstHigh = 0;
  lastLow = 0;
  lastHigh = 0;
  entries = 0;
  refused = 0;
  failedEarly = 0;
}

export interface Code {
  readonly bytes: Uint8Array;
  readonly bits: 16 | 32 | 64;
}

export class ExitWalker {
  readonly #take: (exit: WalkedExit) => void;
  readonly #lanes = new Map<number, Lane>();
  readonly #atHand: (Lane | null)[] = Array.from({ length: AT_HAND }, () => null);
  /** Instruction bytes by RIP, from exits and from what was emulated for them. */
  readonly code = new Map<bigint, Code>();
  /** RIPs met lately: most events are at few places, and each must not cost a bigint. */
  readonly #learned = new Recent();
  /** Events by kind. */
  readonly kinds = new Float64Array(256);
  readonly #clock = new Clock();
  /** Events that the recorder lost. */
  lost = 0;
  /** Gaps of which it does not say how many. */
  uncounted = 0;
  exits = 0;

  constructor(take: (exit: WalkedExit) => void) {
    this.#take = take;
  }

  /** Takes a chunk of the event table, in order; other tables are ignored. */
  take(chunk: Chunk): void {
    if (chunk.table !== 'event') return;
    const column = this.#clock.of(chunk);
    const event = new ChunkEvent(new EventView(chunk), column, this.#clock.unit);
    for (let i = 0; i < chunk.rows; i++) {
      event.read(i);
      this.event(chunk.first + i, event);
    }
  }

  /** False where an event of this kind would change nothing here: it tells what its exit is about, which is known. */
  wants(kind: number, id: number): boolean {
    if (WORK[kind] === undefined) return true;
    const { open, exit } = this.#lane(id);
    return open === true && exit.key.tag === 0;
  }

  /** Takes one event, in order. */
  event(seq: number, event: WalkedEvent): void {
    const { kind } = event;
    const clock = this.#clock;
    if (clock.unit === null) clock.unit = event.hasTick ? 'cycles' : event.hasTime ? 'ns' : null;
    this.kinds[kind] = (this.kinds[kind] as number) + 1;
    const lane = this.#lane(event.vcpu);
    const isTimed = (clock.unit === 'ns' ? event.hasTime : event.hasTick) === true;
    if (isTimed) visit(lane, event);
    if (kind === EVENT_KINDS.exit || kind === EVENT_KINDS.entry_failed) this.#exit(seq, event, lane, isTimed);
    else if (kind === EVENT_KINDS.entry) this.#entry(event, lane, isTimed);
    else if (kind === EVENT_KINDS.lost) this.#gap(event);
    else if (kind === EVENT_KINDS.userspace_exit && lane.running === true) fail(lane, event);
    else if (kind === EVENT_KINDS.vmfail) refuse(lane, event);
    else if (lane.open === true && lane.exit.key.tag === 0) tellWork(event, lane.exit.key);
    if (kind === EVENT_KINDS.emulate) this.#learn(event);
  }

  /** Hands out the exits that no entry followed; what comes afterwards belongs to nothing before. */
  end(): void {
    for (const lane of this.#lanes.values()) {
      this.#close(lane, -1);
      lane.running = false;
    }
  }

  get unit(): Unit {
    return this.#clock.unit;
  }

  /** Each lane, its times, and its entries. */
  get spans(): LaneSpan[] {
    return [...this.#lanes].map(([lane, { seen, lastHigh, firstHigh, lastLow, firstLow, sums, ...counts }]) => ({
      lane,
      span: seen ? ((lastHigh >>> 0) - (firstHigh >>> 0)) * HIGH + ((lastLow >>> 0) - (firstLow >>> 0)) : 0,
      levels: levelTimes(sums),
      entries: counts.entries,
      refused: counts.refused,
      failedEarly: counts.failedEarly,
    }));
  }

  #lane(id: number): Lane {
    const near = this.#atHand[id & (AT_HAND - 1)];
    if (near?.exit.lane === id) return near;
    let lane = this.#lanes.get(id);
    if (lane === undefined) {
      lane = new Lane();
      lane.exit.lane = id;
      this.#lanes.set(id, lane);
    }
    this.#atHand[id & (AT_HAND - 1)] = lane;
    return lane;
  }

  #exit(seq: number, event: WalkedEvent, lane: Lane, isTimed: boolean): void {
    const { kind, mask, words, isa, fromLevel } = event;
    if ((mask & HAS.reason) === 0) {
      // a nested entry that KVM refused: the exit that asked for it is still served
      if (kind === EVENT_KINDS.entry_failed) lane.refused += 1;
      return;
    }
    this.#close(lane, -1);
    const { exit } = lane;
    this.exits += 1;
    // our own machine records no entry of one that failed: it was tried all the same
    if (kind === EVENT_KINDS.entry_failed && lane.running !== true) lane.entries += 1;
    // an entry that failed was none: its guest did not run
    exit.guest = lane.running === true && kind === EVENT_KINDS.exit ? since(lane, event, isTimed) : -1;
    account(lane, fromLevel, SUM.guest, exit.guest);
    lane.running = false;
    lane.open = true;
    begin(lane, event, isTimed);
    exit.seq = seq;
    exit.isa = isa;
    exit.level = fromLevel;
    exit.failed = kind === EVENT_KINDS.entry_failed;
    exit.reflected = false;
    exit.reasonLow = countedReason(isa, words[2 * FIELD_INDEX.reason] as number);
    exit.reasonHigh = words[2 * FIELD_INDEX.reason + 1] as number;
    exit.hasRip = (mask & HAS.rip) !== 0;
    exit.ripLow = (words[2 * FIELD_INDEX.rip] as number) | 0;
    exit.ripHigh = (words[2 * FIELD_INDEX.rip + 1] as number) | 0;
    exit.key.clear();
    keyOfExit(isa, exit.reasonLow, event, exit.key);
    this.#learn(event);
  }

  #entry(event: WalkedEvent, lane: Lane, isTimed: boolean): void {
    lane.entries += 1;
    if (lane.open === true) {
      const { exit } = lane;
      const { toLevel } = event;
      const known = toLevel !== UNKNOWN_LEVEL && exit.level !== UNKNOWN_LEVEL;
      exit.reflected = known && exit.level > 1 && toLevel < exit.level;
      const time = since(lane, event, isTimed);
      account(lane, exit.level, SUM.outside, time);
      this.#close(lane, time);
    }
    lane.running = true;
    begin(lane, event, isTimed);
  }

  #close(lane: Lane, time: number): void {
    if (lane.open !== true) return;
    lane.open = false;
    lane.exit.time = time;
    this.#take(lane.exit);
  }

  /** After a gap nobody knows which entry belongs to which exit, and which exit to which entry. */
  #gap({ mask, words }: WalkedEvent): void {
    const { value } = FIELD_INDEX;
    const lost = mask & HAS.value ? (words[2 * value + 1] as number) * HIGH + (words[2 * value] as number) : 0;
    this.lost += lost;
    if (lost === 0) this.uncounted += 1;
    this.end();
  }

  /** Remembers the instruction bytes at a RIP. */
  #learn(event: WalkedEvent): void {
    if (event.byteCount === 0 || (event.mask & HAS.rip) === 0 || this.code.size >= MAX_CODE) return;
    const low = event.words[2 * FIELD_INDEX.rip] as number;
    const high = event.words[2 * FIELD_INDEX.rip + 1] as number;
    if (this.#learned.meet(low, high)) return;
    const at = (BigInt(high) << 32n) | BigInt(low);
    if (this.code.has(at)) return;
    const bytes = event.instruction();
    if (bytes !== null) this.code.set(at, { bytes, bits: codeWidth(event.remark) });
  }
}

/** Something begins on a lane with an event. */
function begin(lane: Lane, { timeLow, timeHigh }: WalkedEvent, isTimed: boolean): void {
  lane.timed = isTimed;
  lane.low = timeLow | 0;
  lane.high = timeHigh | 0;
}

/** Time from what began last on a lane to an event; -1 where it is not known, or the clock went back. */
function since({ timed, low, high }: Lane, { timeLow, timeHigh }: WalkedEvent, isTimed: boolean): number {
  if (timed !== true || isTimed !== true) return -1;
  return Math.max(-1, ((timeHigh >>> 0) - (high >>> 0)) * HIGH + ((timeLow >>> 0) - (low >>> 0)));
}

function account(lane: Lane, level: number, part: number, time: number): void {
  if (time <= 0) return;
  const { sums } = lane;
  const place = (((level + 1) & UNKNOWN_LEVEL) << 1) | part;
  if (place < sums.length) sums[place] = (sums[place] as number) + time;
  else deepen(lane, place, time);
}

/** Makes room for all levels, and accounts for the first time of one that had none. */
function deepen(lane: Lane, place: number, time: number): void {
  const sums = new Float64Array(2 * LEVELS);
  sums.set(lane.sums);
  sums[place] = time;
  lane.sums = sums;
}

/** The levels that have times, in ascending order, the unknown one last. */
function levelTimes(sums: Float64Array): LevelTime[] {
  const times: LevelTime[] = [];
  for (let at = 0; at < sums.length; at += 2) {
    const [guest, outside] = [sums[at + SUM.guest] as number, sums[at + SUM.outside] as number];
    if (guest + outside > 0) times.push({ level: (at / 2 + UNKNOWN_LEVEL) % LEVELS, guest, outside });
  }
  return times.sort((a, b) => a.level - b.level);
}

/** The times of a lane rise, unless its recording is out of order: first and last are the earliest and the latest. */
function visit(lane: Lane, { timeLow, timeHigh }: WalkedEvent): void {
  const low = timeLow | 0;
  const high = timeHigh | 0;
  if (lane.seen === true && isBefore(high, low, lane.lastHigh, lane.lastLow)) {
    if (isBefore(high, low, lane.firstHigh, lane.firstLow)) {
      lane.firstLow = low;
      lane.firstHigh = high;
    }
    return;
  }
  lane.lastLow = low;
  lane.lastHigh = high;
  if (lane.seen === true) return;
  lane.seen = true;
  lane.firstLow = low;
  lane.firstHigh = high;
}

/** One time in signed halves is before another. */
const isBefore = (high: number, low: number, otherHigh: number, otherLow: number): boolean =>
  high === otherHigh ? low >>> 0 < otherLow >>> 0 : high >>> 0 < otherHigh >>> 0;

/** User space is told that the entry failed, and no exit came: the processor refused it before the guest was loaded. */
function fail(lane: Lane, { mask, words }: WalkedEvent): void {
  const { code } = FIELD_INDEX;
  if ((mask & HAS.code) === 0 || words[2 * code] !== KVM_EXIT.failEntry || words[2 * code + 1] !== 0) return;
  lane.failedEarly += 1;
  lane.running = false;
}

/** A VMfail of our own machine, which records no entry that did not come to be: one was tried all the same. */
function refuse(lane: Lane, { mask, words }: WalkedEvent): void {
  if ((mask & HAS.code) === 0 || !ENTRY_ERRORS.has(words[2 * FIELD_INDEX.code] as number)) return;
  lane.entries += 1;
  lane.failedEarly += 1;
}

/** What work for an exit says of it. */
function tellWork({ kind, mask, words }: WalkedEvent, key: SubKey): void {
  const known = WORK[kind];
  if (known === undefined) return;
  const field = isPage(known) ? FIELD_INDEX.gpa : FIELD_INDEX.code;
  if ((mask & (1 << field)) === 0) return;
  const flags = mask & HAS.flags ? (words[2 * FIELD_INDEX.flags] as number) : 0;
  keyOfWork(known, words[2 * field] as number, words[2 * field + 1] as number, (flags & EVENT_FLAGS.write) !== 0, key);
}
