/** What one vCPU has besides its state, to make VM entries and exits. No result depends on it; no checkpoint holds it. */
import { Insn } from '../cpu/insn.js';
import type { CpuModel } from '../cpu/model.js';
import { type Capabilities, capabilitiesOf } from './capabilities.js';
import { loopCopies, type StateCopies } from './transfer.js';

export class VmxCache {
  /** Evaluate every check at every entry, whatever has changed. */
  checkAlways = false;
  /** Copies of whole groups of state; `generateCopies` (transfer-wasm.ts) makes fast ones. */
  copies: StateCopies = loopCopies;
  /** The instruction that exits: its record is at S.RECORD. */
  readonly insn: Insn;

  /** What the model's capability MSRs say. */
  readonly capabilities: Capabilities;

  constructor(buffer: ArrayBuffer, model: CpuModel) {
    this.insn = new Insn(buffer);
    this.capabilities = capabilitiesOf(model);
  }
}
