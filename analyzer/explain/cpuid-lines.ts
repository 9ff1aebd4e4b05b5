/**
 * The lines in which programs print CPUID: /proc/cpuinfo and lscpu; the registers of each leaf as cpuid(1) does with
 * `-r`, or as kcpuid of Linux (tools/arch/x86/kcpuid) does; names of fields and flags, as kcpuid does without. Of
 * several processors the first one counts.
 */
import type { CpuidRegisters } from '../../engine/vmx/checks/features.js';

const SIZES = /^\s*address sizes\s*:\s*(\d{1,3}) bits physical, (\d{1,3}) bits virtual$/i;
/** `vendor_id` of /proc/cpuinfo, `Vendor ID` of lscpu; not its `BIOS Vendor ID`. */
const VENDOR = /^\s*vendor[ _]id\s*:\s*(\S.*)$/i;
const FLAGS = /^\s*flags\s*:\s*(.*)$/i;
const REGISTERS =
  /^\s*0x([\da-f]{8})\s+0x([\da-f]{1,8}): eax=0x([\da-f]{8}) ebx=0x([\da-f]{8}) ecx=0x([\da-f]{8}) edx=0x([\da-f]{8})$/i;
/** kcpuid: a leaf, or a subleaf in decimal under the heading of its leaf. */
const OF_KCPUID =
  /^\s*(?:(0x[\da-f]{8})|(\d{1,3})): EAX=0x([\da-f]{8}), EBX=0x([\da-f]{8}), ECX=0x([\da-f]{8}), EDX=0x([\da-f]{8})$/;
const SUBLEAVES = /^\s*(0x[\da-f]{8}): subleafs:$/;
/** All leaves of a range follow, up to the next, but those whose registers are all 0. */
const RANGE = /^\s*(\w+) Leafs :$/;
/** Named fields and flags follow. */
const NAMED = /^CPU features:$/;
const FIELD = /^\s+(\w+)\s*: 0x([\da-f]{1,8})(?:\s|$)/;
const FLAG = /^\s+([a-z]\w*)(?:\s+-.*)?$/;
/** Lines that are one of these, and must read like it. */
const BEGINNINGS = /^\s*(0x[\da-f]+\s|0x[\da-f]+: |\d+: EAX=|address sizes\s*:)/i;

/** Names of older and newer tables of kcpuid. */
const PHYSICAL_BITS = ['phy_adr_bits', 'phys_addr_bits'];
/** Of newer tables of kcpuid: the vendor, four letters each, in their order. */
const VENDOR_PARTS = ['cpu_vendorid_0', 'cpu_vendorid_1', 'cpu_vendorid_2'];
const LINEAR_BITS = ['lnr_adr_bits', 'virt_addr_bits'];

/** Widths that a processor can have (SDM Vol. 3A, 4.1.4); 32 linear bits without 64-bit mode. */
const PHYSICAL = { least: 32, most: 52 } as const;
const LINEAR = [32, 48, 57];

const FIRST_EXTENDED = 0x8000_0000;
/** First leaves of the ranges, by what older and newer ones of kcpuid call them. */
const FIRST: { readonly [range: string]: number } = { Basic: 0, Standard: 0, Extended: FIRST_EXTENDED };

export const inRange = (physical: number, linear: number): boolean =>
  physical >= PHYSICAL.least && physical <= PHYSICAL.most && LINEAR.includes(linear);

/** Letters of a vendor, as CPUID has four of them in a register. */
const lettersOf = (words: readonly number[]): string =>
  words.map((word) => String.fromCharCode(...[0, 8, 16, 24].map((shift) => (word >>> shift) & 0xff))).join('');

type Sizes = readonly [physical: number, linear: number];

/** Gathers what the lines say of the first processor. */
export class CpuidLines {
  readonly leaves = new Map<string, CpuidRegisters>();
  sizes: Sizes | null = null;
  flags: Set<string> | null = null;
  /** The names are those of Linux, which changes widths and hides features. */
  isOfLinux = false;
  /** First leaves of ranges, and leaves, behind whose last line another begins: all is there but zeros. */
  readonly #ended = { ranges: new Set<number>(), leaves: new Set<number>() };
  #range: number | null = null;
  #leaf: number | null = null;
  #isNamed = false;
  #physical: number | null = null;
  #vendor: string | null = null;
  readonly #vendorParts: number[] = [];

