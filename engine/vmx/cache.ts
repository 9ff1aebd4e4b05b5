/** What one vCPU keeps to make VM entries and exits fast. No result depends on it, and no checkpoint holds it. */
import { Insn } from '../cpu/insn.js';
import type { PhysicalMemory } from '../memory/physical.js';
import { loopCopies, type StateCopies } from './transfer.js';

/** Fields of a VMCS as they were at its last good entry, and what else its checks had read. */
export interface GoodEntry {
  /** The checked part of the region, as 32-bit words. */
  readonly words: Int32Array;
  /** Registers of the vCPU that checks read. */
  inputs: number;
}

export class VmxCache {
  /** By address of the VMCS region. */
  readonly goodEntries = new Map<number, GoodEntry>();
  /** Evaluate every check at every entry. */
  checkAlways = false;
  /** Copies of whole groups of state; functions generated from the same tables replace them (transfer-wasm.ts). */
  copies: StateCopies = loopCopies;
  #ramWords: Int32Array = new Int32Array(0);
  /** The instruction that exits: its record is at S.RECORD. */
  readonly insn: Insn;

  constructor(buffer: ArrayBuffer) {
    this.insn = new Insn(buffer);
  }

  /** RAM as 32-bit words. */
  ramWords(memory: PhysicalMemory): Int32Array {
    if (this.#ramWords.length === 0) {
      this.#ramWords = new Int32Array(memory.view.buffer, memory.base, memory.size / 4);
    }
    return this.#ramWords;
  }
}
