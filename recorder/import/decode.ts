/** Decodes one event's text by its EventSpec. */
import { EVENT_FLAGS, EVENT_KINDS } from '../../engine/observer.js';
import { fillAbout } from './about.js';
import { ascii, type Cursor, isBlank, isHex, isWord, NameTable } from './cursor.js';
import { type EventSpec, type Key, REFUSED } from './events.js';
import { findKey, imply, nextKey, skipAssignment } from './keys.js';
import { EXCEPTION_NAMES } from './kvm/names.js';
import type { Lane } from './lanes.js';
import { Leftover } from './leftover.js';
import { type CoinedReason, isLinear, isPhysical, ReasonReader } from './reasons.js';
import { type EventRow, FIELD } from './row.js';
import { readNumber } from './values.js';

/** What a line may need to know of the lines before it. */
export interface DecodeContext {
  /** Architecture of the last exit whose name said it, or 0. */
  isa: number;
  /** Lane of the line, with the exit that it is serving: that of its thread, else of the vCPU that it names, or -1. */
  readonly lane: (vcpu: number) => Lane | null;
}

/** What an exit must say before it can say what it is about. */
const INFORMED = (1 << FIELD.qualification) | (1 << FIELD.info2);
const EQUALS = 0x3d;
const COLON = 0x3a;
const CANT_FIND = ascii('<CANT FIND FIELD ');
/** What libtraceevent prints before the fields, in forms of its own, of an event whose format it cannot read. */
const FAILED_TO_PARSE = ascii('[FAILED TO PARSE]');
const RAW_EXCEPTION_FIRST = ascii(' exception=');
const GP = ascii('(#GP)');
const GREATER = 0x3e;

const EXCEPTIONS = new NameTable<number>(Object.entries(EXCEPTION_NAMES));

export class Decoder {
  readonly #reason = new ReasonReader();
  readonly #left: Leftover;
  /** vCPU number that the last line gave, or -1. */
  vcpu = -1;
  #text = 0;
  /** Targets of the keys that the event had so far. */
  #told = 0;
  #isShared = false;
  /** Where the value of the last key begins. */
  #valueAt = 0;

  /** `brief`: what has no column is not wanted of events that share their kind. */
  constructor(brief: boolean) {
    this.#left = new Leftover(brief);
  }

  /** Names of reasons that no table of ours has. */
  get coined(): readonly CoinedReason[] {
    return this.#reason.coined;
  }

  /**
   * Decodes the text at the cursor into `row`, whose kind is set; false where the text is not what the event prints.
   * What is left over goes into the row's text.
   */
  decode(spec: EventSpec, cursor: Cursor, row: EventRow, context: DecodeContext): boolean {
    this.vcpu = -1;
    this.#isShared = spec.shared;
    row.kind = spec.kind;
    cursor.skipBlanks();
    this.#skipApology(cursor);
    this.#text = cursor.at;
    if (spec.flags !== 0) row.put(FIELD.flags, spec.flags, 0);
    if (spec.shared && cursor.accept(FAILED_TO_PARSE)) {
      cursor.at = this.#text;
      this.#leftover(cursor, row);
      return true;
    }
    const done = spec.special === null ? this.#fields(spec, cursor, row, context) : this.#special(spec, cursor, row);
    if (!done || (row.mask & spec.needs) !== spec.needs) return false;
    if (row.kind === EVENT_KINDS.exit && (row.mask & INFORMED) === INFORMED) {
      const { words } = row;
      const high = words[2 * FIELD.info2 + 1] as number;
      fillAbout(row, words[2 * FIELD.qualification] as number, words[2 * FIELD.info2] as number, high);
    }
    if (!spec.shared) this.#leftover(cursor, row);
    return true;
  }

