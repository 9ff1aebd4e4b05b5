/**
 * Mutations. Those of bytes know where a file's numbers and units are: a number becomes one that hurts or another of the
 * file, a unit is dropped, doubled, swapped with another or put into another place, the file ends at a unit's edge. Those
 * of text do the same with lines, words and numbers.
 */
import type { Random } from './random.js';

/** Where numbers and units of a file lie. */
export interface Anatomy {
  /** Lengths, counts, offsets, ids. */
  readonly numbers: readonly { readonly at: number; readonly size: 1 | 2 | 4 | 8 }[];
  /** Records, pages, sections: what can be dropped, doubled, swapped. In order, not overlapping. */
  readonly units: readonly { readonly from: number; readonly to: number }[];
  readonly isBigEndian?: boolean;
}

const HURTING = [
  ...[0n, 1n, 2n, 7n, 8n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0xffffn, 0x1_0000n, 0x10_0000n, 0x7fff_ffffn, 0x8000_0000n],
  ...[0xffff_ffffn, 1n << 32n, (1n << 53n) - 1n, 1n << 53n, 1n << 62n, 1n << 63n, (1n << 64n) - 1n],
];

function writeNumber(bytes: Buffer, at: number, size: number, value: bigint): void {
  let rest = BigInt.asUintN(8 * size, value);
  for (let i = 0; i < size && at + i < bytes.length; i++, rest >>= 8n) bytes[at + i] = Number(rest & 0xffn);
}

function readNumber(bytes: Buffer, at: number, size: number): bigint {
  let value = 0n;
  for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i] ?? 0);
  return value;
}

/** Turns a number over where the file has its high byte first. */
function ordered(bytes: Buffer, { isBigEndian = false }: Anatomy, at: number, size: number): void {
  if (isBigEndian) bytes.subarray(at, at + size).reverse();
}

/** A number of the file, or of no file, near a power of two, or the old one a little changed. */
function otherNumber(bytes: Buffer, { numbers }: Anatomy, old: bigint, random: Random): bigint {
  switch (random.below(5)) {
    case 0:
      return old + BigInt(random.below(17) - 8);
    case 1: {
      if (numbers.length === 0) return 0n;
      const { at, size } = random.pick(numbers);
      return readNumber(bytes, at, size);
    }
    case 2:
      return BigInt(random.below(bytes.length + 64));
    case 3:
      return old ^ (1n << BigInt(random.below(64)));
    default:
      return random.pick(HURTING);
  }
}

function cutUnits(bytes: Buffer, { units }: Anatomy, random: Random): Buffer {
  if (units.length === 0) return bytes;
  const a = random.pick(units);
  const b = random.pick(units);
  const [first, second] = a.from <= b.from ? [a, b] : [b, a];
  const part = (from: number, to: number): Buffer => bytes.subarray(Math.min(from, bytes.length), to);
  switch (random.below(6)) {
    case 0: // dropped
      return Buffer.concat([part(0, a.from), part(a.to, bytes.length)]);
    case 1: // doubled
      return Buffer.concat([part(0, a.to), part(a.from, bytes.length)]);
    case 2: // swapped
      if (first.to > second.from) return bytes;
      return Buffer.concat([
        ...[part(0, first.from), part(second.from, second.to), part(first.to, second.from)],
        ...[part(first.from, first.to), part(second.to, bytes.length)],
      ]);
    case 3: // put into another place
      return Buffer.concat([part(0, b.from), part(a.from, a.to), part(b.from, bytes.length)]);
    case 4: // the file ends at its edge, or a little off
      return part(0, Math.max(0, random.pick([a.from, a.to]) + random.below(3) - 1));
    default: {
      // written over another
      const out = Buffer.from(bytes);
      part(a.from, a.to).copy(out, b.from);
      return out;
    }
  }
}

/** Names that every object of JavaScript answers to: whoever looks a name of a file up in one finds them there. */
const INHERITED = ['valueOf', 'toString', '__proto__', 'constructor', 'isPrototypeOf', 'hasOwnProperty'];
const NAME = /[A-Za-z_]{7,14}/g;

/** A name in the bytes, the first from `at` on that is as long as one of those, becomes that one. */
function inherit(bytes: Buffer, at: number): Buffer {
  const out = Buffer.from(bytes);
  for (const { 0: name, index } of bytes.toString('latin1', at).matchAll(NAME)) {
    const other = INHERITED.find(({ length }) => length === name.length);
    if (other === undefined) continue;
    out.write(other, at + index, 'latin1');
    break;
  }
  return out;
}

