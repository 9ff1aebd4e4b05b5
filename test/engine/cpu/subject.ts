/** Our machine as the subject of native vectors: one instruction of user code, from given inputs to its outcome. */
import { gpr, SEG, segBase } from '../../../engine/cpu/layout.js';
import type { CpuModel } from '../../../engine/cpu/model.js';
import { skylake } from '../../../engine/cpu/models/skylake.js';
import { codeOf, type Outcome, PLACE, type State, type Vector } from '../native/cases.js';
import { Computer, FREE, PTE } from './computer.js';

const CODE = FREE + 0x1_0000;
const DATA = CODE + 0x1000;

/** The processor with TZCNT. */
export const withBmi1: CpuModel = {
  ...skylake,
  cpuid: skylake.cpuid.map((leaf) => (leaf.leaf === 7 ? { ...leaf, ebx: leaf.ebx | 8 } : leaf)),
};

export class Subject {
  readonly #computer = new Computer({ model: withBmi1 });

  constructor() {
    const all = PTE.present | PTE.writable | PTE.user;
    this.#computer.map(BigInt(PLACE.entry & ~0xfff), CODE, all);
    for (const page of [-1, 0, 1]) this.#computer.map(BigInt(PLACE.data + page * 4096), DATA + (page + 1) * 4096, all);
  }

  /** Runs one case. The outcome is valid until the next one. */
  run(vector: Vector, number: number, input: State, outcome: Outcome): void {
    const { machine } = this.#computer;
    const { cpu, memory } = machine;
    this.#computer.enterLongMode(vector.bits);
    cpu.setU64(segBase(SEG.GS), BigInt(PLACE.gsBase));
    memory.copyIn(CODE + (PLACE.entry & 0xfff), codeOf(vector, number));
    memory.copyIn(DATA + 4096, input.memory);
    for (let i = 0; i < 16; i++) cpu.setU64(gpr(i), input.regs[i] ?? 0n);
    cpu.rflags = input.flags;
    cpu.rip = BigInt(PLACE.entry);
    this.#computer.stepUntilMoved();
    const exception = this.#computer.exception();
    outcome.flags = exception?.rflags ?? cpu.rflags;
    for (let i = 0; i < 16; i++) outcome.regs[i] = cpu.u64(gpr(i));
    if (exception) outcome.regs[4] = exception.rsp;
    outcome.vector = exception?.vector ?? 0;
    const fell = cpu.rip === BigInt(PLACE.entry + vector.code.length);
    outcome.ended = exception ? 2 : fell ? 0 : cpu.rip === BigInt(PLACE.taken) ? 1 : 3;
    outcome.memory.set(memory.bytes.subarray(DATA + 4096, DATA + 4096 + PLACE.window));
  }
}
