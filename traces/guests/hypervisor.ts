/** What the guest `hypervisor` must do, by arithmetic from its parameters alone. */
import type { Values } from './guest.js';

/** Exit reasons that it can cause, under the names that the kernel's KVM uses, in the order of their numbers. */
export type ExitReason =
  | 'EXCEPTION_NMI'
  | 'EXTERNAL_INTERRUPT'
  | 'INTERRUPT_WINDOW'
  | 'CPUID'
  | 'HLT'
  | 'INVLPG'
  | 'RDTSC'
  | 'VMCALL'
  | 'CR_ACCESS'
  | 'IO_INSTRUCTION'
  | 'MSR_READ'
  | 'MSR_WRITE'
  | 'EPT_VIOLATION';

/**
 * How often each reason occurs between the first VM entry and the end, given the value of every parameter.
 *
 * - `timer`: a tick is armed with interrupts off and awaited by STI and HLT. HLT exits, the tick exits, each once,
 *   whichever comes first: a tick that came before HLT is injected when HLT exits.
 * - `window`: the tick arrives with interrupts off (one exit) and is injected when the window opens (another).
 * - `ept`: each touch is of the one page that was just unmapped or never mapped. `mmio`: the page is never mapped.
 * - VMCALL: `vmcall`, and one each when the loop begins, when it ends, and when all is done.
 * - `loop`: that many CPUID, answered by the short handler.
 */
export function expectedExits(values: Values): Readonly<Record<ExitReason, number>> {
  const n = (name: string): number => Number(values[name] ?? 0);
  return {
    EXCEPTION_NMI: n('ud'),
    EXTERNAL_INTERRUPT: n('timer') + n('window'),
    INTERRUPT_WINDOW: n('window'),
    CPUID: n('cpuid') + n('loop'),
    HLT: n('hlt') + n('timer'),
    INVLPG: n('invlpg'),
    RDTSC: n('rdtsc'),
    VMCALL: n('vmcall') + 3,
    CR_ACCESS: n('cr0') + n('cr3') + n('cr4'),
    IO_INSTRUCTION: n('out') + n('in'),
    MSR_READ: n('rdmsr'),
    MSR_WRITE: n('wrmsr'),
    EPT_VIOLATION: n('ept') + n('mmio'),
  };
}

/** How the entry fails: VM-instruction error (SDM 3C, 32.4), or an exit with its whole reason and its qualification. */
export type EntryFailure = { readonly error: number } | { readonly reason: number; readonly qualification: number };

const guestState = (qualification = 0): EntryFailure => ({ reason: 0x8000_0021, qualification });

/** The values of `fail` besides `all`, and what the manual lays down for each. */
export const ENTRY_FAILURES: ReadonlyMap<string, EntryFailure> = new Map([
  ['ctl', { error: 7 }],
  ['ept', { error: 7 }],
  ['inject', { error: 7 }],
  ['resume', { error: 5 }],
  ['hostcr0', { error: 8 }],
  ['hosttr', { error: 8 }],
  ['gdtr', guestState()],
  ['cr0', guestState()],
  ['rflags', guestState()],
  ['activity', guestState()],
  ['blocking', guestState()],
  ['link', guestState(4)],
  ['msrload', { reason: 0x8000_0022, qualification: 1 }],
]);

/** All that the guest prints. */
export function expectedConsole(values: Values): string {
  const counts = Object.entries(expectedExits(values)).filter(([, count]) => count > 0);
  const lines = counts.map(([name, count]) => `${name} ${count}\n`);
  return [...failureLines(String(values.fail ?? 0)), ...lines].join('');
}

function failureLines(wanted: string): readonly string[] {
  return [...ENTRY_FAILURES].filter(([name]) => wanted === name || wanted === 'all').map(failureLine);
}

function failureLine([name, failure]: [string, EntryFailure]): string {
  if ('error' in failure) return `fail ${name} VM-instruction error ${failure.error}\n`;
  const reason = failure.reason.toString(16).padStart(16, '0');
  return `fail ${name} exit reason ${reason} qualification ${failure.qualification}\n`;
}
