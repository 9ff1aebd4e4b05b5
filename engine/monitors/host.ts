/**
 * What every monitor does in VMX root operation: its memory and its own state before the first tick, VMXON and the
 * first VMCS, VM entries, interrupts of its own, and how it stops.
 */
import { type BootState, CR0, CR4, EFER, writeBootMemory } from '../boot/state.js';
import type { Cpu } from '../cpu/cpu.js';
import { ACTIVITY } from '../cpu/delivery.js';
import { CpuFault } from '../cpu/fault.js';
import { FLAG } from '../cpu/flags.js';
import { S, SEG, segBase, segLimit, segRights, segSelector } from '../cpu/layout.js';
import { type Hpa, hpa } from '../types.js';
import { capabilitiesOf } from '../vmx/capabilities.js';
import { execute } from '../vmx/execute.js';
import type { FieldName } from '../vmx/fields.js';
import { log } from './log.js';
import { RESERVED_BYTES } from './monitor.js';
import {
  GATE,
  HANDLER_BYTES,
  type Reserved,
  reserve,
  SELECTOR,
  STACK_BYTES,
  TSS_BYTES,
  TSS_OFFSET,
} from './reserved.js';
import { descriptors, hostTables, interruptTable } from './tables.js';
import { adjustControls, type Controls, must, VmFail, vmwrite } from './vmx.js';

const CR0_HOST = CR0.pe + CR0.et + 0x20 /* NE */ + 0x1_0000 /* WP */ + CR0.pg;
const CR4_HOST = CR4.pae | 0x2000; /* VMXE */
const EFER_HOST = EFER.lme | EFER.lma;
const PAT = 0x0007_0406_0007_0406n;
/** FEATURE_CONTROL as firmware leaves it: locked, VMX allowed outside SMX. */
const FEATURE_CONTROL = 5;

/** Where the monitor went on, as the machine finds it in the gate page. */
type Arrival =
  | { readonly at: 'start' | 'exit' | 'window' | 'awake' | 'dead' }
  | { readonly at: 'interrupt'; readonly vector: number };

const PLACES = new Map<number, Arrival>([
  [GATE.start, { at: 'start' }],
  [GATE.exit, { at: 'exit' }],
  [GATE.window, { at: 'window' }],
  [GATE.awake, { at: 'awake' }],
  [GATE.dead, { at: 'dead' }],
]);

/** What a monitor does at each of its places. */
export interface Reactions {
  start(cpu: Cpu): void;
  exit(cpu: Cpu): void;
  window(cpu: Cpu): void;
  awake(cpu: Cpu): void;
  interrupt(cpu: Cpu, vector: number): void;
}

export class Host {
  readonly reserved: Reserved;
  readonly guestBytes: number;

  constructor(guestBytes: number) {
    this.guestBytes = guestBytes;
    this.reserved = reserve(guestBytes);
  }

  get gate(): Hpa {
    return hpa(this.reserved.gate);
  }

