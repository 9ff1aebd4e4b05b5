/**
 * Decodes records by the layouts that the recording describes. Each event's format is compiled once to a short program,
 * a line of integers a field: what to do, where it lies, how wide it is, which column it fills.
 */
import { EVENT_FIELDS, EVENT_FLAGS, EVENT_KINDS } from '../../../engine/observer.js';
import { VM_ENTRY_FAILURE } from '../../../engine/vmx/exit-reasons.js';
import { ascii } from '../cursor.js';
import type { Lane } from '../lanes.js';
import { ISA } from '../reasons.js';
import { type EventRow, FIELD } from '../row.js';
import type { EventFormat, Field } from './formats.js';
import { addBytes, addDecimal, addHex, addSpace } from './ink.js';
import { DOES, KVM_EVENTS, type KvmEvent, type Special } from './kvm.js';

/** Operations beyond DOES. */
const STORE = 0;
const STEP = 4;
const { exit, entry_failed, nested_exit, other } = EVENT_KINDS;

/** Names of fields that are kept as text unless they are zero; steps refer to them by number. */
const LABELS: Uint8Array[] = [];

/** How a field that has no column is written. */
interface TextField {
  readonly label: Uint8Array;
  readonly field: Field;
  readonly style: 'hex' | 'decimal' | 'string' | 'bytes' | 'numbers';
}

export interface Program {
  readonly format: EventFormat;
  readonly kind: number;
  readonly flags: number;
  readonly steps: Int32Array;
  readonly special: Special | null;
  /** Where the fields lie that the special readers know: offset and width, width 0 where there is none. */
  readonly slots: Int32Array;
  /** Bytes of the instruction, 0 where the event has none. */
  readonly insnSize: number;
  readonly heading: Uint8Array | null;
  readonly text: readonly TextField[];
  readonly size: number;
  readonly pid: number;
  readonly pidSize: number;
  /** Number in the dictionary of events without a kind of their own, or -1. */
  readonly code: number;
  readonly nested: boolean;
}

const HEXADECIMAL = /\b(u64|unsigned long|gpa_t|gva_t|gfn_t|hpa_t|phys_addr_t|size_t|pfn_t|__u64|dma_addr_t)\b|\*/;

function styleOf(field: Field): TextField['style'] {
  if (field.type.includes('char') && (field.count !== null || field.dynamic !== null) && !/unsigned/.test(field.type))
    return 'string';
  if (field.dynamic !== null) return 'bytes';
  if (field.count !== null) {
    const width = field.count > 0 ? field.size / field.count : 0;
    return width === 2 || width === 4 || width === 8 ? 'numbers' : 'bytes';
  }
  if (field.size !== 1 && field.size !== 2 && field.size !== 4 && field.size !== 8) return 'bytes';
  return HEXADECIMAL.test(field.type) ? 'hex' : 'decimal';
}

const isNumber = ({ size, count, dynamic }: Field): boolean =>
  count === null && dynamic === null && (size === 1 || size === 2 || size === 4 || size === 8);

function stepOf(event: KvmEvent, field: Field): readonly number[] {
  const use = event.fields[field.name];
  if (use === undefined || use === 'special' || !isNumber(field)) return [];
  const does = (DOES as { readonly [name: string]: number })[use];
  const width = field.signed ? -field.size : field.size;
  if (does === DOES.rare) return [does, field.offset, width, LABELS.push(ascii(`${field.name}=`)) - 1];
  if (does !== undefined) return [does, field.offset, width, 0];
  return [STORE, field.offset, width, (FIELD as { readonly [name: string]: number })[use] ?? 0];
}

/** Which architecture a reason belongs to must be known before the reason is read. */
const order = (steps: readonly (readonly number[])[]): number[] => [
  ...steps.filter(([does]) => does === DOES.isa).flat(),
  ...steps.filter(([does]) => does !== DOES.isa).flat(),
];

/** Fields that the special readers know, by their slot. */
const SLOT = {
  csbase: 0,
  len: 1,
  insn: 2,
  flags: 3,
  failed: 4,
  vector: 5,
  irq: 6,
  soft: 7,
  reinjected: 8,
  has_error: 9,
  error_code: 10,
  errno: 11,
  reason: 12,
} as const;

function slotsOf(fields: readonly Field[]): Int32Array {
  const slots = new Int32Array(2 * Object.keys(SLOT).length);
  for (const [name, slot] of Object.entries(SLOT)) {
    const field = fields.find((each) => each.name === name);
    if (field === undefined) continue;
    slots[2 * slot] = field.offset;
    if (isNumber(field)) slots[2 * slot + 1] = field.signed ? -field.size : field.size;
  }
  return slots;
}

