/** Passes over one recording, each timed: `import-passes.js MODE FILE COUNT` prints them as JSON. */
import { rmSync } from 'node:fs';
import { Profiler } from '../../analyzer/profile/profile.js';
import { READING } from '../../analyzer/profile/walk.js';
import { importTrace } from '../../recorder/import/import.js';
import type { ImportCounts } from '../../recorder/import/result.js';
import { type ByteSource, openSource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { createTrace } from '../../traces/open.js';

export interface Pass {
  /** Events, or lines of a text. */
  readonly items: number;
  /** Seconds of processor time of all threads, and of real time. */
  readonly cpu: number;
  readonly wall: number;
}

function profile(source: ByteSource): ImportCounts {
  const profiler = new Profiler();
  const writer = new StreamWriter((chunk) => profiler.take(chunk));
  const { counts } = importTrace(source, () => writer, { ...READING, brief: true });
  profiler.finish((domain, code) => writer.dictionary(domain).get(code)?.name ?? null);
  return counts;
}

const store =
  (threads: boolean) =>
  (source: ByteSource): ImportCounts => {
    const trace = `${source.name}.arrow`;
    const { counts } = importTrace(source, () => createTrace(trace, { replace: true, threads }));
    rmSync(trace, { recursive: true });
    return counts;
  };

const MODES = { profile, store: store(false), 'store-threads': store(true) } as const;
export type PassMode = keyof typeof MODES;

function pass(mode: PassMode, path: string): Pass {
  const before = process.cpuUsage();
  const start = performance.now();
  const source = openSource(path);
  try {
    const { lines, events } = MODES[mode](source);
    const { user, system } = process.cpuUsage(before);
    return { items: lines || events, cpu: (user + system) / 1e6, wall: (performance.now() - start) / 1e3 };
  } finally {
    source.close();
  }
}

const [, , mode = '', path = '', count = '1'] = process.argv;
if (!(mode in MODES)) throw new Error(`no mode of passes: ${mode}`);
process.stdout.write(JSON.stringify(Array.from({ length: Number(count) }, () => pass(mode as PassMode, path))));
