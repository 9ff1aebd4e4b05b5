/** The table of commands. A command's file is loaded when it runs, so that none pays for the rooms of another. */
import type { CommandEntry } from './command.js';

export const COMMANDS: readonly CommandEntry[] = [];
