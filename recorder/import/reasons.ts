/** Names of exit reasons as the kernel and libtraceevent print them, and what they stand for. */
import { SVM_EXIT_CODES, SVM_EXIT_INVALID } from '../../engine/svm/exit-codes.js';
import { VM_ENTRY_FAILURE, VMX_EXIT_REASONS, vmxExitModifiers } from '../../engine/vmx/exit-reasons.js';
import { ascii, type Cursor, NameTable } from './cursor.js';

export const ISA = { vmx: 1, svm: 2 } as const;

/** True for the basic reasons whose page fault has a guest physical address. */
export const isPhysical = (isa: number, reason: number): boolean =>
  isa === ISA.vmx ? reason === 48 || reason === 49 : isa === ISA.svm && reason === 0x400;
/** True for those where it is linear. */
export const isLinear = (isa: number, reason: number): boolean =>
  isa === ISA.vmx ? reason === 0 : isa === ISA.svm && reason === 0x4e;

interface Reason {
  readonly isa: number;
  readonly low: number;
  readonly high: number;
}

/** VMX names that older kernels and libtraceevent used. */
const VMX_ALIASES: { readonly [name: string]: number } = { PENDING_INTERRUPT: 7, VMXOFF: 26, VMXON: 27 };

/** Names of Linux's SVM_EXIT_REASONS that are not the lower-case form of the constant (arch/x86/include/uapi/asm/svm.h). */
const SVM_PRINTED: { readonly [constant: string]: string } = {
  INTR: 'interrupt',
  IDTR_READ: 'read_idtr',
  GDTR_READ: 'read_gdtr',
  LDTR_READ: 'read_ldtr',
  TR_READ: 'read_rt',
  IDTR_WRITE: 'write_idtr',
  GDTR_WRITE: 'write_gdtr',
  LDTR_WRITE: 'write_ldtr',
  TR_WRITE: 'write_rt',
  IOIO: 'io',
  VMMCALL: 'hypercall',
  EFER_WRITE_TRAP: 'write_efer_trap',
  IDLE_HLT: 'idle-halt',
  INVALID: 'invalid_guest_state',
};

function* names(): Generator<readonly [string, Reason]> {
  for (const { code, name } of VMX_EXIT_REASONS) yield [name, { isa: ISA.vmx, low: code, high: 0 }];
  for (const [name, code] of Object.entries(VMX_ALIASES)) yield [name, { isa: ISA.vmx, low: code, high: 0 }];
  for (const { code, name } of SVM_EXIT_CODES) {
    const reason = { isa: ISA.svm, low: Number(code & 0xffff_ffffn), high: Number(code >> 32n) };
    const trap = /^CR(\d+)_WRITE_TRAP$/.exec(name);
    const exception = /^EXCP_(\w+)$/.exec(name);
    yield [`EXIT_${name}`, reason];
    if (exception !== null) yield [`${exception[1]} excp`, reason];
    else if (trap !== null) yield [`write_cr${trap[1]}_trap`, reason];
    else yield [SVM_PRINTED[name] ?? name.toLowerCase(), reason];
    if (code === SVM_EXIT_INVALID) yield ['EXIT_ERR', reason];
  }
}

const REASONS = new NameTable(names());

/** A name of a reason that no table of ours has, under a code of its own. */
export interface CoinedReason extends Reason {
  readonly name: string;
}
/**
 * Codes of reasons that a newer kernel names and we do not know: 15 bits of the name's hash, the same in every import, so
 * that traces can be compared. VMX: basic reasons with bit 15 set, which no processor has (Intel SDM volume 3D, appendix C,
 * counts from 0). SVM: COINED_SVM above them, between the exit codes of the AMD64 APM and KVM's own from 0x80000000.
 */
const COINED = 0x8000;
const COINED_SVM = 0x7fff_0000;
/** Names that a trace may coin; what comes beyond shares one code. */
const MOST_COINED = 256;
const MOST_NAME = 64;
const BEYOND = 'ONE_OF_MANY_UNKNOWN';
/** What stands behind the reason in an x86 exit. */
const BEHIND = ['rip', 'info', 'ext_inf'].map(ascii);

const latin = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

/** The dictionary's domain of an architecture's reasons. */
export const reasonDomain = (isa: number): string => (isa === ISA.vmx ? 'reason.vmx' : 'reason.svm');

/** The name of a reason that was coined, by its domain and code; null for any other. */
export const coinedName = (coined: readonly CoinedReason[], domain: string, code: number | bigint): string | null =>
  coined.find(({ isa, low }) => reasonDomain(isa) === domain && BigInt(low) === BigInt(code))?.name ?? null;

