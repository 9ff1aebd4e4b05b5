/** VMX instructions as a monitor has the CPU execute them: each costs its tick, leaves its event, and may fail. */
import type { Cpu } from '../cpu/cpu.js';
import { allowedMsr, type Capabilities, capabilitiesOf, VMX_MSR } from '../vmx/capabilities.js';
import { CONTROL_GROUPS, type ControlGroup } from '../vmx/controls.js';
import { execute } from '../vmx/execute.js';
import { FIELDS, type FieldName } from '../vmx/fields.js';
import type { Reserved } from './reserved.js';

const ENCODING: ReadonlyMap<string, number> = new Map(FIELDS.map((field) => [field.name, field.encoding]));

/** A VMX instruction failed in the monitor: CF or ZF was set. */
export class VmFail extends Error {
  readonly instruction: string;
  constructor(instruction: string) {
    super(`${instruction} failed`);
    this.instruction = instruction;
  }
}

export class Vmx {
  readonly #reserved: Reserved;

  constructor(reserved: Reserved) {
    this.#reserved = reserved;
  }

  /** Throws VmFail. */
  read(cpu: Cpu, field: FieldName): bigint {
    const value = execute.vmread(cpu, ENCODING.get(field) ?? 0);
    if (value === null) throw new VmFail(`VMREAD ${field}`);
    return value;
  }

  /** Throws VmFail. */
  write(cpu: Cpu, field: FieldName, value: bigint | number): void {
    const done = execute.vmwrite(cpu, ENCODING.get(field) ?? 0, BigInt(value));
    if (!done) throw new VmFail(`VMWRITE ${field}`);
  }
}
