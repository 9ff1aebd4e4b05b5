/** A vCPU on a bench: state and RAM in one buffer, identity translation, and a VMCS that a VM entry accepts. */
import { Cpu, type TranslationControl } from '../../../engine/cpu/cpu.js';
import { CpuFault } from '../../../engine/cpu/fault.js';
import { Insn, R, RECORD_BYTES } from '../../../engine/cpu/insn.js';
import { S, SEG, STATE_BYTES, segBase, segLimit, segRights, segSelector } from '../../../engine/cpu/layout.js';
import type { CpuModel } from '../../../engine/cpu/model.js';
import type { LinearMemory } from '../../../engine/memory/access.js';
import { PhysicalMemory } from '../../../engine/memory/physical.js';
import { EVENT_FIELDS, EVENT_KINDS, type EventField, EventRecord } from '../../../engine/observer.js';
import {
  allowedMsr,
  skylakeVmx,
  VMX_MSR,
  type VmxFeatures,
  vmxCapabilities,
} from '../../../engine/vmx/capabilities.js';
import { CONTROL_GROUPS } from '../../../engine/vmx/controls.js';
import { F, FIELDS, type FieldName, REGION } from '../../../engine/vmx/fields.js';
import { vmxInstructions } from '../../../engine/vmx/instructions.js';

const STATE = 0x1000;
const RECORD = STATE + STATE_BYTES;
const INFO = 0x2000;
const RAM = 0x1_0000;
const RAM_BYTES = 0x2_0000;

/** Places in RAM. */
export const PLACES = {
  vmxon: 0x1000,
  vmcs: 0x2000,
  other: 0x3000,
  pointer: 0x4000,
  page: 0x5000,
  msrs: 0x6000,
} as const;

export function modelWith(
  features: VmxFeatures,
  more: readonly (readonly [number, bigint])[] = [],
  leaf7 = 0,
): CpuModel {
  const msrs = new Map<number, bigint>([[0x8b, 0n], ...vmxCapabilities(features), ...more]);
  return {
    name: 'bench',
    vendor: 'intel',
    physicalBits: 39,
    cpuid: [{ leaf: 7, subleaf: 0, eax: 0, ebx: leaf7, ecx: 0, edx: 0 }],
    msrs,
    tscPerTick: 1,
  };
}

/** Everything that the manual knows may be 1, so that every check can be tried. */
export const everything: VmxFeatures = {
  ...skylakeVmx,
  pin: 0xff,
  primary: 0xffff_ffff,
  secondary: 0xffff_ffff,
  exit: 0xffff_ffff,
  entry: 0x01ff_ffff,
  cr4: 0xf7_ffffn,
  eptVpid: skylakeVmx.eptVpid & ~((1n << 21n) | (1n << 23n)),
};

const identity: LinearMemory = {
  load: (cpu, linear, size) => {
    let value = 0n;
    for (let i = 0; i < size; i++) value |= BigInt(cpu.memory.read(Number(linear) + i, 1)) << BigInt(8 * i);
    return value;
  },
  store: (cpu, linear, size, value) => {
    for (let i = 0; i < size; i++) cpu.memory.write(Number(linear) + i, 1, Number((value >> BigInt(8 * i)) & 0xffn));
  },
  probeStore: () => {},
};

export interface Told {
  readonly kind: string;
  readonly from: number;
  readonly to: number;
  readonly tick: number;
  readonly fields: { readonly [name in EventField]?: bigint };
}

const KINDS = new Map<number, string>(Object.entries(EVENT_KINDS).map(([name, number]) => [number, name]));

const toldOf = (event: EventRecord): Told => {
  const fields: { [name in EventField]?: bigint } = {};
  EVENT_FIELDS.forEach((name, i) => {
    if (event.mask & (1 << i)) {
      fields[name] = (BigInt(event.words[2 * i + 1] ?? 0) << 32n) | BigInt(event.words[2 * i] ?? 0);
    }
  });
  const { fromLevel: from, toLevel: to, tick } = event;
  return { kind: KINDS.get(event.kind) ?? '?', from, to, tick, fields };
};

/** The allowed settings nearest to what is wanted. */
const adjusted = (model: CpuModel, name: string, wanted: number): number => {
  const group = CONTROL_GROUPS.find((candidate) => candidate.name === name);
  const basic = model.msrs.get(VMX_MSR.basic) ?? 0n;
  const msr = model.msrs.get(group ? allowedMsr(group, basic) : 0) ?? 0n;
  return ((wanted | Number(msr & 0xffff_ffffn)) & Number(msr >> 32n)) >>> 0;
};