function blind(bytes: Buffer, random: Random): Buffer {
  if (bytes.length === 0) return bytes;
  const at = random.below(random.below(4) === 0 ? Math.min(bytes.length, 2048) : bytes.length);
  const length = 1 + random.below(64);
  const out = Buffer.from(bytes);
  switch (random.below(8)) {
    case 0:
      out[at] = (out[at] ?? 0) ^ (1 << random.below(8));
      return out;
    case 1:
      writeNumber(out, at, random.pick([1, 2, 4, 8]), random.pick(HURTING));
      return out;
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
    case 3:
      return Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
    case 4:
      bytes.copy(out, at, random.below(bytes.length));
      return out;
    case 5:
      for (let i = 0; i < length && at + i < out.length; i++) out[at + i] = random.below(256);
      return out;
    case 6:
      return inherit(bytes, random.below(at + 1));
    default:
      return bytes.subarray(0, random.below(bytes.length + 1));
  }
}

/** One change mostly, else up to four: many destroy what one would have got past. */
const changesOf = (random: Random): number => (random.below(3) === 0 ? 2 + random.below(3) : 1);

export function mutateBytes(original: Uint8Array, anatomy: Anatomy, random: Random): Uint8Array {
  let bytes = Buffer.from(original);
  for (let changes = changesOf(random); changes > 0; changes--) {
    const kind = random.below(8);
    if (kind < 4 && anatomy.numbers.length > 0) {
      const { at, size } = random.pick(anatomy.numbers);
      if (at + size > bytes.length) continue;
      ordered(bytes, anatomy, at, size);
      writeNumber(bytes, at, size, otherNumber(bytes, anatomy, readNumber(bytes, at, size), random));
      ordered(bytes, anatomy, at, size);
    } else if (kind < 6) bytes = Buffer.from(cutUnits(bytes, anatomy, random));
    else bytes = Buffer.from(blind(bytes, random));
  }
  return bytes;
}

const NUMBERS = [
  ...['0', '1', '-1', '0x', '0x0', '00000000', '18446744073709551615', '18446744073709551616', '9007199254740993'],
  ...['0xffffffffffffffff', '0x10000000000000000', '4294967296', '1e309', 'NaN', '0.5', '2147483648', '65536'],
];

const CHARACTERS = ['\n', '\r\n', '=\n', '\0', '\ufeff', '[', ']', '(', ')', ':', ': ', '=', '#', '> ', '%', '"', "'"]
  .concat(['\t', ' ', '\\', '/', '..', '<', '&', ';', ',', '*', '\ud800', '\u00e9', '\u2028', '0x', '-', '+'])
  .concat([' '.repeat(3000), '['.repeat(3000), '9'.repeat(400), 'a'.repeat(5000), '(('.repeat(500)]);

/** Changes of a text; `words` are put into it as they are. */
export function mutateText(original: string, words: readonly string[], random: Random): string {
  let text = original;
  for (let changes = changesOf(random); changes > 0; changes--) text = changeText(text, words, random);
  return text;
}

function changeText(text: string, words: readonly string[], random: Random): string {
  const at = random.below(text.length + 1);
  const put = (what: string, drop = 0): string => text.slice(0, at) + what + text.slice(at + drop);
  switch (random.below(10)) {
    case 0:
      return put('', 1 + random.below(40));
    case 1:
      return put(random.pick(CHARACTERS), random.below(3));
    case 2:
      return put(random.pick(words.length > 0 ? words : NUMBERS), random.below(2) * random.below(12));
    case 3: {
      // a number becomes another
      const number = /(?:0x)?[0-9a-f]+/gi;
      number.lastIndex = at;
      const found = number.exec(text);
      if (found === null) return put(random.pick(NUMBERS));
      return text.slice(0, found.index) + random.pick(NUMBERS) + text.slice(found.index + found[0].length);
    }
    case 4:
      return text.slice(0, at);
    case 5:
      return changeLines(text, random);
    case 6: {
      // a piece from elsewhere
      const from = random.below(text.length + 1);
      return put(text.slice(from, from + random.below(200)), random.below(30));
    }
    case 7: {
      // a name becomes one that is everywhere
      const name = /[a-z_][\w.-]*/gi;
      name.lastIndex = at;
      const found = name.exec(text);
      if (found === null) return put(random.pick(INHERITED));
      return text.slice(0, found.index) + random.pick(INHERITED) + text.slice(found.index + found[0].length);
    }
    case 8:
      return put(String.fromCharCode(random.below(random.pick([128, 256, 0x1_0000]))), 1);
    default:
      return put(text.slice(at, at + 1 + random.below(80)).repeat(1 + random.below(4)));
  }
}

/** Lines dropped, doubled, swapped, or wrapped. */
function changeLines(text: string, random: Random): string {
  const lines = text.split('\n');
  const a = random.below(lines.length);
  const b = random.below(lines.length);
  const [one = '', other = ''] = [lines[a], lines[b]];
  switch (random.below(5)) {
    case 0:
      lines.splice(a, 1 + random.below(3));
      break;
    case 1:
      lines.splice(b, 0, one);
      break;
    case 2:
      lines[a] = other;
      lines[b] = one;
      break;
    case 3: {
      const at = random.below(one.length + 1);
      lines.splice(a, 1, one.slice(0, at), one.slice(at));
      break;
    }
    default:
      lines.splice(a, 2, one + (lines[a + 1] ?? ''));
  }
  return lines.join('\n');
}