  /** Who made it, by its own word where there is a leaf 0 (SDM Vol. 2A, "CPUID", 00H: EBX, EDX, ECX). */
  get vendor(): string | null {
    const leaf = this.leaves.get('0 0');
    if (leaf !== undefined) return lettersOf([leaf.ebx, leaf.edx, leaf.ecx]);
    return this.#vendor ?? (this.#vendorParts.length > 0 ? lettersOf(this.#vendorParts) : null);
  }

  /** Takes a line. Null where it says nothing; false where it says what cannot be. */
  take(line: string): boolean | null {
    if (this.#heads(line)) return null;
    return this.#registers(line) ?? this.#ofLinux(line) ?? this.#named(line) ?? (BEGINNINGS.test(line) ? false : null);
  }

  /** A leaf that is not there has zeros in all registers. */
  readonly isWhole = (leaf: number, subleaf: number): boolean =>
    subleaf === 0 ? this.#ended.ranges.has(leaf < FIRST_EXTENDED ? 0 : FIRST_EXTENDED) : this.#ended.leaves.has(leaf);

  /** Whether a line says what the next ones are. */
  #heads(line: string): boolean {
    const range = RANGE.exec(line)?.[1];
    if (range !== undefined) {
      if (this.#range !== null) this.#ended.ranges.add(this.#range);
      this.#range = FIRST[range] ?? null;
    }
    const leaf = SUBLEAVES.exec(line)?.[1];
    if (range !== undefined || leaf !== undefined) this.#begin(leaf === undefined ? null : Number(leaf));
    return range !== undefined || leaf !== undefined;
  }

  /** What follows is of this leaf, or of none. */
  #begin(leaf: number | null): void {
    if (this.#leaf !== null) this.#ended.leaves.add(this.#leaf);
    this.#leaf = leaf;
  }

  #registers(line: string): boolean | null {
    const [, ...words] = REGISTERS.exec(line) ?? [];
    if (words.length > 0) return this.#store(words.map((word) => Number.parseInt(word, 16)));
    const [, whole, subleaf, ...registers] = OF_KCPUID.exec(line) ?? [];
    if (registers.length === 0) return null;
    if (whole !== undefined) this.#begin(null);
    const leaf = whole === undefined ? this.#leaf : Number(whole);
    if (leaf === null) return false;
    return this.#store([leaf, Number(subleaf ?? 0), ...registers.map((word) => Number.parseInt(word, 16))]);
  }

  #ofLinux(line: string): boolean | null {
    this.#vendor ??= VENDOR.exec(line)?.[1] ?? null;
    const sizes = SIZES.exec(line);
    const flags = FLAGS.exec(line)?.[1];
    if (sizes === null && flags === undefined) return null;
    this.isOfLinux = true;
    if (flags !== undefined) this.flags ??= new Set(flags.trim().split(/\s+/));
    return sizes === null || this.#sized(Number(sizes[1]), Number(sizes[2]));
  }

  /** kcpuid names fields, and those flags that are set. */
  #named(line: string): boolean | null {
    this.#isNamed ||= NAMED.test(line);
    if (!this.#isNamed) return null;
    const [, name = '', value = ''] = FIELD.exec(line) ?? [];
    if (VENDOR_PARTS.includes(name)) this.#vendorParts[VENDOR_PARTS.indexOf(name)] ??= Number.parseInt(value, 16);
    if (PHYSICAL_BITS.includes(name)) this.#physical ??= Number.parseInt(value, 16);
    if (LINEAR_BITS.includes(name)) return this.#sized(this.#physical ?? 0, Number.parseInt(value, 16));
    const flag = FLAG.exec(line)?.[1];
    if (flag === undefined) return null;
    this.flags ??= new Set();
    this.flags.add(flag);
    return true;
  }

  #sized(physical: number, linear: number): boolean {
    this.sizes ??= [physical, linear];
    return inRange(physical, linear);
  }

  #store([leaf = 0, subleaf = 0, eax = 0, ebx = 0, ecx = 0, edx = 0]: readonly number[]): true {
    const key = `${leaf} ${subleaf}`;
    if (!this.leaves.has(key)) this.leaves.set(key, { eax, ebx, ecx, edx });
    return true;
  }
}
