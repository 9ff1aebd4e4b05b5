/** Reads words and numbers of a line in place. Numbers come as two signed halves (time.ts): no bigint, no string. */

const BLANK = 0x20;
const TAB = 0x09;

/** Value of a hexadecimal digit, 255 for any other byte. */
const HEX = new Uint8Array(256).fill(255);
for (let i = 0; i < 10; i++) HEX[0x30 + i] = i;
for (let i = 0; i < 6; i++) {
  HEX[0x41 + i] = 10 + i;
  HEX[0x61 + i] = 10 + i;
}

/** 1 for the bytes of a word: letters, digits, underscore; 2 for those that event and reason names add. */
const WORD = new Uint8Array(256);
for (let i = 0; i < 256; i++) {
  const char = String.fromCharCode(i);
  if (/[A-Za-z0-9_]/.test(char)) WORD[i] = 1;
  else if (/[-./:]/.test(char)) WORD[i] = 2;
}

export const isBlank = (byte: number): boolean => byte === BLANK || byte === TAB;
export const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39;
export const isWord = (byte: number): boolean => WORD[byte] === 1;
export const isHex = (byte: number): boolean => HEX[byte] !== 255;

export const ascii = (text: string): Uint8Array => Uint8Array.from(text, (char) => char.charCodeAt(0));

/** Decimal digits that 53 bits surely hold; and so many that they hold them beside 32 bits. */
const EXACT_DIGITS = 15;
const PART_DIGITS = 6;

/** Bytes at the end of a name that its hash looks at: names that begin alike differ there. */
const TAIL = 6;

/** FNV-1a over the length, the middle byte and the last bytes of [from, to). */
function hashName(bytes: Uint8Array, from: number, to: number): number {
  const length = to - from;
  let hash = Math.imul(0x811c9dc5 ^ length ^ ((bytes[from + (length >> 1)] as number) << 8), 0x01000193);
  for (let i = length > TAIL ? to - TAIL : from; i < to; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193);
  return hash ^ (hash >>> 15);
}

/** A table from names to values that is asked with bytes: open addressing over the hash of the name. */
export class NameTable<T> {
  #slots = new Int32Array(64).fill(-1);
  readonly #entries: { readonly name: Uint8Array; readonly value: T }[] = [];

  constructor(entries: Iterable<readonly [string, T]> = []) {
    for (const [name, value] of entries) this.set(ascii(name), value);
  }

