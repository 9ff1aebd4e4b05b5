/** What a table of the bits of a word is made of. */
import type { Bits } from '../detail-parts.js';

export interface BitField {
  readonly high: number;
  readonly low: number;
  readonly name: string;
  /** Names of its values; without them the number is shown. */
  readonly values?: { readonly [value: number]: string };
  /** Bits of an address, at their places in it. */
  readonly isAddress?: true;
  /** A flag that is said where it is 0. */
  readonly isActiveLow?: true;
  /** Said only where one of these bits of the word is set, or it is not 0 itself. */
  readonly of?: bigint;
}

export const flags = (names: { readonly [bit: number]: string }): BitField[] =>
  Object.entries(names).map(([bit, name]) => ({ high: Number(bit), low: Number(bit), name }));
export const number = (high: number, low: number, name: string, values?: BitField['values']): BitField => ({
  high,
  low,
  name,
  ...(values === undefined ? {} : { values }),
});
/** Those of a table that timelines have as well: a flag of it is named where it is set. */
export const fieldsOf = (bits: readonly Bits[]): BitField[] =>
  bits.map(({ high, low, name, values }) => (high === low ? { high, low, name } : number(high, low, name, values)));
/** By vector; one of them is no exception. */
export const exceptions = (names: { readonly [vector: string]: string }): BitField[] =>
  flags(
    Object.fromEntries(Object.entries(names).map(([vector, name]) => [vector, name === 'NMI' ? name : `#${name}`])),
  );

/** What a breakpoint is hit by, and the bytes that it is long, where it is enabled. */
const breakpoint = (n: number): BitField[] => {
  const [of, at] = [3n << BigInt(2 * n), 16 + 4 * n];
  return [
    { ...number(at + 1, at, `R/W${n}`, { 0: 'execution', 1: 'write', 2: 'I/O', 3: 'read or write' }), of },
    { ...number(at + 3, at + 2, `LEN${n}`, { 0: '1 byte', 1: '2 bytes', 2: '8 bytes', 3: '4 bytes' }), of },
  ];
};
/** What DR7 has of both vendors: Intel SDM Vol. 3B, "Debug Control Register (DR7)"; AMD APM Vol. 2, 13.1.1.4. */
export const BREAKPOINTS: readonly BitField[] = [
  ...flags({ 0: 'L0', 1: 'G0', 2: 'L1', 3: 'G1', 4: 'L2', 5: 'G2', 6: 'L3', 7: 'G3', 8: 'LE', 9: 'GE' }),
  ...[0, 1, 2, 3].flatMap(breakpoint),
];
