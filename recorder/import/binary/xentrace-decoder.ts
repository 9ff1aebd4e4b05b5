/** Decodes Xen's records by their programs into a row, and says which vCPU they name. */
import { EVENT_KINDS } from '../../../engine/observer.js';
import { VM_ENTRY_FAILURE } from '../../../engine/vmx/exit-reasons.js';
import { ascii } from '../cursor.js';
import { ISA } from '../reasons.js';
import { type EventRow, FIELD } from '../row.js';
import { addBytes, addDecimal, addHex, addSpace } from './ink.js';
import { compile, DOES, type Step, type XenProgram } from './xentrace-program.js';

const MORE = ascii('more=');
const COMMA = ascii(',');
const D = ascii('d');
const V = ascii('v');
/** Programs that are kept; hostile input may have as many events as it has records. */
const MOST_PROGRAMS = 8192;

export class XenDecoder {
  /** Domain and vCPU that the last record named, or -1. */
  domain = -1;
  vcpu = -1;
  readonly #text: boolean;
  readonly #nameEvent: (name: string) => number;
  readonly #programs = new Map<number, XenProgram>();
  readonly #numbers = new Map<string, number>();

  /** Without `text`, what has no column is left out. */
  constructor(text: boolean, nameEvent: (name: string) => number) {
    this.#text = text;
    this.#nameEvent = nameEvent;
  }

  /** The program of an event with so many words. */
  program(number: number, words: number): XenProgram {
    const key = 8 * number + words;
    const known = this.#programs.get(key);
    if (known !== undefined) return known;
    const program = compile(number, words, (name) => this.#numberOf(name));
    if (this.#programs.size < MOST_PROGRAMS) this.#programs.set(key, program);
    return program;
  }

  /** Events of several layouts and widths share a name. */
  #numberOf(name: string): number {
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    const number = this.#nameEvent(name);
    if (this.#numbers.size < MOST_PROGRAMS) this.#numbers.set(name, number);
    return number;
  }

  /** Decodes a record whose `count` words begin at `at`; `isa` is that of its exits, 0 where nobody knows. */
  decode(program: XenProgram, view: DataView, at: number, count: number, isa: number, row: EventRow): void {
    const { event, steps, code, flags, heading, kind } = program;
    this.domain = -1;
    this.vcpu = -1;
    row.kind = kind;
    row.tracepoint = program.tracepoint;
    if (code >= 0) row.put(FIELD.code, code, 0);
    if (flags !== 0) row.put(FIELD.flags, flags, 0);
    if (heading !== null && this.#text) addBytes(row, heading);
    for (const step of steps) {
      const from = at + 4 * step.word;
      this.#step(step, view.getUint32(from, true), step.words === 2 ? view.getUint32(from + 4, true) : 0, row);
    }
    if (kind === EVENT_KINDS.exit) tellExit(row, event?.isa === 'svm' ? ISA.svm : isa);
    if (count > program.words && this.#text) this.#rest(program, view, at, count, row);
  }

  #step(step: Step, low: number, high: number, row: EventRow): void {
    const { does, none, mask, told } = step;
    if (low === none && high === 0) return;
    let tells = told || does === DOES.text || (low & ~mask) !== 0;
    if (does >= 0) tells = !row.put(does, (low & mask) >>> 0, high) || tells;
    else if (does === DOES.domain) this.domain = low;
    else if (does === DOES.vcpu) this.vcpu = low;
    else if (does === DOES.domain_vcpu) {
      this.domain = low >>> 16;
      this.vcpu = low & 0xffff;
      if (this.#text) addVcpu(row, this.domain, this.vcpu);
    }
    if (tells && this.#text) addStep(row, step, low, high);
  }

  /** Words that no field takes. */
  #rest({ words, event }: XenProgram, view: DataView, at: number, count: number, row: EventRow): void {
    addSpace(row);
    if (event !== null) addBytes(row, MORE);
    for (let i = words; i < count; i++) {
      if (i > words) addBytes(row, COMMA);
      addHex(row, view.getUint32(at + 4 * i, true), 0);
    }
  }
}

function addStep(row: EventRow, { label, decimal }: Step, low: number, high: number): void {
  addSpace(row);
  addBytes(row, label);
  if (decimal) addDecimal(row, low);
  else addHex(row, low, high);
}

/** As Xen prints it: d1v0. */
function addVcpu(row: EventRow, domain: number, vcpu: number): void {
  addSpace(row);
  addBytes(row, D);
  addDecimal(row, domain);
  addBytes(row, V);
  addDecimal(row, vcpu);
}

/** Xen keeps 32 bits; SVM's negative codes (VMEXIT_INVALID and its like) have 64. */
function tellExit(row: EventRow, isa: number): void {
  const reason = row.words[2 * FIELD.reason] as number;
  const negative = isa === ISA.svm && reason >= 0xffff_fff0;
  row.isa = isa;
  row.put(FIELD.reason, reason, negative ? 0xffff_ffff : 0);
  const failed = isa === ISA.vmx ? reason >= VM_ENTRY_FAILURE : negative && reason === 0xffff_ffff;
  if (failed) row.kind = EVENT_KINDS.entry_failed;
}
