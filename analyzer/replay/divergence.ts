/** What a replay did otherwise than its trace says. */

/** One side of a difference: what was recorded, or what the replay did. Values are decimal or 0x-hexadecimal text. */
export type Side = { readonly [name: string]: string };

export interface Divergence {
  /** The table whose rows differ; `end` for the state in which the run ended. */
  readonly table: 'event' | 'register' | 'memory' | 'message' | 'output' | 'checkpoint' | 'end';
  /** Row of that table; for `register` and `event` the seq. */
  readonly row: number;
  /** Machine time of the replay when it was found. */
  readonly tick: number;
  /** What differs; names of `recorded` and `replayed`. */
  readonly fields: readonly string[];
  /** Null: nothing was recorded that answers to what the replay did. */
  readonly recorded: Side | null;
  /** Null: the replay did nothing that answers to what was recorded. */
  readonly replayed: Side | null;
}

/** Takes a difference; `tick` is the taker's to add. */
export type Report = (difference: Omit<Divergence, 'tick' | 'fields'>) => void;

/** Names whose values differ, in the order of the sides. */
export function differing(recorded: Side | null, replayed: Side | null): string[] {
  const names = Object.keys({ ...recorded, ...replayed });
  return names.filter((name) => recorded?.[name] !== replayed?.[name]);
}

/** A 64-bit value from its halves. */
export function hex(low: number, high = 0): string {
  const digits = high ? high.toString(16) + (low >>> 0).toString(16).padStart(8, '0') : (low >>> 0).toString(16);
  return `0x${digits}`;
}

export const hexBytes = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
