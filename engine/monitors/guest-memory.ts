/**
 * A guest's memory as its monitor reads and writes it: through the guest's own page tables, then through an EPT that maps
 * RAM to itself. Every access is one of the monitor's own, to its identity map. Intel SDM Vol. 3A, chapter "Paging".
 */
import type { Cpu } from '../cpu/cpu.js';
import { COST } from './monitor.js';
import { vmread } from './vmx.js';

/** What the guest's paging depends on, read from the VMCS once an exit. */
export interface GuestPaging {
  readonly cr0: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  readonly efer: bigint;
}

export const readPaging = (cpu: Cpu): GuestPaging => ({
  cr0: vmread(cpu, 'GUEST_CR0'),
  cr3: vmread(cpu, 'GUEST_CR3'),
  cr4: vmread(cpu, 'GUEST_CR4'),
  efer: vmread(cpu, 'GUEST_IA32_EFER'),
});

export interface Access {
  readonly write: boolean;
  readonly user: boolean;
}

/** Where a linear address leads; or the error code of the #PF that an access would raise; or nowhere in RAM. */
export type Translation =
  | { readonly kind: 'ram'; readonly physical: number }
  | { readonly kind: 'fault'; readonly errorCode: number }
  | { readonly kind: 'outside'; readonly physical: number };

const CR0 = { wp: 0x1_0000n, pg: 0x8000_0000n } as const;
const CR4 = { pse: 0x10n, pae: 0x20n, la57: 0x1000n, smap: 0x20_0000n } as const;
const EFER_LMA = 0x400n;
const ENTRY = { present: 1n, writable: 2n, user: 4n, accessed: 0x20n, dirty: 0x40n, large: 0x80n } as const;
const ADDRESS = 0xf_ffff_ffff_f000n;
const FAULT = { present: 1, write: 2, user: 4 } as const;

/** Levels of a paging mode, the highest first: shift of the index, its bits, and whether its entries may map pages. */
interface LevelOf {
  readonly shift: number;
  readonly bits: number;
  readonly mayMap: boolean;
}
const level = (shift: number, bits: number, mayMap: boolean): LevelOf => ({ shift, bits, mayMap });
const FOUR_LEVELS = [level(39, 9, false), level(30, 9, true), level(21, 9, true), level(12, 9, true)];
const PAE = [level(30, 2, false), level(21, 9, true), level(12, 9, true)];
const TWO_LEVELS = [level(22, 10, true), level(12, 10, true)];

export class GuestMemory {
  readonly #guestBytes: number;

  constructor(guestBytes: number) {
    this.#guestBytes = guestBytes;
  }

  translate(cpu: Cpu, paging: GuestPaging, linear: bigint, access: Access): Translation {
    if (!(paging.cr0 & CR0.pg)) return this.#inRam(Number(linear & 0xffff_ffffn));
    const long = (paging.efer & EFER_LMA) !== 0n;
    const pae = (paging.cr4 & CR4.pae) !== 0n;
    const levels = long ? FOUR_LEVELS : pae ? PAE : TWO_LEVELS;
    return this.#walk(cpu, paging, linear, access, levels, long || pae ? 8 : 4);
  }

