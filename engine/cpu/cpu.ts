/** One vCPU as TypeScript sees it: a window on its state in linear memory, and what it is wired to. */
import type { LinearMemory } from '../memory/access.js';
import type { PhysicalMemory } from '../memory/physical.js';
import { type EventKind, type EventRecord, FIELD_INDEX, type Observer } from '../observer.js';
import { VmxCache } from '../vmx/cache.js';
import { ARITHMETIC, dematerialize, FLAG, materialize } from './flags.js';
import { type Intercepts, noIntercepts } from './intercepts.js';
import { gpr, S, SEG, STATE_BYTES, segRights } from './layout.js';
import { modeOf } from './mode.js';
import type { CpuModel } from './model.js';
import { linkToExit } from './serving.js';

/**
 * An event under delivery as a VM exit reports it: Intel SDM Vol. 3C, "Information for VM Exits That Occur During Event
 * Delivery". `info` has the format of the IDT-vectoring information; `instructionLength` is that of a software event.
 */
export interface Vectoring {
  readonly info: number;
  readonly errorCode: number;
  readonly instructionLength: number;
}

/** Port I/O, as the machine's devices answer it. */
export interface PortBus {
  /** `size` 1, 2 or 4; the answer is below 2^32. */
  in(port: number, size: number): number;
  out(port: number, size: number, value: number): void;
}

/** The interrupt line from the PIC. */
export interface InterruptLine {
  readonly pending: boolean;
  /** Takes the interrupt and answers its vector. */
  acknowledge(): number;
}

/** What the TLB and decode cache offer to slow paths. */
export interface TranslationControl {
  /** Drops every translation of the current context (MOV CR3 and the like). `global` drops global ones too. */
  flush(global: boolean): void;
  flushPage(linear: bigint): void;
  /** Drops by VPID (null: all) or by EPT pointer (null: all). */
  flushVpid(vpid: number | null): void;
  flushEpt(eptp: bigint | null): void;
  /** CPL, paging mode, VPID or EPTP changed: recompute S.TLB_TAG. Call after every change of these. */
  retag(): void;
}

export class Cpu {
  readonly index: number;
  readonly model: CpuModel;
  /** Address of the state in linear memory. */
  readonly base: number;
  readonly memory: PhysicalMemory;
  readonly linear: LinearMemory;
  readonly ports: PortBus;
  readonly interrupts: InterruptLine;
  readonly translations: TranslationControl;
  readonly state: DataView;
  observer: Observer;
  /** Filled by `begin`; one for all events of the machine. */
  readonly record: EventRecord;
  intercepts: Intercepts = noIntercepts;
  /** Told of every read and write of a guest paging-structure entry of `size` bytes, by guest-physical address. */
  walkObserver: ((gpa: number, value: bigint, write: boolean, size: 4 | 8) => void) | null = null;
  /** The event whose delivery is under way, for a VM exit that stops it: cpu/delivery.ts. */
  vectoring: Vectoring | null = null;
  /** What makes VM entries and exits fast; no result depends on it, and no checkpoint holds it. */
  readonly vmx: VmxCache;

  constructor(
    index: number,
    model: CpuModel,
    buffer: ArrayBuffer,
    base: number,
    wiring: {
      memory: PhysicalMemory;
      linear: LinearMemory;
      ports: PortBus;
      interrupts: InterruptLine;
      translations: TranslationControl;
      observer: Observer;
      record: EventRecord;
    },
  ) {
    this.index = index;
    this.model = model;
    this.base = base;
    this.state = new DataView(buffer, base, STATE_BYTES);
    this.memory = wiring.memory;
    this.linear = wiring.linear;
    this.ports = wiring.ports;
    this.interrupts = wiring.interrupts;
    this.translations = wiring.translations;
    this.observer = wiring.observer;
    this.record = wiring.record;
    this.vmx = new VmxCache(buffer, model);
  }

  /** A slot of the state (S, or an offset made by gpr(), segBase() ...). */
  u64(slot: number): bigint {
    return this.state.getBigUint64(slot, true);
  }
  setU64(slot: number, value: bigint): void {
    this.state.setBigUint64(slot, value, true);
  }
  u32(slot: number): number {
    return this.state.getUint32(slot, true);
  }
  /** Sets a slot to a value of 32 bits; the high half becomes 0. */
  setU32(slot: number, value: number): void {
    this.state.setUint32(slot, value, true);
    this.state.setUint32(slot + 4, 0, true);
  }
  /** A slot that holds a value below 2^53 (ticks, physical addresses). */
  number(slot: number): number {
    return this.state.getUint32(slot, true) + this.state.getUint32(slot + 4, true) * 0x1_0000_0000;
  }
  setNumber(slot: number, value: number): void {
    this.state.setUint32(slot, value >>> 0, true);
    this.state.setUint32(slot + 4, Math.floor(value / 0x1_0000_0000), true);
  }

