/** Where the state of a machine differs from the one that a checkpoint holds: which register, which device, which page. */
import { GPR, S, STATE_BYTES } from '../../engine/cpu/layout.js';
import type { RamDigest } from '../../traces/state-digest.js';
import type { StoredCheckpoint } from './checkpoints.js';
import { hex, type Side } from './divergence.js';

/** A machine's state where a checkpoint is due. */
export interface ReachedState {
  readonly tick: number;
  readonly seq: number;
  readonly cpu: Uint8Array;
  /** JSON. */
  readonly devices: string;
  readonly ram: RamDigest;
  /** Pages of RAM. */
  readonly frames: number;
  readonly digest: string;
}

/** Differences of one kind that are named; the first ones say enough. */
const MOST = 8;

const SLOT_NAMES = new Map<number, string>(
  [...Object.entries(GPR), ...Object.entries(S)].map(([name, slot]) => [slot, name.toLowerCase()]),
);

type Pair = readonly [name: string, recorded: string, replayed: string];

function cpuPairs(recorded: Uint8Array, replayed: Uint8Array): Pair[] {
  const pairs: Pair[] = [];
  if (recorded.length !== STATE_BYTES) return [['cpu', `${recorded.length} bytes`, `${replayed.length} bytes`]];
  const [one, two] = [recorded, replayed].map((bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length));
  if (!one || !two) return [];
  const word = (view: DataView, slot: number): string =>
    hex(view.getUint32(slot, true), view.getUint32(slot + 4, true));
  for (let slot = 0; slot < STATE_BYTES && pairs.length < MOST; slot += 8) {
    const [before, after] = [word(one, slot), word(two, slot)];
    if (before !== after) pairs.push([`cpu.${SLOT_NAMES.get(slot) ?? slot}`, before, after]);
  }
  return pairs;
}

/** Values of nested records by their path. */
function* leaves(value: unknown, path: string): Generator<readonly [path: string, value: string]> {
  if (typeof value === 'object' && value !== null) {
    for (const [name, cell] of Object.entries(value)) yield* leaves(cell, path === '' ? name : `${path}.${name}`);
  } else yield [path, JSON.stringify(value)];
}

const LONGEST = 40;
const brief = (text: string): string => (text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text);

function devicePairs(recorded: string, replayed: string): Pair[] {
  if (recorded === replayed) return [];
  const pairs: Pair[] = [];
  try {
    const before = new Map(leaves(JSON.parse(recorded), ''));
    const after = new Map(leaves(JSON.parse(replayed), ''));
    for (const name of new Set([...before.keys(), ...after.keys()])) {
      const [one = 'absent', two = 'absent'] = [before.get(name), after.get(name)];
      if (one !== two && pairs.length < MOST) pairs.push([brief(name), brief(one), brief(two)]);
    }
  } catch {
    // No JSON, or nested too deep: said as a whole.
  }
  return pairs.length > 0 ? pairs : [['devices', brief(recorded), brief(replayed)]];
}

function pagePairs(recorded: RamDigest, replayed: RamDigest, frames: number): Pair[] {
  if (recorded.hex() === replayed.hex()) return [];
  const pairs: Pair[] = [];
  const said = (hash: string): string => (hash === '' ? 'all zero' : `sha256 ${hash.slice(0, 16)}`);
  for (let number = 0; number < frames && pairs.length < MOST; number++) {
    const [before, after] = [recorded.get(number), replayed.get(number)];
    if (before !== after) pairs.push([`page ${hex(number)}`, said(before), said(after)]);
  }
  return pairs;
}

/** Both sides of what differs; null where nothing does. */
export function stateDifference(
  recorded: StoredCheckpoint,
  replayed: ReachedState,
): { readonly recorded: Side; readonly replayed: Side } | null {
  const pairs: Pair[] = [
    ['tick', String(recorded.tick), String(replayed.tick)] as const,
    ['seq', String(recorded.seq), String(replayed.seq)] as const,
    ...cpuPairs(recorded.state, replayed.cpu),
    ...devicePairs(recorded.devices, replayed.devices),
    ...pagePairs(recorded.ram, replayed.ram, replayed.frames),
    ['digest', recorded.digest, replayed.digest] as const,
  ];
  if (pairs.every(([, one, two]) => one === two)) return null;
  return {
    recorded: Object.fromEntries(pairs.map(([name, one]) => [name, one])),
    replayed: Object.fromEntries(pairs.map(([name, , two]) => [name, two])),
  };
}
