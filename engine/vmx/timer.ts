/** The VMX-preemption timer: counts down when bit X of the TSC changes (IA32_VMX_MISC bits 4:0). */
import type { Cpu } from '../cpu/cpu.js';
import { S } from '../cpu/layout.js';
import { PIN } from './controls.js';
import { F } from './fields.js';
import { low } from './vmcs.js';

/** Units of the timer since the machine's first tick. */
const countNow = (cpu: Cpu): number =>
  Math.floor((cpu.tick * cpu.model.tscPerTick) / 2 ** cpu.vmx.capabilities.timerRate);

/** At VM entry, when the guest's first tick is still to come. */
export function startTimer(cpu: Cpu): void {
  const runs = (low(cpu, F.PIN_BASED_VM_EXEC_CONTROL) & PIN.timer) !== 0;
  cpu.setNumber(S.VMX_TIMER, runs ? countNow(cpu) + low(cpu, F.VMX_PREEMPTION_TIMER_VALUE) + 1 : 0);
}

export const timerRuns = (cpu: Cpu): boolean => (cpu.u32(S.VMX_TIMER) | cpu.u32(S.VMX_TIMER + 4)) !== 0;

/** What is left of the timer, 0 where it has expired; it must run. */
export const timerLeft = (cpu: Cpu): number => Math.max(0, cpu.number(S.VMX_TIMER) - 1 - countNow(cpu));

export const timerExpired = (cpu: Cpu): boolean => timerRuns(cpu) && timerLeft(cpu) === 0;

/** The tick at which the timer expires; infinite where it does not run. */
export function nextDeadline(cpu: Cpu): number {
  if (!timerRuns(cpu)) return Number.POSITIVE_INFINITY;
  const units = 2 ** cpu.vmx.capabilities.timerRate;
  return Math.ceil(((cpu.number(S.VMX_TIMER) - 1) * units) / cpu.model.tscPerTick);
}
