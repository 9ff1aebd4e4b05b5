/**
 * Guest paging: 32-bit, PAE and 4-level (Intel SDM Vol. 3A, "Paging"). Every guest-physical step, of a table read as of
 * the final address, passes EPT where it is in force. Addresses are split into 32-bit halves, and entries read as two
 * words, because a BigInt a step would cost more than the walk.
 *
 * Accessed and dirty flags are set only once the whole access is permitted.
 */
import type { Cpu } from '../cpu/cpu.js';
import { FAULT, generalProtection, NestedPageFault } from '../cpu/fault.js';
import { FLAG } from '../cpu/flags.js';
import { S } from '../cpu/layout.js';
import { EPT_ACCESS, hostAddress } from './ept.js';
import { ACCESS, Walk } from './walk.js';
import { entryRules } from './width.js';

const PRESENT = 1;
const WRITABLE = 2;
const USER = 4;
const ACCESSED = 0x20;
const DIRTY = 0x40;
/** PS: the entry maps a page, where its level may. */
const LARGE = 0x80;
const GLOBAL = 0x100;
/** Execute-disable, in the high word. */
const NO_EXECUTE = 0x8000_0000;

/** Page-fault error code. */
const ERROR = { present: 1, write: 2, user: 4, reserved: 8, fetch: 0x10 } as const;

const CR0 = { WP: 0x1_0000, PG: 0x8000_0000 } as const;
const CR4 = { PSE: 0x10, PAE: 0x20, PGE: 0x80, SMEP: 0x10_0000, SMAP: 0x20_0000 } as const;
const EFER = { LMA: 0x400, NXE: 0x800 } as const;

/** Bits 31:12 of the offset in a page, by level of the entry that maps it: 4 KiB, 2 MiB, 1 GiB. */
const OFFSET = [0, 0, 0x001f_f000, 0x3fff_f000] as const;
/** Address bits below the page size that must be 0 in a large page's entry (bit 12 is PAT), by level. */
const LARGE_RESERVED = [0, 0, 0x001f_e000, 0x3fff_e000] as const;

/** The entries of the walk under way: where each stands in guest memory, and its words. */
const entryAddress = new Float64Array(5);
const entryLow = new Uint32Array(5);
const entryHigh = new Uint32Array(5);

/** What the entries of the walk under way grant together. */
const grant = { rights: 0, noExecute: 0, leaf: 0, page: 0 };

const frame = (low: number, high: number): number => (high & 0xf_ffff) * 0x1_0000_0000 + ((low & 0xffff_f000) >>> 0);

/** Leaves the page fault in `out`; `error` is what the tables say of it. Answers false, as every failed step does. */
function pageFault(cpu: Cpu, access: number, error: number, out: Walk): false {
  const user = (access & (ACCESS.user | ACCESS.implicit)) === ACCESS.user;
  let code = error;
  if (access & ACCESS.write) code |= ERROR.write;
  if (user) code |= ERROR.user;
  const cr4 = cpu.u32(S.CR4);
  const tellsFetch = (cpu.u32(S.EFER) & EFER.NXE && cr4 & CR4.PAE) || cr4 & CR4.SMEP;
  if (access & ACCESS.fetch && tellsFetch) code |= ERROR.fetch;
  out.fault = FAULT.exception;
  out.errorCode = code;
  return false;
}

/** Tells who listens of a read or write of the entry of a level. */
function tell(cpu: Cpu, level: number, write: boolean, size: 4 | 8): void {
  if (!cpu.walkObserver) return;
  const value = (BigInt(entryHigh[level] ?? 0) << 32n) | BigInt(entryLow[level] ?? 0);
  cpu.walkObserver(entryAddress[level] ?? 0, value, write, size);
}

/** Reads the entry at guest-physical `gpa` as that of `level`; false where EPT stopped it. */
function readEntry(cpu: Cpu, gpa: number, level: number, size: 4 | 8, out: Walk): boolean {
  const host = hostAddress(cpu, gpa, EPT_ACCESS.tableRead, out);
  if (host < 0) return false;
  entryAddress[level] = gpa;
  entryLow[level] = cpu.memory.read(host, 4);
  entryHigh[level] = size === 8 ? cpu.memory.read(host + 4, 4) : 0;
  tell(cpu, level, false, size);
  return true;
}

