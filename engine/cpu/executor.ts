/** Runs one vCPU in generated code and answers its calls: slow instructions, memory, fetching, decoding. */
import { JUMP_RECORD } from '../memory/map.js';
import { PAGE_BYTES } from '../memory/physical.js';
import type { AccessRing, RingContent } from '../memory/ring.js';
import type { Tlb } from '../memory/tlb.js';
import type { Cpu } from './cpu.js';
import type { DecodeCache } from './decode/cache.js';
import { CpuFault, FAULT, NestedPageFault, VECTOR } from './fault.js';
import { Insn, R, RECORD_BYTES } from './insn.js';
import { interpreterModule } from './interpreter/build.js';
import { type Recorded, STATUS, WRITE_INTENT } from './interpreter/protocol.js';
import { S, SEG, segBase, segLimit } from './layout.js';
import { MODE } from './mode.js';
import { OUTCOME } from './outcome.js';
import { linearAddress } from './segments.js';
import { PSEUDO } from './semantics/forms.js';
import { SLOW_INSTRUCTIONS } from './slow.js';

type Run = (base: number) => number;
const VARIANTS: { readonly [content in RingContent]: Recorded } = {
  none: { data: false, fetches: false },
  data: { data: true, fetches: false },
  all: { data: true, fetches: true },
};
const modules = new Map<RingContent, WebAssembly.Module>();
function compiled(content: RingContent): WebAssembly.Module {
  let module = modules.get(content);
  if (!module) {
    module = new WebAssembly.Module(interpreterModule(VARIANTS[content], 1));
    modules.set(content, module);
  }
  return module;
}

/** Ticks of one call of generated code: V8 replaces code by a better one only between calls. */
const SLICE = 1 << 18;

/** An address that no access can hit: what a segment violation leaves in place of a linear address. */
const POISON = 1n << 63n;

/** Of the high half of an address: bits 63:47 are equal. */
const canonicalHigh = (high: number): boolean => {
  const top = high >>> 15;
  return top === 0 || top === 0x1_ffff;
};

export class Executor {
  readonly #cpu: Cpu;
  readonly #tlb: Tlb;
  readonly #cache: DecodeCache;
  readonly #ring: AccessRing;
  readonly #insn: Insn;
  readonly #view: DataView;
  readonly #memory: WebAssembly.Memory;
  readonly #variants = new Map<RingContent, Run>();
  /** A device was touched: pending interrupts and deadlines must be looked at before the next instruction. */
  devicesTouched = false;
  /** The last instruction switched between guest and host. */
  switched = false;
  #mode = -1;
  /** What a slow instruction threw that is no fault of the guest: an error of the machine itself. */
  #error: unknown = null;

  constructor(memory: WebAssembly.Memory, cpu: Cpu, tlb: Tlb, cache: DecodeCache, ring: AccessRing) {
    this.#memory = memory;
    this.#cpu = cpu;
    this.#tlb = tlb;
    this.#cache = cache;
    this.#ring = ring;
    this.#view = new DataView(memory.buffer);
    this.#insn = new Insn(memory.buffer);
    this.#view.setUint16(JUMP_RECORD + R.handler, PSEUDO.jump, true);
    cache.onFlush = () => tlb.unlinkAll();
  }

