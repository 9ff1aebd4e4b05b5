/** General registers of a machine's vCPU in the order of the trace's `register` table. */
import type { Machine } from '../../engine/machine.js';

const words = new Uint32Array(34);

/** RAX to R15 and RFLAGS, low word before high word; the same array at every call. */
export function registerWords(machine: Machine): Uint32Array {
  const { state } = machine.cpu;
  for (let i = 0; i < 32; i++) words[i] = state.getUint32(4 * i, true);
  words[32] = machine.cpu.rflags;
  words[33] = 0;
  return words;
}
