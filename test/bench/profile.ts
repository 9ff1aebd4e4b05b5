/**
 * How long `trapline profile` takes over ten million exits of an Arrow trace: the whole process from its start, first
 * with nothing beside the trace, then with what the first one kept. Exact percentiles of every reason and sub-key in
 * both. Exits come from 200 places of four vCPUs, with times of a long tail.
 */
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { indexPath } from '../../analyzer/profile/beside.js';
import { EVENT_KINDS } from '../../engine/observer.js';
import { createTrace } from '../../traces/open.js';
import type { Measured } from './stores.js';

const MAIN = fileURLToPath(new URL('../../cli/main.js', import.meta.url));
const REASONS = [1, 10, 12, 28, 30, 31, 32, 48, 48, 48, 30, 10] as const;
const PLACES = 200;
const LANES = 4;
const KERNEL = 0xffff_ffff;
const HALF = 2 ** 32;
const COLUMNS = [
  'seq',
  'vcpu',
  'time_ns',
  'kind',
  'isa',
  'from_level',
  'to_level',
  'reason',
  'qualification',
  'rip',
  'gpa',
] as const;

function record(path: string, exits: number): void {
  const writer = createTrace(path, { replace: true });
  const table = writer.table('event');
  const at = Object.fromEntries(COLUMNS.map((name) => [name, table.index(name)])) as {
    readonly [name in (typeof COLUMNS)[number]]: number;
  };
  let state = 1; // Numerical Recipes' LCG
  const random = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 8;
  };
  let now = 2 ** 50;
  const begin = (i: number, what: number, level: number): void => {
    table.number(at.seq, i);
    table.number(at.vcpu, (i >> 1) % LANES);
    table.words(at.time_ns, now % HALF, Math.floor(now / HALF));
    table.number(at.kind, what);
    table.number(at.isa, 1);
    table.number(at.from_level, level);
    table.number(at.to_level, 1 - level);
  };
  for (let i = 0; i < exits; i++) {
    const place = random() % PLACES;
    const why = REASONS[place % REASONS.length] ?? 10;
    now += 100 + (random() % 4000);
    begin(2 * i, EVENT_KINDS.exit, 1);
    table.number(at.reason, why);
    table.words(at.rip, 0x8100_0000 + place * 0x1234, KERNEL);
    if (why === 30) table.number(at.qualification, (0x3f8 + (place % 4)) << 16);
    if (why === 48) table.number(at.gpa, 0xfee0_0000 + (place % 32) * 0x1000);
    table.end();
    now += Math.floor(600 + 20 * why + 400 / (1 - 0.9999 * (random() / 2 ** 24)));
    begin(2 * i + 1, EVENT_KINDS.entry, 0);
    table.end();
  }
  writer.finish();
}

/** Seconds of processor time that a whole `trapline profile` takes. */
function profiled(path: string): number {
  const tell = 'process.on("exit", () => process.stderr.write("\\ncpu " + JSON.stringify(process.cpuUsage())))';
  const words = ['--import', `data:text/javascript,${encodeURIComponent(tell)}`, MAIN, 'profile', path];
  const { stderr, status } = spawnSync(process.execPath, words, { encoding: 'utf8' });
  const told: unknown = JSON.parse(/^cpu (.*)$/m.exec(stderr)?.[1] ?? 'null');
  if (status !== 0 || typeof told !== 'object' || told === null) throw new Error(`trapline profile: ${stderr}`);
  const { user = 0, system = 0 } = told as { readonly user?: number; readonly system?: number };
  return (user + system) / 1e6;
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;

export function measureProfile(runs: number, scale = 1): Measured[] {
  const path = join(tmpdir(), `trapline-profile-${process.pid}.arrow`);
  const exits = Math.round(10_000_000 * scale);
  try {
    record(path, exits);
    const cold = Array.from({ length: runs }, () => {
      rmSync(indexPath({ kind: 'arrow', path }), { force: true });
      return profiled(path);
    });
    const warm = Array.from({ length: runs }, () => profiled(path));
    const name = `profile of ${(exits / 1e6).toLocaleString('en-US')} M exits, whole process`;
    return [
      { name: `${name}, first`, value: median(cold), unit: 's CPU', bound: 1 + 9 * scale, atMost: true },
      { name: `${name}, again`, value: median(warm), unit: 's CPU', bound: 1, atMost: true },
    ];
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}