  /** libtraceevent says `<CANT FIND FIELD rip>` and then prints the line all the same. */
  #skipApology(cursor: Cursor): void {
    if (!cursor.accept(CANT_FIND)) return;
    while (cursor.at < cursor.end && cursor.peek() !== GREATER) cursor.at += 1;
    cursor.at = Math.min(cursor.end, cursor.at + 1);
    cursor.skipBlanks();
  }

  #fields(spec: EventSpec, cursor: Cursor, row: EventRow, context: DecodeContext): boolean {
    let expected = 0;
    const { shared, unnamed } = spec;
    this.#told = 0;
    this.#left.begin();
    for (;;) {
      cursor.skipSeparators();
      if (cursor.at >= cursor.end) return true;
      const start = cursor.at;
      let index = nextKey(spec.keys, expected, cursor);
      if (index < 0) {
        const end = cursor.peek() === EQUALS ? start + 1 : cursor.wordEnd();
        index = end > start ? findKey(spec.keys, cursor.bytes, start, end) : -1;
        if (index < 0) {
          if (!shared) return true;
          if (unnamed !== null && this.#alone(unnamed, cursor, row, context)) this.#left.explained();
          else this.#left.skip(start, end, cursor, row);
          continue;
        }
        cursor.at = end;
      }
      expected = index + 1;
      const key = spec.keys[index] as Key;
      if (!shared) {
        if (!this.#explains(key, cursor, row, context)) return false;
      } else this.#shared(key, start, cursor, row, context);
    }
  }

  /** Takes what a key says, and the value behind it, if it wants one; false where there is none. */
  #explains(key: Key, cursor: Cursor, row: EventRow, context: DecodeContext): boolean {
    if (key.implies.length > 0) imply(key, row);
    if (key.does === null) return true;
    skipAssignment(cursor);
    this.#valueAt = cursor.at;
    return this.#value(key, cursor, row, context);
  }

  /** The same of an event that shares its kind, where what a column does not hold is text; the key begins at `start`. */
  #shared(key: Key, start: number, cursor: Cursor, row: EventRow, context: DecodeContext): void {
    const behind = cursor.at;
    const isTold = (this.#told & key.targets) !== 0;
    const isExplained = !isTold && this.#explains(key, cursor, row, context);
    if (!isExplained) cursor.at = behind;
    else this.#told |= key.targets;
    if (isExplained && !this.#isMore(key, cursor)) this.#left.explained();
    else this.#left.keep(start, cursor, row);
  }

  /** What is written of a value is more than its column holds: the rest of a number, or names. */
  #isMore({ does, style, keeps }: Key, { bytes, low, high }: Cursor): boolean {
    if (does === 'vector') return high !== 0 || low >>> 0 > 0xff;
    if (does === 'flag') return high !== 0 || low >>> 0 > 1;
    if (does === null) return false;
    return keeps || ((style === 'names' || style === 'bits') && !isHex(bytes[this.#valueAt] as number));
  }

  /** A number between blanks; the cursor stays where there is none. */
  #alone(key: Key, cursor: Cursor, row: EventRow, context: DecodeContext): boolean {
    const end = cursor.wordEnd();
    if (end < cursor.end && !isBlank(cursor.bytes[end] as number)) return false;
    const { at } = cursor;
    if ((this.#told & key.targets) === 0 && this.#value(key, cursor, row, context)) {
      this.#told |= key.targets;
      return true;
    }
    cursor.at = at;
    return false;
  }

  #value(key: Key, cursor: Cursor, row: EventRow, context: DecodeContext): boolean {
    switch (key.does) {
      case 'field':
        // most are hexadecimal
        return (
          (key.style === 'hex' ? cursor.hex() : readNumber(key, cursor)) && row.put(key.field, cursor.low, cursor.high)
        );
      case 'vcpu':
        if (!readNumber(key, cursor) || cursor.high !== 0) return false;
        this.vcpu = cursor.low >>> 0;
        return true;
      case 'reason':
        return this.#exitReason(cursor, row, context);
      case 'flag':
        if (!readNumber(key, cursor)) return false;
        row.flag(cursor.low !== 0 || cursor.high !== 0 ? key.field : 0);
        return true;
      case 'page':
        return readNumber(key, cursor) && row.putPage(cursor.low, cursor.high);
      case 'vector':
        return readNumber(key, cursor) && row.put(key.field, cursor.low & 0xff, 0);
      case 'info':
        return this.#info(cursor, row);
      case 'address':
        return cursor.hex() && this.#address(cursor, row, context);
      case 'fault':
        // with nested paging this is the exit qualification or EXITINFO1 again, not a #PF error code
        return (
          cursor.hex() &&
          row.put(this.#serves(isLinear, context) ? FIELD.error_code : FIELD.qualification, cursor.low, cursor.high)
        );
      case 'count':
        return this.#count(cursor, row);
      case 'rare':
        return this.#requests(cursor, row);
      default:
        return false;
    }
  }

  #serves(is: typeof isLinear, { lane }: DecodeContext): boolean {
    const of = lane(this.vcpu);
    of?.recall();
    return of !== null && is(of.exitIsa, of.exitReason);
  }

  #exitReason(cursor: Cursor, row: EventRow, context: DecodeContext): boolean {
    if (!this.#reason.read(cursor, context.isa)) return false;
    row.isa = this.#reason.isa;
    if (row.isa !== 0) context.isa = row.isa;
    if (row.kind === EVENT_KINDS.exit && this.#reason.failedEntry) row.kind = EVENT_KINDS.entry_failed;
    return row.put(FIELD.reason, this.#reason.low, this.#reason.high);
  }

  /** `info a b`: both forms of two words. */
  #info(cursor: Cursor, row: EventRow): boolean {
    if (!cursor.hex()) return false;
    row.put(FIELD.qualification, cursor.low, cursor.high);
    cursor.skipBlanks();
    const mark = cursor.at;
    if (cursor.hex()) row.put(FIELD.info2, cursor.low, cursor.high);
    else cursor.at = mark;
    return true;
  }

  /** Physical behind a nested page fault, linear behind an exception; where neither is known, text. */
  #address(cursor: Cursor, row: EventRow, context: DecodeContext): boolean {
    if (this.#serves(isPhysical, context)) return row.put(FIELD.gpa, cursor.low, cursor.high);
    if (this.#serves(isLinear, context)) return row.put(FIELD.gva, cursor.low, cursor.high);
    if (this.#isShared) return false;
    row.addText(cursor.bytes, this.#text, cursor.at);
    return true;
  }

  #count(cursor: Cursor, row: EventRow): boolean {
    const start = cursor.at;
    if (!cursor.decimal()) return false;
    if (cursor.number === 1) return true;
    row.words[2 * FIELD.flags] = (row.words[2 * FIELD.flags] as number) | EVENT_FLAGS.string;
    row.addText(COUNT, 0, COUNT.length);
    row.addText(cursor.bytes, start, cursor.at);
    return true;
  }

  /** Requests that were pending at the exit; none is what most exits say, and adds nothing. */
  #requests(cursor: Cursor, row: EventRow): boolean {
    const start = cursor.at;
    if (!cursor.hex()) return false;
    if (cursor.low === 0 && cursor.high === 0) return true;
    row.addText(REQUESTS, 0, REQUESTS.length);
    row.addText(cursor.bytes, start, cursor.at);
    return true;
  }

  #special(spec: EventSpec, cursor: Cursor, row: EventRow): boolean {
    switch (spec.special) {
      case 'emulate':
        return this.#emulate(cursor, row);
      case 'interrupt':
        return this.#interrupt(cursor, row);
      case 'exception':
        return this.#exception(cursor, row);
      case 'userspace':
        return this.#userspace(cursor, row);
      default:
        return false;
    }
  }

  /** `csbase:rip:0f a2 (prot64)`, with a blank before the bytes in libtraceevent's form. */
  #emulate(cursor: Cursor, row: EventRow): boolean {
    if (!cursor.hex() || cursor.peek() !== COLON) return false;
    const baseLow = cursor.low;
    const baseHigh = cursor.high;
    cursor.at += 1;
    if (!cursor.hex() || cursor.peek() !== COLON) return false;
    cursor.at += 1;
    row.put(FIELD.rip, cursor.low, cursor.high);
    if (baseLow !== 0 || baseHigh !== 0) row.put(FIELD.code, baseLow, baseHigh);
    for (;;) {
      cursor.skipBlanks();
      const byte = cursor.bytes[cursor.at + 2] ?? 0;
      const pair = cursor.at + 2 <= cursor.end && isHex(cursor.peek()) && isHex(cursor.bytes[cursor.at + 1] ?? 0);
      if (!pair || row.byteCount === 15 || (cursor.at + 2 < cursor.end && isWord(byte))) break;
      if (!cursor.hex()) break;
      row.bytes[row.byteCount] = cursor.low;
      row.byteCount += 1;
    }
    return true;
  }

  /** `IRQ 0xb0`, `Soft/INTn 0x80`; before Linux 6.0 `irq 32` in decimal (kvm_inj_virq in arch/x86/kvm/trace.h). */
  #interrupt(cursor: Cursor, row: EventRow): boolean {
    const start = cursor.at;
    cursor.at = cursor.nameEnd();
    const end = cursor.at;
    cursor.skipBlanks();
    if (
      end === start ||
      !(cursor.peek() === 0x30 && cursor.bytes[cursor.at + 1] === 0x78 ? cursor.hex() : cursor.decimal())
    ) {
      return false;
    }
    row.addText(cursor.bytes, start, end);
    return cursor.number < 256 && row.put(FIELD.code, cursor.low, 0);
  }

  /** `#GP (0x0) [reinjected]`, or what tools print that cannot read the kernel's format. */
  #exception(cursor: Cursor, row: EventRow): boolean {
    if (cursor.accept(FAILED_TO_PARSE)) {
      if (!cursor.accept(RAW_EXCEPTION_FIRST) || !cursor.decimal() || cursor.number > 255) return false;
      row.put(FIELD.code, cursor.low, 0);
      return this.#rawException(cursor, row);
    }
    const start = cursor.at;
    while (cursor.at < cursor.end && !isBlank(cursor.peek())) cursor.at += 1;
    const vector = EXCEPTIONS.get(cursor.bytes, start, cursor.at);
    if (vector === undefined) return false;
    row.put(FIELD.code, vector, 0);
    cursor.skipBlanks();
    if (cursor.peek() !== 0x28) return true;
    const open = cursor.at;
    cursor.at += 1;
    if (cursor.hex() && cursor.peek() === 0x29) cursor.at += 1;
    else cursor.at = open;
    return cursor.at === open || row.put(FIELD.error_code, cursor.low, cursor.high);
  }

  /** ` has_error=1 error_code=0 reinjected=1` */
  #rawException(cursor: Cursor, row: EventRow): boolean {
    const values: number[] = [];
    for (const name of RAW_EXCEPTION) {
      cursor.skipBlanks();
      if (!cursor.accept(name) || !cursor.integer()) return false;
      if (name === RAW_EXCEPTION[1] && values[0] !== 0 && !row.put(FIELD.error_code, cursor.low, cursor.high))
        return false;
      values.push(cursor.low);
    }
    if (values[2] !== 0) row.addText(REINJECTED, 0, REINJECTED.length);
    return true;
  }

  /** `reason KVM_EXIT_IO (2)`; `restart (4)` and `error (n)` give an errno instead. */
  #userspace(cursor: Cursor, row: EventRow): boolean {
    if (!cursor.accept(REASON)) return false;
    const start = cursor.at;
    cursor.at = cursor.wordEnd();
    const end = cursor.at;
    cursor.skipBlanks();
    if (end === start || cursor.peek() !== 0x28) return false;
    cursor.at += 1;
    if (!cursor.decimal() || cursor.peek() !== 0x29) return false;
    cursor.at += 1;
    const named = cursor.bytes[start] === 0x4b || cursor.bytes[start] === 0x30; // KVM_EXIT_x, or 0x1d
    row.put(named ? FIELD.code : FIELD.value, cursor.low, cursor.high);
    if (!named) row.addText(cursor.bytes, start, end);
    return true;
  }

  /** What no key explained: `(#GP)` refuses an access, anything else is text. */
  #leftover(cursor: Cursor, row: EventRow): void {
    cursor.skipSeparators();
    let end = cursor.end;
    while (end > cursor.at && isBlank(cursor.bytes[end - 1] as number)) end -= 1;
    if (row.kind === EVENT_KINDS.msr && cursor.accept(GP)) {
      row.words[2 * FIELD.flags] = (row.words[2 * FIELD.flags] as number) | REFUSED;
      cursor.skipBlanks();
    }
    if (cursor.at >= end) return;
    if (row.textLength > 0) row.addText(BLANK, 0, 1);
    row.addText(cursor.bytes, cursor.at, end);
  }
}

const BLANK = ascii(' ');
const COUNT = ascii('count ');
const REQUESTS = ascii('requests ');
const REASON = ascii('reason ');
const REINJECTED = ascii('[reinjected]');
const RAW_EXCEPTION = [ascii('has_error='), ascii('error_code='), ascii('reinjected=')] as const;
