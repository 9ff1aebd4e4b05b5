/**
 * What a virtualization extension may do to an instruction or event before it happens. VMX and SVM implement it, and
 * `noIntercepts` is a processor outside guest mode. A method that answers true has performed the VM exit: the CPU now
 * stands at the host's RIP, and the instruction must do nothing more.
 */
import type { Cpu } from './cpu.js';
import type { NestedPageFault } from './fault.js';

/** Instructions that a control bit, or nothing at all, stands before; each extension maps them to its own codes. */
export type Intercepted =
  | 'cpuid'
  | 'hlt'
  | 'invlpg'
  | 'invd'
  | 'wbinvd'
  | 'rdpmc'
  | 'rdtsc'
  | 'rdtscp'
  | 'mwait'
  | 'monitor'
  | 'pause'
  | 'xsetbv'
  | 'getsec'
  | 'rsm'
  | 'task_switch'
  | 'sgdt'
  | 'sidt'
  | 'lgdt'
  | 'lidt'
  | 'sldt'
  | 'str'
  | 'lldt'
  | 'ltr'
  | 'rdrand'
  | 'rdseed'
  | 'invpcid'
  | 'vmcall'
  | 'vmclear'
  | 'vmlaunch'
  | 'vmptrld'
  | 'vmptrst'
  | 'vmread'
  | 'vmresume'
  | 'vmwrite'
  | 'vmxoff'
  | 'vmxon'
  | 'invept'
  | 'invvpid'
  | 'vmfunc'
  | 'vmrun'
  | 'vmload'
  | 'vmsave'
  | 'vmmcall'
  | 'stgi'
  | 'clgi'
  | 'skinit'
  | 'invlpga'
  | 'iret'
  | 'pushf'
  | 'popf'
  | 'int_n'
  | 'icebp';

/** What an I/O instruction does: the facts that an exit qualification is made of. */
export interface IoAccess {
  readonly port: number;
  /** 1, 2 or 4 bytes. */
  readonly size: 1 | 2 | 4;
  readonly input: boolean;
  readonly string: boolean;
  readonly rep: boolean;
  /** The port is an immediate operand. */
  readonly immediate: boolean;
}

export interface Intercepts {
  /** `qualification` as the manual defines it for the instruction; 0 where it has none. */
  instruction(cpu: Cpu, what: Intercepted, qualification?: bigint): boolean;
  io(cpu: Cpu, access: IoAccess): boolean;
  readMsr(cpu: Cpu, msr: number): boolean;
  writeMsr(cpu: Cpu, msr: number): boolean;
  /** MOV to CR0, CR3, CR4 or CR8 from general register `gpr`. Null: exited; else the value to load into the CR. */
  writeCr(cpu: Cpu, cr: number, value: bigint, gpr: number): bigint | null;
  /** MOV from CR: null: exited; else what the guest sees (read shadows applied). */
  readCr(cpu: Cpu, cr: number, gpr: number): bigint | null;
  /** CLTS: true: exited; 'keep': CR0.TS stays as it is; false: clear it. */
  clts(cpu: Cpu): boolean | 'keep';
  /** LMSW with the given source word; null: exited; else the whole CR0 to load. */
  lmsw(cpu: Cpu, source: number, memoryOperand: bigint | null): bigint | null;
  movDr(cpu: Cpu, dr: number, write: boolean, gpr: number): boolean;
  /** An exception about to be delivered. `software`: INT3, INTO or INT1 raised it. */
  exception(cpu: Cpu, vector: number, errorCode: number | null, qualification: bigint, software: boolean): boolean;
  tripleFault(cpu: Cpu): boolean;
  /** Second-level paging stopped an access of an instruction or of event delivery: makes the VM exit. */
  nestedFault(cpu: Cpu, fault: NestedPageFault): void;
  nmi(cpu: Cpu): boolean;
  /** An external interrupt is pending and the CPU would look at it; `acknowledge` takes its vector from the PIC. */
  externalInterrupt(cpu: Cpu, acknowledge: () => number): boolean;
  /** Asked at every instruction boundary at which interrupts could be taken. */
  window(cpu: Cpu): boolean;
  /** True where external interrupts reach `externalInterrupt` even with RFLAGS.IF clear. */
  interruptsIgnoreFlag(cpu: Cpu): boolean;
}

export const noIntercepts: Intercepts = {
  instruction: () => false,
  io: () => false,
  readMsr: () => false,
  writeMsr: () => false,
  writeCr: (_cpu, _cr, value) => value,
  readCr: (cpu, cr) => cpu.readControl(cr),
  clts: () => false,
  lmsw: (cpu, source) => {
    const cr0 = cpu.readControl(0);
    // LMSW loads PE, MP, EM and TS, and cannot clear PE.
    return (cr0 & ~0xen) | BigInt(source & 0xf);
  },
  movDr: () => false,
  exception: () => false,
  tripleFault: () => false,
  nestedFault: (_cpu, fault) => {
    // Outside guest mode no second-level paging is in force, so that nothing can have been stopped by it.
    throw fault;
  },
  nmi: () => false,
  externalInterrupt: () => false,
  window: () => false,
  interruptsIgnoreFlag: () => false,
};
