/** Ymir's handling of control registers and MSRs of its guest. */
import { EFER } from '../../boot/state.js';
import type { Cpu } from '../../cpu/cpu.js';
import { ENTRY } from '../../vmx/controls.js';
import { execute } from '../../vmx/execute.js';
import type { FieldName } from '../../vmx/fields.js';
import { CR0_FIXED, CR4_FIXED, readGpr, writeGpr } from '../guest.js';
import type { Host } from '../host.js';
import { must, vmread, vmread32, vmwrite } from '../vmx.js';

const CR0_PG = 0x8000_0000n;
const CR4_PAE = 0x20n;
/** Bit 63 of the source of MOV to CR3: keep the translations of the PCID. */
const CR3_KEEP = 1n << 63n;
const INVVPID_SINGLE = 1n;
export const VPID = 1;

/** Exit qualification of control-register accesses: Intel SDM Vol. 3C, table "Exit Qualification for CR Accesses". */
const ACCESS = { movTo: 0, movFrom: 1 } as const;

/** False: the monitor aborts. */
export function accessControlRegister(cpu: Cpu, qualification: number): boolean {
  const cr = qualification & 15;
  const kind = (qualification >> 4) & 3;
  const n = (qualification >> 8) & 15;
  if (kind === ACCESS.movFrom) return moveFrom(cpu, cr, n);
  if (kind !== ACCESS.movTo) return false;
  const value = readGpr(cpu, n);
  if (cr === 3) {
    vmwrite(cpu, 'GUEST_CR3', value & ~CR3_KEEP);
    must(cpu, 'INVVPID', execute.invvpid(cpu, INVVPID_SINGLE, VPID, 0n));
    return true;
  }
  if (cr !== 0 && cr !== 4) return false;
  vmwrite(cpu, `CR${cr}_READ_SHADOW`, value);
  vmwrite(cpu, `GUEST_CR${cr}`, value | (cr === 0 ? CR0_FIXED : CR4_FIXED));
  updateMode(cpu);
  return true;
}

function moveFrom(cpu: Cpu, cr: number, n: number): boolean {
  if (cr !== 3) return false;
  writeGpr(cpu, n, vmread(cpu, 'GUEST_CR3'));
  return true;
}

/** IA-32e mode follows paging with PAE, whatever EFER.LME says: Ymir knows 64-bit guests only. */
function updateMode(cpu: Cpu): void {
  const paging = (vmread(cpu, 'GUEST_CR0') & CR0_PG) !== 0n;
  const ia32e = paging && (vmread(cpu, 'GUEST_CR4') & CR4_PAE) !== 0n;
  const controls = vmread32(cpu, 'VM_ENTRY_CONTROLS');
  vmwrite(cpu, 'VM_ENTRY_CONTROLS', (ia32e ? controls | ENTRY.ia32e : controls & ~ENTRY.ia32e) >>> 0);
  let efer = vmread32(cpu, 'GUEST_IA32_EFER');
  efer = ia32e ? efer | EFER.lma : efer & ~EFER.lma;
  if (paging) efer = ia32e ? efer | EFER.lme : efer & ~EFER.lme;
  vmwrite(cpu, 'GUEST_IA32_EFER', efer);
}

const MSR = { apicBase: 0x1b, star: 0xc000_0081, kernelGsBase: 0xc000_0102, tscAux: 0xc000_0103 } as const;

/** MSRs that are fields of the VMCS. */
const FIELD_MSRS: ReadonlyMap<number, FieldName> = new Map<number, FieldName>([
  [0x174, 'GUEST_SYSENTER_CS'],
  [0x175, 'GUEST_SYSENTER_ESP'],
  [0x176, 'GUEST_SYSENTER_EIP'],
  [0xc000_0080, 'GUEST_IA32_EFER'],
  [0xc000_0100, 'GUEST_FS_BASE'],
  [0xc000_0101, 'GUEST_GS_BASE'],
]);
const READABLE: ReadonlySet<number> = new Set([0xc000_0080, 0xc000_0100, 0xc000_0101]);

/** MSRs in the area that entries load and exits store: TSC_AUX, STAR, LSTAR, CSTAR, FMASK, KERNEL_GS_BASE. */
export const AREA_MSRS: readonly number[] = [
  MSR.tscAux,
  MSR.star,
  0xc000_0082,
  0xc000_0083,
  0xc000_0084,
  MSR.kernelGsBase,
];
const ENTRY_BYTES = 16;
const areaEntry = (host: Host, msr: number): number => host.reserved.msrAreas + AREA_MSRS.indexOf(msr) * ENTRY_BYTES;

/** The value that RDMSR gives; null: the monitor aborts. */
export function readMsr(cpu: Cpu, host: Host, msr: number): bigint | null {
  if (msr === MSR.apicBase) return 0xffff_ffff_ffff_ffffn;
  if (msr === MSR.kernelGsBase) return host.load64(cpu, areaEntry(host, msr) + 8);
  const field = READABLE.has(msr) ? FIELD_MSRS.get(msr) : undefined;
  return field === undefined ? null : vmread(cpu, field);
}

/** False: the monitor aborts. */
export function writeMsr(cpu: Cpu, host: Host, msr: number, value: bigint): boolean {
  const field = FIELD_MSRS.get(msr);
  if (field !== undefined) vmwrite(cpu, field, value);
  else if (AREA_MSRS.includes(msr)) host.store64(cpu, areaEntry(host, msr) + 8, value);
  else return false;
  return true;
}

/** An MSR area with every MSR at 0. */
export function msrArea(): Uint8Array {
  const view = new DataView(new ArrayBuffer(AREA_MSRS.length * ENTRY_BYTES));
  for (const [i, msr] of AREA_MSRS.entries()) view.setUint32(i * ENTRY_BYTES, msr, true);
  return new Uint8Array(view.buffer);
}
