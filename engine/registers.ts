/** General registers as events and traces give them: RAX to R15 in the manual's encoding order, then RFLAGS. */
import type { Cpu } from './cpu/cpu.js';

const GENERAL = 16;
/** 32-bit words of all of them, low word before high word. */
export const REGISTER_WORDS = 2 * (GENERAL + 1);

/** Fills `words`, and answers it: nothing is allocated, for this is asked for at every exit. */
export function registerWords(cpu: Cpu, words: Uint32Array): Uint32Array {
  const { state } = cpu;
  for (let i = 0; i < 2 * GENERAL; i++) words[i] = state.getUint32(4 * i, true);
  words[2 * GENERAL] = cpu.rflags;
  words[2 * GENERAL + 1] = 0;
  return words;
}
