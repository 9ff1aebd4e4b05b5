/** Passes over one recording, each timed: `import-passes.js MODE FILE COUNT` prints them as JSON. */
import { rmSync } from 'node:fs';
import { Profiler } from '../../analyzer/profile/profile.js';
import { PROFILE_READING } from '../../analyzer/profile/walk.js';
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

interface Read {
  readonly counts: ImportCounts;
  /** What comes once all is read. */
  readonly end: () => void;
}

function profile(source: ByteSource): Read {
  const profiler = new Profiler();
  const writer = new StreamWriter((chunk) => profiler.take(chunk));
  const taker = profiler.events ?? undefined;
  const { counts } = importTrace(source, () => writer, { ...PROFILE_READING, ...(taker && { taker }), brief: true });
  return {
    counts,
    end: () => profiler.finish((domain, code) => writer.dictionary(domain).get(code)?.name ?? null),
  };
}

const store =
  (threads: boolean) =>
  (source: ByteSource): Read => {
    const trace = `${source.name}.arrow`;
    const { counts } = importTrace(source, () => createTrace(trace, { replace: true, threads }));
    return { counts, end: () => rmSync(trace, { recursive: true, force: true }) };
  };

const MODES = { profile, store: store(false), 'store-threads': store(true) } as const;
export type PassMode = keyof typeof MODES;

/** What a call takes, in seconds. */
function timed<T>(call: () => T): { readonly value: T; readonly cpu: number; readonly wall: number } {
  const before = process.cpuUsage();
  const start = performance.now();
  const value = call();
  const { user, system } = process.cpuUsage(before);
  return { value, cpu: (user + system) / 1e6, wall: (performance.now() - start) / 1e3 };
}

function read(mode: PassMode, path: string): Read {
  const source = openSource(path);
  try {
    return MODES[mode](source);
  } finally {
    source.close();
  }
}

/**
 * Passes read first and end afterwards, as the one pass of a command does: an end disassembles, in WebAssembly whose memory
 * grows, and V8 reads typed arrays more slowly from then on.
 */
function measure(mode: PassMode, path: string, count: number): readonly Pass[] {
  const passes = Array.from({ length: count }, () => timed(() => read(mode, path)));
  return passes.map(({ value: { counts, end }, cpu, wall }) => {
    const ended = timed(end);
    return { items: counts.lines || counts.events, cpu: cpu + ended.cpu, wall: wall + ended.wall };
  });
}

const [, , mode = '', path = '', count = '1'] = process.argv;
if (!(mode in MODES)) throw new Error(`no mode of passes: ${mode}`);
process.stdout.write(JSON.stringify(measure(mode as PassMode, path, Number(count))));
