/** What the physical address width of a model, and its EPT capabilities, mean for paging-structure entries. */
import type { CpuModel } from '../cpu/model.js';

const IA32_VMX_EPT_VPID_CAP = 0x48c;

export interface EntryRules {
  readonly model: CpuModel;
  /** Bits 51:M of an entry for the physical address width M, in its high word. */
  readonly reservedHigh: number;
  /** EPT entries may grant execution alone. */
  readonly executeOnly: boolean;
}

const rulesOf = (model: CpuModel): EntryRules => ({
  model,
  reservedHigh: model.physicalBits >= 52 ? 0 : (0xf_ffff & ~(2 ** Math.max(0, model.physicalBits - 32) - 1)) >>> 0,
  executeOnly: ((model.msrs.get(IA32_VMX_EPT_VPID_CAP) ?? 0n) & 1n) !== 0n,
});

let last: EntryRules | null = null;

/** The rules of a model; computed anew only when the model is another than at the last call. */
export function entryRules(model: CpuModel): EntryRules {
  if (last?.model !== model) last = rulesOf(model);
  return last;
}
