/** A vCPU on a test bench: state and RAM in one buffer, and a linear memory that walks the tables at every access. */
import { Cpu, type InterruptLine, type PortBus, type TranslationControl } from '../../../engine/cpu/cpu.js';
import { CpuFault, FAULT, NestedPageFault, VECTOR } from '../../../engine/cpu/fault.js';
import { Insn, R, RECORD_BYTES } from '../../../engine/cpu/insn.js';
import { GPR, S, SEG, STATE_BYTES, segRights } from '../../../engine/cpu/layout.js';
import type { CpuModel } from '../../../engine/cpu/model.js';
import { skylake } from '../../../engine/cpu/models/skylake.js';
import { setSegment } from '../../../engine/cpu/segments.js';
import { SYSTEM_INSTRUCTIONS } from '../../../engine/cpu/system/table.js';
import type { AccessSize, LinearMemory } from '../../../engine/memory/access.js';
import { walk } from '../../../engine/memory/paging.js';
import { PAGE_BYTES, PAGE_INFO_BYTES, PhysicalMemory } from '../../../engine/memory/physical.js';
import { ACCESS, Walk } from '../../../engine/memory/walk.js';
import { EVENT_KINDS, EventRecord, type Observer } from '../../../engine/observer.js';

const STATE = 0x1000;
const RECORD = STATE + STATE_BYTES;
const INFO = 0x2000;
const RAM = 0x1_0000;

/** Walks at every access, byte-wise across pages. */
class WalkingMemory implements LinearMemory {
  readonly #out = new Walk();

  #physical(cpu: Cpu, linear: bigint, write: boolean, implicit: boolean): number {
    const access = (write ? ACCESS.write : 0) | (implicit ? ACCESS.implicit : 0) | (cpu.cpl === 3 ? ACCESS.user : 0);
    const out = this.#out;
    walk(cpu, linear, access, out);
    if (out.fault === FAULT.exception) throw new CpuFault(VECTOR.PF, out.errorCode, linear);
    if (out.fault !== FAULT.none) {
      const kind = out.fault === FAULT.ept_violation ? 'ept_violation' : 'ept_misconfig';
      throw new NestedPageFault(kind, out.qualification, linear, out.faultGpa);
    }
    return out.hostFrame * PAGE_BYTES + Number(linear & 0xfffn);
  }

  load(cpu: Cpu, linear: bigint, size: AccessSize, implicit = false): bigint {
    let value = 0n;
    for (let i = 0; i < size; i++) {
      const at = this.#physical(cpu, BigInt.asUintN(64, linear + BigInt(i)), false, implicit);
      value |= BigInt(cpu.memory.read(at, 1)) << BigInt(8 * i);
    }
    return value;
  }

  store(cpu: Cpu, linear: bigint, size: AccessSize, value: bigint, implicit = false): void {
    const addresses = Array.from({ length: size }, (_, i) =>
      this.#physical(cpu, BigInt.asUintN(64, linear + BigInt(i)), true, implicit),
    );
    addresses.forEach((at, i) => {
      cpu.memory.write(at, 1, Number((value >> BigInt(8 * i)) & 0xffn));
    });
  }

  probeStore(cpu: Cpu, linear: bigint, size: AccessSize): void {
    for (let i = 0; i < size; i++) this.#physical(cpu, linear + BigInt(i), true, false);
  }
}

export interface BenchEvent {
  readonly kind: string;
  readonly code: number;
  readonly tick: number;
}

const KIND_NAMES = new Map<number, string>(Object.entries(EVENT_KINDS).map(([name, number]) => [number, name]));

/** What a slow instruction reads of its record; registers are slots. */
export interface Operands {
  readonly length?: number;
  readonly prefixes?: number;
  readonly size?: number;
  readonly addressSize?: number;
  readonly dst?: number;
  readonly src?: number;
  readonly base?: number;
  readonly displacement?: bigint;
  readonly segment?: number;
  readonly memory?: boolean;
  readonly immediate?: bigint;
}

export class Bench {
  readonly cpu: Cpu;
  readonly memory: PhysicalMemory;
  readonly insn: Insn;
  readonly ports = new Map<number, number>();
  readonly written: { port: number; size: number; value: number }[] = [];
  readonly flushes: string[] = [];
  readonly events: BenchEvent[] = [];
  readonly #view: DataView;

