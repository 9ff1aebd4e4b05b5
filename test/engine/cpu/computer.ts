/**
 * A machine on a test bench: 64-bit or 32-bit user code under 4-level paging with a handler for every exception, or
 * real-address mode. Physical memory below 1 MiB holds the tables; pages are mapped where a test wants them.
 */
import { GPR, gpr, S, SEG, segBase, segLimit, segRights, segSelector } from '../../../engine/cpu/layout.js';
import type { CpuModel } from '../../../engine/cpu/model.js';
import { skylake } from '../../../engine/cpu/models/skylake.js';
import { setCpl } from '../../../engine/cpu/segments.js';
import { Machine } from '../../../engine/machine.js';
import { nullObserver, type Observer } from '../../../engine/observer.js';

const GDT = 0x1000;
const IDT = 0x2000;
const TSS = 0x3000;
const HANDLERS = 0x4000;
const PML4 = 0x1_0000;
const TABLES = 0x1_1000;
const KERNEL_STACK = 0x8000;
export const SELECTORS = { code: 0x08, data: 0x10, code64: 0x1b, data3: 0x23, code32: 0x2b, tss: 0x30 } as const;
/** First physical address that tables do not use. */
export const FREE = 0x4_0000;

export const PTE = { present: 1, writable: 2, user: 4, noExecute: 1n << 63n } as const;

/** The exception that stopped user code. */
export interface Exception {
  readonly vector: number;
  readonly errorCode: number;
  readonly rip: bigint;
  readonly rflags: number;
  readonly rsp: bigint;
}

const HAS_ERROR_CODE = new Set([8, 10, 11, 12, 13, 14, 17]);

export class Computer {
  readonly machine: Machine;
  #tables = TABLES;

  constructor({ observer = nullObserver, model = skylake }: { observer?: Observer; model?: CpuModel } = {}) {
    this.machine = new Machine({ model, memoryBytes: 1 << 20, epoch: 0, checkpointEvery: 1e15 }, observer);
    this.#buildTables();
  }

