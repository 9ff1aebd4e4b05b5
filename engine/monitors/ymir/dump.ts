/** What Ymir prints of its guest when it aborts. */
import type { Cpu } from '../../cpu/cpu.js';
import { R, readGpr } from '../guest.js';
import { type GuestMemory, type GuestPaging, readPaging } from '../guest-memory.js';
import { vmread } from '../vmx.js';

/** `0x` and 16 digits. */
export const hex16 = (value: bigint): string => `0x${value.toString(16).toUpperCase().padStart(16, '0')}`;

const LEGACY = ['RAX', 'RCX', 'RDX', 'RBX', 'RSP', 'RBP', 'RSI', 'RDI'];
const GENERAL = [...LEGACY, ...Array.from({ length: 8 }, (_, i) => `R${i + 8}`)];
const STACK_FRAMES = 16;

/** Registers, then return addresses; one line an entry. */
export function dumpGuest(cpu: Cpu, memory: GuestMemory): readonly string[] {
  const paging = readPaging(cpu);
  const line = (name: string, value: bigint): string => `${name}: ${hex16(value)}`;
  const selector = vmread(cpu, 'GUEST_CS_SELECTOR').toString(16).toUpperCase().padStart(4, '0');
  return [
    '=== vCPU Information ===',
    line('RIP', vmread(cpu, 'GUEST_RIP')),
    ...GENERAL.map((name, n) => line(name, readGpr(cpu, n))),
    line('CR0', paging.cr0),
    line('CR3', paging.cr3),
    line('CR4', paging.cr4),
    line('EFER', paging.efer),
    `CS : 0x${selector} Base=${hex16(vmread(cpu, 'GUEST_CS_BASE'))}`,
    '=== Guest Stack Trace ===',
    ...stackTrace(cpu, memory, paging),
  ];
}

/** Return addresses along the chain of frame pointers. */
function stackTrace(cpu: Cpu, memory: GuestMemory, paging: GuestPaging): readonly string[] {
  const frames = [vmread(cpu, 'GUEST_RIP')];
  let frame = readGpr(cpu, R.rbp);
  while (frames.length < STACK_FRAMES && frame !== 0n) {
    const bytes = memory.read(cpu, paging, frame, 16, false);
    if (bytes.length < 16) break;
    const view = new DataView(bytes.buffer);
    frames.push(view.getBigUint64(8, true));
    frame = view.getBigUint64(0, true);
  }
  return frames.map((address, i) => `#${String(i).padStart(2, '0')}: ${hex16(address)}`);
}
