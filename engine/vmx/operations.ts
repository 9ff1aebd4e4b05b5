/**
 * What VMX instructions do past their privilege checks: Vol. 3C, chapter "VMX Instruction Reference". Each sets the
 * flags, tells its event, and answers whether it succeeded. Instructions and monitors both come through here.
 */
import type { Cpu } from '../cpu/cpu.js';
import { S } from '../cpu/layout.js';
import { type EventKind, type EventRecord, FIELD_INDEX } from '../observer.js';
import { activate, deactivate, deactivateAll } from './active.js';
import { ACCESS, ACCESS_KIND, EPT_VPID, VMX_MSR } from './capabilities.js';
import { validEptp } from './checks/eptp.js';
import { VM_ERROR } from './controls.js';
import { REGION } from './fields.js';
import { fail, failInvalid, failValid, succeed } from './result.js';
import { forgetGoodEntry, hasVmcs, NO_VMCS, touch, vmcsAddress } from './vmcs.js';

const SHADOW = 0x8000_0000;

/** Page-aligned, and within the processor's physical-address width. */
const isRegion = (cpu: Cpu, address: bigint): boolean =>
  (address & 0xfffn) === 0n && address >> BigInt(cpu.model.physicalBits) === 0n;

function tell(cpu: Cpu, kind: EventKind): EventRecord {
  const record = cpu.begin(kind);
  cpu.putAt(FIELD_INDEX.vmcs, S.VMCS_POINTER);
  cpu.putAt(FIELD_INDEX.rip, S.RIP);
  return record;
}

function tellPointer(cpu: Cpu, kind: EventKind, pointer: bigint): void {
  tell(cpu, kind).setBig('value', pointer);
  cpu.commit();
}

/** VMXON outside VMX operation, its general-protection checks done. */
export function vmxon(cpu: Cpu, address: bigint): boolean {
  const revision = isRegion(cpu, address) ? cpu.memory.read(Number(address), 4) : -1;
  if (revision !== cpu.vmx.capabilities.revision) {
    failInvalid(cpu);
    return false;
  }
  cpu.setU32(S.VMX_ON, 1);
  cpu.setU64(S.VMXON_POINTER, address);
  cpu.setU64(S.VMCS_POINTER, NO_VMCS);
  cpu.setU32(S.ACTIVE_VMCS, 0);
  tellPointer(cpu, 'vmxon', address);
  succeed(cpu);
  return true;
}

export function vmxoff(cpu: Cpu): boolean {
  tell(cpu, 'vmxoff');
  cpu.commit();
  deactivateAll(cpu);
  cpu.setU32(S.VMX_ON, 0);
  cpu.setU64(S.VMXON_POINTER, NO_VMCS);
  cpu.setU64(S.VMCS_POINTER, NO_VMCS);
  succeed(cpu);
  return true;
}

/** Why a pointer is refused, or 0. */
function refused(cpu: Cpu, address: bigint, badAddress: number, isVmxon: number): number {
  if (!isRegion(cpu, address)) return badAddress;
  return address === cpu.u64(S.VMXON_POINTER) ? isVmxon : 0;
}

export function vmclear(cpu: Cpu, address: bigint): boolean {
  const error = refused(cpu, address, VM_ERROR.vmclearAddress, VM_ERROR.vmclearVmxon);
  if (error) {
    fail(cpu, error);
    return false;
  }
  const at = Number(address);
  if (cpu.memory.isRam(at, REGION.bytes)) {
    deactivate(cpu, at);
    touch(cpu, at);
    cpu.memory.view.setUint32(at + REGION.launched, 0, true);
    forgetGoodEntry(cpu, at);
  }
  tellPointer(cpu, 'vmclear', address);
  if (address === cpu.u64(S.VMCS_POINTER)) cpu.setU64(S.VMCS_POINTER, NO_VMCS);
  succeed(cpu);
  return true;
}

export function vmptrld(cpu: Cpu, address: bigint): boolean {
  let error = refused(cpu, address, VM_ERROR.vmptrldAddress, VM_ERROR.vmptrldVmxon);
  // Outside RAM there is nothing whose revision could be right. Shadow VMCSs (bit 31) are not supported.
  if (!error) {
    const at = Number(address);
    const revision = cpu.memory.isRam(at, REGION.bytes) ? cpu.memory.read(at, 4) : SHADOW;
    if (revision !== cpu.vmx.capabilities.revision) error = VM_ERROR.vmptrldRevision;
  }
  if (error) {
    fail(cpu, error);
    return false;
  }
  cpu.setU64(S.VMCS_POINTER, address);
  activate(cpu, Number(address));
  tellPointer(cpu, 'vmptrld', address);
  succeed(cpu);
  return true;
}

/** The current-VMCS pointer; all ones: there is none. */
export function vmptrst(cpu: Cpu): bigint {
  const pointer = cpu.u64(S.VMCS_POINTER);
  tellPointer(cpu, 'vmptrst', pointer);
  succeed(cpu);
  return pointer;
}

/** How the field of an encoding is accessed on this model (ACCESS); 0: there is none. */
const accessOf = (cpu: Cpu, encoding: number): number => cpu.vmx.capabilities.access[encoding] ?? 0;

