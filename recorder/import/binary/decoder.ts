/** Decodes records by their programs: columns in place in the trace's slab, the rest by way of the row. */
import { EVENT_FIELDS, EVENT_FLAGS, EVENT_KINDS } from '../../../engine/observer.js';
import { VM_ENTRY_FAILURE } from '../../../engine/vmx/exit-reasons.js';
import { Recent } from '../../../traces/recent.js';
import { fillAbout, isAbout } from '../about.js';
import { ascii } from '../cursor.js';
import type { Lane } from '../lanes.js';
import { ISA, isLinear, isPhysical } from '../reasons.js';
import { type EventRow, FIELD } from '../row.js';
import type { EventSink } from '../sink.js';
import { addBytes, addDecimal, addHex, addSpace } from './ink.js';
import { DOES } from './kvm.js';
import { NumberReader } from './number-reader.js';
import { bind, LABELS, type Program, PUT, SLOT, STEP, STORE, type Wanted } from './program.js';
import { RecordText } from './record-text.js';

const { exit, entry_failed } = EVENT_KINDS;

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

export class RecordDecoder {
  readonly little: boolean;
  /** vCPU that the last record named, where that was looked at, or -1. */
  vcpu = -1;
  readonly #numbers: NumberReader;
  readonly #text: RecordText | null;
  /** Places whose instruction was read. */
  readonly #met = new Recent();
  readonly #wanted: Wanted;

  constructor(little: boolean, wanted: Wanted) {
    const { text } = wanted;
    this.little = little;
    this.#wanted = wanted;
    this.#numbers = new NumberReader(little);
    this.#text = text ? new RecordText(this.#numbers) : null;
  }

  /** Thread of a record, or -1. */
  thread(program: Program, view: DataView, at: number): number {
    return program.pid < 0 ? -1 : view.getInt32(at + program.pid, this.little === true);
  }

  /** A record says only what one before it said: an instruction that is known. */
  repeats(program: Program, view: DataView, at: number): boolean {
    if (program.special !== 'emulate' || this.#slot(program, SLOT.len, view, at) === 0) return false;
    this.#slot(program, SLOT.rip, view, at);
    return this.#met.meet(this.#numbers.low, this.#numbers.high);
  }

  /**
   * Decodes the record of `length` bytes at `at`, at least program.size long, into the next row of `sink`, and what is not
   * written in place into `row`; `lane` is that of its thread.
   */
  decode(
    program: Program,
    view: DataView,
    at: number,
    length: number,
    sink: EventSink,
    row: EventRow,
    lane: Lane,
  ): void {
    if (program.bound !== true) bind(program, sink, this.#wanted);
    this.vcpu = -1;
    row.kind = program.kind;
    row.tracepoint = program.tracepoint;
    if (program.isBare === true && lane.vcpu !== null) return;
    if (program.event === null) row.put(FIELD.code, program.tracepoint, 0);
    if (program.flags !== 0) row.put(FIELD.flags, program.flags, 0);
    if (program.copied !== 0) this.#copy(program, view, at, row);
    this.#steps(program.steps, lane.vcpu === null ? program.long : program.short, view, at, sink, row, lane);
    if (row.kind === exit && isAbout(row)) this.#about(program, view, at, row);
    if (program.special !== null) this.#special(program, view, at, row);
    if (this.#text === null) return;
    if (program.heading !== null) addBytes(row, program.heading);
    if (program.text.length > 0) this.#text.add(program, view, at, length, row);
  }

  #copy({ copies, copied }: Program, view: DataView, at: number, row: EventRow): void {
    const little = this.little === true;
    const { words } = row;
    for (let i = 0; i < copies.length; i += 3) {
      const from = at + (copies[i] as number);
      const to = copies[i + 1] as number;
      const isLong = copies[i + 2] !== 4;
      const first = view.getInt32(from, little);
      const second = isLong ? view.getInt32(from + 4, little) : 0;
      words[to] = little || !isLong ? first : second;
      words[to + 1] = little || !isLong ? second : first;
    }
    row.mask |= copied;
  }

  #steps(steps: Int32Array, end: number, view: DataView, at: number, sink: EventSink, row: EventRow, lane: Lane): void {
    const { words, bytes, touched } = sink.slab;
    const index = sink.row;
    const numbers = this.#numbers;
    for (let i = 0; i < end; i += STEP) {
      const does = steps[i] as number;
      numbers.read(view, at + (steps[i + 1] as number), steps[i + 2] as number);
      if (does !== STORE) {
        this.#step(does, steps[i + 3] as number, row, lane);
        continue;
      }
      const { low, high } = numbers;
      const width = steps[i + 4] as number;
      const first = steps[i + 5] as number;
      if (width === 8) {
        words[first + 2 * index] = low;
        words[first + 2 * index + 1] = high;
      } else if (high !== 0 || (width === 1 && (low & ~0xff) !== 0)) {
        this.#excess(row, steps[i + 3] as number);
        continue;
      } else if (width === 4) words[first + index] = low;
      else bytes[first + index] = low;
      bytes[(steps[i + 6] as number) + index] = 1;
      touched[steps[i + 7] as number] = 1;
    }
  }

  #store(row: EventRow, field: number): void {
    const { low, high } = this.#numbers;
    if (!row.put(field, low, high)) this.#excess(row, field);
  }

