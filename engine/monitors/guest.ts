/** The guest of a monitor after a VM exit: what its registers and its VMCS say, and what the monitor does to it. */
import type { BootState, SegmentName } from '../boot/state.js';
import { RFLAGS_RESET } from '../boot/state.js';
import type { Cpu } from '../cpu/cpu.js';
import { HAS_ERROR_CODE, VECTOR } from '../cpu/fault.js';
import { gpr, S } from '../cpu/layout.js';
import { BLOCKING, ENTRY, EVENT_TYPE, INTR } from '../vmx/controls.js';
import type { FieldName } from '../vmx/fields.js';
import { vmread, vmread32, vmwrite } from './vmx.js';

/** General registers by their number; RSP is in the VMCS. */
export const R = { rax: 0, rcx: 1, rdx: 2, rbx: 3, rsp: 4, rbp: 5, rsi: 6, rdi: 7 } as const;

/** CR0.NE and CR4.VMXE, which must be 1 in VMX operation whatever the guest thinks. */
export const CR0_FIXED = 0x20n;
export const CR4_FIXED = 0x2000n;
const PAT_AFTER_RESET = 0x0007_0406_0007_0406n;
const DR7_AFTER_RESET = 0x400;
const NO_LINK = 0xffff_ffff_ffff_ffffn;

const SEGMENTS: readonly SegmentName[] = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'];

/** Guest state of the first VM entry: what the image is to start with. RSP and RIP among it. */
export function guestState(boot: BootState): readonly (readonly [FieldName, bigint | number])[] {
  const segments = SEGMENTS.flatMap((name) => {
    const field = `GUEST_${name.toUpperCase() as Uppercase<SegmentName>}` as const;
    const { selector, base, limit, rights } = boot.segments[name];
    return [
      [`${field}_SELECTOR`, selector],
      [`${field}_BASE`, base],
      [`${field}_LIMIT`, limit],
      [`${field}_AR_BYTES`, rights],
    ] as const;
  });
  return [
    ...segments,
    ['GUEST_CR0', BigInt(boot.cr0) | CR0_FIXED],
    ['GUEST_CR3', boot.cr3],
    ['GUEST_CR4', BigInt(boot.cr4) | CR4_FIXED],
    ['GUEST_IA32_EFER', boot.efer],
    ['GUEST_IA32_PAT', PAT_AFTER_RESET],
    ['GUEST_GDTR_BASE', boot.gdtr.base],
    ['GUEST_GDTR_LIMIT', boot.gdtr.limit],
    ['GUEST_IDTR_BASE', 0],
    ['GUEST_IDTR_LIMIT', 0xffff],
    ['GUEST_DR7', DR7_AFTER_RESET],
    ['GUEST_RSP', boot.registers.rsp ?? 0],
    ['GUEST_RIP', boot.rip],
    ['GUEST_RFLAGS', RFLAGS_RESET],
    ['VMCS_LINK_POINTER', NO_LINK],
  ];
}

/** The VM-entry control that the boot state asks for. */
export const entryMode = (boot: BootState): number => (boot.efer & 0x400 ? ENTRY.ia32e : 0);

/** General registers of the first VM entry, RSP excepted. */
export function loadGuestRegisters(cpu: Cpu, boot: BootState): void {
  for (const [name, value] of Object.entries(boot.registers)) {
    if (name !== 'rsp') cpu.setNumber(gpr(R[name as keyof typeof R]), value);
  }
}

/** A general register of the guest; RSP is read from the VMCS. */
export const readGpr = (cpu: Cpu, n: number): bigint => (n === R.rsp ? vmread(cpu, 'GUEST_RSP') : cpu.u64(gpr(n)));

export function writeGpr(cpu: Cpu, n: number, value: bigint): void {
  if (n === R.rsp) vmwrite(cpu, 'GUEST_RSP', value);
  else cpu.setU64(gpr(n), value);
}

/** RIP of the next instruction, `length` bytes on: outside 64-bit code EIP wraps. */
function nextRip(cpu: Cpu, rip: bigint, length: number): bigint {
  const next = BigInt.asUintN(64, rip + BigInt(length));
  if (rip >> 32n !== 0n || next >> 32n === 0n) return next;
  const CODE64 = 0x2000;
  return vmread32(cpu, 'GUEST_CS_AR_BYTES') & CODE64 ? next : next & 0xffff_ffffn;
}

/** Moves RIP past an instruction of `length` bytes and does nothing else. */
export function moveRip(cpu: Cpu, length: number): void {
  vmwrite(cpu, 'GUEST_RIP', nextRip(cpu, vmread(cpu, 'GUEST_RIP'), length));
}

/** Retires the guest's instruction: RIP moves on, and blocking by STI and MOV SS ends. */
export function retire(cpu: Cpu, length = vmread32(cpu, 'VM_EXIT_INSTRUCTION_LEN')): void {
  moveRip(cpu, length);
  const state = vmread32(cpu, 'GUEST_INTERRUPTIBILITY_INFO');
  const rest = state & ~(BLOCKING.sti | BLOCKING.movSs);
  if (rest !== state) vmwrite(cpu, 'GUEST_INTERRUPTIBILITY_INFO', rest);
}

/** Has the next VM entry raise an exception: Intel SDM Vol. 3C, "VM-Entry Controls for Event Injection". */
export function injectException(cpu: Cpu, vector: number, errorCode = 0): void {
  const hasCode = HAS_ERROR_CODE.has(vector);
  const info = INTR.valid + (EVENT_TYPE.hardwareException << 8) + (hasCode ? INTR.errorCode : 0) + vector;
  if (hasCode) vmwrite(cpu, 'VM_ENTRY_EXCEPTION_ERROR_CODE', errorCode);
  vmwrite(cpu, 'VM_ENTRY_INTR_INFO_FIELD', info);
}

export const injectInvalidOpcode = (cpu: Cpu): void => injectException(cpu, VECTOR.UD);
export const injectGeneralProtection = (cpu: Cpu): void => injectException(cpu, VECTOR.GP, 0);

/** CR2 is in no VMCS: the monitor writes the register itself. */
export function injectPageFault(cpu: Cpu, address: bigint, errorCode: number): void {
  cpu.setU64(S.CR2, address);
  injectException(cpu, VECTOR.PF, errorCode);
}

export function injectInterrupt(cpu: Cpu, vector: number): void {
  vmwrite(cpu, 'VM_ENTRY_INTR_INFO_FIELD', INTR.valid + (EVENT_TYPE.external << 8) + vector);
}

/** Writes a general register other than RSP as a 32-bit instruction does: the high half becomes 0. */
export const writeGpr32 = (cpu: Cpu, n: number, value: number): void => cpu.setU32(gpr(n), value);

/** EDX:EAX, as RDMSR and RDPMC leave a value. */
export function writePair(cpu: Cpu, value: bigint): void {
  writeGpr32(cpu, R.rax, Number(value & 0xffff_ffffn));
  writeGpr32(cpu, R.rdx, Number((value >> 32n) & 0xffff_ffffn));
}