  #instantiate(content: RingContent): Run {
    const env = {
      memory: this.#memory,
      slow: (_base: number, rec: number) => this.#slow(rec),
      load: (_base: number, size: number) => this.#load(size),
      store: (_base: number, size: number) => this.#store(size),
      segment: (_base: number, segment: number, size: number) => this.#segment(segment, size),
      fetch: () => this.#fetch(),
      cross: (_base: number, rec: number) => this.#cross(rec),
    };
    return new WebAssembly.Instance(compiled(content), { env }).exports.run as Run;
  }

  #run(): Run {
    const { content } = this.#ring;
    let run = this.#variants.get(content);
    if (!run) {
      run = this.#instantiate(content);
      this.#variants.set(content, run);
    }
    return run;
  }

  #enter(deadline: number): number {
    const cpu = this.#cpu;
    const { state } = cpu;
    const mode = cpu.u32(S.MODE);
    if (mode !== this.#mode) {
      // Code maps are by mode, the fetch TLB's links to them are not.
      this.#tlb.unlinkAll();
      this.#mode = mode;
    }
    const mode64 = (mode & 2) !== 0;
    state.setUint32(S.CODE_BASE, mode64 ? 0 : cpu.u32(segBase(SEG.CS)), true);
    state.setUint32(S.CODE_MASK, 0xffff_ffff, true);
    state.setUint32(S.CODE_MASK + 4, mode64 ? 0xffff_ffff : 0, true);
    state.setUint32(S.RING_META, (cpu.level << 12) | (cpu.index << 16), true);
    cpu.setNumber(S.DEADLINE, deadline);
    this.switched = false;
    const status = this.#run()(cpu.base);
    // A fault is still this instruction's affair; what else comes next is between instructions.
    if (status !== STATUS.fault) cpu.setU32(S.RECORD, 0);
    if (this.#error !== null) {
      const error = this.#error;
      this.#error = null;
      throw error;
    }
    return status;
  }

  /** Runs until `deadline` at the latest, never past it. Answers a STATUS; RIP and TICK are exact. */
  run(deadline: number): number {
    const cpu = this.#cpu;
    for (;;) {
      const slice = Math.min(deadline, cpu.tick + SLICE);
      const status = this.#enter(slice);
      if (status !== STATUS.deadline) return status;
      const left = deadline - cpu.tick;
      if (left <= 0) return status;
      if (slice < deadline) continue;
      const inside = this.#runInsideLine(left);
      if (inside !== STATUS.deadline && inside !== STATUS.stop) return inside;
      if (cpu.tick >= deadline) return STATUS.deadline;
    }
  }

  /**
   * Runs `count` instructions at the most of a straight line that is longer: by saying that it is as short as that, and
   * stopping at the record that follows.
   */
  #runInsideLine(count: number): number {
    const cpu = this.#cpu;
    const failed = this.#fetch();
    if (failed) return failed;
    const { generation } = this.#cache;
    const view = this.#view;
    const map = cpu.u32(S.CODE_PAGE);
    const first = this.#cache.record(map, this.#offsetInPage);
    let record = first;
    for (let steps = 0; steps < count; steps++) {
      if (view.getUint16(record + R.handler, true) === PSEUDO.cross) record += RECORD_BYTES;
      // The line is shorter than it said: an instruction was dropped. It is decoded again before going on.
      if (view.getUint16(record + R.handler, true) === PSEUDO.refetch) break;
      record += RECORD_BYTES;
    }
    const handler = view.getUint16(record + R.handler, true);
    const remaining = view.getUint16(first + R.remaining, true);
    view.setUint16(record + R.handler, PSEUDO.stop, true);
    view.setUint16(first + R.remaining, count, true);
    const status = this.#enter(cpu.tick + count);
    if (this.#cache.generation !== generation) return status;
    view.setUint16(first + R.remaining, remaining, true);
    if (view.getUint16(record + R.handler, true) !== PSEUDO.stop) return status;
    // A stop that was dropped meanwhile must not come back as what it was.
    const isCode = handler !== PSEUDO.refetch && handler !== PSEUDO.cross;
    const dropped = isCode && !this.#cache.isLive(map, record);
    view.setUint16(record + R.handler, dropped ? PSEUDO.refetch : handler, true);
    if (dropped) view.setUint32(record + R.link, 1, true);
    return status;
  }

  // Calls from generated code

  #leaveFault(fault: unknown): number {
    const cpu = this.#cpu;
    if (fault instanceof CpuFault) {
      cpu.setU32(S.FAULT_KIND, FAULT.exception);
      cpu.setU32(S.FAULT_VECTOR, fault.vector);
      cpu.setU32(S.FAULT_ERROR, fault.errorCode);
      cpu.setU64(S.FAULT_QUALIFICATION, fault.qualification);
    } else if (fault instanceof NestedPageFault) {
      cpu.setU32(S.FAULT_KIND, FAULT[fault.kind]);
      cpu.setU64(S.FAULT_QUALIFICATION, fault.qualification);
      cpu.setU64(S.FAULT_GVA, BigInt.asUintN(64, fault.gva));
      cpu.setNumber(S.FAULT_GPA, fault.gpa);
    } else {
      // Thrown on after generated code has returned.
      this.#error = fault ?? new Error('unknown error');
    }
    return STATUS.fault;
  }

  #slow(record: number): number {
    const cpu = this.#cpu;
    const insn = this.#insn.at(record);
    const instruction = SLOW_INSTRUCTIONS[insn.slow];
    let outcome: number;
    if (cpu.u32(S.REPEATING)) {
      cpu.setU32(S.REPEATING, 0);
      this.#ring.takeBackFetch(cpu, insn.length);
    }
    try {
      if (!instruction) throw new Error(`no slow instruction ${insn.slow}`);
      outcome = instruction(cpu, insn);
    } catch (fault) {
      return this.#leaveFault(fault);
    }
    if (outcome === OUTCOME.next) {
      if (!this.devicesTouched) return 0;
      outcome = OUTCOME.nextLeave;
    }
    if (outcome === OUTCOME.switched) {
      this.switched = true;
      return STATUS.leave;
    }
    if (outcome === OUTCOME.nextLeave) this.#skip(insn.at(record).length);
    cpu.setNumber(S.TICK, cpu.tick + 1);
    if (outcome === OUTCOME.repeat) {
      cpu.setNumber(S.NONSTEP, cpu.number(S.NONSTEP) + 1);
      // Where the iteration changed this very instruction, what is there now comes next.
      cpu.setU32(S.REPEATING, insn.at(record).handler === PSEUDO.refetch ? 0 : 1);
    }
    return STATUS.leave;
  }

  /** RIP moves past an instruction; in 16- and 32-bit code it stays within 32 bits. */
  #skip(length: number): void {
    const cpu = this.#cpu;
    cpu.rip = BigInt.asUintN(cpu.mode64 ? 64 : 32, cpu.rip + BigInt(length));
  }

  /** True where `size` bytes from the address in SLOW_ADDRESS can be used; leaves a fault otherwise. */
  #usable(size: number): boolean {
    const cpu = this.#cpu;
    if (cpu.u32(S.FAULT_KIND) !== FAULT.none) return false;
    const high = cpu.u32(S.SLOW_ADDRESS + 4);
    if (!(cpu.u32(S.MODE) & 2)) {
      // A 32-bit address wraps at 4 GiB.
      cpu.state.setUint32(S.SLOW_ADDRESS + 4, 0, true);
      return true;
    }
    // An access that crosses into what is not canonical faults before any part of it is translated.
    const carry = cpu.u32(S.SLOW_ADDRESS) + size - 1 > 0xffff_ffff ? 1 : 0;
    if (canonicalHigh(high) && canonicalHigh(high + carry)) return true;
    const stack = this.#usesStack(this.#insn.at(cpu.u32(S.RECORD)));
    this.#leaveFault(new CpuFault(stack ? VECTOR.SS : VECTOR.GP));
    return false;
  }

  /** Stack instructions address through SS without naming it; string instructions through DS and ES. */
  #usesStack(record: Insn): boolean {
    if (record.isMemory) return record.segment === SEG.SS;
    const opcode = record.byte(0);
    const isString = opcode >= 0xa4 && opcode <= 0xaf;
    return !isString && record.prefixes === 0;
  }

  #load(sizeAndIntent: number): number {
    if (!this.#usable(sizeAndIntent & 0xff)) return 0;
    const cpu = this.#cpu;
    const low = cpu.u32(S.SLOW_ADDRESS);
    const high = cpu.u32(S.SLOW_ADDRESS + 4);
    const write = (sizeAndIntent & WRITE_INTENT) !== 0;
    return this.#tlb.slowLoad(low, high, sizeAndIntent & 0xff, write, false, this.#ring.enabled);
  }

  #store(size: number): number {
    if (!this.#usable(size)) return 0;
    const cpu = this.#cpu;
    const low = cpu.u32(S.SLOW_ADDRESS);
    const high = cpu.u32(S.SLOW_ADDRESS + 4);
    return this.#tlb.slowStore(low, high, size, cpu.base + S.SLOW_VALUE, false, this.#ring.enabled) ? 1 : 0;
  }

  #segment(segment: number, sizeAndIntent: number): void {
    const cpu = this.#cpu;
    try {
      const write = (sizeAndIntent & WRITE_INTENT) !== 0;
      const offset = cpu.u64(S.SLOW_ADDRESS);
      cpu.setU64(S.SLOW_ADDRESS, linearAddress(cpu, segment, offset, sizeAndIntent & 0xff, write));
    } catch (fault) {
      this.#leaveFault(fault);
      cpu.setU64(S.SLOW_ADDRESS, POISON);
    }
  }

  /** Offset of RIP in its page, as `#fetch` found it. */
  #offsetInPage = 0;

  /** Translates RIP and sees that a record is there; 0, or the status to leave with. */
  #fetch(): number {
    const cpu = this.#cpu;
    // There is no instruction yet that a fault could belong to.
    cpu.setU32(S.RECORD, 0);
    const { state } = cpu;
    const ripLow = cpu.u32(S.RIP);
    const ripHigh = cpu.u32(S.RIP + 4);
    const mode = cpu.u32(S.MODE);
    const mode64 = (mode & 2) !== 0;
    const top = ripHigh >>> 15;
    const bad = mode64 ? top !== 0 && top !== 0x1_ffff : ripHigh !== 0 || ripLow > cpu.u32(segLimit(SEG.CS));
    if (bad) return this.#leaveFault(new CpuFault(VECTOR.GP));
    const low = mode64 ? ripLow : (ripLow + cpu.u32(S.CODE_BASE)) >>> 0;
    const frame = this.#tlb.fetch(low, mode64 ? ripHigh : 0);
    if (frame === null) return STATUS.fault;
    if (cpu.memory.isGate(frame)) return STATUS.gate;
    const map = this.#cache.page(frame, mode & (2 | MODE.flat | MODE.stack32 | 1));
    this.#tlb.link(low, map);
    cpu.setU32(S.CODE_PAGE, map);
    cpu.setNumber(S.PAGE_GPA, this.#tlb.fetchedPage(low));
    this.#offsetInPage = low & 0xfff;
    const page = ripLow - this.#offsetInPage;
    state.setUint32(S.PAGE_LINEAR, page >>> 0, true);
    state.setUint32(S.PAGE_LINEAR + 4, page < 0 ? ripHigh - 1 : ripHigh, true);
    this.#cache.record(map, this.#offsetInPage);
    return 0;
  }

  #cross(record: number): number {
    const cpu = this.#cpu;
    // CODE_BASE is 0 in 64-bit mode, and elsewhere addresses have 32 bits.
    const low = cpu.u32(S.PAGE_LINEAR) + cpu.u32(S.CODE_BASE) + PAGE_BYTES;
    const high = cpu.u32(S.PAGE_LINEAR + 4) + Math.floor(low / 0x1_0000_0000);
    const frame = this.#tlb.fetch(low >>> 0, (high & cpu.u32(S.CODE_MASK + 4)) >>> 0);
    if (frame === null) return 0;
    this.#cache.crossing(record, cpu.u32(S.CODE_PAGE), frame);
    return 1;
  }
}
