/** How fast the machine runs, records and replays: kernels, exit round trips, memory recording, peak memory. */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { replay } from '../../analyzer/replay/replay.js';
import { EVERYTHING, type MemoryFilter } from '../../engine/access-filter.js';
import { nullObserver, type Observer } from '../../engine/observer.js';
import { type RunConfiguration, start } from '../../engine/start.js';
import { Recording } from '../../recorder/run/recording.js';
import { GUESTS } from '../../traces/guests/catalogue.js';
import { imagePath } from '../../traces/guests/guest.js';
import { createTrace, openTrace } from '../../traces/open.js';
import { measureUnderBochs, runUnderBochs } from './bochs.js';
import { KERNELS, type Kernel, kernelCommandLine, kernelPath } from './kernels/catalogue.js';
import type { Measured } from './stores.js';

const NEVER = 2 ** 50;
const seconds = (since: number): number => (performance.now() - since) / 1000;
const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

const configuration = (commandLine: string, memory: number): RunConfiguration => ({
  cpu: 'skylake',
  monitor: 'none',
  memoryBytes: memory << 20,
  commandLine,
  flat: null,
  epoch: 0,
  checkpointEvery: NEVER,
  guestinfo: {},
});

interface Timed {
  readonly seconds: number;
  readonly ticks: number;
}

/** Records a run to its end into a trace that is thrown away. */
function record(
  image: string,
  commandLine: string,
  ram: number,
  memory: MemoryFilter,
): Timed & { accesses: number; events: number } {
  const path = join(tmpdir(), `trapline-bench-${process.pid}.arrow`);
  const writer = createTrace(path, { replace: true });
  try {
    const request = { configuration: configuration(commandLine, ram), image: readFileSync(image), imageName: 'bench' };
    const recording = new Recording(writer, { ...request, memory });
    const since = performance.now();
    const stop = recording.runTo(NEVER, true);
    const { outcome } = recording.finish(stop);
    const spent = seconds(since);
    if (outcome.kind !== 'exit') throw new Error(`${commandLine} ended by ${outcome.kind}`);
    const reader = openTrace(path);
    const accesses = reader.rows('memory');
    reader.close();
    return { seconds: spent, ticks: outcome.ticks, accesses, events: outcome.events };
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}

/** Runs without a trace, memory recorded into the ring and dropped, or not at all. */
function runPlain(image: string, commandLine: string, ram: number, memory: boolean): Timed & { accesses: number } {
  let accesses = 0;
  const observer: Observer = {
    ...nullObserver,
    memory(_ring, count) {
      accesses += count;
    },
  };
  const machine = start(configuration(commandLine, ram), readFileSync(image), 'bench', observer);
  machine.recordMemory(memory ? 'all' : 'none');
  const since = performance.now();
  machine.run(NEVER);
  machine.drain();
  return { seconds: seconds(since), ticks: machine.now, accesses };
}

export interface KernelRow {
  readonly name: string;
  /** Million ticks a second while exits are recorded. */
  readonly trapline: number;
  /** The same of Bochs; null where it is not installed. */
  readonly bochs: number | null;
}

const measureKernel = (kernel: Kernel, n: number): number => {
  const one = record(kernelPath(kernel), kernelCommandLine(kernel, 1), kernel.memory, 'off');
  const all = record(kernelPath(kernel), kernelCommandLine(kernel, n), kernel.memory, 'off');
  return (all.ticks - one.ticks) / (all.seconds - one.seconds) / 1e6;
};

/** Every kernel, in turn with Bochs so that both see the same machine; medians of `runs`. */
export async function measureKernels(runs: number, scale: number, withBochs: boolean): Promise<KernelRow[]> {
  const rows: KernelRow[] = [];
  // Generated code is optimised while it runs; the first kernels would pay for it.
  for (const kernel of KERNELS.slice(0, 3)) measureKernel(kernel, Math.ceil(kernel.n / 2));
  for (const kernel of KERNELS) {
    const n = kernel.name === 'fib' ? kernel.n : Math.max(2, Math.round(kernel.n * scale));
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let run = 0; run < runs; run++) {
      ours.push(measureKernel(kernel, n));
      if (!withBochs) continue;
      const few = kernel.name === 'fib' ? n : Math.max(2, Math.round(n / 4));
      const { seconds: spent, ticks } = await measureUnderBochs(readFileSync(kernelPath(kernel)), few, {
        memory: kernel.memory,
      });
      theirs.push(ticks / spent / 1e6);
    }
    rows.push({ name: kernel.name, trapline: median(ours), bochs: withBochs ? median(theirs) : null });
  }
  return rows;
}

const hypervisor = (loop: number): readonly [string, string, number] => {
  const guest = GUESTS.get('hypervisor');
  if (!guest) throw new Error('the guest hypervisor is missing');
  return [imagePath(guest), `hypervisor loop=${loop}`, guest.memory];
};

