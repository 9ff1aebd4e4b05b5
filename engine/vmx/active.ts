/**
 * Active VMCSs: those that VMPTRLD made current and no VMCLEAR has ended. Software that stores into such a region is
 * doing something that the manual leaves undefined, and Trapline tells of it. The regions form a list through a word of
 * their own, so that RAM and the CPU state are all that a checkpoint needs.
 */
import type { Cpu } from '../cpu/cpu.js';
import { S } from '../cpu/layout.js';
import { PAGE_BYTES } from '../memory/physical.js';
import { REGION } from './fields.js';
import { watchStores } from './stores.js';
import { forgetGoodEntry, touch } from './vmcs.js';

const linkAt = (page: number): number => page * PAGE_BYTES + REGION.next;

/** Pages of the active VMCSs. A list that software has damaged ends where it leaves RAM or grows longer than RAM. */
function pages(cpu: Cpu): number[] {
  const found: number[] = [];
  const total = cpu.memory.size / PAGE_BYTES;
  let page = cpu.u32(S.ACTIVE_VMCS) - 1;
  while (page >= 0 && page < total && found.length < total && !found.includes(page)) {
    found.push(page);
    page = cpu.memory.view.getUint32(linkAt(page), true) - 1;
  }
  return found;
}

function link(cpu: Cpu, list: readonly number[]): void {
  cpu.setU32(S.ACTIVE_VMCS, (list[0] ?? -1) + 1);
  list.forEach((page, i) => {
    const next = (list[i + 1] ?? -1) + 1;
    if (cpu.memory.view.getUint32(linkAt(page), true) === next) return;
    touch(cpu, page * PAGE_BYTES);
    cpu.memory.view.setUint32(linkAt(page), next, true);
  });
}

function watch(cpu: Cpu, page: number): void {
  watchStores(cpu, (other) => pages(cpu).includes(other));
  cpu.memory.watch(page);
}

/** VMPTRLD of the region at an address in RAM. */
export function activate(cpu: Cpu, address: number): void {
  const page = address / PAGE_BYTES;
  const list = pages(cpu);
  if (list.includes(page)) return;
  link(cpu, [page, ...list]);
  // While it was not active, stores into it went unseen.
  touch(cpu, address);
  forgetGoodEntry(cpu, address);
  watch(cpu, page);
}

/** VMCLEAR of the region at an address. */
export function deactivate(cpu: Cpu, address: number): void {
  const page = address / PAGE_BYTES;
  const list = pages(cpu);
  if (!list.includes(page)) return;
  const rest = list.filter((other) => other !== page);
  link(cpu, rest);
  cpu.memory.unwatch(page);
}

/** VMXOFF: no VMCS is active. */
export function deactivateAll(cpu: Cpu): void {
  for (const page of pages(cpu)) cpu.memory.unwatch(page);
  cpu.setU32(S.ACTIVE_VMCS, 0);
}

/** Watches the active regions again, after the CPU state and RAM came from a checkpoint. */
export function watchActive(cpu: Cpu): void {
  for (const page of pages(cpu)) watch(cpu, page);
}
