/** Names of exit reasons as the kernel and libtraceevent print them, and what they stand for. */
import { SVM_EXIT_CODES, SVM_EXIT_INVALID } from '../../engine/svm/exit-codes.js';
import { VM_ENTRY_FAILURE, VMX_EXIT_REASONS } from '../../engine/vmx/exit-reasons.js';
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
const UNKNOWN = ascii('UNKNOWN (');
const EXCP = ascii(' excp');
const FAILED = ascii(' FAILED_VMENTRY');
/** Basic reasons that come with bit 31: Intel SDM volume 3C, "VM-Entry Failures During or After Loading Guest State". */
const FAILURES = [33, 34, 41];

/** What a reason's text says; reused for every line. */
export class ReasonReader {
  isa = 0;
  low = 0;
  high = 0;

  /** Reads the text after `reason`; `isa` is that of the lines before, for numbers that have no name. */
  read(cursor: Cursor, isa: number): boolean {
    this.isa = isa;
    this.high = 0;
    if (cursor.accept(UNKNOWN)) {
      // libtraceevent: a decimal number that its table does not have
      if (!cursor.decimal() || cursor.peek() !== 0x29) return false;
      cursor.at += 1;
      this.#number(cursor.low);
    } else if (cursor.peek() === 0x30) {
      if (!cursor.hex() || cursor.high !== 0) return false;
      this.#number(cursor.low);
    } else {
      const start = cursor.at;
      cursor.at = cursor.nameEnd();
      cursor.accept(EXCP);
      const reason = REASONS.get(cursor.bytes, start, cursor.at);
      if (reason === undefined) return false;
      this.isa = reason.isa;
      this.low = reason.low;
      this.high = reason.high;
    }
    if (this.isa !== ISA.svm && cursor.accept(FAILED)) this.low = (this.low | VM_ENTRY_FAILURE) >>> 0;
    return true;
  }

  #number(value: number): void {
    this.low = value;
    if (value >= VM_ENTRY_FAILURE && FAILURES.includes(value & 0xffff)) this.isa = ISA.vmx;
  }

  /** A VM entry that failed after loading guest state, not an exit from the guest. */
  get failedEntry(): boolean {
    if (this.isa === ISA.vmx) return this.low >= VM_ENTRY_FAILURE;
    return this.isa === ISA.svm && this.low === 0xffff_ffff && this.high === 0xffff_ffff;
  }
}