const DATA = { selector: 0x10, base: 0, limit: 0xffff_ffff, rights: 0xc093 };
const SEGMENTS: readonly {
  readonly name: string;
  readonly selector: number;
  readonly limit: number;
  readonly rights: number;
}[] = [
  { name: 'ES', ...DATA },
  { name: 'CS', selector: 8, limit: 0xffff_ffff, rights: 0xa09b },
  { name: 'SS', ...DATA },
  { name: 'DS', ...DATA },
  { name: 'FS', ...DATA },
  { name: 'GS', ...DATA },
  { name: 'LDTR', selector: 0, limit: 0, rights: 0x1_0000 },
  { name: 'TR', selector: 0x18, limit: 0x67, rights: 0x8b },
];

export class Bench {
  readonly cpu: Cpu;
  readonly told: Told[] = [];
  readonly calls: string[] = [];
  readonly insn: Insn;
  readonly #view: DataView;
  quiet = false;

  constructor(model: CpuModel = modelWith(skylakeVmx), buffer = new ArrayBuffer(RAM + RAM_BYTES)) {
    this.#view = new DataView(buffer);
    const memory = new PhysicalMemory(buffer, RAM, INFO, RAM_BYTES);
    const translations: TranslationControl = {
      flush: (global) => this.#note(`flush ${global}`),
      flushPage: (linear) => this.#note(`page ${linear}`),
      flushVpid: (vpid) => this.#note(`vpid ${vpid}`),
      flushEpt: (eptp) => this.#note(`ept ${eptp}`),
      retag: () => {},
    };
    this.cpu = new Cpu(0, model, buffer, STATE, {
      memory,
      linear: identity,
      ports: { in: () => 0, out: () => {} },
      interrupts: { pending: false, acknowledge: () => 0x20 },
      translations,
      observer: {
        event: (event) => {
          if (!this.quiet) this.told.push(toldOf(event));
        },
        memory: () => {},
        message: () => {},
        output: () => {},
      },
      record: new EventRecord(),
    });
    this.insn = new Insn(buffer);
    this.hostRegisters();
  }

