/** The high-bandwidth port: one REP INSB or REP OUTSB moves the whole body of a message. */
import type { Cpu } from '../../cpu/cpu.js';
import { FLAG } from '../../cpu/flags.js';
import { gpr, SEG } from '../../cpu/layout.js';
import type { FieldName } from '../../vmx/fields.js';
import { injectPageFault, R } from '../guest.js';
import { type GuestMemory, type GuestPaging, readPaging } from '../guest-memory.js';
import { vmread, vmread32 } from '../vmx.js';
import { type Channels, MAX_MESSAGE, STATUS } from './channels.js';
import { MAGIC } from './commands.js';

export interface Transfer {
  /** From the host to the guest. */
  readonly input: boolean;
  /** Bytes of RCX, RSI and RDI that count. */
  readonly addressSize: 2 | 4 | 8;
  /** Segment of the source; the destination is in ES. */
  readonly segment: number;
}

/** EBX 15:0 of a transfer that is a message's body. */
const MESSAGE = 0;
const SEGMENT_NAMES = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS'] as const;

const register = (cpu: Cpu, n: number): number => cpu.u32(gpr(n));
const masked = (cpu: Cpu, n: number, bytes: number): bigint => BigInt.asUintN(8 * bytes, cpu.u64(gpr(n)));

function setMasked(cpu: Cpu, n: number, bytes: 2 | 4 | 8, value: bigint): void {
  cpu.writeRegister(gpr(n), bytes, BigInt.asUintN(8 * bytes, value));
}

const EFER_LMA = 0x400n;
const CS_L = 0x2000;
/** 64-bit mode, whatever the address size of the instruction is. */
const isMode64 = (cpu: Cpu, { efer }: GuestPaging): boolean =>
  (efer & EFER_LMA) !== 0n && (vmread32(cpu, 'GUEST_CS_AR_BYTES') & CS_L) !== 0;

/** In 64-bit mode only FS and GS have a base. */
function segmentBase(cpu: Cpu, segment: number, mode64: boolean): bigint {
  if (mode64 && segment !== SEG.FS && segment !== SEG.GS) return 0n;
  const field: FieldName = `GUEST_${SEGMENT_NAMES[segment] ?? 'DS'}_BASE`;
  return vmread(cpu, field);
}

/** False: the guest gets a page fault, and will come again. Else the instruction is done and its status is in EBX. */
export function transfer(cpu: Cpu, channels: Channels, memory: GuestMemory, how: Transfer, user: boolean): boolean {
  const paging = readPaging(cpu);
  const outcome = move(cpu, channels, memory, how, user, paging);
  if (outcome === null) return false;
  cpu.setU32(gpr(R.rbx), ((outcome << 16) | (register(cpu, R.rbx) & 0xffff)) >>> 0);
  return true;
}

/** The status; null: a page fault is on its way. */
function move(
  cpu: Cpu,
  channels: Channels,
  memory: GuestMemory,
  how: Transfer,
  user: boolean,
  paging: GuestPaging,
): number | null {
  const length = Number(masked(cpu, R.rcx, how.addressSize));
  const backwards = (vmread32(cpu, 'GUEST_RFLAGS') & FLAG.DF) !== 0;
  const isMessage = register(cpu, R.rax) === MAGIC && (register(cpu, R.rbx) & 0xffff) === MESSAGE;
  if (!isMessage || backwards || length > MAX_MESSAGE) return 0;

  // The cookie is in RBP and whichever of RSI and RDI the string instruction leaves free.
  const id = register(cpu, R.rdx) >>> 16;
  const rbp = register(cpu, R.rbp);
  const channel = how.input
    ? channels.receivable(id, register(cpu, R.rsi), rbp, length)
    : channels.sendable(id, rbp, register(cpu, R.rdi), length);
  if (channel === null) return 0;

  const index = how.input ? R.rdi : R.rsi;
  const mode64 = isMode64(cpu, paging);
  const base = segmentBase(cpu, how.input ? SEG.ES : how.segment, mode64);
  const linear = BigInt.asUintN(mode64 ? 64 : 32, base + masked(cpu, index, how.addressSize));
  const obstacle = memory.obstacle(cpu, paging, linear, length, { write: how.input, user });
  if (obstacle !== null) {
    if (obstacle.what.kind !== 'fault') return 0;
    injectPageFault(cpu, obstacle.linear, obstacle.what.errorCode);
    return null;
  }

  const status = how.input
    ? receive(cpu, channels, memory, channel, paging, linear, user)
    : channels.sendAll(channel, memory.read(cpu, paging, linear, length, user));
  if (!(status & STATUS.success)) return status;
  setMasked(cpu, R.rcx, how.addressSize, 0n);
  setMasked(cpu, index, how.addressSize, masked(cpu, index, how.addressSize) + BigInt(length));
  return status;
}

function receive(
  cpu: Cpu,
  channels: Channels,
  memory: GuestMemory,
  channel: Parameters<Channels['receiveAll']>[0],
  paging: GuestPaging,
  linear: bigint,
  user: boolean,
): number {
  const { status, body } = channels.receiveAll(channel);
  memory.write(cpu, paging, linear, body, user);
  return status;
}
