/**
 * The whole observer surface of the machine, off by default. The engine fills one reused record per event and calls
 * `Observer.event`; nothing is allocated. An observer may read the machine, never change it.
 */
import type { Level, Tick } from './types.js';

/** What an event says of itself; columns of the trace's `event` table carry the same names. */
export const EVENT_FIELDS = [
  'vmcs', // physical address of the VMCS or VMCB that is current
  'reason', // exit reason, all 32 bits (VMX) or exit code (SVM)
  'qualification', // exit qualification (VMX), EXITINFO1 (SVM)
  'info2', // EXITINFO2 (SVM)
  'intr_info', // VM-exit interruption information, or the event that an entry injects
  'error_code', // its error code
  'rip',
  'cr3',
  'gva',
  'gpa',
  'code', // what the event is about: field encoding, port, MSR, vector, error number, command, CPUID leaf, check
  'old', // the value before
  'value', // the value after, written or read
  'size', // bytes of an access
  'flags', // EVENT_FLAGS
  'parent', // seq of the exit that this work serves
] as const;
export type EventField = (typeof EVENT_FIELDS)[number];

/** Kinds of event, by their number in the trace. A number, once given, is never used for another kind. */
export const EVENT_KINDS = {
  exit: 1,
  entry: 2,
  entry_failed: 3,
  vmfail: 4,
  check: 5,
  vmxon: 6,
  vmxoff: 7,
  vmclear: 8,
  vmptrld: 9,
  vmptrst: 10,
  vmread: 11,
  vmwrite: 12,
  invept: 13,
  invvpid: 14,
  vmcs_store: 15,
  backdoor: 16,
  vmcall: 17,
  inject: 18,
  io: 19,
  msr: 20,
  cpuid: 21,
  cr: 22,
  irq: 23,
  fault: 24,
  mmio: 25,
  page_fault: 26,
  hlt: 27,
  reset: 28,
  message: 29,
  userspace_exit: 30,
  nested_entry: 31,
  nested_exit: 32,
  nested_inject: 33,
  lost: 34,
  other: 35,
  input: 36,
  vmrun: 37,
  vmload: 38,
  vmsave: 39,
  emulate: 40,
  halt_poll: 41,
  wakeup: 42,
  ple_window: 43,
  mmu: 44,
  vmgexit: 45,
  apic: 46,
  irq_line: 47,
  posted_irq: 48,
  apicv: 49,
  timer: 50,
  clock: 51,
  hyperv: 52,
  async_pf: 53,
  tlb_flush: 54,
  smm: 55,
  fpu: 56,
  dirty_log: 57,
  mmu_page: 58,
  mmu_walk: 59,
  mmu_notifier: 60,
  mmio_cache: 61,
  nested_intercepts: 62,
  invlpga: 63,
  skinit: 64,
} as const;
export type EventKind = keyof typeof EVENT_KINDS;

/** Bits of an event's `flags`. */
export const EVENT_FLAGS = { write: 1, string: 2, rep: 4, refused: 8, implied: 16, on: 32 } as const;

/** Position of each field in EVENT_FIELDS: `set` by name looks it up, `setAt` takes it. */
export const FIELD_INDEX = {
  vmcs: 0,
  reason: 1,
  qualification: 2,
  info2: 3,
  intr_info: 4,
  error_code: 5,
  rip: 6,
  cr3: 7,
  gva: 8,
  gpa: 9,
  code: 10,
  old: 11,
  value: 12,
  size: 13,
  flags: 14,
  parent: 15,
} as const satisfies { readonly [name in EventField]: number };

/** One event, reused for all: a mask of the fields that are set, and two 32-bit words a field, low word first. */
export class EventRecord {
  kind = 0;
  vcpu = 0;
  /** Machine time of the event. */
  tick = 0;
  /** Retired instructions of `vcpu`. */
  step = 0;
  /** Level that was running, and the one that runs next; 255 where none is meant. */
  fromLevel = 255;
  toLevel = 255;
  /** Bit i is set where EVENT_FIELDS[i] has a value. */
  mask = 0;
  readonly words = new Uint32Array(EVENT_FIELDS.length * 2);
  /** Instruction bytes, the first `byteCount` of them. */
  readonly bytes = new Uint8Array(16);
  byteCount = 0;

  begin(kind: EventKind, vcpu: number, tick: number, step: number, from: number, to: number): this {
    this.kind = EVENT_KINDS[kind];
    this.vcpu = vcpu;
    this.tick = tick;
    this.step = step;
    this.fromLevel = from;
    this.toLevel = to;
    this.mask = 0;
    this.byteCount = 0;
    return this;
  }

  /** Sets a field from its two halves, each taken modulo 2^32. */
  set(field: EventField, low: number, high = 0): this {
    return this.setAt(FIELD_INDEX[field], low, high);
  }

  /** The same by position (FIELD_INDEX): for events that happen hundreds of thousands of times a second. */
  setAt(i: number, low: number, high: number): this {
    this.mask |= 1 << i;
    this.words[2 * i] = low;
    this.words[2 * i + 1] = high;
    return this;
  }

  /** Sets a field from a number below 2^53. */
  setNumber(field: EventField, value: number): this {
    return this.set(field, value >>> 0, Math.floor(value / 0x1_0000_0000));
  }

  setBig(field: EventField, value: bigint): this {
    return this.set(field, Number(value & 0xffff_ffffn), Number((value >> 32n) & 0xffff_ffffn));
  }
}

/**
 * Kinds of a guest memory access, by their number in the trace and in the ring. A `fetch` is an instruction that begins,
 * with its bytes, whether or not it retires; iterations of a repeated string instruction belong to one fetch. `walk` is
 * an access to a paging structure.
 */
export const ACCESS_KINDS = { load: 0, store: 1, fetch: 2, walk: 3 } as const;
export type AccessKind = keyof typeof ACCESS_KINDS;

/**
 * Layout of one record in the memory ring, in bytes: tick u64, gva u64, gpa u64, value u64, meta u32, reserved u32.
 * meta: bits 7:0 size of the access in bytes, 64 at the most; 11:8 kind; 15:12 level; 23:16 vcpu; bit 24: there is no
 * gva; bit 25: this record continues the one before it with its next 8 bytes, and only `value` counts.
 */
export const RING_NO_GVA = 1 << 24;
export const RING_CONTINUES = 1 << 25;
export const RING_RECORD = { bytes: 40, tick: 0, gva: 8, gpa: 16, value: 24, meta: 32 } as const;

/** A decoded conversation between a guest and a monitor: `direction` 0 is guest to host, 1 host to guest. */
export interface Message {
  readonly tick: Tick;
  readonly vcpu: number;
  readonly level: Level;
  /** For example `rpci`, `tclo`, `vmcall`, `log`. */
  readonly protocol: string;
  readonly channel: number;
  readonly direction: 0 | 1;
  readonly body: Uint8Array;
}

export interface Observer {
  /** Called at every event; `event` is valid during the call only. */
  event(event: EventRecord): void;
  /** Memory accesses, oldest first: `count` records of RING_RECORD in `ring`; valid during the call only. */
  memory(ring: DataView, count: number): void;
  message(message: Message): void;
  /** Bytes that the guest sent to the outside, for example through COM1. */
  output(port: string, bytes: Uint8Array): void;
}

/** Sees nothing. */
export const nullObserver: Observer = {
  event() {},
  memory() {},
  message() {},
  output() {},
};