  constructor(ramBytes = 0x10_0000, model: CpuModel = skylake) {
    const infoBytes = (ramBytes / PAGE_BYTES) * PAGE_INFO_BYTES;
    if (INFO + infoBytes > RAM) throw new RangeError('the page records need more room than the bench has');
    const buffer = new ArrayBuffer(RAM + ramBytes);
    this.#view = new DataView(buffer);
    this.memory = new PhysicalMemory(buffer, RAM, INFO, ramBytes);
    this.insn = new Insn(buffer).at(RECORD);
    const portBus: PortBus = {
      in: (port) => this.ports.get(port) ?? 0xffff_ffff,
      out: (port, size, value) => this.written.push({ port, size, value }),
    };
    const interrupts: InterruptLine = { pending: false, acknowledge: () => 0 };
    const translations: TranslationControl = {
      flush: (global) => this.flushes.push(global ? 'all' : 'context'),
      flushPage: (linear) => this.flushes.push(`page ${linear.toString(16)}`),
      flushVpid: () => {},
      flushEpt: () => {},
      retag: () => {},
    };
    const observer: Observer = {
      event: (event) => {
        const name = KIND_NAMES.get(event.kind) ?? '?';
        this.events.push({ kind: name, code: event.words[20] ?? 0, tick: event.tick });
      },
      memory: () => {},
      message: () => {},
      output: () => {},
    };
    this.cpu = new Cpu(0, model, buffer, STATE, {
      memory: this.memory,
      linear: new WalkingMemory(),
      ports: portBus,
      interrupts,
      translations,
      observer,
      record: new EventRecord(),
    });
    this.reset();
  }

  /** Real mode, every segment at 0. */
  reset(): void {
    const { cpu } = this;
    cpu.rflags = 2;
    cpu.setU64(S.CR0, 0x10n);
    for (let n = 0; n < 8; n++) setSegment(cpu, n, 0, 0n, 0xffff, 0x93);
    cpu.setU32(segRights(SEG.LDTR), 0x82);
    cpu.setU32(segRights(SEG.TR), 0x8b);
    cpu.setU32(S.GDTR_LIMIT, 0xffff);
    cpu.setU32(S.IDTR_LIMIT, 0xffff);
    cpu.setU64(S.DR6, 0xffff_0ff0n);
    cpu.setU64(S.DR7, 0x400n);
    cpu.setU64(S.XCR0, 1n);
    cpu.setU64(S.PAT, 0x0007_0406_0007_0406n);
    cpu.updateMode();
  }

  /** Executes one slow instruction; faults are thrown. */
  run(name: string, operands: Operands = {}): number {
    const handler = SYSTEM_INSTRUCTIONS[name];
    if (!handler) throw new RangeError(`no slow instruction ${name}`);
    const view = this.#view;
    new Uint8Array(view.buffer, RECORD, RECORD_BYTES).fill(0);
    const width = this.cpu.mode64 ? 8 : this.cpu.u32(segRights(SEG.CS)) & 0x4000 ? 4 : 2;
    view.setUint8(RECORD + R.length, operands.length ?? 2);
    view.setUint8(RECORD + R.prefixes, operands.prefixes ?? 0);
    view.setUint8(RECORD + R.size, operands.size ?? width);
    view.setUint8(RECORD + R.addressSize, operands.addressSize ?? width);
    view.setUint16(RECORD + R.dst, operands.dst ?? S.ZERO, true);
    view.setUint16(RECORD + R.src, operands.src ?? S.ZERO, true);
    view.setUint16(RECORD + R.base, operands.base ?? S.ZERO, true);
    view.setUint16(RECORD + R.index, S.ZERO, true);
    view.setUint8(RECORD + R.segment, operands.segment ?? SEG.DS);
    view.setUint8(RECORD + R.isMemory, operands.memory ? 1 : 0);
    view.setBigInt64(RECORD + R.displacement, operands.displacement ?? 0n, true);
    view.setBigInt64(RECORD + R.immediate, operands.immediate ?? 0n, true);
    return handler(this.cpu, this.insn);
  }

  /** The fault that an instruction raises: `#GP(8)`; `none` where it does not. */
  fault(name: string, operands: Operands = {}): string {
    return faultOf(() => this.run(name, operands));
  }

  /** Writes 8-byte values from a physical address on. */
  put(address: number, ...values: bigint[]): void {
    values.forEach((value, i) => {
      this.memory.write64(address + 8 * i, BigInt.asUintN(64, value));
    });
  }
}

const VECTOR_NAMES = new Map<number, string>(Object.entries(VECTOR).map(([name, number]) => [number, name]));

/** Runs an action; the fault that it throws, written as the manual writes it. */
export function faultOf(action: () => unknown): string {
  try {
    action();
    return 'none';
  } catch (error) {
    if (error instanceof CpuFault) return `#${VECTOR_NAMES.get(error.vector)}(${error.errorCode})`;
    if (error instanceof NestedPageFault) return `${error.kind} ${error.qualification.toString(16)}`;
    throw error;
  }
}