function fits(event: KvmEvent, format: EventFormat): boolean {
  const has = (name: string): boolean => format.fields.some((field) => field.name === name);
  const numbers = format.fields.every((field) => !(field.name in event.fields) || isNumber(field) || event.special);
  return numbers && event.needs.every((names) => names.some(has));
}

/** `number` gives an event that has no kind of its own its number in the dictionary. */
export function compile(format: EventFormat, number: (name: string) => number): Program {
  const named = KVM_EVENTS[format.name];
  const event = named !== undefined && fits(named, format) ? named : null;
  const own = format.fields.filter(({ name }) => !name.startsWith('common_'));
  const kept = event === null || event.whole ? own : own.filter(({ name }) => !(name in event.fields));
  const pid = format.fields.find(({ name }) => name === 'common_pid');
  return {
    format,
    kind: event === null ? other : EVENT_KINDS[event.kind],
    flags: event?.flags === 'write' ? EVENT_FLAGS.write : 0,
    steps: Int32Array.from(event === null ? [] : order(own.map((field) => stepOf(event, field)))),
    special: event?.special ?? null,
    slots: slotsOf(own),
    insnSize: own.find(({ name }) => name === 'insn')?.size ?? 0,
    heading: event === null || event.whole ? ascii(`${format.name}:`) : null,
    text: kept.map((field) => ({ label: ascii(`${field.name}=`), field, style: styleOf(field) })),
    size: format.size,
    pid: pid?.size === 4 ? pid.offset : -1,
    pidSize: pid?.size ?? 0,
    code: event === null || event.kind === 'other' ? number(format.name) : -1,
    nested: event !== null && EVENT_KINDS[event.kind] === nested_exit,
  };
}

const CHARS = { count: ascii('count='), address: ascii('address=') };
const RESTART = ascii('restart');
const ERROR = ascii('error');
const FAILED = ascii('failed');
const REINJECTED = ascii('[reinjected]');
const IRQ = ascii('IRQ');
const SOFT = ascii('Soft/INTn');
/** -EINTR: KVM calls the return to user space a restart. */
const EINTR = 4;

/** KVM_EMUL_INSN_F_* as kvm_emulate_insn prints them: CR0.PE 1, EFLAGS.VM 2, CS.D 4, CS.L 8. */
const MODES: readonly (Uint8Array | null)[] = Array.from({ length: 16 }, (_, flags) => {
  const name = { 0: 'real', 3: 'vm16', 1: 'prot16', 5: 'prot32', 9: 'prot64' }[flags];
  return name === undefined ? null : ascii(`(${name})`);
});

/** Basic reasons whose page fault has a guest physical address, and those where it is linear. */
const isPhysical = (isa: number, reason: number): boolean =>
  isa === ISA.vmx ? reason === 48 || reason === 49 : isa === ISA.svm && reason === 0x400;
const isLinear = (isa: number, reason: number): boolean =>
  isa === ISA.vmx ? reason === 0 : isa === ISA.svm && reason === 0x4e;

export class RecordDecoder {
  readonly little: boolean;
  readonly #keepsText: boolean;
  /** vCPU that the last record named, or -1. */
  vcpu = -1;
  /** The last number read. */
  #low = 0;
  #high = 0;

  /** Without `text`, what has no column is not read at all. */
  constructor(little: boolean, text: boolean) {
    this.little = little;
    this.#keepsText = text;
  }

