/** What of VMX is not in the CPU state or RAM, and must be made again after they came from a checkpoint. */
import type { Cpu } from '../cpu/cpu.js';
import { noIntercepts } from '../cpu/intercepts.js';
import { watchActive } from './active.js';
import { vmxIntercepts } from './intercepts.js';

/** To be called when the CPU state and RAM have been replaced. */
export function restoreVmx(cpu: Cpu): void {
  cpu.intercepts = cpu.nonRoot ? vmxIntercepts : noIntercepts;
  cpu.vectoring = null;
  watchActive(cpu);
}