  #buildTables(): void {
    const { memory } = this.machine;
    const descriptors = [
      0n,
      0x00af_9b00_0000_ffffn,
      0x00cf_9300_0000_ffffn,
      0x00af_fb00_0000_ffffn,
      0x00cf_f300_0000_ffffn,
      0x00cf_fb00_0000_ffffn,
    ];
    descriptors.forEach((descriptor, i) => {
      memory.write64(GDT + 8 * i, descriptor);
    });
    for (let vector = 0; vector < 32; vector++) {
      const offset = BigInt(HANDLERS + 16 * vector);
      memory.write64(IDT + 16 * vector, (offset & 0xffffn) | (BigInt(SELECTORS.code) << 16n) | (0x8e00n << 32n));
    }
    memory.write64(TSS + 4, BigInt(KERNEL_STACK));
    // No I/O permission bitmap: it would begin beyond the limit.
    memory.write(TSS + 0x66, 2, 0x68);
    for (let page = 0; page < FREE; page += 4096) this.map(BigInt(page), page, PTE.present | PTE.writable);
  }

  #entry(table: number, index: number): number {
    const { memory } = this.machine;
    const at = table + 8 * index;
    if (!(memory.read64(at) & 1n)) {
      memory.write64(at, BigInt(this.#tables) | 7n);
      this.#tables += 4096;
    }
    return Number(memory.read64(at) & 0xf_ffff_ffff_f000n);
  }

  /** Physical address of the page-table entry of a linear address. */
  entryOf(linear: bigint): number {
    const index = (level: number): number => Number((linear >> BigInt(12 + 9 * level)) & 511n);
    let table = PML4;
    for (let level = 3; level > 0; level--) table = this.#entry(table, index(level));
    return table + 8 * index(0);
  }

  /** Maps a page; 0 in `bits` unmaps it. Cached translations stay, as on a processor. */
  map(linear: bigint, physical: number, bits: number | bigint): void {
    this.machine.memory.write64(this.entryOf(linear), BigInt.asUintN(64, BigInt(physical) | BigInt(bits)));
  }

  /** User code of 64 or 32 bits, interrupts on, at CPL 3 (or at CPL 0). */
  enterLongMode(bits: 32 | 64, privilege: 0 | 3 = 3): void {
    const { cpu } = this.machine;
    cpu.setU64(S.GDTR_BASE, BigInt(GDT));
    cpu.setU32(S.GDTR_LIMIT, 0xff);
    cpu.setU64(S.IDTR_BASE, BigInt(IDT));
    cpu.setU32(S.IDTR_LIMIT, 0xfff);
    cpu.setU64(S.CR3, BigInt(PML4));
    cpu.setU64(S.CR4, 0x20n);
    cpu.setU64(S.EFER, 0xd00n);
    cpu.setU64(S.CR0, 0x8001_0011n);
    const user = privilege === 3;
    const code = user ? (bits === 64 ? SELECTORS.code64 : SELECTORS.code32) : SELECTORS.code;
    this.#segment(SEG.CS, code, (bits === 64 ? 0xa09b : 0xc09b) | (privilege << 5));
    const data = user ? SELECTORS.data3 : SELECTORS.data;
    for (const n of [SEG.ES, SEG.SS, SEG.DS, SEG.FS, SEG.GS]) this.#segment(n, data, 0xc093 | (privilege << 5));
    this.#segment(SEG.TR, SELECTORS.tss, 0x8b);
    cpu.setU64(segBase(SEG.TR), BigInt(TSS));
    cpu.setU32(segLimit(SEG.TR), 0x67);
    setCpl(cpu, privilege);
    cpu.updateMode();
  }

  /** Real-address mode: every segment at 0. */
  enterRealMode(): void {
    const { cpu } = this.machine;
    cpu.setU64(S.CR0, 0x10n);
    cpu.setU64(S.IDTR_BASE, 0n);
    cpu.setU32(S.IDTR_LIMIT, 0x3ff);
    for (let n = 0; n < 6; n++) {
      this.#segment(n, 0, n === SEG.CS ? 0x9b : 0x93);
      cpu.setU32(segLimit(n), 0xffff);
    }
    setCpl(cpu, 0);
    cpu.updateMode();
  }

  /** A code segment of real-address mode. */
  setCodeBase(selector: number): void {
    const { cpu } = this.machine;
    cpu.setU32(segSelector(SEG.CS), selector);
    cpu.setU64(segBase(SEG.CS), BigInt(selector * 16));
    cpu.updateMode();
  }

  #segment(n: number, selector: number, rights: number): void {
    const { cpu } = this.machine;
    cpu.setU32(segSelector(n), selector);
    cpu.setU64(segBase(n), 0n);
    cpu.setU32(segLimit(n), 0xffff_ffff);
    cpu.setU32(segRights(n), rights);
  }

  register(n: number): bigint {
    return this.machine.cpu.u64(gpr(n));
  }

  /** Instructions and REP iterations one at a time, until RIP is elsewhere. Answers how many ticks passed. */
  stepUntilMoved(limit = 64): number {
    const { cpu } = this.machine;
    const start = cpu.rip;
    let ticks = 0;
    while (ticks < limit && cpu.rip === start) {
      this.machine.run(cpu.tick + 1);
      ticks++;
    }
    return ticks;
  }

  /** The exception whose handler RIP points at, from its frame on the kernel's stack; null where there was none. */
  exception(): Exception | null {
    const { cpu, memory } = this.machine;
    const rip = Number(cpu.rip);
    if (rip < HANDLERS || rip >= HANDLERS + 512 || rip % 16 !== 0) return null;
    const vector = (rip - HANDLERS) / 16;
    const hasError = HAS_ERROR_CODE.has(vector);
    const frame = Number(cpu.u64(GPR.RSP)) + (hasError ? 8 : 0);
    return {
      vector,
      errorCode: hasError ? memory.read(frame - 8, 4) : 0,
      rip: memory.read64(frame),
      rflags: memory.read(frame + 16, 4),
      rsp: memory.read64(frame + 24),
    };
  }
}
