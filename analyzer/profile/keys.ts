/**
 * What an exit is about, by its reason: port, MSR, control register, CPUID leaf, hypercall, page, vector. It is taken
 * from the exit itself where the architecture puts it there, else from the work that was done for it.
 */
import { EVENT_KINDS, FIELD_INDEX } from '../../engine/observer.js';
import { VMX_COUNTED } from '../../engine/vmx/exit-reasons.js';
import { HAS, type WalkedEvent } from './event.js';

/** Kinds of sub-key, by number; a direction is added where it matters. */
export const KEYS = ['none', 'port', 'msr', 'cr', 'dr', 'leaf', 'call', 'page', 'vector', 'apic', 'mmio'] as const;
export type KeyKind = (typeof KEYS)[number];
const KEY = Object.fromEntries(KEYS.map((name, i) => [name, i])) as Record<KeyKind, number>;

/** Direction of an access, in the two bits below the kind. */
export const DIRECTION = { none: 0, read: 1, write: 2 } as const;

const VMX = 1;
const SVM = 2;

/** A sub-key: kind with direction, and its value in two signed halves, which V8 keeps as integers. */
export class SubKey {
  tag = 0;
  low = 0;
  high = 0;

  get value(): bigint {
    return (BigInt(this.high >>> 0) << 32n) | BigInt(this.low >>> 0);
  }

  clear(): void {
    this.tag = 0;
    this.low = 0;
    this.high = 0;
  }

  set(kind: number, direction: number, low: number, high = 0): void {
    this.tag = (kind << 2) | direction;
    this.low = low | 0;
    this.high = high | 0;
  }
}

export const keyKind = (tag: number): KeyKind => KEYS[tag >>> 2] ?? 'none';
export const keyDirection = (tag: number): number => tag & 3;

const PAGE_MASK = 0xffff_f000;

/** The fields of an exit that can say what it is about. */
export type ExitWords = Pick<WalkedEvent, 'mask' | 'words'>;

type Rule = (exit: ExitWords, key: SubKey) => void;

const lowOf = ({ words }: ExitWords, field: number): number => words[2 * field] as number;
const highOf = ({ words }: ExitWords, field: number): number => words[2 * field + 1] as number;
const qualificationOf = (exit: ExitWords): number => lowOf(exit, FIELD_INDEX.qualification);

const fromCode =
  (kind: number, direction: number = DIRECTION.none): Rule =>
  (exit, key) => {
    if (exit.mask & HAS.code) key.set(kind, direction, lowOf(exit, FIELD_INDEX.code), highOf(exit, FIELD_INDEX.code));
  };

const setPage = (exit: ExitWords, field: number, key: SubKey): void =>
  key.set(KEY.page, DIRECTION.none, lowOf(exit, field) & PAGE_MASK, highOf(exit, field));

const fromGpa: Rule = (exit, key) => {
  if (exit.mask & HAS.gpa) setPage(exit, FIELD_INDEX.gpa, key);
};

const fromVector: Rule = (exit, key) => {
  const info = lowOf(exit, FIELD_INDEX.intr_info);
  if (exit.mask & HAS.intr_info && info >>> 31) key.set(KEY.vector, DIRECTION.none, info & 0xff);
};

/** An array without holes: V8 looks up what is far apart in an object by its hash, each time. */
const dense = (rules: { readonly [code: number]: Rule }): readonly (Rule | null)[] =>
  Array.from({ length: Math.max(...Object.keys(rules).map(Number)) + 1 }, (_, code) => rules[code] ?? null);

/** Intel SDM volume 3C, "Exit Qualification" tables for control-register, MOV DR, I/O and APIC accesses. */
const VMX_RULES = dense({
  0: fromVector,
  1: fromVector,
  10: fromCode(KEY.leaf),
  18: fromCode(KEY.call),
  28(exit, key) {
    if ((exit.mask & HAS.qualification) === 0) return;
    const access = (qualificationOf(exit) >>> 4) & 3; // 0 MOV to, 1 MOV from, 2 CLTS, 3 LMSW
    key.set(KEY.cr, access === 1 ? DIRECTION.read : DIRECTION.write, access < 2 ? qualificationOf(exit) & 15 : 0);
  },
  29(exit, key) {
    if ((exit.mask & HAS.qualification) === 0) return;
    key.set(KEY.dr, qualificationOf(exit) & 16 ? DIRECTION.read : DIRECTION.write, qualificationOf(exit) & 7);
  },
  30(exit, key) {
    if ((exit.mask & HAS.qualification) === 0) return;
    key.set(KEY.port, qualificationOf(exit) & 8 ? DIRECTION.read : DIRECTION.write, qualificationOf(exit) >>> 16);
  },
  31: fromCode(KEY.msr, DIRECTION.read),
  32: fromCode(KEY.msr, DIRECTION.write),
  44(exit, key) {
    if (exit.mask & HAS.qualification) key.set(KEY.apic, DIRECTION.none, qualificationOf(exit) & 0xfff);
  },
  48: fromGpa,
  49: fromGpa,
  56(exit, key) {
    if (exit.mask & HAS.qualification) key.set(KEY.apic, DIRECTION.write, qualificationOf(exit) & 0xfff);
  },
  84: fromCode(KEY.msr, DIRECTION.read),
  85: fromCode(KEY.msr, DIRECTION.write),
});

