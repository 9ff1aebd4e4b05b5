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
/** Passes that count, and rounds beside another tool. */
const PASSES = 5;
/** Passes of a round that count. */
const WARM = 3;
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

const perSecond = ({ items, cpu }: Pass): number => items / cpu;

/** What the first and the warm passes of one process or of several came to. */
function rateOf(processes: readonly (readonly Pass[])[]): Rate {
  const warm = processes.flatMap((all) => all.slice(COLD));
  return {
    cpu: median(warm.map(perSecond)),
    wall: median(warm.map(({ items, wall }) => items / wall)),
    first: median(processes.flatMap((all) => all.slice(0, 1).map(perSecond))),
  };
}

const rate = (mode: PassMode, path: string): Rate => rateOf([passes(mode, path, COLD + PASSES)]);

const itemsOf = (path: string): number => passes('profile', path, 1)[0]?.items ?? 0;

const installed = (tool: string): boolean => spawnSync(tool, ['--version']).error === undefined;

/** Another tool that reads the same file: its name, and its options with FILE for the path. */
type Peer = readonly [tool: string, options: string];

/** Items a second of processor time of another tool, which is installed. */
function peerRate([tool, options]: Peer, path: string, items: number): number {
  const script = `${tool} ${options.replace('FILE', path)} > /dev/null 2>&1; times`;
  const children = execFileSync('bash', ['-c', script], { encoding: 'utf8' }).trim().split('\n').at(-1) ?? '';
  const seconds = [...children.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (sum, [, m, s]) => sum + 60 * Number(m) + Number(s),
    0,
  );
  return items / seconds;
}

type Unit = 'events' | 'lines';

const line = (name: string, value: number, unit: Unit, bound: number | null): Measured => ({
  name,
  value: value / 1e6,
  unit: `M ${unit}/s`,
  bound,
  atMost: false,
});

/**
 * Profiles of a file and other tools over it by turns, so that a machine that other work slows for a while slows both:
 * of the ratios of the rounds, the median.
 */
function profiles(name: string, path: string, unit: Unit, bound: number, tools: readonly Peer[]): Measured[] {
  const items = itemsOf(path);
  const present = tools.filter(([tool]) => installed(tool));
  const rounds = Array.from({ length: PASSES }, () => ({
    own: passes('profile', path, COLD + WARM),
    peers: present.map((peer) => peerRate(peer, path, items)),
  }));
  const { cpu, first } = rateOf(rounds.map(({ own }) => own));
  const beside = present.flatMap(([tool, options], k) => {
    const called = `${tool} ${options.replace(' -i FILE', '').replace('-i FILE ', '')}`;
    const theirs = rounds.map(({ peers }) => peers[k] ?? Number.NaN);
    const ratios = rounds.map(({ own }, round) => rateOf([own]).cpu / (theirs[round] ?? Number.NaN));
    return [
      line(`${called} on the same file`, median(theirs), unit, null),
      {
        name: `the profile beside ${called}, by turns`,
        value: median(ratios),
        unit: 'times',
        bound: null,
        atMost: false,
      },
    ];
  });
  return [
    line(`${name}, profile without storing`, cpu, unit, bound),
    line('the same, first pass of a new process', first, unit, null),
    ...beside,
  ];
}

/** Rows of one file as a compressed trace: on one core, and with the store's thread. */
function stores(name: string, path: string, unit: Unit, bound: number): Measured[] {
  const threaded = rate('store-threads', path);
  return [
    line(`${name} into a compressed Arrow trace, on one core`, rate('store', path).cpu, unit, bound),
    line('the same with a thread that writes, real time', threaded.wall, unit, null),
    line('the same, processor time of both', threaded.cpu, unit, null),
  ];
}

const rows = (
  name: string,
  path: string,
  unit: Unit,
  bounds: { readonly profile: number; readonly store: number },
  tools: readonly Peer[],
): Measured[] => [...profiles(name, path, unit, bounds.profile, tools), ...stores(name, path, unit, bounds.store)];

const BINARY = { profile: 5, store: 2 };
const TEXT = { profile: 1, store: 1 };

const TRACE_CMD: readonly Peer[] = [['trace-cmd', 'report -i FILE']];
const PERF: readonly Peer[] = [
  ['perf', 'script -i FILE'],
  ['perf', 'kvm -i FILE stat report'],
];

/** Measures the importers, and beside them the tools whose recordings they read. */
export function measureImports(): readonly Measured[] {
  const folder = mkdtempSync(join(tmpdir(), 'trapline-bench-'));
  const at = (name: string): string => join(folder, name);
  try {
    const measured: Measured[] = [];
    const dat = recording('svm/svm_2vcpu.trace.dat', 'svm-two-vcpus.trace.dat');
    longEnough((copies) => asVersion6(dat, { copies }), at('trace.dat'));
    measured.push(...rows('trace.dat 6', at('trace.dat'), 'events', BINARY, TRACE_CMD));
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
      measured.push(...rows('trace.dat 7, zstd', at('7.dat'), 'events', BINARY, TRACE_CMD));
    const perf = asPlain(recording('svm/svm_basic_perf.perf.data', 'svm-exit-entry.zstd.perf.data'));
    longEnough((copies) => repeated(perf, copies), at('perf.data'));
    measured.push(...rows('perf.data', at('perf.data'), 'events', BINARY, PERF));
    const report = recording('svm/svm_2vcpu.report.txt', 'svm-two-vcpus.report.txt');
    writeFileSync(at('report.txt'), repeatedText(report.toString('latin1')), 'latin1');
    measured.push(...rows('text of trace-cmd report', at('report.txt'), 'lines', TEXT, []));
    const script = recording('svm/svm_basic_perf.script.txt', 'svm-basic.script.txt');
    writeFileSync(at('script.txt'), repeatedText(script.toString('latin1')), 'latin1');
    measured.push(...rows('text of perf script', at('script.txt'), 'lines', TEXT, []));
    return measured;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
