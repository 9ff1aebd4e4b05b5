/** The table of commands. A command's file is loaded when it runs, so that none pays for the rooms of another. */
import type { CommandEntry } from './command.js';

export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'import',
    summary: 'Imports a trace that another tool recorded on a real host.',
    load: () => import('./import.js'),
  },
  {
    name: 'profile',
    summary: 'Says where the exits go: counts and handler time by reason, and what causes them.',
    load: () => import('./profile.js'),
  },
  {
    name: 'diff',
    summary: 'Says what changed between two runs, and whether budgets are kept.',
    load: () => import('./diff.js'),
  },
  { name: 'convert', summary: 'Copies a trace into the other store.', load: () => import('./convert.js') },
  { name: 'guests', summary: 'Lists the guest programs that come along.', load: () => import('./guests.js') },
];
