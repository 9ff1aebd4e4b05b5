/**
 * Numbers that stand behind the names of fields in an event's text: what no column holds, as this recorder writes it
 * (`a1=0x1`, `idx=4`) or as the source printed it (`a1 0x1`, `rax d`).
 */

/** Looks for a field of a name, without regard to case, that has a number below 2^64. */
export class TextField {
  readonly #pattern: RegExp;
  readonly #wanted: bigint;

  /** `name` consists of letters, digits and underscores. */
  constructor(name: string, value: bigint) {
    this.#pattern = new RegExp(`(?<!\\w)${name}(?:\\s*([=:])\\s*|\\s+)(0x)?([\\da-f]{1,20})(?!\\w)`, 'gi');
    this.#wanted = value;
  }

  /** True where the text has the field with that number. What is behind a blank may be hexadecimal without saying so. */
  isIn(text: string): boolean {
    for (const [, sign, prefix, digits = ''] of text.matchAll(this.#pattern)) {
      const isDecimal = prefix === undefined && /^\d+$/.test(digits);
      if (isDecimal && BigInt(digits) === this.#wanted) return true;
      if ((!isDecimal || sign === undefined) && BigInt(`0x${digits}`) === this.#wanted) return true;
    }
    return false;
  }
}