/** AMD64 APM volume 2, "SVM Intercept Exit Codes" and the sections on IOIO, MSR and nested-page-fault intercepts. */
const SVM_RULES = dense({
  114: fromCode(KEY.leaf),
  123(exit, key) {
    if ((exit.mask & HAS.qualification) === 0) return;
    key.set(KEY.port, qualificationOf(exit) & 1 ? DIRECTION.read : DIRECTION.write, qualificationOf(exit) >>> 16);
  },
  124(exit, key) {
    if ((exit.mask & HAS.code) === 0) return;
    const direction = qualificationOf(exit) & 1 ? DIRECTION.write : DIRECTION.read;
    key.set(KEY.msr, direction, lowOf(exit, FIELD_INDEX.code), highOf(exit, FIELD_INDEX.code));
  },
  129: fromCode(KEY.call),
  1024(exit, key) {
    if (exit.mask & HAS.info2) setPage(exit, FIELD_INDEX.info2, key);
    else fromGpa(exit, key);
  },
});

/**
 * What an exit is counted by: of VMX its basic reason and whether the entry failed. Other bits, such as that of a bus lock,
 * say more of the same exit (Intel SDM volume 3C, "Format of Exit Reason").
 */
export const countedReason = (isa: number, low: number): number => (isa === VMX ? (low & VMX_COUNTED) >>> 0 : low);

/** What the exit itself says; `key` stays clear where it says nothing. */
export function keyOfExit(isa: number, reason: number, exit: ExitWords, key: SubKey): void {
  const rules = isa === VMX ? VMX_RULES : isa === SVM ? SVM_RULES : null;
  const code = isa === VMX ? reason & 0xffff : reason;
  if (rules !== null && code < rules.length) rules[code]?.(exit, key);
}

/** Kinds of work that say what their exit was about, for the reasons whose exit does not. */
export const WORK: { readonly [kind: number]: number } = {
  [EVENT_KINDS.io]: KEY.port,
  [EVENT_KINDS.msr]: KEY.msr,
  [EVENT_KINDS.cr]: KEY.cr,
  [EVENT_KINDS.cpuid]: KEY.leaf,
  [EVENT_KINDS.vmcall]: KEY.call,
  [EVENT_KINDS.mmio]: KEY.page,
  [EVENT_KINDS.page_fault]: KEY.page,
};

/** Sub-key that work of a kind gives: a page by its address, anything else by its code. */
export function keyOfWork(kind: number, low: number, high: number, written: boolean, key: SubKey): void {
  if (kind === KEY.page) key.set(kind, DIRECTION.none, low & PAGE_MASK, high);
  else if (kind === KEY.leaf || kind === KEY.call) key.set(kind, DIRECTION.none, low, high);
  else key.set(kind, written ? DIRECTION.write : DIRECTION.read, low, high);
}

/** An access as it was emulated: a port, or the address itself rather than its page. */
export function keyOfAccess(event: 'mmio' | 'ioport', low: number, high: number, written: boolean, key: SubKey): void {
  key.set(event === 'mmio' ? KEY.mmio : KEY.port, written ? DIRECTION.write : DIRECTION.read, low, high);
}

export const isPage = (kind: number): boolean => kind === KEY.page;

const WORDS: { readonly [kind in KeyKind]: (value: bigint) => string } = {
  none: () => '',
  port: (value) => `port 0x${value.toString(16)}`,
  msr: (value) => `MSR 0x${value.toString(16)}`,
  cr: (value) => `CR${value}`,
  dr: (value) => `DR${value}`,
  leaf: (value) => `leaf 0x${value.toString(16)}`,
  call: (value) => `call 0x${value.toString(16)}`,
  page: (value) => `page 0x${value.toString(16)}`,
  vector: (value) => `vector ${value}`,
  apic: (value) => `APIC offset 0x${value.toString(16)}`,
  mmio: (value) => `MMIO 0x${value.toString(16)}`,
};
const PORT_DIRECTIONS = ['', ' in', ' out', ''];
const DIRECTIONS = ['', ' read', ' write', ''];

export function keyLabel(tag: number, value: bigint): string {
  const kind = keyKind(tag);
  return WORDS[kind](value) + (kind === 'port' ? PORT_DIRECTIONS : DIRECTIONS)[keyDirection(tag)];
}