  set(name: Uint8Array, value: T): void {
    this.#entries.push({ name, value });
    if (this.#entries.length * 4 <= this.#slots.length) this.#place(this.#entries.length - 1);
    else {
      this.#slots = new Int32Array(this.#slots.length * 2).fill(-1);
      for (let i = 0; i < this.#entries.length; i++) this.#place(i);
    }
  }

  get(bytes: Uint8Array, from: number, to: number): T | undefined {
    const mask = this.#slots.length - 1;
    for (let slot = hashName(bytes, from, to) & mask; ; slot = (slot + 1) & mask) {
      const index = this.#slots[slot] as number;
      if (index < 0) return undefined;
      const entry = this.#entries[index] as { readonly name: Uint8Array; readonly value: T };
      if (matches(bytes, from, to, entry.name)) return entry.value;
    }
  }

  #place(index: number): void {
    const { name } = this.#entries[index] as { readonly name: Uint8Array };
    const mask = this.#slots.length - 1;
    let slot = hashName(name, 0, name.length) & mask;
    while ((this.#slots[slot] as number) >= 0) slot = (slot + 1) & mask;
    this.#slots[slot] = index;
  }
}

function matches(bytes: Uint8Array, from: number, to: number, name: Uint8Array): boolean {
  if (name.length !== to - from) return false;
  for (let i = 0; i < name.length; i++) if (bytes[from + i] !== name[i]) return false;
  return true;
}

export class Cursor {
  bytes: Uint8Array = new Uint8Array(0);
  at = 0;
  end = 0;
  /** The last number read. */
  low = 0;
  high = 0;

  over(bytes: Uint8Array, from: number, to: number): this {
    this.bytes = bytes;
    this.at = from;
    this.end = to;
    return this;
  }

  /** The byte at the cursor, or 0 at the end. */
  peek(): number {
    return this.at < this.end ? (this.bytes[this.at] as number) : 0;
  }

  skipBlanks(): void {
    const { bytes, end } = this;
    let i = this.at;
    while (i < end && isBlank(bytes[i] as number)) i += 1;
    this.at = i;
  }

  /** Skips blanks and the punctuation that separates fields. */
  skipSeparators(): void {
    const { bytes, end } = this;
    let i = this.at;
    while (i < end && (isBlank(bytes[i] as number) || bytes[i] === 0x2c) /* , */) i += 1;
    this.at = i;
  }

  /** Skips a literal, or leaves the cursor where it is. */
  accept(literal: Uint8Array): boolean {
    const { bytes, at } = this;
    if (this.end - at < literal.length) return false;
    for (let i = 0; i < literal.length; i++) if (bytes[at + i] !== literal[i]) return false;
    this.at = at + literal.length;
    return true;
  }

  /** End of the word of letters, digits and underscores that starts at the cursor. */
  wordEnd(): number {
    const { bytes, end } = this;
    let i = this.at;
    while (i < end && WORD[bytes[i] as number] === 1) i += 1;
    return i;
  }

  /** As wordEnd, with the bytes that names of events and reasons add: `-`, `.`, `/`, `:`. */
  nameEnd(): number {
    const { bytes, end } = this;
    let i = this.at;
    while (i < end && WORD[bytes[i] as number] !== 0) i += 1;
    return i;
  }

  /** A hexadecimal number with or without 0x, 64 bits at the most, that ends where a word ends. */
  hex(): boolean {
    const { bytes, end } = this;
    let first = this.at;
    if (bytes[first] === 0x30 && (bytes[first + 1] === 0x78 || bytes[first + 1] === 0x58) && first + 2 < end)
      first += 2;
    let i = first;
    let low = 0;
    let high = 0;
    for (; i < end; i++) {
      const digit = HEX[bytes[i] as number] as number;
      if (digit === 255) break;
      if (high >>> 28 !== 0) return false; // more than 64 bits
      high = (high << 4) | (low >>> 28);
      low = (low << 4) | digit;
    }
    if (i === first || (i < end && WORD[bytes[i] as number] === 1)) return false;
    this.low = low;
    this.high = high;
    this.at = i;
    return true;
  }

  /** A decimal number below 2^53; negative ones are refused. */
  decimal(): boolean {
    const { bytes, at, end } = this;
    let i = at;
    let value = 0;
    for (; i < end; i++) {
      const digit = (bytes[i] as number) - 0x30;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    if (i === at || value > Number.MAX_SAFE_INTEGER || (i < end && WORD[bytes[i] as number] === 1)) return false;
    this.low = value | 0;
    this.high = value > 0x7fff_ffff ? (value / 0x1_0000_0000) | 0 : 0;
    this.at = i;
    return true;
  }

  /** A decimal number of 64 bits, with or without a sign; a negative one is two's complement. */
  integer(): boolean {
    const { bytes, at, end } = this;
    const isLong = at + EXACT_DIGITS < end && isDigit(bytes[at + EXACT_DIGITS] as number);
    return (!isLong && this.decimal()) || this.#long();
  }

  /** A decimal number in parts of so few digits that a half times their unit is exact. */
  #long(): boolean {
    const { bytes, at, end } = this;
    const negative = at < end && bytes[at] === 0x2d;
    const first = negative ? at + 1 : at;
    let i = first;
    let low = 0;
    let high = 0;
    while (i < end && isDigit(bytes[i] as number)) {
      const to = Math.min(end, i + PART_DIGITS);
      let part = 0;
      let unit = 1;
      for (; i < to && isDigit(bytes[i] as number); i++) {
        part = part * 10 + (bytes[i] as number) - 0x30;
        unit *= 10;
      }
      const sum = low * unit + part;
      high = high * unit + Math.floor(sum / 0x1_0000_0000);
      low = sum >>> 0;
      if (high > 0xffff_ffff) return false;
    }
    if (i === first || (i < end && WORD[bytes[i] as number] === 1)) return false;
    this.low = negative ? -low | 0 : low | 0;
    this.high = (negative ? (low === 0 ? -high : ~high) : high) | 0;
    this.at = i;
    return true;
  }

  /** The last number, exact below 2^53. */
  get number(): number {
    return (this.high >>> 0) * 0x1_0000_0000 + (this.low >>> 0);
  }
}
