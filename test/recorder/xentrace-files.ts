/** Writes files as xentrace does: windows of host CPUs, each with the records that Xen's documentation describes. */

export interface XenRecord {
  readonly event: number;
  readonly words?: readonly number[];
  /** Time stamp, for events that have one. */
  readonly tsc?: bigint | number;
}

/** Events by the names and numbers of Xen's list of formats (tools/xentrace/formats) and public/trace.h. */
export const XEN = {
  lost_records: 0x1f001,
  wrap_buffer: 0x1f002,
  cpu_change: 0x1f003,
  continue_running: 0x21002,
  running_to_runnable: 0x21011,
  running_to_blocked: 0x21021,
  runnable_to_running: 0x21101,
  blocked_to_runnable: 0x21211,
  domain_wake: 0x28004,
  __enter_scheduler: 0x2800a,
  switch_infprev: 0x2800e,
  switch_infnext: 0x2800f,
  VMENTRY: 0x81001,
  VMEXIT: 0x81002,
  VMEXIT64: 0x81102,
  SVM_EXIT64: 0x81103,
  nVMENTRY: 0x81401,
  nVMEXIT: 0x81402,
  nVMEXIT64: 0x81502,
  PF_XEN: 0x82001,
  PF_XEN64: 0x82101,
  PF_INJECT64: 0x82102,
  INJ_EXC: 0x82003,
  INJ_VIRQ: 0x82004,
  REINJ_VIRQ: 0x82005,
  IO_READ: 0x82006,
  IO_WRITE: 0x82007,
  CR_READ64: 0x82108,
  CR_WRITE: 0x82009,
  CR_WRITE64: 0x82109,
  DR_WRITE: 0x8200b,
  MSR_READ: 0x8200c,
  MSR_WRITE: 0x8200d,
  CPUID: 0x8200e,
  INTR: 0x8200f,
  VMMCALL: 0x82012,
  HLT: 0x82013,
  INVLPG64: 0x82114,
  IOPORT_READ: 0x82016,
  IOPORT_WRITE: 0x82216,
  MMIO_READ: 0x82017,
  MMIO_WRITE: 0x82217,
  MMIO_WRITE64: 0x82317,
  CLTS: 0x82018,
  LMSW64: 0x82119,
  RDTSC: 0x8201a,
  INTR_WINDOW: 0x82020,
  NPF: 0x82021,
  TRAP: 0x82023,
  vlapic_create: 0x84004,
  hypercall: 0x20100d,
} as const;

const HALF = 0x1_0000_0000n;

/** A record: header with event, number of words and whether a time follows; time; words. */
export function record({ event, words = [], tsc }: XenRecord): Buffer {
  const bytes = Buffer.alloc((tsc === undefined ? 4 : 12) + 4 * words.length);
  bytes.writeUInt32LE(((event | (words.length << 28)) >>> 0) + (tsc === undefined ? 0 : 0x8000_0000), 0);
  if (tsc !== undefined) bytes.writeBigUInt64LE(BigInt(tsc), 4);
  const from = bytes.length - 4 * words.length;
  for (const [i, word] of words.entries()) bytes.writeUInt32LE(word >>> 0, from + 4 * i);
  return bytes;
}

/** What one CPU had in its buffer when xentrace came by. */
export function window(cpu: number, records: readonly XenRecord[]): Buffer {
  const body = Buffer.concat(records.map(record));
  return Buffer.concat([record({ event: XEN.cpu_change, words: [cpu, body.length] }), body]);
}

export const low = (value: bigint): number => Number(value % HALF);
export const high = (value: bigint): number => Number(value / HALF);
/** Domain and vCPU as scheduling records have them. */
export const who = (domain: number, vcpu: number): number => ((domain << 16) | vcpu) >>> 0;

export const exit = (tsc: number, reason: number, rip: bigint): XenRecord => ({
  event: XEN.VMEXIT64,
  words: [reason, low(rip), high(rip)],
  tsc,
});
export const entry = (tsc: number): XenRecord => ({ event: XEN.VMENTRY, tsc });
export const runs = (tsc: number, domain: number, vcpu: number): XenRecord => ({
  event: XEN.runnable_to_running,
  words: [who(domain, vcpu)],
  tsc,
});

/** Records of a file, those that name a CPU among them. */
export function recordsOf(file: Buffer): { readonly from: number; readonly to: number; readonly event: number }[] {
  const records: { from: number; to: number; event: number }[] = [];
  for (let from = 0; from + 4 <= file.length; ) {
    const header = file.readUInt32LE(from);
    const to = from + (header >= 0x8000_0000 ? 12 : 4) + 4 * ((header >>> 28) & 7);
    records.push({ from, to, event: header & 0xfff_ffff });
    from = to;
  }
  return records;
}

/** As many of the first windows of a file as go into so many bytes. */
export function firstWindows(file: Buffer, most: number): Buffer {
  const heads = recordsOf(file).filter(({ event }) => event === XEN.cpu_change);
  return file.subarray(0, heads.findLast(({ from }) => from <= most)?.from ?? 0);
}