/** Walks 8-byte entries from `level` down; false: out holds the fault. */
function walkWide(cpu: Cpu, top: number, table: number, low: number, high: number, access: number, out: Walk): boolean {
  const long = (cpu.u32(S.EFER) & EFER.LMA) !== 0;
  // PAE paging reserves bits 62:52 as well; 4-level paging ignores them.
  let reserved = entryRules(cpu.model).reservedHigh | (long ? 0 : 0x7ff0_0000);
  if (!(cpu.u32(S.EFER) & EFER.NXE)) reserved |= NO_EXECUTE;
  let base = table;
  for (let level = top; ; level--) {
    // Bits 47:39, 38:30, 29:21, 20:12 of the linear address.
    const index =
      level === 4 ? high >>> 7 : level === 3 ? (high << 2) | (low >>> 30) : level === 2 ? low >>> 21 : low >>> 12;
    if (!readEntry(cpu, base + (index & 511) * 8, level, 8, out)) return false;
    const entry = entryLow[level] ?? 0;
    const above = entryHigh[level] ?? 0;
    if (!(entry & PRESENT)) return pageFault(cpu, access, 0, out);
    const large = level > 1 && (entry & LARGE) !== 0;
    const misplaced = level === 4 ? entry & LARGE : large ? entry & (LARGE_RESERVED[level] ?? 0) : 0;
    if (above & reserved || misplaced) return pageFault(cpu, access, ERROR.present | ERROR.reserved, out);
    grant.rights &= entry;
    grant.noExecute |= above & NO_EXECUTE;
    base = frame(entry, above);
    if (level > 1 && !large) continue;
    const offset = OFFSET[level] ?? 0;
    grant.leaf = level;
    grant.page = frame((entry & ~offset) | (low & offset), above);
    return true;
  }
}

/** Walks the 4-byte entries of 32-bit paging. */
function walkNarrow(cpu: Cpu, low: number, access: number, out: Walk): boolean {
  const directory = (cpu.u32(S.CR3) & 0xffff_f000) >>> 0;
  if (!readEntry(cpu, directory + (low >>> 22) * 4, 2, 4, out)) return false;
  const entry = entryLow[2] ?? 0;
  if (!(entry & PRESENT)) return pageFault(cpu, access, 0, out);
  grant.rights &= entry;
  if (entry & LARGE && cpu.u32(S.CR4) & CR4.PSE) {
    // PSE-36: bits 20:13 are address bits 39:32; what lies above the physical width, and bit 21, is reserved.
    const above = (entry >>> 13) & 0xff;
    const width = cpu.model.physicalBits;
    if (entry & 0x20_0000 || above >= 2 ** Math.max(0, width - 32)) {
      return pageFault(cpu, access, ERROR.present | ERROR.reserved, out);
    }
    grant.leaf = 2;
    grant.page = above * 0x1_0000_0000 + ((entry & 0xffc0_0000) >>> 0) + (low & 0x3f_f000);
    return true;
  }
  if (!readEntry(cpu, ((entry & 0xffff_f000) >>> 0) + ((low >>> 12) & 1023) * 4, 1, 4, out)) return false;
  const leaf = entryLow[1] ?? 0;
  if (!(leaf & PRESENT)) return pageFault(cpu, access, 0, out);
  grant.rights &= leaf;
  grant.leaf = 1;
  grant.page = (leaf & 0xffff_f000) >>> 0;
  return true;
}

/** May supervisor code touch this user page as data: Intel SDM Vol. 3A, "Determination of Access Rights" (SMAP). */
const smapForbids = (cpu: Cpu, access: number): boolean =>
  (cpu.u32(S.CR4) & CR4.SMAP) !== 0 && ((access & ACCESS.implicit) !== 0 || (cpu.u32(S.RFLAGS_REST) & FLAG.AC) === 0);

/** Intel SDM Vol. 3A, "Determination of Access Rights". */
function permitted(cpu: Cpu, access: number, write: boolean): boolean {
  const userPage = (grant.rights & USER) !== 0;
  if (write && !(grant.rights & WRITABLE)) {
    const user = (access & (ACCESS.user | ACCESS.implicit)) === ACCESS.user;
    if (user || cpu.u32(S.CR0) & CR0.WP) return false;
  }
  if (access & ACCESS.fetch && grant.noExecute) return false;
  if ((access & (ACCESS.user | ACCESS.implicit)) === ACCESS.user) return userPage;
  if (!userPage) return true;
  return access & ACCESS.fetch ? !(cpu.u32(S.CR4) & CR4.SMEP) : !smapForbids(cpu, access);
}

/** Sets the accessed flags, and the dirty flag of a write; false: EPT forbade it. */
function setFlags(cpu: Cpu, top: number, write: boolean, out: Walk): boolean {
  const size = cpu.u32(S.CR4) & CR4.PAE ? 8 : 4;
  for (let level = top; level >= grant.leaf; level--) {
    const wanted = write && level === grant.leaf ? ACCESSED | DIRTY : ACCESSED;
    const entry = entryLow[level] ?? 0;
    if ((entry & wanted) === wanted) continue;
    const gpa = entryAddress[level] ?? 0;
    const host = hostAddress(cpu, gpa, EPT_ACCESS.tableWrite, out);
    if (host < 0) return false;
    const updated = (entry | wanted) >>> 0;
    entryLow[level] = updated;
    cpu.memory.write(host, 4, updated);
    tell(cpu, level, true, size);
  }
  return true;
}