/** Exit round trips a second, recorded into Arrow; medians of `runs`. */
export function measureRoundTrips(runs: number, scale: number): Measured[] {
  const loop = Math.round(300_000 * scale);
  const rates: number[] = [];
  // As with kernels, what V8 compiles while it runs is no part of a rate.
  record(...hypervisor(Math.ceil(loop / 3)), 'off');
  for (let run = 0; run < runs; run++) {
    const base = record(...hypervisor(1), 'off');
    const all = record(...hypervisor(loop), 'off');
    rates.push((loop - 1) / (all.seconds - base.seconds));
  }
  return [{ name: 'exit round trips into Arrow', value: median(rates), unit: '1/s', bound: 300_000, atMost: false }];
}

/** The same round trips in Bochs, which records nothing; a second. */
export async function measureBochsRoundTrips(runs: number, scale: number): Promise<number> {
  const [image, , memory] = hypervisor(1);
  const loop = Math.round(100_000 * scale);
  const rates: number[] = [];
  for (let run = 0; run < runs; run++) {
    const base = await runUnderBochs(readFileSync(image), 'hypervisor loop=1', { memory });
    const all = await runUnderBochs(readFileSync(image), `hypervisor loop=${loop}`, { memory });
    rates.push((loop - 1) / (all.seconds - base.seconds));
  }
  return median(rates);
}

/** How much slower a kernel runs that tells of every access and fetch, in CPU time; the least disturbed of `runs`. */
function ringFactor(kernel: Kernel, runs: number, scale: number): number {
  const n = kernel.name === 'fib' ? kernel.n : Math.max(2, Math.round(kernel.n * scale * 0.3));
  const least = (memory: boolean): number =>
    Math.min(
      ...Array.from({ length: runs + 1 }, () => {
        const line = kernelCommandLine(kernel, n);
        return runPlain(kernelPath(kernel), line, kernel.memory, memory).seconds;
      }),
    );
  return least(true) / least(false);
}

/** What recording memory costs: into the ring as a factor, and to disk as a rate, the median of `runs`. */
export function measureMemory(runs: number, scale: number): Measured[] {
  const factors = KERNELS.map((kernel) => ringFactor(kernel, runs, scale));
  const mean = Math.exp(factors.reduce((sum, factor) => sum + Math.log(factor), 0) / factors.length);
  const kernel = KERNELS.find(({ name }) => name === 'mem');
  if (!kernel) throw new Error('the kernel mem is missing');
  const line = kernelCommandLine(kernel, Math.round(kernel.n * scale * 0.5));
  const rates = Array.from({ length: runs }, () => {
    const disk = record(kernelPath(kernel), line, kernel.memory, EVERYTHING);
    return disk.accesses / disk.seconds;
  });
  return [
    { name: 'slower with memory into the ring, geometric mean', value: mean, unit: 'times', bound: 3, atMost: true },
    { name: 'the same, worst kernel', value: Math.max(...factors), unit: 'times', bound: 3, atMost: true },
    { name: 'accesses recorded to disk', value: median(rates), unit: '1/s', bound: 10_000_000, atMost: false },
  ];
}

/** How long a replay takes beside the recording. */
export function measureReplay(scale: number): Measured[] {
  const path = join(tmpdir(), `trapline-bench-${process.pid}.arrow`);
  try {
    const writer = createTrace(path, { replace: true });
    const [image, commandLine, memory] = hypervisor(Math.round(100_000 * scale));
    const request = {
      configuration: configuration(commandLine, memory),
      image: readFileSync(image),
      imageName: 'bench',
    };
    const recording = new Recording(writer, { ...request, memory: 'off' });
    const since = performance.now();
    recording.finish(recording.runTo(NEVER, true));
    const recorded = seconds(since);
    const reader = openTrace(path);
    const again = performance.now();
    const result = replay(reader, { from: null, memory: false });
    const replayed = seconds(again);
    reader.close();
    if (result.divergence) throw new Error('the replay diverged');
    return [{ name: 'replay beside recording', value: replayed / recorded, unit: 'times', bound: 3, atMost: true }];
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}

/** Most memory that this process held, in KiB. Linux hands getrusage's figure on from the process that started it. */
function highWater(): number {
  try {
    const [, kib] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'latin1')) ?? [];
    return Number(kib ?? process.resourceUsage().maxRSS);
  } catch {
    return process.resourceUsage().maxRSS;
  }
}

/** Peak memory of a process that records `loop` round trips with all memory accesses, in MiB. */
function peak(loop: number): number {
  const child = spawnSync(process.execPath, [fileURLToPath(import.meta.url), 'peak', String(loop)], {
    encoding: 'utf8',
  });
  if (child.status !== 0) throw new Error(child.stderr);
  return Number(child.stdout) / 1024;
}

/** Peak memory at two run lengths, one eight times the other: constant means a factor near 1. */
export function measurePeak(scale: number): Measured[] {
  const short = peak(Math.round(20_000 * scale));
  const long = peak(Math.round(160_000 * scale));
  return [
    { name: 'peak memory of a short recording', value: short, unit: 'MiB', bound: 1024, atMost: true },
    { name: 'the same, run eight times as long', value: long / short, unit: 'times', bound: 1.25, atMost: true },
  ];
}

if (process.argv[1] === fileURLToPath(import.meta.url) && process.argv[2] === 'peak') {
  record(...hypervisor(Number(process.argv[3])), EVERYTHING);
  process.stdout.write(String(highWater()));
}