  get #stackTop(): number {
    return this.reserved.stack + STACK_BYTES;
  }

  /** Puts guest and monitor into RAM and the CPU at the monitor's first instruction. */
  install(cpu: Cpu, boot: BootState): void {
    const { reserved } = this;
    writeBootMemory(cpu, boot);
    cpu.memory.copyIn(reserved.descriptors, descriptors(reserved));
    cpu.memory.copyIn(reserved.idt, interruptTable(reserved));
    cpu.memory.copyIn(reserved.hostTables, hostTables(reserved.hostTables, this.guestBytes + RESERVED_BYTES));
    this.#loadRegisters(cpu);
  }

  #loadRegisters(cpu: Cpu): void {
    const { reserved } = this;
    const segments = [SEG.ES, SEG.CS, SEG.SS, SEG.DS, SEG.FS, SEG.GS];
    for (const n of segments) {
      const isCode = n === SEG.CS;
      cpu.setU32(segSelector(n), isCode ? SELECTOR.code : SELECTOR.data);
      cpu.setU32(segBase(n), 0);
      cpu.setU32(segLimit(n), 0xffff_ffff);
      cpu.setU32(segRights(n), isCode ? 0xa09b : 0xc093);
    }
    cpu.setU32(segSelector(SEG.TR), SELECTOR.tss);
    cpu.setNumber(segBase(SEG.TR), reserved.descriptors + TSS_OFFSET);
    cpu.setU32(segLimit(SEG.TR), TSS_BYTES - 1);
    cpu.setU32(segRights(SEG.TR), 0x8b);
    cpu.setNumber(S.GDTR_BASE, reserved.descriptors);
    cpu.setU32(S.GDTR_LIMIT, 0xff);
    cpu.setNumber(S.IDTR_BASE, reserved.idt);
    cpu.setU32(S.IDTR_LIMIT, 0xfff);
    cpu.setNumber(S.CR0, CR0_HOST);
    cpu.setNumber(S.CR3, reserved.hostTables);
    cpu.setNumber(S.CR4, CR4_HOST);
    cpu.setNumber(S.EFER, EFER_HOST);
    cpu.setU32(S.FEATURE_CONTROL, FEATURE_CONTROL);
    cpu.setU32(S.CPL, 0);
    cpu.rflags = 2;
    cpu.rsp = BigInt(this.#stackTop);
    cpu.rip = BigInt(reserved.gate + GATE.start);
    cpu.updateMode();
    cpu.translations.flush(true);
    cpu.translations.retag();
  }

  /** VMXON, VMCLEAR, VMPTRLD, a VMWRITE a field, VMLAUNCH. Throws VmFail where one of them fails. */
  launch(cpu: Cpu, controls: Controls, fields: readonly (readonly [FieldName, bigint | number])[]): void {
    const { vmxon, vmcs } = this.reserved;
    const revision = BigInt(capabilitiesOf(cpu.model).revision);
    for (const region of [vmxon, vmcs]) this.store32(cpu, region, revision);
    must(cpu, 'VMXON', execute.vmxon(cpu, BigInt(vmxon)));
    must(cpu, 'VMCLEAR', execute.vmclear(cpu, BigInt(vmcs)));
    must(cpu, 'VMPTRLD', execute.vmptrld(cpu, BigInt(vmcs)));
    for (const [field, value] of [...adjustControls(cpu, controls), ...this.#hostState(), ...fields]) {
      vmwrite(cpu, field, value);
    }
    must(cpu, 'VMLAUNCH', execute.vmlaunch(cpu));
  }

  /** Throws VmFail. */
  resume(cpu: Cpu): void {
    must(cpu, 'VMRESUME', execute.vmresume(cpu));
  }

  /** Loads and stores of the monitor itself, through its identity map. */
  store32(cpu: Cpu, address: number, value: bigint): void {
    cpu.spend(1);
    cpu.linear.store(cpu, BigInt(address), 4, value);
  }
  store64(cpu: Cpu, address: number, value: bigint): void {
    cpu.spend(1);
    cpu.linear.store(cpu, BigInt(address), 8, value);
  }
  load64(cpu: Cpu, address: number): bigint {
    cpu.spend(1);
    return cpu.linear.load(cpu, BigInt(address), 8);
  }

  /** Host state of the VMCS: what the monitor runs with now, and the gate. */
  #hostState(): readonly (readonly [FieldName, bigint | number])[] {
    const { reserved } = this;
    const data: readonly FieldName[] = [
      'HOST_ES_SELECTOR',
      'HOST_SS_SELECTOR',
      'HOST_DS_SELECTOR',
      'HOST_FS_SELECTOR',
      'HOST_GS_SELECTOR',
    ];
    return [
      ['HOST_CR0', CR0_HOST],
      ['HOST_CR3', reserved.hostTables],
      ['HOST_CR4', CR4_HOST],
      ['HOST_IA32_EFER', EFER_HOST],
      ['HOST_IA32_PAT', PAT],
      ['HOST_CS_SELECTOR', SELECTOR.code],
      ...data.map((name) => [name, SELECTOR.data] as const),
      ['HOST_TR_SELECTOR', SELECTOR.tss],
      ['HOST_TR_BASE', reserved.descriptors + TSS_OFFSET],
      ['HOST_GDTR_BASE', reserved.descriptors],
      ['HOST_IDTR_BASE', reserved.idt],
      ['HOST_RSP', this.#stackTop],
      ['HOST_RIP', reserved.gate + GATE.exit],
    ];
  }

  /** The CPU stands in the gate page: does what the monitor does there. A monitor that fails logs why and halts. */
  enter(cpu: Cpu, reactions: Reactions): void {
    const arrival = this.#arrival(cpu);
    try {
      if (arrival.at === 'interrupt') reactions.interrupt(cpu, arrival.vector);
      else if (arrival.at === 'dead') this.halt(cpu);
      else reactions[arrival.at](cpu);
    } catch (error) {
      if (!(error instanceof VmFail || error instanceof CpuFault)) throw error;
      const why = error instanceof VmFail ? error.message : `exception ${error.vector} in the monitor`;
      log(cpu, 'error', 'panic', why);
      this.halt(cpu);
    }
  }

  /** Where in the gate page the CPU stands. */
  #arrival(cpu: Cpu): Arrival {
    const offset = Number(cpu.rip) - this.reserved.gate;
    if (offset >= GATE.handlers) return { at: 'interrupt', vector: (offset - GATE.handlers) / HANDLER_BYTES };
    return PLACES.get(offset) ?? { at: 'dead' };
  }

  #goTo(cpu: Cpu, offset: number): void {
    cpu.rip = BigInt(this.reserved.gate + offset);
  }

  /** STI, NOP: pending interrupts reach the monitor's handlers, then it goes on at `window`. */
  openWindow(cpu: Cpu): void {
    cpu.spend(2);
    cpu.rflags |= FLAG.IF;
    this.#goTo(cpu, GATE.window);
  }

  /** STI, HLT: sleeps until an interrupt, then goes on at `awake`. */
  sleep(cpu: Cpu): void {
    cpu.spend(2);
    cpu.rflags |= FLAG.IF;
    cpu.setU32(S.ACTIVITY, ACTIVITY.hlt);
    this.#goTo(cpu, GATE.awake);
  }

  /** CLI, at `window` or `awake`. */
  closeWindow(cpu: Cpu): void {
    cpu.spend(1);
    cpu.rflags &= ~FLAG.IF;
  }

  /** IRETQ to the code of the monitor that an interrupt stopped: Intel SDM Vol. 2, "IRET/IRETD/IRETQ". */
  returnFromInterrupt(cpu: Cpu): void {
    const frame = cpu.rsp;
    const pop = (i: number): bigint => cpu.linear.load(cpu, frame + BigInt(8 * i), 8);
    cpu.rip = pop(0);
    cpu.rflags = Number(pop(2) & 0xffff_ffffn);
    cpu.rsp = pop(3);
    cpu.spend(1);
  }

  /** What the guest's triple fault does to a machine: it shuts down. */
  shutDown(cpu: Cpu): void {
    cpu.setU32(S.ACTIVITY, ACTIVITY.shutdown);
    this.#goTo(cpu, GATE.dead);
  }

  /** CLI, HLT: the machine stops here for ever. */
  halt(cpu: Cpu): void {
    cpu.spend(2);
    cpu.rflags &= ~FLAG.IF;
    cpu.setU32(S.ACTIVITY, ACTIVITY.hlt);
    this.#goTo(cpu, GATE.dead);
  }
}