  /** Reads a register operand of a record (R.dst, R.src) at a size; 8-bit high registers are offsets of byte 1. */
  readRegister(slot: number, size: number): bigint {
    if (size === 8) return this.state.getBigUint64(slot, true);
    if (size === 4) return BigInt(this.state.getUint32(slot, true));
    return BigInt(size === 2 ? this.state.getUint16(slot, true) : this.state.getUint8(slot));
  }
  /** Writes a register operand: 32-bit writes clear the high half, smaller ones keep the rest. */
  writeRegister(slot: number, size: number, value: bigint): void {
    if (size >= 4) this.setU64(slot, size === 8 ? BigInt.asUintN(64, value) : value & 0xffff_ffffn);
    else if (size === 2) this.state.setUint16(slot, Number(value & 0xffffn), true);
    else this.state.setUint8(slot, Number(value & 0xffn));
  }

  get rip(): bigint {
    return this.u64(S.RIP);
  }
  set rip(value: bigint) {
    this.setU64(S.RIP, value);
  }
  get rsp(): bigint {
    return this.u64(gpr(4));
  }
  set rsp(value: bigint) {
    this.setU64(gpr(4), value);
  }
  get cpl(): number {
    return this.u32(S.CPL);
  }
  get tick(): number {
    return this.number(S.TICK);
  }
  get step(): number {
    return this.number(S.TICK) - this.number(S.NONSTEP);
  }
  get level(): number {
    return this.u32(S.LEVEL);
  }
  get nonRoot(): boolean {
    return this.u32(S.VMX_NONROOT) !== 0;
  }
  /** IA-32e mode is active (EFER.LMA). */
  get longMode(): boolean {
    return (this.u32(S.EFER) & 0x400) !== 0;
  }
  /** 64-bit mode: IA-32e mode and CS.L. */
  get mode64(): boolean {
    return this.longMode && (this.u32(segRights(SEG.CS)) & 0x2000) !== 0;
  }
  get protectedMode(): boolean {
    return (this.u32(S.CR0) & 1) !== 0;
  }
  get virtual8086(): boolean {
    return (this.u32(S.RFLAGS_REST) & FLAG.VM) !== 0;
  }

  /** RFLAGS as software sees it; bit 1 is set. */
  get rflags(): number {
    const arithmetic = materialize(
      this.u32(S.FLAG_RESULT),
      this.u32(S.FLAG_RESULT + 4),
      this.u32(S.FLAG_CARRY),
      this.u32(S.FLAG_CARRY + 4),
    );
    return (this.u32(S.RFLAGS_REST) | arithmetic | 2) >>> 0;
  }
  set rflags(value: number) {
    const lazy = dematerialize(value);
    this.setU32(S.FLAG_RESULT, lazy.resultLow);
    this.state.setUint32(S.FLAG_CARRY, lazy.carryLow, true);
    this.state.setUint32(S.FLAG_CARRY + 4, lazy.carryHigh, true);
    this.setU32(S.RFLAGS_REST, (value & ~ARITHMETIC) | 2);
  }

  /** CR0, CR2, CR3, CR4 or CR8 as it is in hardware. */
  readControl(cr: number): bigint {
    const slot = [S.CR0, -1, S.CR2, S.CR3, S.CR4, -1, -1, -1, S.CR8][cr];
    if (slot === undefined || slot < 0) throw new RangeError(`no control register ${cr}`);
    return this.u64(slot);
  }

  /** To be called after any change of CR0, EFER, CS, SS, DS, ES or RFLAGS.VM: recomputes the decoder's key. */
  updateMode(): void {
    this.setU32(S.MODE, modeOf(this));
  }

  /** A tick that is no retired instruction: event delivery, VM entry, VM exit, a REP iteration, monitor work. */
  spend(ticks: number): void {
    this.setNumber(S.TICK, this.number(S.TICK) + ticks);
    this.setNumber(S.NONSTEP, this.number(S.NONSTEP) + ticks);
  }

  /** Starts an event of this vCPU now; fill it with `set`, then `commit`. */
  begin(kind: EventKind, from = this.level, to = 255): EventRecord {
    const { tick } = this;
    return this.record.begin(kind, this.index, tick, tick - this.number(S.NONSTEP), from, to);
  }
  commit(): void {
    linkToExit(this);
    this.observer.event(this.record);
  }
  /** Sets an event's field from a slot, without an allocation. */
  put(field: Parameters<EventRecord['set']>[0], slot: number): void {
    this.putAt(FIELD_INDEX[field], slot);
  }
  /** The same by the field's position (FIELD_INDEX). */
  putAt(index: number, slot: number): void {
    this.record.setAt(index, this.state.getUint32(slot, true), this.state.getUint32(slot + 4, true));
  }
}