  /** What its column cannot hold becomes text. */
  #excess(row: EventRow, field: number): void {
    addSpace(row);
    addBytes(row, ascii(`${EVENT_FIELDS[field]}=`));
    addHex(row, this.#numbers.low, this.#numbers.high);
  }

  #step(does: number, label: number, row: EventRow, lane: Lane): void {
    const { low, high } = this.#numbers;
    switch (does) {
      case PUT:
        this.#store(row, label);
        return;
      case DOES.vcpu:
        this.vcpu = low >>> 0;
        return;
      case DOES.isa:
        row.isa = low === ISA.vmx || low === ISA.svm ? low : 0;
        if (row.isa === 0) this.#label(row, label);
        return;
      case DOES.reason:
        this.#reason(row);
        return;
      case DOES.address:
        lane.recall();
        if (isPhysical(lane.exitIsa, lane.exitReason)) row.put(FIELD.gpa, low, high);
        else if (isLinear(lane.exitIsa, lane.exitReason)) row.put(FIELD.gva, low, high);
        else this.#label(row, label);
        return;
      case DOES.fault:
        lane.recall();
        // with nested paging this is the exit qualification or EXITINFO1 again, not a #PF error code
        this.#store(row, isLinear(lane.exitIsa, lane.exitReason) ? FIELD.error_code : FIELD.qualification);
        return;
      case DOES.count:
        if (low === 1) return;
        row.flag(EVENT_FLAGS.string);
        addSpace(row);
        addBytes(row, LABELS[label] as Uint8Array);
        addDecimal(row, low >>> 0);
        return;
      case DOES.rare:
        if (low !== 0 || high !== 0) this.#label(row, label);
        return;
      case DOES.write:
        this.#truth(EVENT_FLAGS.write, label, row);
        return;
      case DOES.refused:
        this.#truth(EVENT_FLAGS.refused, label, row);
        return;
      case DOES.access:
        row.flag(low === 2 ? EVENT_FLAGS.write : low === 0 ? EVENT_FLAGS.refused : 0);
        if (low >>> 0 > 2) this.#label(row, label);
        return;
      case DOES.on:
        this.#truth(EVENT_FLAGS.on, label, row);
        return;
      case DOES.page:
        if (!row.putPage(low, high)) this.#label(row, label);
        return;
      case DOES.level:
        row.put(FIELD.code, low & 15, 0);
        return;
      case DOES.vector:
        row.put(FIELD.code, low & 0xff, 0);
        return;
      case DOES.destination:
        row.put(FIELD.value, high >>> 24, 0);
        return;
      case DOES.msi_destination:
        row.put(FIELD.value, (((low >>> 12) & 0xff) | (high & 0xffff_ff00)) >>> 0, 0);
        return;
      case DOES.failure:
        if (low !== 0) row.put(FIELD.code, low, 0);
        return;
    }
  }

  /** A flag says no more than whether a value is zero. */
  #truth(flag: number, label: number, row: EventRow): void {
    const { low, high } = this.#numbers;
    row.flag(low !== 0 || high !== 0 ? flag : 0);
    if (high !== 0 || low >>> 0 > 1) this.#label(row, label);
  }

  #label(row: EventRow, label: number): void {
    addSpace(row);
    addBytes(row, LABELS[label] as Uint8Array);
    addHex(row, this.#numbers.low, this.#numbers.high);
  }

  /** The kernel keeps 32 bits; SVM's negative codes (VMEXIT_INVALID and its like) have 64. */
  #reason(row: EventRow): void {
    const low = this.#numbers.low >>> 0;
    const negative = row.isa === ISA.svm && low >= 0xffff_fff0;
    row.put(FIELD.reason, low, negative ? 0xffff_ffff : 0);
    const failed = row.isa === ISA.vmx ? low >= VM_ENTRY_FAILURE : negative && low === 0xffff_ffff;
    if (failed && row.kind === exit) row.kind = entry_failed;
  }

  /** Value of a field that a special reader knows; zero where there is none. */
  #slot(program: Program, slot: number, view: DataView, at: number): number {
    const width = program.slots[2 * slot + 1] as number;
    this.#numbers.low = this.#numbers.high = 0;
    if (width !== 0) this.#numbers.read(view, at + (program.slots[2 * slot] as number), width);
    return this.#numbers.low;
  }

  #about(program: Program, view: DataView, at: number, row: EventRow): void {
    const { slots } = program;
    if (slots[2 * SLOT.info1 + 1] === 0 || slots[2 * SLOT.info2 + 1] === 0) return;
    const info1 = this.#slot(program, SLOT.info1, view, at);
    this.#slot(program, SLOT.info2, view, at);
    fillAbout(row, info1, this.#numbers.low, this.#numbers.high);
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
    if (this.#numbers.low !== 0 || this.#numbers.high !== 0) row.put(FIELD.code, this.#numbers.low, this.#numbers.high);
    const length = Math.min(this.#slot(program, SLOT.len, view, at) >>> 0, 15, program.insnSize);
    const insn = at + (program.slots[2 * SLOT.insn] as number);
    for (let i = 0; i < length; i++) row.bytes[i] = view.getUint8(insn + i);
    row.byteCount = length;
    const flags = this.#slot(program, SLOT.flags, view, at) >>> 0;
    const mode = flags < MODES.length ? MODES[flags] : null;
    if (mode !== null && mode !== undefined) this.#remark(row, mode);
    if (this.#slot(program, SLOT.failed, view, at) !== 0) this.#remark(row, FAILED);
  }
}
