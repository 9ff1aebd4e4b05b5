/**
 * How fast recordings come in: what a real kernel and real tools wrote, repeated with its times moved on, so that the
 * importer never reads what its own inverse made. Beside it, what trace-cmd and perf need for the same files.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { asPlain, repeated } from '../recorder/perf-files.js';
import { asVersion6 } from '../recorder/trace-dat-files.js';
import type { Pass, PassMode } from './import-passes.js';
import type { Measured } from './stores.js';

/** Events that each binary file has at the least, and lines of a text. */
const LENGTH = 2_400_000;
const LINES = 800_000;
/** Passes that V8 still compiles in: of a recording of many times the length they are a small part. */
const COLD = 2;
/** Passes that count, and runs of another tool. */
const PASSES = 5;
const PASSES_FILE = fileURLToPath(new URL('./import-passes.js', import.meta.url));

let root = dirname(fileURLToPath(import.meta.url));
while (!existsSync(join(root, 'package.json'))) root = dirname(root);

/** A recording of every event of kvm, from beside the checkout where it is there, else the one that is committed. */
function recording(shared: string, committed: string): Buffer {
  const path = join(root, '..', 'shared', 'data', 'kvm', shared);
  return readFileSync(existsSync(path) ? path : join(root, 'test', 'recorder', 'fixtures', committed));
}

const TIME = /(\s\[\d{3}\]\s+(?:[\w.]{4,8}\s+)?)(\d+)(\.\d+:)/;

/** Lines of a text, again and again, each time `SPAN` seconds later. */
function repeatedText(text: string): string {
  const SPAN = 1000;
  const lines = text.trimEnd().split('\n');
  const copies = Math.ceil(LINES / lines.length);
  return Array.from(
    { length: copies },
    (_, copy) =>
      `${lines.map((line) => line.replace(TIME, (_all, before, s, rest) => `${before}${Number(s) + copy * SPAN}${rest}`)).join('\n')}\n`,
  ).join('');
}

/** The same file with as many copies as make it long enough. */
function longEnough(make: (copies: number) => Uint8Array, path: string): void {
  writeFileSync(path, make(1));
  writeFileSync(path, make(Math.ceil(LENGTH / itemsOf(path))));
}