  #note(call: string): void {
    if (!this.quiet) this.calls.push(call);
  }

  /** A 64-bit host in ring 0 with VMX enabled, not yet in VMX operation. */
  hostRegisters(reset = true): void {
    const { cpu } = this;
    cpu.setU64(S.CR0, 0x8000_0031n);
    cpu.setU64(S.CR3, 0x7000n);
    cpu.setU64(S.CR4, 0x2020n);
    cpu.setU64(S.EFER, 0x500n);
    cpu.setU64(S.PAT, 0x0007_0406_0007_0406n);
    cpu.setU64(S.DR7, 0x400n);
    cpu.setU64(S.FEATURE_CONTROL, 5n);
    SEGMENTS.forEach(({ selector, limit, rights }, n) => {
      cpu.setU32(segSelector(n), selector);
      cpu.setU64(segBase(n), 0n);
      cpu.setU32(segLimit(n), limit);
      cpu.setU32(segRights(n), rights);
    });
    cpu.rflags = 2;
    cpu.rip = 0x1234n;
    if (reset) {
      cpu.setU64(S.VMCS_POINTER, 0xffff_ffff_ffff_ffffn);
      cpu.setU64(S.VMXON_POINTER, 0xffff_ffff_ffff_ffffn);
    }
    cpu.updateMode();
  }

  /** Writes a record and runs the slow instruction; a memory operand is the absolute address `at`. */
  run(
    name: string,
    operands: { at?: number; dst?: number; src?: number; length?: number; size?: number; segment?: number } = {},
  ): number {
    const { at, dst = S.ZERO, src = S.ZERO, length = 3, size = 8, segment = SEG.DS } = operands;
    const view = this.#view;
    for (let i = 0; i < RECORD_BYTES; i++) view.setUint8(RECORD + i, 0);
    view.setUint8(RECORD + R.length, length);
    view.setUint16(RECORD + R.dst, dst, true);
    view.setUint16(RECORD + R.src, src, true);
    view.setUint16(RECORD + R.base, S.ZERO, true);
    view.setUint16(RECORD + R.index, S.ZERO, true);
    view.setUint8(RECORD + R.segment, segment);
    view.setUint8(RECORD + R.isMemory, at === undefined ? 0 : 1);
    view.setUint8(RECORD + R.size, size);
    view.setUint8(RECORD + R.addressSize, 8);
    view.setBigInt64(RECORD + R.displacement, BigInt(at ?? 0), true);
    this.cpu.setU32(S.RECORD, RECORD);
    const instruction = vmxInstructions[name];
    if (!instruction) throw new RangeError(name);
    return instruction(this.cpu, this.insn.at(RECORD));
  }

  /** Runs the instruction of the last record again. */
  again(name: string): number {
    return vmxInstructions[name]?.(this.cpu, this.insn.at(RECORD)) ?? -1;
  }

  /** Runs an instruction whose memory operand is a pointer to `address`. */
  pointer(name: string, address: bigint): number {
    this.cpu.memory.write64(PLACES.pointer, address);
    return this.run(name, { at: PLACES.pointer });
  }

  /** The fault that an instruction raises, as `#vector(code)`, or its outcome. */
  faultOf(run: () => number): string {
    try {
      return String(run());
    } catch (error) {
      if (error instanceof CpuFault) return `#${error.vector}(${error.errorCode})`;
      throw error;
    }
  }

  /** VMX root operation with a current, clear VMCS. */
  startVmx(): this {
    const revision = Number((this.cpu.model.msrs.get(VMX_MSR.basic) ?? 0n) & 0x7fff_ffffn);
    for (const at of [PLACES.vmxon, PLACES.vmcs, PLACES.other]) this.cpu.memory.write(at, 4, revision);
    this.pointer('vmxon', BigInt(PLACES.vmxon));
    this.pointer('vmclear', BigInt(PLACES.vmcs));
    this.pointer('vmptrld', BigInt(PLACES.vmcs));
    return this;
  }

  field(name: FieldName): bigint {
    return this.cpu.memory.view.getBigUint64(PLACES.vmcs + F[name], true);
  }

  /** Writes a slot of the region as it is, without VMWRITE. */
  set(name: FieldName, value: bigint | number): void {
    const bytes = FIELDS.find((field) => field.name === name)?.bytes ?? 8;
    this.cpu.memory.view.setBigUint64(PLACES.vmcs + F[name], BigInt.asUintN(8 * bytes, BigInt(value)), true);
  }

  /** Fills the VMCS with a 64-bit guest under a 64-bit host, which a VM entry accepts. */
  fill(): this {
    const { model } = this.cpu;
    this.cpu.memory.view.setUint32(PLACES.vmcs + REGION.launched, 0, true);
    for (const { name } of FIELDS) this.set(name, 0);
    this.set('PIN_BASED_VM_EXEC_CONTROL', adjusted(model, 'pin', 0));
    this.set('CPU_BASED_VM_EXEC_CONTROL', adjusted(model, 'primary', 0x8000_0000));
    this.set('SECONDARY_VM_EXEC_CONTROL', adjusted(model, 'secondary', 0));
    this.set('VM_EXIT_CONTROLS', adjusted(model, 'exit', 0x200));
    this.set('VM_ENTRY_CONTROLS', adjusted(model, 'entry', 0x200));
    this.set('VMCS_LINK_POINTER', -1n);
    for (const side of ['HOST', 'GUEST'] as const) {
      this.set(`${side}_CR0`, 0x8000_0031n);
      this.set(`${side}_CR3`, 0x7000n);
      this.set(`${side}_CR4`, 0x2020n);
    }
    for (const { name, selector, limit, rights } of SEGMENTS) {
      if (name !== 'LDTR') this.set(`HOST_${name}_SELECTOR` as FieldName, selector);
      this.set(`GUEST_${name}_SELECTOR` as FieldName, selector);
      this.set(`GUEST_${name}_LIMIT` as FieldName, limit);
      this.set(`GUEST_${name}_AR_BYTES` as FieldName, rights);
    }
    this.set('HOST_RIP', 0xffff_8000_0000_1000n);
    this.set('HOST_RSP', 0xffff_8000_0000_2000n);
    this.set('GUEST_RIP', 0x40_0000n);
    this.set('GUEST_RSP', 0x9000n);
    this.set('GUEST_RFLAGS', 2n);
    this.set('GUEST_DR7', 0x400n);
    this.set('GUEST_GDTR_LIMIT', 0x7f);
    this.set('GUEST_IDTR_LIMIT', 0xfff);
    return this;
  }

  /** The model has no field of this encoding. */
  lacks(encoding: number): boolean {
    return !this.cpu.vmx.capabilities.access[encoding];
  }

  /** Sets bits of a field. */
  or(name: FieldName, bits: number | bigint): void {
    this.set(name, this.field(name) | BigInt.asUintN(64, BigInt(bits)));
  }

  /** In the guest, launched. */
  enterGuest(): this {
    this.run('vmlaunch');
    if (!this.cpu.nonRoot) throw new Error('the VM entry failed');
    this.told.length = 0;
    this.calls.length = 0;
    return this;
  }
}

/** A guest whose VMCS was changed before it was entered. */
export function guest(change: (bench: Bench) => void = () => {}): Bench {
  const bench = new Bench().startVmx().fill();
  change(bench);
  return bench.enterGuest();
}

/** Reason and qualification, or null where the guest goes on. */
export function exitOf(bench: Bench): [reason: number, qualification: bigint] | null {
  if (bench.cpu.nonRoot) return null;
  return [Number(bench.field('VM_EXIT_REASON')), bench.field('EXIT_QUALIFICATION')];
}
