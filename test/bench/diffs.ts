/**
 * How fast two runs of a million exits each are compared, from their files to the answer, by processor time: the same run
 * twice, one with a hundredth of its exits replaced, and one that shares nothing but its vocabulary.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compare, readSide } from '../../analyzer/diff.js';
import { EVENT_KINDS } from '../../engine/observer.js';
import { createTrace, openTrace } from '../../traces/open.js';
import { randomOf } from '../fuzz/random.js';
import type { Measured } from './stores.js';

const EXITS = 1_000_000;
const REASONS = [10, 12, 28, 30, 31, 32, 48, 48, 48, 30, 10];
const PLACES = 400;
const NS = 3000;

/** A run whose exits go round a loop of places, of which `share` are others, taken at random. */
function write(path: string, exits: number, share: number, seed: number): void {
  const random = randomOf(seed, 0);
  const loop = randomOf(1, 1);
  const places = Array.from({ length: PLACES }, () => ({ reason: loop.pick(REASONS), rip: 0x1000 + loop.below(4096) }));
  const writer = createTrace(path, { replace: true });
  writer.setRun('source', 'synthetic');
  const table = writer.table('event');
  const [seq, time, vcpu, kind, isa, from, to, reason, rip, parent] = [
    ...['seq', 'time_ns', 'vcpu', 'kind', 'isa', 'from_level', 'to_level', 'reason', 'rip', 'parent'],
  ].map((name) => table.index(name)) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  for (let i = 0; i < exits; i++) {
    const other = random.below(1_000_000) < share * 1_000_000;
    const place = places[other ? random.below(PLACES) : i % PLACES] ?? { reason: 0, rip: 0 };
    const common = (row: number, what: number): void => {
      table.number(seq, row);
      table.number(time, i * NS + (what === EVENT_KINDS.entry ? NS / 2 : 0));
      table.number(vcpu, 0);
      table.number(kind, what);
      table.number(isa, 1);
    };
    common(2 * i, EVENT_KINDS.exit);
    table.number(from, 1);
    table.number(to, 0);
    table.number(reason, place.reason);
    table.number(rip, place.rip);
    table.end();
    common(2 * i + 1, EVENT_KINDS.entry);
    table.number(from, 0);
    table.number(to, 1);
    table.number(parent, 2 * i);
    table.end();
  }
  writer.finish();
}

/** Seconds of processor time of reading both runs and comparing them, and of comparing alone: medians of `runs`. */
function seconds(
  runs: number,
  left: string,
  right: string,
  related: boolean,
): { readonly all: number; readonly compared: number } {
  const spent = (): number => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  };
  const times = Array.from({ length: runs }, () => {
    const [one, other] = [openTrace(left), openTrace(right)];
    const begun = spent();
    const sides = [readSide(one), readSide(other)] as const;
    const read = spent();
    assert.equal(compare(...sides).related, related);
    const end = spent();
    one.close();
    other.close();
    return { all: end - begun, compared: end - read };
  });
  const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[runs >> 1] ?? 0;
  return { all: median(times.map(({ all }) => all)), compared: median(times.map(({ compared }) => compared)) };
}

/** Measures comparisons. A run of a million exits has two million events: each exit has its entry. */
export function measureDiffs(runs: number, scale: number): readonly Measured[] {
  const folder = mkdtempSync(join(tmpdir(), 'trapline-bench-diff-'));
  try {
    const measured = (exits: number, share: number): ReturnType<typeof seconds> => {
      const [left, right] = [join(folder, 'left.arrow'), join(folder, 'right.arrow')];
      write(left, Math.round(exits * scale), 0, 2);
      write(right, Math.round(exits * scale), share, 3);
      return seconds(runs, left, right, share < 1);
    };
    return SHARES.flatMap(({ name, share, most }) => {
      const line = (what: string, value: number): Measured => ({
        name: `diff, ${name} different: ${what}`,
        value,
        unit: 's',
        bound: most * scale,
        atMost: true,
      });
      return [
        line('1 M exits against 1 M, aligned', measured(EXITS, share).compared),
        line('1 M events against 1 M, from files', measured(EXITS / 2, share).all),
      ];
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const SHARES = [
  { name: '0 %', share: 0, most: 1 },
  { name: '1 %', share: 0.01, most: 1 },
  { name: '100 %', share: 1, most: 10 },
] as const;
