/** The VMX-preemption timer: counts down when bit X of the TSC changes (IA32_VMX_MISC bits 4:0). */
import type { Cpu } from '../cpu/cpu.js';
import { S } from '../cpu/layout.js';
import { ACTIVITY } from './controls.js';
import { F } from './fields.js';
import { low } from './vmcs.js';

/** Units of the timer since the machine's first tick. */
const countNow = (cpu: Cpu): number =>
  Math.floor((cpu.tick * cpu.model.tscPerTick) / 2 ** cpu.vmx.capabilities.timerRate);

/** At a VM entry that activates the timer, when the guest's first tick is still to come. */
export function startTimer(cpu: Cpu): void {
  cpu.setNumber(S.VMX_TIMER, countNow(cpu) + low(cpu, F.VMX_PREEMPTION_TIMER_VALUE) + 1);
}

export const timerRuns = (cpu: Cpu): boolean => (cpu.u32(S.VMX_TIMER) | cpu.u32(S.VMX_TIMER + 4)) !== 0;

/** What is left of the timer, 0 where it has expired; it must run. */
export const timerLeft = (cpu: Cpu): number => Math.max(0, cpu.number(S.VMX_TIMER) - 1 - countNow(cpu));

export const timerExpired = (cpu: Cpu): boolean => timerRuns(cpu) && timerLeft(cpu) === 0;

/** The tick at which the timer expires; infinite where it does not run, or wakes nobody (wait-for-SIPI). */
export function nextDeadline(cpu: Cpu): number {
  if (!timerRuns(cpu) || cpu.u32(S.ACTIVITY) === ACTIVITY.waitForSipi) return Number.POSITIVE_INFINITY;
  const units = 2 ** cpu.vmx.capabilities.timerRate;
  return Math.ceil(((cpu.number(S.VMX_TIMER) - 1) * units) / cpu.model.tscPerTick);
}
