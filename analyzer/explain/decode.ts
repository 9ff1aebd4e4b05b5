/** Values of a dump in words, bit by bit. */
import { type Information, LAYOUTS } from '../detail-bits.js';
import { type Bits, isMeant, partOf } from '../detail-parts.js';
import type { BitField } from './bit-fields.js';
import { BITS, DEFAULT_ONES } from './bits.js';
import { type Dump, FORMATS } from './dump.js';
import { in64BitMode, isCanonical, linearBitsOf } from './linear.js';

export interface Decoded {
  readonly field: string;
  readonly value: bigint;
  readonly line: number;
  /** Flags that are set, and numbers with their meaning. */
  readonly says: readonly string[];
}

const maskOf = (bits: number): bigint => (1n << BigInt(bits)) - 1n;

function spell(value: bigint, field: BitField): string | null {
  const part = partOf(value, field);
  if (field.isAddress === true) return `${field.name} 0x${(part << BigInt(field.low)).toString(16)}`;
  if (field.high === field.low) return part === (field.isActiveLow === true ? 0n : 1n) ? field.name : null;
  if (field.of !== undefined && part === 0n && (value & field.of) === 0n) return null;
  const word = field.values?.[Number(part)];
  return word === undefined ? `${field.name} ${part}` : `${field.name} ${part} (${word})`;
}

/** A flag without which the rest of the word means nothing. */
const GATES: { readonly [name: string]: { readonly set: boolean; readonly says: string } } = {
  valid: { set: true, says: 'not valid' },
  unusable: { set: false, says: 'unusable' },
};

const UNUSABLE = 1n << 16n;
/**
 * Bits that are checked in an unusable register too: of TR, which may not be unusable, all, and of SS the DPL, which is
 * the CPL. Intel SDM Vol. 3C, "Checks on Guest Segment Registers".
 */
const CHECKED_ALL_THE_SAME: { readonly [field: string]: bigint } = {
  GUEST_TR_AR_BYTES: ~UNUSABLE,
  GUEST_SS_AR_BYTES: 0x60n,
};

function gated(value: bigint, layout: readonly BitField[]): string | null {
  for (const field of layout) {
    const gate = field.high === field.low ? GATES[field.name] : undefined;
    if (gate !== undefined && (partOf(value, field) === 1n) !== gate.set) return gate.says;
  }
  return null;
}

/** A field's bits in words; bits without a name are shown as what is left. */
export function decodeBits(field: string, value: bigint): string[] {
  const layout = BITS[field];
  if (layout === undefined) return [];
  const shut = gated(value, layout);
  if (shut === null) return spellAll(field, value, layout);
  const meant = CHECKED_ALL_THE_SAME[field];
  if (meant === undefined) return [shut];
  const parts = layout.filter((part) => partOf(meant, part) !== 0n);
  return [shut, ...spellAll(field, value & meant, parts)];
}

function spellAll(field: string, value: bigint, layout: readonly BitField[]): string[] {
  const said = layout.map((bits) => spell(value, bits)).filter((text) => text !== null);
  return [...said, ...sayRest(value & ~(DEFAULT_ONES[field] ?? 0n), layout)];
}

function sayRest(value: bigint, layout: readonly { readonly high: number; readonly low: number }[]): string[] {
  const rest = layout.reduce((left, { high, low }) => left & ~(maskOf(high - low + 1) << BigInt(low)), value);
  return rest === 0n ? [] : [`bits without a name: 0x${rest.toString(16)}`];
}

/** What exits tell of themselves: where each word stands, and the reason that its layout depends on. */
const INFORMATION: {
  readonly [field: string]: { readonly isa: 1 | 2; readonly reason: string; readonly word: Information };
} = {
  EXIT_QUALIFICATION: { isa: 1, reason: 'VM_EXIT_REASON', word: 'qualification' },
  EXIT_INFO_1: { isa: 2, reason: 'EXIT_CODE', word: 'qualification' },
  EXIT_INFO_2: { isa: 2, reason: 'EXIT_CODE', word: 'info2' },
};
/** Bits 31:16 of VMX's reason say more of the exit than what it is for. */
const BASIC: { readonly [isa in 1 | 2]: bigint } = { 1: 0xffffn, 2: ~0n };

/** By the exit reason's own layout; the same table as for traces. */
function decodeInformation(dump: Dump, value: bigint, { isa, reason, word }: (typeof INFORMATION)[string]): string[] {
  const told = dump.values.get(reason)?.value;
  if (told === undefined) return [];
  const basic = Number(told & BASIC[isa]);
  const fits = LAYOUTS.filter(
    (layout) =>
      layout.isa === isa &&
      layout.word === word &&
      layout.first !== undefined &&
      layout.first <= basic &&
      basic <= (layout.last ?? layout.first),
  );
  return fits.flatMap(({ bits, name }) =>
    bits === undefined ? [name ?? ''] : [...bits.flatMap((bit) => sayInformation(value, bit)), ...sayRest(value, bits)],
  );
}

/** A flag that is clear is left out, as in a timeline: not every processor tells each. So is what means nothing here. */
function sayInformation(value: bigint, bit: Bits): string[] {
  const part = partOf(value, bit);
  const word = bit.values?.[Number(part)] ?? `0x${part.toString(16)}`;
  return word === 'no' || !isMeant(bit, value) ? [] : [`${bit.name}: ${word}`];
}

/** Addresses that checks and the first fetch look at, and whether they are the guest's. */
const POINTERS: { readonly [field: string]: boolean } = { GUEST_RIP: true, GUEST_SSP: true, HOST_RIP: false };

/** By the paging in use: that is what a fetch wants. */
function sayAddress(dump: Dump, value: bigint, isGuest: boolean): string[] {
  if (isGuest && !in64BitMode(dump)) return ['outside 64-bit mode'];
  const bits = linearBitsOf(dump, isGuest ? 'GUEST_CR4' : 'HOST_CR4');
  return [`${isCanonical(value, bits) ? '' : 'not '}canonical with ${bits} bits`];
}

/** Every field of a dump whose bits have names, in the order of the lines. */
export function decode(dump: Dump): Decoded[] {
  if (FORMATS[dump.format].isa === null) return [];
  return [...dump.values]
    .map(([field, { value, line }]): Decoded => {
      const information = INFORMATION[field];
      if (information !== undefined) return { field, value, line, says: decodeInformation(dump, value, information) };
      const guest = POINTERS[field];
      if (guest !== undefined) return { field, value, line, says: sayAddress(dump, value, guest) };
      return { field, value, line, says: decodeBits(field, value) };
    })
    .filter(({ says }) => says.length > 0)
    .sort((a, b) => a.line - b.line);
}
