/** The table of commands. A command's file is loaded when it runs, so that none pays for the rooms of another. */
import type { CommandEntry } from './command.js';

export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'demo',
    group: 'start',
    summary: 'Records the guest programs, replays, profiles and compares them, and serves the page.',
    load: () => import('./demo.js'),
  },
  {
    name: 'record',
    group: 'machine',
    summary: 'Runs a guest or an image and records everything that it does.',
    load: () => import('./record.js'),
  },
  {
    name: 'run',
    group: 'machine',
    summary: 'Runs a guest or an image without a trace.',
    load: () => import('./run.js'),
  },
  {
    name: 'replay',
    group: 'machine',
    summary: 'Plays a recorded run again and compares it with the trace.',
    load: () => import('./replay.js'),
  },
  {
    name: 'verify',
    group: 'file',
    summary: 'Checks that a trace is intact and that its run replays to the same.',
    load: () => import('./verify.js'),
  },
  {
    name: 'memory',
    group: 'machine',
    summary: 'Gives the memory accesses of a run that was recorded without them.',
    load: () => import('./memory.js'),
  },
  {
    name: 'import',
    group: 'host',
    summary: 'Imports a trace that another tool recorded on a real host.',
    load: () => import('./import.js'),
  },
  {
    name: 'profile',
    group: 'ask',
    summary: 'Says where the exits go: counts and handler time by reason, and what causes them.',
    load: () => import('./profile.js'),
  },
  {
    name: 'diff',
    group: 'ask',
    summary: 'Says what changed between two runs, and whether budgets are kept.',
    load: () => import('./diff.js'),
  },
  {
    name: 'explain',
    group: 'ask',
    summary: 'Says why a VM entry failed, from the state dump in a log.',
    load: () => import('./explain.js'),
  },
  {
    name: 'events',
    group: 'ask',
    summary: 'Lists the events one by one, with names for their numbers.',
    load: () => import('./events.js'),
  },
  { name: 'query', group: 'ask', summary: 'Asks a trace in SQL.', load: () => import('./query.js') },
  {
    name: 'export',
    group: 'file',
    summary: 'Writes a trace for Perfetto, speedscope, flame graphs, as CSV or Parquet.',
    load: () => import('./export.js'),
  },
  {
    name: 'convert',
    group: 'file',
    summary: 'Copies a trace into the other store.',
    load: () => import('./convert.js'),
  },
  {
    name: 'serve',
    group: 'ask',
    summary: 'Serves the page that shows traces on a timeline.',
    load: () => import('./serve.js'),
  },
  {
    name: 'guests',
    group: 'start',
    summary: 'Lists the guest programs that come along.',
    load: () => import('./guests.js'),
  },
];
