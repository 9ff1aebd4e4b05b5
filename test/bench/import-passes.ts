/** Passes over one recording, each timed: `import-passes.js MODE FILE COUNT` prints them as JSON. */
import { rmSync } from 'node:fs';
import { type ExitIndex, ExitIndexBuilder } from '../../analyzer/profile/exit-index.js';
import { profileOf } from '../../analyzer/profile/profile.js';
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
  /** What comes once all is read, one after the other. */
  readonly ends: readonly (() => void)[];
}

function profile(source: ByteSource): Read {
  const builder = new ExitIndexBuilder();
  const writer = new StreamWriter((chunk) => builder.take(chunk));
  const taker = builder.events ?? undefined;
  const { counts } = importTrace(source, () => writer, { ...PROFILE_READING, ...(taker && { taker }), brief: true });
  let index: ExitIndex | null = null;
  const sort = (): void => {
    index = builder.finish();
  };
  const tell = (): void => {
    if (index !== null) profileOf(index, (domain, code) => writer.dictionary(domain).get(code)?.name ?? null);
  };
  return { counts, ends: [sort, tell] };
}

const store =
  (threads: boolean) =>
  (source: ByteSource): Read => {
    const trace = `${source.name}.arrow`;
    const { counts } = importTrace(source, () => createTrace(trace, { replace: true, threads }));
    return { counts, ends: [() => rmSync(trace, { recursive: true, force: true })] };
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
 * All passes read first, then all come to each of their ends, in the order of the one pass of a command: telling
 * disassembles, in WebAssembly whose memory grows, upon which V8 compiles all that reads typed arrays anew.
 */
function measure(mode: PassMode, path: string, count: number): readonly Pass[] {
  const passes = Array.from({ length: count }, () => {
    const { value, cpu, wall } = timed(() => read(mode, path));
    return { ...value, cpu, wall };
  });
  for (let stage = 0; passes.some(({ ends }) => stage < ends.length); stage++) {
    for (const pass of passes) {
      const { cpu, wall } = timed(() => pass.ends[stage]?.());
      pass.cpu += cpu;
      pass.wall += wall;
    }
  }
  return passes.map(({ counts, cpu, wall }) => ({ items: counts.lines || counts.events, cpu, wall }));
}

const [, , mode = '', path = '', count = '1'] = process.argv;
if (!(mode in MODES)) throw new Error(`no mode of passes: ${mode}`);
process.stdout.write(JSON.stringify(measure(mode as PassMode, path, Number(count))));
