/** What a table of the bits of a word is made of. */

export interface BitField {
  readonly high: number;
  readonly low: number;
  readonly name: string;
  /** Names of its values; without them the number is shown. */
  readonly values?: { readonly [value: number]: string };
  /** Bits of an address, at their places in it. */
  readonly isAddress?: true;
}

export const flags = (names: { readonly [bit: number]: string }): BitField[] =>
  Object.entries(names).map(([bit, name]) => ({ high: Number(bit), low: Number(bit), name }));
export const number = (high: number, low: number, name: string, values?: BitField['values']): BitField => ({
  high,
  low,
  name,
  ...(values === undefined ? {} : { values }),
});