/** A code, data or system descriptor: flags are its bits 55:52 (G, D/B, L, AVL), type its bits 47:40. */
export function descriptor(base: number, limit: number, type: number, flags: number): bigint {
  const low = BigInt(limit & 0xffff) | (BigInt(base & 0xff_ffff) << 16n);
  const high = BigInt(type) | (BigInt((limit >> 16) & 15) << 8n) | (BigInt(flags) << 12n);
  return low | (high << 40n) | (BigInt((base >>> 24) & 0xff) << 56n);
}

/** A gate with the low half of its offset; a 64-bit one takes `offset >> 32` in the next 8 bytes. */
export function gate(selector: number, offset: number, type: number, ist = 0): bigint {
  return (
    BigInt(offset & 0xffff) |
    (BigInt(selector) << 16n) |
    (BigInt(ist) << 32n) |
    (BigInt(type) << 40n) |
    (BigInt(offset >>> 16) << 48n)
  );
}

/** Selectors of `enterLongMode` and `enterProtectedMode`. */
export const SELECTOR = { code: 0x08, data: 0x10, code3: 0x1b, data3: 0x23, code32: 0x28, tss: 0x30 } as const;
export const GDT = 0x1000;
export const IDT = 0x2000;
export const TSS = 0x3000;
export const PML4 = 0x4000;

function buildGdt(bench: Bench, codeFlags: number): void {
  bench.put(
    GDT,
    0n,
    descriptor(0, 0xf_ffff, 0x9a, codeFlags),
    descriptor(0, 0xf_ffff, 0x92, 0xc),
    descriptor(0, 0xf_ffff, 0xfa, codeFlags),
    descriptor(0, 0xf_ffff, 0xf2, 0xc),
    descriptor(0, 0xf_ffff, 0x9a, 0xc),
    descriptor(TSS, 0x67, 0x89, 0),
    0n,
  );
  const { cpu } = bench;
  cpu.setU64(S.GDTR_BASE, BigInt(GDT));
  cpu.setU32(S.GDTR_LIMIT, 0x3f);
  cpu.setU64(S.IDTR_BASE, BigInt(IDT));
  cpu.setU32(S.IDTR_LIMIT, 0xfff);
}

function loadFlat(bench: Bench, codeRights: number): void {
  const { cpu } = bench;
  setSegment(cpu, SEG.CS, SELECTOR.code, 0n, 0xffff_ffff, codeRights);
  for (const n of [SEG.SS, SEG.DS, SEG.ES, SEG.FS, SEG.GS]) {
    setSegment(cpu, n, SELECTOR.data, 0n, 0xffff_ffff, 0xc093);
  }
  cpu.updateMode();
  bench.run('ltr', { dst: GPR.RAX });
}

/** 32-bit protected mode without paging: flat segments, a GDT, an empty IDT, a TSS. */
export function enterProtectedMode(bench: Bench): void {
  const { cpu } = bench;
  buildGdt(bench, 0xc);
  cpu.setU64(S.CR0, 0x11n);
  cpu.setU64(GPR.RAX, BigInt(SELECTOR.tss));
  loadFlat(bench, 0xc09b);
  cpu.rsp = 0x8000n;
}

/** 64-bit mode, the first 2 MiB mapped one to one for user and supervisor, as above otherwise. */
export function enterLongMode(bench: Bench): void {
  const { cpu } = bench;
  buildGdt(bench, 0xa);
  bench.put(PML4, BigInt(PML4 + 0x1000) | 7n);
  bench.put(PML4 + 0x1000, BigInt(PML4 + 0x2000) | 7n);
  bench.put(PML4 + 0x2000, 0x87n);
  cpu.setU64(S.CR3, BigInt(PML4));
  cpu.setU64(S.CR4, 0x20n);
  cpu.setU64(S.EFER, 0x500n);
  cpu.setU64(S.CR0, 0x8001_0011n);
  cpu.setU64(GPR.RAX, BigInt(SELECTOR.tss));
  loadFlat(bench, 0xa09b);
  cpu.rsp = 0x8000n;
}

/** Goes to ring 3 on the flat user segments. */
export function enterRing3(bench: Bench): void {
  const { cpu } = bench;
  const rights = cpu.u32(segRights(SEG.CS));
  setSegment(cpu, SEG.CS, SELECTOR.code3, 0n, 0xffff_ffff, rights | 0x60);
  setSegment(cpu, SEG.SS, SELECTOR.data3, 0n, 0xffff_ffff, 0xc0f3);
  cpu.setU32(S.CPL, 3);
  cpu.updateMode();
}
