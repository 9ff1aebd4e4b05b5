/** A profile by any of what tells exits apart: one row a combination that occurs. */
import type { Histogram } from '../histogram.js';
import type { Symbols } from '../symbols/symbols.js';
import { type Cell, readCell } from './cells.js';
import { UNKNOWN_LEVEL } from './event.js';
import type { ExitIndex } from './exit-index.js';
import { exitCells, groupCells, type Parts } from './groups.js';
import { keyLabel } from './keys.js';
import { laneName, levelName, type NameOf, vmName, vmNumber } from './lane-names.js';
import { histogramOf, reasonName } from './profile.js';
import { type Times, timesOf } from './stats.js';

/** What the labels of a row are made from, besides its cell. */
interface Names {
  readonly nameOf: NameOf;
  /** What the trace's dictionary says of a lane, as JSON. */
  readonly saysOf: NameOf;
  readonly symbols: Symbols | null;
}

interface Dimension {
  readonly says: string;
  /** The parts of a cell that the label is made from. */
  readonly parts: Parts;
  /** What people read instead of an empty label. */
  readonly unlabelled?: string;
  /** The row that a cell belongs to, as people read it; empty where nothing is known. */
  label(cell: Cell, names: Names): string;
}

const levelOf = ({ level }: Cell): number | null => (level === UNKNOWN_LEVEL ? null : level);

export const DIMENSIONS = {
  vm: {
    says: 'virtual machine, where the trace tells them apart',
    parts: { lane: true },
    unlabelled: '(unknown)',
    label: ({ lane }, { saysOf }) => {
      const vm = vmNumber(lane, saysOf);
      return vm === null ? '' : vmName(vm);
    },
  },
  vcpu: {
    says: 'vCPU',
    parts: { lane: true },
    label: ({ lane }, { nameOf }) => laneName(lane, nameOf),
  },
  level: { says: 'level that exited', parts: { level: true }, label: (cell) => levelName(levelOf(cell)) },
  reason: {
    says: 'exit reason',
    parts: { reason: true },
    label: ({ isa, reason, failed }, { nameOf }) =>
      failed ? `${reasonName(isa, reason, nameOf)} failed entry` : reasonName(isa, reason, nameOf),
  },
  key: {
    says: 'port, MSR, control register, CPUID leaf, hypercall, MMIO or EPT page, vector',
    parts: { key: true },
    unlabelled: '(none)',
    label: ({ tag, key }) => keyLabel(tag, key),
  },
  rip: {
    says: 'guest RIP',
    parts: { rip: true },
    unlabelled: '(unknown)',
    label: ({ rip }) => (rip === null ? '' : `0x${rip.toString(16)}`),
  },
  symbol: {
    says: 'guest function (--symbols)',
    parts: { level: true, rip: true },
    unlabelled: '(unknown)',
    label: (cell, { symbols }) => (cell.rip === null ? '' : (symbols?.find(levelOf(cell), cell.rip)?.name ?? '')),
  },
  handler: {
    says: 'who served it: L0, or L1 where an exit of L2 was reflected',
    parts: { handler: true },
    label: ({ reflected }) => (reflected ? 'L1' : 'L0'),
  },
} as const satisfies { readonly [name: string]: Dimension };
export type DimensionName = keyof typeof DIMENSIONS;

/** A label of a row as people read it, also where nothing is known. */
export const labelText = (name: DimensionName, label: string): string => {
  const { unlabelled = '' }: Dimension = DIMENSIONS[name];
  return label === '' ? unlabelled : label;
};

export interface BreakdownRow {
  /** One label a dimension, in the order that was asked for. */
  readonly labels: readonly string[];
  readonly count: number;
  readonly share: number;
  readonly times: Times | null;
  readonly timeShare: number;
  readonly histogram: ReturnType<Histogram['toData']> | null;
}

export interface BreakdownOptions extends Partial<Names> {
  readonly histograms?: boolean;
}

/** Rows by the most handler time, then by count. */
export function breakdownOf(
  index: ExitIndex,
  by: readonly DimensionName[],
  { nameOf = () => null, saysOf = () => null, symbols = null, histograms = false }: BreakdownOptions = {},
): BreakdownRow[] {
  const names = { nameOf, saysOf, symbols };
  const parts = Object.assign({}, ...by.map((name) => DIMENSIONS[name].parts)) as Parts;
  const groups = new Map<string, { labels: string[]; cells: Uint32Array[]; count: number }>();
  for (const cells of groupCells(index.cells, exitCells(index), parts)) {
    const cell = readCell(index.cells, cells[0] ?? 0);
    const labels = by.map((name) => DIMENSIONS[name].label(cell, names));
    const id = labels.join('\0');
    const group = groups.get(id) ?? { labels, cells: [], count: 0 };
    group.cells.push(cells);
    for (const each of cells) group.count += index.counts[each] as number;
    groups.set(id, group);
  }
  const exits = index.counts.reduce((sum, count) => sum + count, 0);
  const handled = index.times.sums.reduce((sum, time) => sum + time, 0);
  const rows = [...groups.values()].map(({ labels, cells: [first, ...more], count }): BreakdownRow => {
    const cells = more.length === 0 ? (first ?? []) : [first ?? [], ...more].flatMap((part) => [...part]);
    const times = timesOf(index.times, cells);
    return {
      labels,
      count,
      share: count / exits,
      times,
      timeShare: times === null || handled === 0 ? 0 : times.total / handled,
      histogram: histograms ? histogramOf(index, cells) : null,
    };
  });
  return rows.sort((a, b) => (b.times?.total ?? 0) - (a.times?.total ?? 0) || b.count - a.count);
}
