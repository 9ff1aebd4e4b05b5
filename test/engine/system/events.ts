/** What the tests of event delivery share: machines with gates, and a look at the frame. */
import { CpuFault } from '../../../engine/cpu/fault.js';
import { Bench, enterLongMode, enterProtectedMode, gate, IDT, SELECTOR } from './bench.js';

export const long = (setup: (bench: Bench) => void = () => {}): Bench => {
  const bench = new Bench();
  enterLongMode(bench);
  setup(bench);
  return bench;
};
export const protectedMode = (setup: (bench: Bench) => void = () => {}): Bench => {
  const bench = new Bench();
  enterProtectedMode(bench);
  setup(bench);
  return bench;
};

export const gate64 = (bench: Bench, vector: number, type = 0x8e, ist = 0): void =>
  bench.put(IDT + 16 * vector, gate(SELECTOR.code, 0x10_0000 + vector, type, ist), 0xffff_8000n);
export const gate32 = (bench: Bench, vector: number, type = 0x8e): void =>
  bench.put(IDT + 8 * vector, gate(SELECTOR.code, 0x10_0000 + vector, type));
export const handler64 = (vector: number): bigint => 0xffff_8000_0010_0000n + BigInt(vector);

/** Stack from its top: `count` elements of `size` bytes. */
export const frame = (bench: Bench, count: number, size: 2 | 4 | 8): bigint[] =>
  Array.from({ length: count }, (_, i) =>
    bench.cpu.linear.load(bench.cpu, bench.cpu.rsp + BigInt(i * size), size, true),
  );

export const fault = (vector: number, errorCode = 0, qualification = 0n) =>
  new CpuFault(vector, errorCode, qualification);
