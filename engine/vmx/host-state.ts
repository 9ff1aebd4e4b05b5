/** Loading host state at a VM exit: Intel SDM Vol. 3C, "Loading Host State". */
import type { Cpu } from '../cpu/cpu.js';
import { GPR, S, SEG, segRights, segSelector, UNUSABLE } from '../cpu/layout.js';
import { EXIT } from './controls.js';
import { F } from './fields.js';
import { HOST_EFER, HOST_PAT, HOST_PERF, load } from './transfer.js';
import { low, vmcsAddress } from './vmcs.js';

/** Bits of CR0 that a VM exit loads; the others stay. */
const CR0_LOADED = 0x8005_002f;
const CR4_PAE = 1 << 5;
const CR4_PCIDE = 1 << 17;
const EFER_LME_LMA = 0x500;

const CODE32 = 0xc09b;
const DATA_SEGMENTS = [SEG.ES, SEG.SS, SEG.DS, SEG.FS, SEG.GS] as const;

/** What HOST_CONSTANTS leaves open: null selectors, and the CS of a 32-bit host. */
function loadSegments(cpu: Cpu, host64: boolean): void {
  const { state } = cpu;
  for (const n of DATA_SEGMENTS) {
    if (state.getUint32(segSelector(n), true) === 0) cpu.setU32(segRights(n), UNUSABLE | cpu.u32(segRights(n)));
  }
  if (!host64) cpu.setU32(segRights(SEG.CS), CODE32);
}

function loadMsrs(cpu: Cpu, controls: number, region: number): void {
  const ram = cpu.memory.view;
  if (controls & EXIT.loadEfer) load(HOST_EFER, ram, region, cpu.state);
  const efer = cpu.state.getUint32(S.EFER, true);
  const wanted = controls & EXIT.host64 ? efer | EFER_LME_LMA : efer & ~EFER_LME_LMA;
  if (wanted !== efer) cpu.setU32(S.EFER, wanted);
  if (controls & EXIT.loadPat) load(HOST_PAT, ram, region, cpu.state);
  if (controls & EXIT.loadPerf) load(HOST_PERF, ram, region, cpu.state);
}

/** Loads every register of the host but its PDPTEs; the caller updates mode and translations. */
export function loadHostState(cpu: Cpu, controls: number): void {
  const { state } = cpu;
  const region = vmcsAddress(cpu);
  const host64 = (controls & EXIT.host64) !== 0;
  const cr0 = state.getUint32(S.CR0, true);
  cpu.vmx.copies.loadHost(cpu, region);
  cpu.setU32(S.CR0, (cr0 & ~CR0_LOADED) | (state.getUint32(S.CR0, true) & CR0_LOADED));
  const cr4 = state.getUint32(S.CR4, true);
  cpu.setU32(S.CR4, host64 ? cr4 | CR4_PAE : cr4 & ~CR4_PCIDE);
  if (!host64) {
    cpu.setU32(S.RIP, cpu.u32(S.RIP));
    cpu.setU32(GPR.RSP, cpu.u32(GPR.RSP));
  }
  loadMsrs(cpu, controls, region);
  loadSegments(cpu, host64);
}

/** True where the host uses PAE paging outside IA-32e mode, so that an exit loads its PDPTEs from memory. */
export const hostUsesPdptes = (cpu: Cpu, controls: number): boolean =>
  (controls & EXIT.host64) === 0 && (low(cpu, F.HOST_CR4) & CR4_PAE) !== 0;
