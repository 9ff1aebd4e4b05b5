/** Every slow instruction of the base architecture, by the name that the decoder asks for. */
import type { SlowTable } from '../outcome.js';
import { CONTROL } from './control.js';
import { DEBUG } from './debug.js';
import { FAR } from './far.js';
import { FRAME } from './frame.js';
import { INTERRUPTS } from './interrupts.js';
import { IO } from './io.js';
import { IRET } from './iret.js';
import { MSRS } from './msr.js';
import { PROCESSOR } from './processor.js';
import { SEGMENT } from './segment.js';
import { SYSCALL } from './syscall.js';
import { TABLES } from './tables.js';

export const SYSTEM_INSTRUCTIONS: SlowTable = {
  ...CONTROL,
  ...DEBUG,
  ...FAR,
  ...FRAME,
  ...INTERRUPTS,
  ...IO,
  ...IRET,
  ...MSRS,
  ...PROCESSOR,
  ...SEGMENT,
  ...SYSCALL,
  ...TABLES,
};