  #number(view: DataView, at: number, width: number): void {
    switch (width) {
      case 8:
      case -8:
        this.#low = view.getUint32(this.little ? at : at + 4, this.little);
        this.#high = view.getUint32(this.little ? at + 4 : at, this.little);
        return;
      case 4:
        this.#low = view.getUint32(at, this.little);
        break;
      case -4:
        this.#low = view.getUint32(at, this.little);
        this.#high = this.#low >= 0x8000_0000 ? 0xffff_ffff : 0;
        return;
      case 2:
        this.#low = view.getUint16(at, this.little);
        break;
      case 1:
        this.#low = view.getUint8(at);
        break;
      case -2:
        this.#low = view.getInt16(at, this.little) >>> 0;
        this.#high = this.#low >= 0x8000_0000 ? 0xffff_ffff : 0;
        return;
      default:
        this.#low = view.getInt8(at) >>> 0;
        this.#high = this.#low >= 0x8000_0000 ? 0xffff_ffff : 0;
        return;
    }
    this.#high = 0;
  }

  /** Thread of a record, or -1. */
  thread(program: Program, view: DataView, at: number): number {
    return program.pid < 0 ? -1 : view.getInt32(at + program.pid, this.little);
  }

  /** Decodes the record of `length` bytes at `at`, at least program.size long, into `row`; `lane` is its thread's. */
  decode(program: Program, view: DataView, at: number, length: number, row: EventRow, lane: Lane): void {
    this.vcpu = -1;
    row.kind = program.kind;
    if (program.code >= 0) row.put(FIELD.code, program.code, 0);
    if (program.flags !== 0) row.put(FIELD.flags, program.flags, 0);
    const { steps } = program;
    for (let i = 0; i < steps.length; i += STEP) {
      this.#number(view, at + (steps[i + 1] as number), steps[i + 2] as number);
      const does = steps[i] as number;
      if (does === STORE) this.#store(row, steps[i + 3] as number);
      else this.#step(does, steps[i + 3] as number, row, lane);
    }
    if (program.special !== null) this.#special(program, view, at, row);
    if (!this.#keepsText) return;
    if (program.heading !== null) addBytes(row, program.heading);
    if (program.text.length > 0) this.#text(program, view, at, length, row);
  }

  #store(row: EventRow, field: number): void {
    if (row.put(field, this.#low, this.#high)) return;
    addSpace(row);
    addBytes(row, ascii(`${EVENT_FIELDS[field]}=`));
    addHex(row, this.#low, this.#high);
  }

  #step(does: number, label: number, row: EventRow, lane: Lane): void {
    const low = this.#low;
    switch (does) {
      case DOES.vcpu:
        this.vcpu = low;
        return;
      case DOES.isa:
        row.isa = low === ISA.vmx || low === ISA.svm ? low : 0;
        return;
      case DOES.reason:
        this.#reason(row);
        return;
      case DOES.address:
        if (isPhysical(lane.exitIsa, lane.exitReason)) row.put(FIELD.gpa, low, this.#high);
        else if (isLinear(lane.exitIsa, lane.exitReason)) row.put(FIELD.gva, low, this.#high);
        else this.#label(row, CHARS.address);
        return;
      case DOES.fault:
        // with nested paging this is the exit qualification or EXITINFO1 again, not a #PF error code
        this.#store(row, isLinear(lane.exitIsa, lane.exitReason) ? FIELD.error_code : FIELD.qualification);
        return;
      case DOES.count:
        if (low === 1) return;
        setFlag(row, EVENT_FLAGS.string);
        addSpace(row);
        addBytes(row, CHARS.count);
        addDecimal(row, low);
        return;
      case DOES.rare:
        if (low !== 0 || this.#high !== 0) this.#label(row, LABELS[label] as Uint8Array);
        return;
      case DOES.write:
        setFlag(row, low !== 0 ? EVENT_FLAGS.write : 0);
        return;
      case DOES.refused:
        setFlag(row, low !== 0 ? EVENT_FLAGS.refused : 0);
        return;
      case DOES.access:
        setFlag(row, low === 2 ? EVENT_FLAGS.write : low === 0 ? EVENT_FLAGS.refused : 0);
        return;
      case DOES.vector:
        row.put(FIELD.code, low & 0xff, 0);
        return;
    }
  }

  #label(row: EventRow, label: Uint8Array): void {
    addSpace(row);
    addBytes(row, label);
    addHex(row, this.#low, this.#high);
  }

  /** The kernel keeps 32 bits; SVM's negative codes (VMEXIT_INVALID and its like) have 64. */
  #reason(row: EventRow): void {
    const low = this.#low;
    const negative = row.isa === ISA.svm && low >= 0xffff_fff0;
    row.put(FIELD.reason, low, negative ? 0xffff_ffff : 0);
    const failed = row.isa === ISA.vmx ? low >= VM_ENTRY_FAILURE : negative && low === 0xffff_ffff;
    if (failed && row.kind === exit) row.kind = entry_failed;
  }

  /** Value of a field that a special reader knows; zero where there is none. */
  #slot(program: Program, slot: number, view: DataView, at: number): number {
    const width = program.slots[2 * slot + 1] as number;
    this.#low = this.#high = 0;
    if (width !== 0) this.#number(view, at + (program.slots[2 * slot] as number), width);
    return this.#low;
  }

  #special(program: Program, view: DataView, at: number, row: EventRow): void {
    switch (program.special) {
      case 'emulate':
        this.#emulate(program, view, at, row);
        return;
      case 'interrupt': {
        const vector = this.#slot(program, program.slots[2 * SLOT.vector + 1] === 0 ? SLOT.irq : SLOT.vector, view, at);
        row.put(FIELD.code, vector & 0xff, 0);
        addBytes(row, this.#slot(program, SLOT.soft, view, at) !== 0 ? SOFT : IRQ);
        if (this.#slot(program, SLOT.reinjected, view, at) !== 0) this.#remark(row, REINJECTED);
        return;
      }
      case 'exception':
        if (this.#slot(program, SLOT.has_error, view, at) !== 0) {
          this.#slot(program, SLOT.error_code, view, at);
          this.#store(row, FIELD.error_code);
        }
        if (this.#slot(program, SLOT.reinjected, view, at) !== 0) this.#remark(row, REINJECTED);
        return;
      case 'userspace': {
        const errno = -(this.#slot(program, SLOT.errno, view, at) | 0);
        if (errno > 0) {
          row.put(FIELD.value, errno, 0);
          addBytes(row, errno === EINTR ? RESTART : ERROR);
        } else row.put(FIELD.code, this.#slot(program, SLOT.reason, view, at), 0);
        return;
      }
    }
  }

  #remark(row: EventRow, remark: Uint8Array): void {
    addSpace(row);
    addBytes(row, remark);
  }

  #emulate(program: Program, view: DataView, at: number, row: EventRow): void {
    this.#slot(program, SLOT.csbase, view, at);
    if (this.#low !== 0 || this.#high !== 0) row.put(FIELD.code, this.#low, this.#high);
    const length = Math.min(this.#slot(program, SLOT.len, view, at), 15, program.insnSize);
    const insn = at + (program.slots[2 * SLOT.insn] as number);
    for (let i = 0; i < length; i++) row.bytes[i] = view.getUint8(insn + i);
    row.byteCount = length;
    const flags = this.#slot(program, SLOT.flags, view, at);
    const mode = flags < MODES.length ? MODES[flags] : null;
    if (mode !== null && mode !== undefined) this.#remark(row, mode);
    if (this.#slot(program, SLOT.failed, view, at) !== 0) this.#remark(row, FAILED);
  }

  /** Fields that have no column, as `name=value`. */
  #text(program: Program, view: DataView, at: number, length: number, row: EventRow): void {
    // fields may lie one over the other: a small record must not become a long text
    const most = TEXT_ROOM + 4 * length;
    for (const { label, field, style } of program.text) {
      if (row.textLength > most) break;
      addSpace(row);
      addBytes(row, label);
      if (style === 'hex' || style === 'decimal') {
        this.#number(view, at + field.offset, field.signed ? -field.size : field.size);
        this.#value(row, style, field.signed);
      } else if (field.dynamic !== null) this.#dynamic(field, style, view, at, length, row);
      else if (style === 'numbers') this.#numbers(field, view, at, row);
      else addRaw(view, at + field.offset, field.count === 0 ? length - field.offset : field.size, style, row);
    }
  }

  #value(row: EventRow, style: 'hex' | 'decimal', signed: boolean): void {
    const value = signed ? (this.#high | 0) * 0x1_0000_0000 + this.#low : this.#high * 0x1_0000_0000 + this.#low;
    if (style === 'decimal' && Number.isSafeInteger(value)) addDecimal(row, value);
    else addHex(row, this.#low, this.#high);
  }

  #numbers(field: Field, view: DataView, at: number, row: EventRow): void {
    const count = field.count ?? 0;
    const width = field.size / count;
    for (let i = 0; i < count; i++) {
      if (i > 0) addBytes(row, COMMA);
      this.#number(view, at + field.offset + i * width, width);
      addHex(row, this.#low, this.#high);
    }
  }

  /** Offset in the low half of 32 bits, length in the high one (include/trace/stages/stage5_get_offsets.h). */
  #dynamic(field: Field, style: TextField['style'], view: DataView, at: number, length: number, row: EventRow): void {
    if (field.size !== 4) {
      addRaw(view, at + field.offset, field.size, 'bytes', row);
      return;
    }
    const word = view.getUint32(at + field.offset, this.little);
    const from = (word & 0xffff) + (field.dynamic === 'relative' ? field.offset + field.size : 0);
    const size = word >>> 16;
    if (from + size > length) addBytes(row, OUTSIDE);
    else addRaw(view, at + from, size, style, row);
  }
}

/** More than names and numbers of any event's fields take, beside its bytes. */
const TEXT_ROOM = 4096;
const COMMA = ascii(',');
const OUTSIDE = ascii('<outside the record>');
const DIGITS = ascii('0123456789abcdef');
const pair = new Uint8Array(2);

function setFlag(row: EventRow, flag: number): void {
  const index = 2 * FIELD.flags;
  const before = (row.mask & (1 << FIELD.flags)) === 0 ? 0 : (row.words[index] as number);
  row.put(FIELD.flags, before | flag, 0);
}

function addRaw(view: DataView, from: number, size: number, style: TextField['style'], row: EventRow): void {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + from, size);
  if (style === 'string') {
    const end = bytes.indexOf(0);
    row.addText(bytes, 0, end < 0 ? size : end);
    return;
  }
  for (const byte of bytes) {
    pair[0] = DIGITS[byte >> 4] as number;
    pair[1] = DIGITS[byte & 15] as number;
    row.addText(pair, 0, 2);
  }
}
