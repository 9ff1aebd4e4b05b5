/**
 * The state that an image starts in, as data: so that the bare CPU or a monitor's guest area can be given it. What is
 * not named is zero: other general registers, RAM, IDTR.
 */
import type { Cpu } from '../cpu/cpu.js';
import { gpr, S, SEG, segBase, segLimit, segRights, segSelector } from '../cpu/layout.js';

/** General registers by the number that the manual encodes them with. */
export const GPR = { rax: 0, rcx: 1, rdx: 2, rbx: 3, rsp: 4, rbp: 5, rsi: 6, rdi: 7 } as const;
export type GprName = keyof typeof GPR;

/** A segment register; `rights` in the format of the VMCS (Intel SDM Vol. 3C, "Guest Register State"). */
export interface Segment {
  readonly selector: number;
  readonly base: number;
  readonly limit: number;
  readonly rights: number;
}
export type SegmentName = 'es' | 'cs' | 'ss' | 'ds' | 'fs' | 'gs' | 'ldtr' | 'tr';

export interface BootState {
  readonly rip: number;
  readonly registers: { readonly [name in GprName]?: number };
  readonly segments: { readonly [name in SegmentName]: Segment };
  readonly gdtr: { readonly base: number; readonly limit: number };
  readonly cr0: number;
  readonly cr3: number;
  readonly cr4: number;
  readonly efer: number;
  /** Bytes that go into RAM, in this order. */
  readonly writes: readonly MemoryWrite[];
}

export interface MemoryWrite {
  readonly address: number;
  readonly bytes: Uint8Array;
}

/** What an image is started with. */
export interface BootRequest {
  readonly image: Uint8Array;
  /** The image's name, for messages. */
  readonly name: string;
  readonly commandLine: string;
  readonly modules: readonly { readonly bytes: Uint8Array; readonly commandLine: string }[];
  /** Bytes of RAM that the image may use, from address 0; above it, up to `memoryBytes`, RAM is reserved. */
  readonly usableBytes: number;
  readonly memoryBytes: number;
}

export const CR0 = { pe: 1, et: 0x10, pg: 0x8000_0000 } as const;
export const CR4 = { pae: 0x20 } as const;
export const EFER = { lme: 0x100, lma: 0x400 } as const;
export const RFLAGS_RESET = 2;

const RIGHTS = { data: 0x93, code: 0x9b, ldt: 0x82, busyTss: 0x8b, big: 0xc000, long: 0xa000 } as const;

const segment = (selector: number, base: number, limit: number, rights: number): Segment => ({
  selector,
  base,
  limit,
  rights,
});

/** Every segment register, from code and data; LDTR and TR as after a reset. */
function segments(cs: Segment, data: Segment): BootState['segments'] {
  const ldtr = segment(0, 0, 0xffff, RIGHTS.ldt);
  const tr = segment(0, 0, 0xffff, RIGHTS.busyTss);
  return { es: data, cs, ss: data, ds: data, fs: data, gs: data, ldtr, tr };
}

/** Real mode: code at `selector` * 16, data at 0. */
export const realSegments = (selector: number): BootState['segments'] =>
  segments(segment(selector, selector * 16, 0xffff, RIGHTS.data), segment(0, 0, 0xffff, RIGHTS.data));

/** Flat 32-bit or 64-bit segments with the selectors of FLAT_GDT. */
export const flatSegments = (bits: 32 | 64): BootState['segments'] =>
  segments(
    segment(0x08, 0, 0xffff_ffff, RIGHTS.code | (bits === 64 ? RIGHTS.long : RIGHTS.big)),
    segment(0x10, 0, 0xffff_ffff, RIGHTS.data | RIGHTS.big),
  );

const SEGMENT_NUMBERS: { readonly [name in SegmentName]: number } = {
  es: SEG.ES,
  cs: SEG.CS,
  ss: SEG.SS,
  ds: SEG.DS,
  fs: SEG.FS,
  gs: SEG.GS,
  ldtr: SEG.LDTR,
  tr: SEG.TR,
};

/** Puts what the image needs into RAM. */
export function writeBootMemory(cpu: Cpu, boot: BootState): void {
  for (const { address, bytes } of boot.writes) cpu.memory.copyIn(address, bytes);
}

/** Gives a CPU that was just reset the registers of `boot`. */
export function loadBootRegisters(cpu: Cpu, boot: BootState): void {
  for (const [name, value] of Object.entries(boot.registers)) cpu.setNumber(gpr(GPR[name as GprName]), value);
  for (const [name, each] of Object.entries(boot.segments)) {
    const n = SEGMENT_NUMBERS[name as SegmentName];
    cpu.setU32(segSelector(n), each.selector);
    cpu.setNumber(segBase(n), each.base);
    cpu.setU32(segLimit(n), each.limit);
    cpu.setU32(segRights(n), each.rights);
  }
  cpu.setNumber(S.GDTR_BASE, boot.gdtr.base);
  cpu.setU32(S.GDTR_LIMIT, boot.gdtr.limit);
  cpu.setNumber(S.CR0, boot.cr0);
  cpu.setNumber(S.CR3, boot.cr3);
  cpu.setNumber(S.CR4, boot.cr4);
  cpu.setNumber(S.EFER, boot.efer);
  cpu.setU32(S.CPL, 0);
  cpu.rflags = RFLAGS_RESET;
  cpu.setNumber(S.RIP, boot.rip);
  cpu.updateMode();
  cpu.translations.flush(true);
  cpu.translations.retag();
}
