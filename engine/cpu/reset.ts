/** State after a reset: Intel SDM Vol. 3A, "IA-32 and Intel 64 Processor States Following Power-up, Reset, or INIT". */
import type { Cpu } from './cpu.js';
import { S, STATE_BYTES } from './layout.js';

const RESET: readonly (readonly [slot: number, value: bigint])[] = [
  [S.DR6, 0xffff_0ff0n],
  [S.DR7, 0x400n],
  [S.XCR0, 1n],
  [S.PAT, 0x0007_0406_0007_0406n],
  [S.APIC_BASE, 0xfee0_0900n],
  [S.RFLAGS_REST, 2n],
  [S.VMXON_POINTER, 0xffff_ffff_ffff_ffffn],
  [S.VMCS_POINTER, 0xffff_ffff_ffff_ffffn],
];

const IA32_FEATURE_CONTROL = 0x3a;

/** Clears the vCPU, but for its clock; the boot loader gives it segments, control registers and RIP. */
export function resetCpu(cpu: Cpu): void {
  const tick = cpu.u64(S.TICK);
  const nonstep = cpu.u64(S.NONSTEP);
  new Uint8Array(cpu.state.buffer, cpu.state.byteOffset, STATE_BYTES).fill(0);
  cpu.setU64(S.TICK, tick);
  cpu.setU64(S.NONSTEP, nonstep);
  for (const [slot, value] of RESET) cpu.setU64(slot, value);
  cpu.setU64(S.FEATURE_CONTROL, cpu.model.msrs.get(IA32_FEATURE_CONTROL) ?? 0n);
}
