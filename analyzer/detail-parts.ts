/** What a table of the bits of exit information is made of. */

/** Bits high:low of a word; `values` names what they can hold, otherwise the number is shown. */
export interface Bits {
  readonly high: number;
  readonly low: number;
  readonly name: string;
  readonly values?: { readonly [value: number]: string };
  /** Shown in hex. */
  readonly hex?: true;
  /** They mean something only where these bits of the word hold one of these values. */
  readonly where?: Part;
}

export interface Part {
  readonly high: number;
  readonly low: number;
  readonly holds: readonly number[];
}

/** What the bits high:low of a word hold. */
export const partOf = (word: bigint, { high, low }: Pick<Bits, 'high' | 'low'>): bigint =>
  (word >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);
/** Whether bits mean something in a word; where they do not, the manual has them 0 or undefined. */
export const isMeant = ({ where }: Bits, word: bigint): boolean =>
  where === undefined || where.holds.includes(Number(partOf(word, where)));

export const bit = (at: number, name: string, values?: Bits['values']): Bits => ({
  high: at,
  low: at,
  name,
  ...(values === undefined ? {} : { values }),
});
export const field = (high: number, low: number, name: string, values?: Bits['values']): Bits => ({
  high,
  low,
  name,
  ...(values === undefined ? { hex: true } : { values }),
});
const YES_NO = { 0: 'no', 1: 'yes' } as const;
export const flag = (at: number, name: string): Bits => bit(at, name, YES_NO);
export const only = (where: Part, bits: Bits): Bits => ({ ...bits, where });