/** The last step: from the guest-physical page to the machine's. A violation tells of the byte, at `offset`. */
function finish(cpu: Cpu, page: number, offset: number, access: number, writable: boolean, out: Walk): void {
  const kind = access & ACCESS.fetch ? EPT_ACCESS.fetch : access & ACCESS.write ? EPT_ACCESS.write : EPT_ACCESS.read;
  const host = hostAddress(cpu, page + offset, kind, out);
  if (host < 0) return;
  out.guestFrame = page / 4096;
  out.hostFrame = (host - offset) / 4096;
  out.writable &&= writable;
}

/** Reads the tables of the mode in force; answers the level it began at, or 0 with the fault in `out`. */
function walkTables(cpu: Cpu, low: number, high: number, access: number, out: Walk): number {
  if (!(cpu.u32(S.CR4) & CR4.PAE)) return walkNarrow(cpu, low, access, out) ? 2 : 0;
  if (cpu.u32(S.EFER) & EFER.LMA) {
    const canonical = (high << 16) >> 16 === (high | 0);
    if (!canonical) return pageFault(cpu, access, 0, out) ? 4 : 0;
    const root = frame(cpu.u32(S.CR3), cpu.u32(S.CR3 + 4));
    return walkWide(cpu, 4, root, low, high, access, out) ? 4 : 0;
  }
  // PAE: the four page-directory pointers are registers, loaded with CR3.
  const pointer = S.PDPTE0 + 8 * (low >>> 30);
  if (!(cpu.u32(pointer) & PRESENT)) return pageFault(cpu, access, 0, out) ? 2 : 0;
  const directory = frame(cpu.u32(pointer), cpu.u32(pointer + 4));
  return walkWide(cpu, 2, directory, low, 0, access, out) ? 2 : 0;
}

/**
 * Translates the page of a linear address, given as halves, for an access (bits of ACCESS). The answer is in `out`:
 * `fault` tells how it ended. Nothing is thrown. The caller checks that the address is canonical; of one that is not,
 * the answer is a page fault.
 */
export function walkHalves(cpu: Cpu, low: number, high: number, access: number, out: Walk): void {
  out.fault = FAULT.none;
  out.global = false;
  if (!(cpu.u32(S.CR0) & CR0.PG)) {
    finish(cpu, (low & 0xffff_f000) >>> 0, low & 0xfff, access, true, out);
    return;
  }
  grant.rights = WRITABLE | USER;
  grant.noExecute = 0;
  const top = walkTables(cpu, low, high, access, out);
  if (top === 0) return;
  const write = (access & ACCESS.write) !== 0;
  if (!permitted(cpu, access, write)) {
    pageFault(cpu, access, ERROR.present, out);
    return;
  }
  if (!setFlags(cpu, top, write, out)) return;
  const leaf = entryLow[grant.leaf] ?? 0;
  out.global = (leaf & GLOBAL) !== 0 && (cpu.u32(S.CR4) & CR4.PGE) !== 0;
  const writable = (leaf & DIRTY) !== 0 && permitted(cpu, access & ~ACCESS.fetch, true);
  finish(cpu, grant.page, low & 0xfff, access, writable, out);
}

/** `walkHalves` of a whole address. */
export function walk(cpu: Cpu, linear: bigint, access: number, out: Walk): void {
  walkHalves(cpu, Number(linear & 0xffff_ffffn), Number((linear >> 32n) & 0xffff_ffffn), access, out);
}

/** Bits of a page-directory-pointer register that must be 0: 2:1, 8:5 and those above the physical width. */
const pdpteReserved = (physicalBits: number): bigint =>
  0x1e6n | (((1n << 64n) - 1n) & ~((1n << BigInt(physicalBits)) - 1n));

/**
 * Reads the four PDPTEs that CR3 names, as MOV to CR0, CR3 and CR4 do, and loads them only when all are valid. Throws
 * #GP(0) for a reserved bit (Intel SDM Vol. 3A, "PDPTE Registers"), NestedPageFault where EPT forbids the read.
 */
export function loadPdptes(cpu: Cpu, cr3: bigint): void {
  const table = Number(cr3 & 0xffff_ffe0n);
  const out = new Walk();
  const host = hostAddress(cpu, table, EPT_ACCESS.pdpteRead, out);
  if (host < 0) {
    const kind = out.fault === FAULT.ept_violation ? 'ept_violation' : 'ept_misconfig';
    throw new NestedPageFault(kind, out.qualification, 0n, out.faultGpa);
  }
  const reserved = pdpteReserved(cpu.model.physicalBits);
  const entries = [0, 8, 16, 24].map((offset) => cpu.memory.read64(host + offset));
  if (entries.some((entry) => entry & 1n && entry & reserved)) throw generalProtection();
  entries.forEach((entry, i) => {
    cpu.setU64(S.PDPTE0 + 8 * i, entry);
    cpu.walkObserver?.(table + 8 * i, entry, false, 8);
  });
}