interface Rate {
  /** Items a second of warm code, by the processor time of all threads, which other work does not slow, and by real time. */
  readonly cpu: number;
  readonly wall: number;
  /** The first pass of a new process, as a command's user meets it: the compiler is cold. */
  readonly first: number;
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

/** Passes over a file in a process of their own: code that other files have warmed up is another code. */
function passes(mode: PassMode, path: string, count: number): readonly Pass[] {
  const output = execFileSync(process.execPath, [PASSES_FILE, mode, path, String(count)], { encoding: 'utf8' });
  return JSON.parse(output);
}

function rate(mode: PassMode, path: string): Rate {
  const all = passes(mode, path, COLD + PASSES);
  const [first] = all;
  const rest = all.slice(COLD);
  const perSecond = ({ items, cpu }: Pass): number => items / cpu;
  return {
    cpu: median(rest.map(perSecond)),
    wall: median(rest.map(({ items, wall }) => items / wall)),
    first: first === undefined ? Number.NaN : perSecond(first),
  };
}

const itemsOf = (path: string): number => passes('profile', path, 1)[0]?.items ?? 0;

const installed = (tool: string): boolean => spawnSync(tool, ['--version']).error === undefined;

/** Items a second of processor time of another tool, or null where it is not installed. */
function peer(tool: string, options: string, items: number): number | null {
  if (!installed(tool)) return null;
  const times = Array.from({ length: PASSES }, () => {
    const script = `${tool} ${options} > /dev/null 2>&1; times`;
    const children = execFileSync('bash', ['-c', script], { encoding: 'utf8' }).trim().split('\n').at(-1) ?? '';
    return [...children.matchAll(/(\d+)m([\d.]+)s/g)].reduce((sum, [, m, s]) => sum + 60 * Number(m) + Number(s), 0);
  });
  const seconds = median(times);
  return seconds > 0 ? items / seconds : null;
}

type Unit = 'events' | 'lines';

const line = (name: string, value: number, unit: Unit, bound: number): Measured => ({
  name,
  value: value / 1e6,
  unit: `M ${unit}/s`,
  bound,
  atMost: false,
});

/** Rows of one file: a profile, a compressed trace on one core, and the same with the store's thread, in real time. */
function rows(name: string, path: string, unit: Unit, bounds: { profile: number; store: number }): Measured[] {
  const profile = rate('profile', path);
  const threaded = rate('store-threads', path);
  return [
    line(`${name}, profile without storing`, profile.cpu, unit, bounds.profile),
    line('the same, first pass of a new process', profile.first, unit, 0),
    line(`${name} into a compressed Arrow trace, on one core`, rate('store', path).cpu, unit, bounds.store),
    line('the same with a thread that writes, real time', threaded.wall, unit, 0),
    line('the same, processor time of both', threaded.cpu, unit, 0),
  ];
}

const BINARY = { profile: 5, store: 2 };
const TEXT = { profile: 1, store: 1 };

function peers(path: string, runs: readonly (readonly [tool: string, options: string])[]): Measured[] {
  const items = itemsOf(path);
  return runs.flatMap(([tool, options]) => {
    const value = peer(tool, options.replace('FILE', path), items);
    return value === null
      ? []
      : [
          line(
            `${tool} ${options.replace(' -i FILE', '').replace('-i FILE ', '')} on the same file`,
            value,
            'events',
            0,
          ),
        ];
  });
}

/** Measures the importers, and beside them the tools whose recordings they read. */
export function measureImports(): readonly Measured[] {
  const folder = mkdtempSync(join(tmpdir(), 'trapline-bench-'));
  const at = (name: string): string => join(folder, name);
  try {
    const measured: Measured[] = [];
    const dat = recording('svm/svm_2vcpu.trace.dat', 'svm-two-vcpus.trace.dat');
    longEnough((copies) => asVersion6(dat, { copies }), at('trace.dat'));
    measured.push(...rows('trace.dat 6', at('trace.dat'), 'events', BINARY));
    measured.push(...peers(at('trace.dat'), [['trace-cmd', 'report -i FILE']]));
    const convert = [
      'convert',
      '--file-version',
      '7',
      '--compression',
      'zstd',
      '-i',
      at('trace.dat'),
      '-o',
      at('7.dat'),
    ];
    if (installed('trace-cmd') && spawnSync('trace-cmd', convert).status === 0)
      measured.push(...rows('trace.dat 7, zstd', at('7.dat'), 'events', BINARY));
    const perf = asPlain(recording('svm/svm_basic_perf.perf.data', 'svm-exit-entry.zstd.perf.data'));
    longEnough((copies) => repeated(perf, copies), at('perf.data'));
    measured.push(...rows('perf.data', at('perf.data'), 'events', BINARY));
    measured.push(
      ...peers(at('perf.data'), [
        ['perf', 'script -i FILE'],
        ['perf', 'kvm -i FILE stat report'],
      ]),
    );
    const report = recording('svm/svm_2vcpu.report.txt', 'svm-two-vcpus.report.txt');
    writeFileSync(at('report.txt'), repeatedText(report.toString('latin1')), 'latin1');
    measured.push(...rows('text of trace-cmd report', at('report.txt'), 'lines', TEXT));
    const script = recording('svm/svm_basic_perf.script.txt', 'svm-basic.script.txt');
    writeFileSync(at('script.txt'), repeatedText(script.toString('latin1')), 'latin1');
    measured.push(...rows('text of perf script', at('script.txt'), 'lines', TEXT));
    return measured;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