/** The halves of the value that VMREAD read last. */
export const read = { low: 0, high: 0 };

/** VMREAD; the value is left in `read`. `wide`: in 64-bit mode, where both halves are read. */
export function vmread(cpu: Cpu, encoding: number, wide: boolean): boolean {
  if (!hasVmcs(cpu)) {
    failInvalid(cpu);
    return false;
  }
  const access = accessOf(cpu, encoding);
  if (access === 0) {
    failValid(cpu, VM_ERROR.unsupportedField);
    return false;
  }
  const at = vmcsAddress(cpu) + (access & ACCESS.offset);
  const ram = cpu.memory.view;
  const low = ram.getUint32(at, true);
  const high = wide && (access & ACCESS.kind) === ACCESS_KIND.quad ? ram.getUint32(at + 4, true) : 0;
  read.low = low;
  read.high = high;
  tell(cpu, 'vmread').setAt(FIELD_INDEX.code, encoding, 0).setAt(FIELD_INDEX.value, low, high);
  cpu.commit();
  succeed(cpu);
  return true;
}

/** Both halves of the field that an access is about, before and after a write. */
function tellWrite(cpu: Cpu, encoding: number, at: number, oldLow: number, oldHigh: number): void {
  const ram = cpu.memory.view;
  tell(cpu, 'vmwrite')
    .setAt(FIELD_INDEX.code, encoding, 0)
    .setAt(FIELD_INDEX.old, oldLow, oldHigh)
    .setAt(FIELD_INDEX.value, ram.getUint32(at, true), ram.getUint32(at + 4, true));
  cpu.commit();
}

/** VMWRITE of a value given in halves; outside 64-bit mode the high one is 0. */
export function vmwrite(cpu: Cpu, encoding: number, low: number, high: number): boolean {
  if (!hasVmcs(cpu)) {
    failInvalid(cpu);
    return false;
  }
  const access = accessOf(cpu, encoding);
  const isReadOnly = (access & ACCESS.readOnly) !== 0 && !cpu.vmx.capabilities.writesAnyField;
  if (access === 0 || isReadOnly) {
    failValid(cpu, access ? VM_ERROR.readOnlyField : VM_ERROR.unsupportedField);
    return false;
  }
  const region = vmcsAddress(cpu);
  const kind = access & ACCESS.kind;
  const at = region + (access & ACCESS.offset);
  const field = kind === ACCESS_KIND.high ? at - 4 : at;
  const ram = cpu.memory.view;
  const oldLow = ram.getUint32(field, true);
  const oldHigh = ram.getUint32(field + 4, true);
  touch(cpu, region);
  ram.setUint32(at, kind === ACCESS_KIND.word ? low & 0xffff : low, true);
  if (kind === ACCESS_KIND.quad) ram.setUint32(at + 4, high, true);
  tellWrite(cpu, encoding, field, oldLow, oldHigh);
  succeed(cpu);
  return true;
}

const supports = (cpu: Cpu, capability: bigint): boolean =>
  (cpu.vmx.capabilities.read(VMX_MSR.eptVpid) & capability) !== 0n;

function invalid(cpu: Cpu): false {
  fail(cpu, VM_ERROR.invalidInvalidation);
  return false;
}

function tellInvalidation(cpu: Cpu, kind: 'invept' | 'invvpid', type: bigint, operand: bigint): void {
  tell(cpu, kind).setBig('code', type).setBig('value', operand);
  cpu.commit();
  succeed(cpu);
}

/** INVEPT of a type, with the 128 bits of its descriptor in halves. */
export function invept(cpu: Cpu, type: bigint, eptp: bigint, reserved: bigint): boolean {
  const single = type === 1n && supports(cpu, EPT_VPID.inveptSingle);
  const all = type === 2n && supports(cpu, EPT_VPID.inveptAll);
  if ((!single && !all) || reserved !== 0n) return invalid(cpu);
  if (single && !validEptp(cpu, eptp)) return invalid(cpu);
  cpu.translations.flushEpt(single ? eptp : null);
  tellInvalidation(cpu, 'invept', type, eptp);
  return true;
}

const INVVPID_TYPES = [
  EPT_VPID.invvpidAddress,
  EPT_VPID.invvpidSingle,
  EPT_VPID.invvpidAll,
  EPT_VPID.invvpidKeepGlobal,
] as const;

const isCanonical = (linear: bigint): boolean => BigInt.asUintN(64, BigInt.asIntN(48, linear)) === linear;

/** INVVPID of a type, with its descriptor: VPID in bits 15:0 of the first half, the linear address in the second. */
export function invvpid(cpu: Cpu, type: bigint, descriptor: bigint, linear: bigint): boolean {
  const capability = type < 4n ? INVVPID_TYPES[Number(type)] : undefined;
  if (capability === undefined || !supports(cpu, capability) || descriptor >> 16n !== 0n) return invalid(cpu);
  const vpid = Number(descriptor);
  if (type !== 2n && vpid === 0) return invalid(cpu);
  if (type === 0n && !isCanonical(linear)) return invalid(cpu);
  cpu.translations.flushVpid(type === 2n ? null : vpid);
  tellInvalidation(cpu, 'invvpid', type, descriptor);
  return true;
}
