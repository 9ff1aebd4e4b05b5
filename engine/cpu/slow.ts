/** Every slow instruction by number: the tables of the base architecture and of its extensions, joined. */
import { vmxInstructions } from '../vmx/instructions.js';
import type { SlowInstruction, SlowTable } from './outcome.js';
import { NEAR } from './system/near.js';
import { RARE } from './system/rare.js';
import { SYSTEM_INSTRUCTIONS } from './system/table.js';

const TABLES: readonly SlowTable[] = [NEAR, RARE, SYSTEM_INSTRUCTIONS, vmxInstructions];

const names: string[] = [];
const functions: SlowInstruction[] = [];
for (const table of TABLES) {
  for (const [name, instruction] of Object.entries(table)) {
    if (names.includes(name)) throw new Error(`two slow instructions are called ${name}`);
    names.push(name);
    functions.push(instruction);
  }
}

export const SLOW_INSTRUCTIONS: readonly SlowInstruction[] = functions;
export const SLOW_NUMBERS: ReadonlyMap<string, number> = new Map(names.map((name, i) => [name, i]));