  #inRam(physical: number): Translation {
    return physical < this.#guestBytes ? { kind: 'ram', physical } : { kind: 'outside', physical };
  }

  #walk(
    cpu: Cpu,
    paging: GuestPaging,
    linear: bigint,
    access: Access,
    levels: readonly LevelOf[],
    entryBytes: 4 | 8,
  ): Translation {
    const denied = (present: boolean): Translation => ({
      kind: 'fault',
      errorCode: (present ? FAULT.present : 0) | (access.write ? FAULT.write : 0) | (access.user ? FAULT.user : 0),
    });
    const path: { readonly at: number; readonly entry: bigint }[] = [];
    let table = levels === PAE ? paging.cr3 & 0xffff_ffe0n : paging.cr3 & ADDRESS;
    let rights = ENTRY.writable | ENTRY.user;
    for (const { shift, bits, mayMap } of levels) {
      const index = (linear >> BigInt(shift)) & ((1n << BigInt(bits)) - 1n);
      const at = Number(table) + Number(index) * entryBytes;
      if (at >= this.#guestBytes) return { kind: 'outside', physical: at };
      cpu.spend(COST.walkStep);
      const entry = cpu.linear.load(cpu, BigInt(at), entryBytes);
      if (!(entry & ENTRY.present)) return denied(false);
      // PDPTEs of PAE paging have no rights: those bits are reserved.
      if (levels !== PAE || shift !== 30) {
        rights &= entry;
        path.push({ at, entry });
      }
      const large = mayMap && (entry & ENTRY.large) !== 0n && (entryBytes === 8 || (paging.cr4 & CR4.pse) !== 0n);
      if (shift !== 12 && !large) {
        table = entry & ADDRESS;
        continue;
      }
      if (!permitted(paging, rights, access)) return denied(true);
      setFlags(cpu, path, access.write, entryBytes);
      const mask = (1n << BigInt(shift)) - 1n;
      return this.#inRam(Number((entry & ADDRESS & ~mask) | (linear & mask)));
    }
    return denied(false);
  }

  /** Bytes from `linear` on, as many of `length` as can be read. */
  read(cpu: Cpu, paging: GuestPaging, linear: bigint, length: number, user: boolean): Uint8Array {
    const bytes = new Uint8Array(length);
    let place: Translation | null = null;
    for (let i = 0; i < length; i++) {
      const at = BigInt.asUintN(64, linear + BigInt(i));
      if (place === null || (at & 0xfffn) === 0n) place = this.translate(cpu, paging, at, { write: false, user });
      else if (place.kind === 'ram') place = { kind: 'ram', physical: place.physical + 1 };
      if (place.kind !== 'ram') return bytes.subarray(0, i);
      if (i % 8 === 0) cpu.spend(COST.copy);
      bytes[i] = Number(cpu.linear.load(cpu, BigInt(place.physical), 1));
    }
    return bytes;
  }

  /** What an access to [linear, linear + length) would meet first that is not RAM; null where it is all RAM. */
  obstacle(
    cpu: Cpu,
    paging: GuestPaging,
    linear: bigint,
    length: number,
    access: Access,
  ): { readonly linear: bigint; readonly what: Translation } | null {
    for (let at = linear; at < linear + BigInt(length); at = (at | 0xfffn) + 1n) {
      const what = this.translate(cpu, paging, at, access);
      if (what.kind !== 'ram') return { linear: at, what };
    }
    return null;
  }

  /** Writes bytes that `obstacle` found to be in RAM, by the same path as any store. */
  write(cpu: Cpu, paging: GuestPaging, linear: bigint, bytes: Uint8Array, user: boolean): void {
    let place: Translation | null = null;
    for (const [i, value] of bytes.entries()) {
      const at = BigInt.asUintN(64, linear + BigInt(i));
      if (place === null || (at & 0xfffn) === 0n) place = this.translate(cpu, paging, at, { write: true, user });
      else if (place.kind === 'ram') place = { kind: 'ram', physical: place.physical + 1 };
      if (place.kind !== 'ram') return;
      if (i % 8 === 0) cpu.spend(COST.copy);
      cpu.linear.store(cpu, BigInt(place.physical), 1, BigInt(value));
    }
  }
}

function permitted(paging: GuestPaging, rights: bigint, { write, user }: Access): boolean {
  if (user) return (rights & ENTRY.user) !== 0n && (!write || (rights & ENTRY.writable) !== 0n);
  if (rights & ENTRY.user && paging.cr4 & CR4.smap) return false;
  return !write || (rights & ENTRY.writable) !== 0n || !(paging.cr0 & CR0.wp);
}

/** Sets accessed flags on the way and the dirty flag of a page that is written. */
function setFlags(
  cpu: Cpu,
  path: readonly { readonly at: number; readonly entry: bigint }[],
  write: boolean,
  bytes: 4 | 8,
): void {
  for (const [i, { at, entry }] of path.entries()) {
    const leaf = i === path.length - 1;
    const wanted = entry | ENTRY.accessed | (leaf && write ? ENTRY.dirty : 0n);
    if (wanted !== entry) cpu.linear.store(cpu, BigInt(at), bytes, wanted);
  }
}
