/** VMX instructions as a monitor has the CPU execute them: each costs its tick, leaves its event, and may fail. */
import type { Cpu } from '../cpu/cpu.js';
import { allowedMsr, capabilitiesOf, EPT_VPID, VMX_MSR } from '../vmx/capabilities.js';
import { CONTROL_GROUPS, type ControlGroup } from '../vmx/controls.js';
import { execute } from '../vmx/execute.js';
import { FIELDS, type FieldName } from '../vmx/fields.js';

const ENCODING = Object.fromEntries(FIELDS.map((field) => [field.name, field.encoding])) as {
  readonly [name in FieldName]: number;
};

/** A VMX instruction of the monitor failed: a defect of the monitor, which then halts. */
export class VmFail extends Error {
  constructor(cpu: Cpu, instruction: string) {
    const error = execute.error(cpu) ?? 0;
    super(`${instruction} failed${error === 0 ? '' : `: VM-instruction error ${error}`}`);
  }
}

/** Answers nothing, or throws VmFail. */
export function must(cpu: Cpu, instruction: string, done: boolean): void {
  if (!done) throw new VmFail(cpu, instruction);
}

/** VMREAD. Throws VmFail. */
export function vmread(cpu: Cpu, field: FieldName): bigint {
  const value = execute.vmread(cpu, ENCODING[field]);
  if (value === null) throw new VmFail(cpu, `VMREAD of ${field}`);
  return value;
}

/** VMREAD of a field of at most 32 bits, or of the low half. Throws VmFail. */
export function vmread32(cpu: Cpu, field: FieldName): number {
  const value = execute.vmread32(cpu, ENCODING[field]);
  if (value === null) throw new VmFail(cpu, `VMREAD of ${field}`);
  return value;
}

/** VMWRITE of a value that is not negative. Throws VmFail. */
export function vmwrite(cpu: Cpu, field: FieldName, value: bigint | number): void {
  const encoding = ENCODING[field];
  const isShort = typeof value === 'number' && value <= 0xffff_ffff;
  const done = isShort ? execute.vmwrite32(cpu, encoding, value) : execute.vmwrite(cpu, encoding, BigInt(value));
  if (!done) throw new VmFail(cpu, `VMWRITE of ${field}`);
}

/** The controls that a monitor wants, by group (vmx/controls.ts). */
export type Controls = { readonly [name in 'pin' | 'primary' | 'secondary' | 'exit' | 'entry']: number };

const FIELD: { readonly [name in keyof Controls]: FieldName } = {
  pin: 'PIN_BASED_VM_EXEC_CONTROL',
  primary: 'CPU_BASED_VM_EXEC_CONTROL',
  secondary: 'SECONDARY_VM_EXEC_CONTROL',
  exit: 'VM_EXIT_CONTROLS',
  entry: 'VM_ENTRY_CONTROLS',
};

/**
 * What the processor takes of the wanted controls, with those that it demands: Intel SDM Vol. 3D, appendix A, "Reserved
 * Controls and Default Settings". RDMSR costs its tick.
 */
export function adjustControls(cpu: Cpu, wanted: Controls): readonly (readonly [FieldName, number])[] {
  const { read } = capabilitiesOf(cpu.model);
  const isWanted = (group: ControlGroup): group is ControlGroup & { name: keyof Controls } => group.name in wanted;
  return CONTROL_GROUPS.filter(isWanted).map((group) => {
    cpu.spend(1);
    const allowed = read(allowedMsr(group, read(VMX_MSR.basic)));
    const mustBe1 = Number(allowed & 0xffff_ffffn);
    const mayBe1 = Number(allowed >> 32n);
    return [FIELD[group.name], ((wanted[group.name] | mustBe1) & mayBe1) >>> 0] as const;
  });
}

/**
 * EPT pointer to tables of four levels, themselves write-back; with accessed and dirty flags where they are wanted and
 * the processor has them: Intel SDM Vol. 3C, "Extended-Page-Table Pointer (EPTP)".
 */
export function eptPointer(cpu: Cpu, tables: number, flags: boolean): number {
  cpu.spend(1);
  const offered = (capabilitiesOf(cpu.model).read(VMX_MSR.eptVpid) & EPT_VPID.accessedDirty) !== 0n;
  return tables | 6 | (3 << 3) | (flags && offered ? 0x40 : 0);
}