/** FNV-1a. */
function hashOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return (hash ^ (hash >>> 15)) & 0x7fff;
}
const UNKNOWN = ascii('UNKNOWN (');
const EXCP = ascii(' excp');
const FAILED = ascii(' FAILED_VMENTRY');
const BASIC = 0xffff;
/** Basic reasons that come with bit 31: Intel SDM volume 3C, "VM-Entry Failures During or After Loading Guest State". */
const FAILURES = [33, 34, 41];

const isLetter = (byte: number): boolean => (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a);

/**
 * Bits of a VMX reason above the basic one, as Linux prints them behind its name: ` FAILED_VMENTRY`, then the others as one
 * number, ` 0x4000000`.
 */
function readModifiers(cursor: Cursor): number {
  const failed = cursor.accept(FAILED) ? VM_ENTRY_FAILURE : 0;
  const { bytes, at, end } = cursor;
  if (at + 2 >= end || bytes[at] !== 0x20 || bytes[at + 1] !== 0x30 || bytes[at + 2] !== 0x78) return failed;
  cursor.at = at + 1;
  if (cursor.hex() && cursor.high === 0 && (cursor.low & BASIC) === 0) return failed | cursor.low;
  cursor.at = at;
  return failed;
}

/** Whether a field of an exit, or that the entry failed, stands at the cursor, which stays. */
function goesOn(cursor: Cursor): boolean {
  const { at } = cursor;
  readModifiers(cursor);
  cursor.skipSeparators();
  const found = cursor.at > at && BEHIND.some((name) => cursor.accept(name));
  cursor.at = at;
  return found;
}

/** What a reason's text says; reused for every line. */
export class ReasonReader {
  isa = 0;
  low = 0;
  high = 0;
  /** Reasons that no table of ours has, by name and by architecture and code. */
  readonly #known = new NameTable<CoinedReason>();
  readonly #taken = new Map<number, CoinedReason>();

  get coined(): readonly CoinedReason[] {
    return [...this.#taken.values()];
  }

  /** Reads the text after `reason`; `isa` is that of the lines before, for numbers that have no name. */
  read(cursor: Cursor, isa: number): boolean {
    this.isa = isa;
    this.high = 0;
    if (cursor.accept(UNKNOWN)) {
      // libtraceevent: a decimal number that its table does not have
      if (!cursor.decimal() || cursor.peek() !== 0x29) return false;
      cursor.at += 1;
      this.#number(cursor.low >>> 0);
    } else if (cursor.peek() === 0x30) {
      if (!cursor.hex() || cursor.high !== 0) return false;
      this.#number(cursor.low >>> 0);
    } else {
      const start = cursor.at;
      cursor.at = cursor.nameEnd();
      cursor.accept(EXCP);
      const reason = REASONS.get(cursor.bytes, start, cursor.at) ?? this.#coin(cursor, start);
      if (reason === null) return false;
      this.isa = reason.isa;
      this.low = reason.low;
      this.high = reason.high;
    }
    if (this.isa !== ISA.svm) this.low = (this.low | readModifiers(cursor)) >>> 0;
    return true;
  }

  /** The code of a name that no table has, if the line goes on as that of an exit does; else null. */
  #coin(cursor: Cursor, start: number): Reason | null {
    const { bytes, at } = cursor;
    if (at === start || at - start > MOST_NAME || !isLetter(bytes[start] as number)) return null;
    const known = this.#known.get(bytes, start, at);
    if (!goesOn(cursor)) return null;
    return known ?? this.#name(bytes.slice(start, at));
  }

  #name(bytes: Uint8Array): Reason {
    const beyond = this.#taken.size >= MOST_COINED;
    const name = beyond ? BEYOND : latin(bytes);
    // Linux prints VMX reasons in capitals and SVM's in small letters; libtraceevent SVM's as EXIT_x
    const isa = !beyond && /[a-z]|^EXIT_/.test(name) ? ISA.svm : ISA.vmx;
    const base = isa === ISA.svm ? COINED_SVM + COINED : COINED;
    let hash = hashOf(name);
    while (!beyond && this.#taken.has(base + hash)) hash = (hash + 1) & 0x7fff;
    const reason = { name, isa, low: base + hash, high: 0 };
    if (!beyond) this.#known.set(bytes, reason);
    this.#taken.set(reason.low, reason);
    return reason;
  }

  #number(value: number): void {
    this.low = value;
    const isFailure = value >= VM_ENTRY_FAILURE && FAILURES.includes(value & BASIC);
    if (isFailure || vmxExitModifiers(value).length > 0) this.isa = ISA.vmx;
  }

  /** A VM entry that failed after loading guest state, not an exit from the guest. */
  get failedEntry(): boolean {
    if (this.isa === ISA.vmx) return this.low >= VM_ENTRY_FAILURE;
    return this.isa === ISA.svm && this.low === 0xffff_ffff && this.high === 0xffff_ffff;
  }
}
