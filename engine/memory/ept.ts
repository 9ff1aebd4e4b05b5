/**
 * Extended page tables, 4 levels, without mode-based execute control: Intel SDM Vol. 3C, "The Extended Page Table
 * Mechanism (EPT)". A step of the page walk: answers are numbers, faults are left in the Walk, nothing is thrown.
 */
import type { Cpu } from '../cpu/cpu.js';
import { FAULT } from '../cpu/fault.js';
import { S } from '../cpu/layout.js';
import type { Walk } from './walk.js';
import { entryRules } from './width.js';

const READ = 1;
const WRITE = 2;
const EXECUTE = 4;
const LARGE = 0x80;
const ACCESSED = 0x100;
const DIRTY = 0x200;
/** Bit 6 of the EPTP: accessed and dirty flags. */
const FLAGS_ENABLED = 0x40;
/** Qualification bit 7: the guest linear address is valid; bit 8: the access was to its final translation. */
const LINEAR = 0x80;
const FINAL = 0x100;

/**
 * Accesses, in the very bits of the exit qualification that an EPT violation gives. Setting an accessed or dirty flag
 * of a guest entry is reported as a read and a write (kvm-unit-tests x86/vmx_tests.c, "paddr_read_only").
 */
export const EPT_ACCESS = {
  read: READ | LINEAR | FINAL,
  write: WRITE | LINEAR | FINAL,
  fetch: EXECUTE | LINEAR | FINAL,
  tableRead: READ | LINEAR,
  tableWrite: READ | WRITE | LINEAR,
  /** PDPTEs loaded by MOV to CR: no linear address. */
  pdpteRead: READ,
} as const;

/** Bits 31:12 of the offset in a page, by the level that maps it. */
const OFFSET = [0, 0, 0x001f_f000, 0x3fff_f000] as const;
/** Bits of the low word that must be 0, by level: of an entry that names a table, and of one that maps a page. */
const TABLE_RESERVED = [0, 0, 0x78, 0x78, 0xf8] as const;
const PAGE_RESERVED = OFFSET;

/** Entries of the walk under way: their addresses and low words. */
const entryAddress = new Float64Array(5);
const entryLow = new Uint32Array(5);

/** Intel SDM Vol. 3C, "EPT Misconfigurations", for an entry that is present. */
function misconfigured(cpu: Cpu, level: number, low: number, high: number): boolean {
  const rights = low & 7;
  if (rights === WRITE || rights === (WRITE | EXECUTE)) return true;
  const { executeOnly, reservedHigh } = entryRules(cpu.model);
  if (rights === EXECUTE && !executeOnly) return true;
  if (high & reservedHigh) return true;
  const maps = level === 1 || (level < 4 && (low & LARGE) !== 0);
  if (!maps) return (low & (TABLE_RESERVED[level] ?? 0)) !== 0;
  const memoryType = (low >>> 3) & 7;
  return memoryType === 2 || memoryType === 3 || memoryType === 7 || (low & (PAGE_RESERVED[level] ?? 0)) !== 0;
}

function stop(kind: number, gpa: number, qualification: number, out: Walk): -1 {
  out.fault = kind;
  out.faultGpa = gpa;
  out.qualification = BigInt(qualification);
  return -1;
}

function setFlags(cpu: Cpu, leaf: number, write: boolean): void {
  for (let level = 4; level >= leaf; level--) {
    const wanted = write && level === leaf ? ACCESSED | DIRTY : ACCESSED;
    const low = entryLow[level] ?? 0;
    if ((low & wanted) === wanted) continue;
    entryLow[level] = (low | wanted) >>> 0;
    cpu.memory.write(entryAddress[level] ?? 0, 4, (low | wanted) >>> 0);
  }
}

/** The walk itself; see `hostAddress`. */
function walkEpt(cpu: Cpu, gpa: number, access: number, out: Walk): number {
  const eptpLow = cpu.u32(S.EPTP);
  const eptpHigh = cpu.u32(S.EPTP + 4);
  const flags = (eptpLow & FLAGS_ENABLED) !== 0;
  // With flags enabled, reading a guest paging entry counts as a write: "Accessed and Dirty Flags for EPT".
  const counted = flags && !(access & FINAL) && access & LINEAR ? access | WRITE : access;
  const low = gpa >>> 0;
  const high = Math.floor(gpa / 0x1_0000_0000);
  let base = (eptpHigh & 0xf_ffff) * 0x1_0000_0000 + ((eptpLow & 0xffff_f000) >>> 0);
  let rights = READ | WRITE | EXECUTE;
  for (let level = 4; ; level--) {
    const index =
      level === 4 ? high >>> 7 : level === 3 ? (high << 2) | (low >>> 30) : level === 2 ? low >>> 21 : low >>> 12;
    const at = base + (index & 511) * 8;
    const entry = cpu.memory.read(at, 4);
    const entryHigh = cpu.memory.read(at + 4, 4);
    if (!(entry & 7)) return stop(FAULT.ept_violation, gpa, counted, out);
    if (misconfigured(cpu, level, entry, entryHigh)) return stop(FAULT.ept_misconfig, gpa, 0, out);
    entryAddress[level] = at;
    entryLow[level] = entry;
    rights &= entry;
    base = (entryHigh & 0xf_ffff) * 0x1_0000_0000 + ((entry & 0xffff_f000) >>> 0);
    if (level > 1 && !(level < 4 && entry & LARGE)) continue;
    if ((counted & 7 & ~rights) !== 0) return stop(FAULT.ept_violation, gpa, counted | (rights << 3), out);
    if (flags) setFlags(cpu, level, (counted & WRITE) !== 0);
    out.writable = (rights & WRITE) !== 0 && (!flags || ((entryLow[level] ?? 0) & DIRTY) !== 0);
    return base + (low & ((OFFSET[level] ?? 0) | 0xfff));
  }
}

/**
 * Host-physical address of guest-physical `gpa` for an access (EPT_ACCESS), or -1 with the fault in `out`. Where EPT is
 * not in force the two are the same. `out.writable` then says whether EPT needs no walk for a later write.
 */
export function hostAddress(cpu: Cpu, gpa: number, access: number, out: Walk): number {
  out.writable = true;
  // No valid EPTP has a low word of 0: its memory type and walk length stand there.
  return cpu.u32(S.EPTP) === 0 ? gpa : walkEpt(cpu, gpa, access, out);
}
