/** What makes people take a valid state for an invalid one, or the reverse; each is said only where the dump has it. */
import { ENTRY, EXIT } from '../../engine/vmx/controls.js';
import { type Dump, FORMATS, fieldOf } from './dump.js';
import type { Judged } from './evaluate.js';
import { in64BitMode, isCanonical, linearBitsOf } from './linear.js';
import type { Outcome } from './outcome.js';

interface Trap {
  /** @param holds tells whether a check holds, by its id */
  readonly applies: (dump: Dump, outcome: Outcome, holds: (id: string) => boolean) => boolean;
  readonly says: (dump: Dump) => string;
}

const hex = (value: bigint | null): string => (value === null ? '?' : `0x${value.toString(16)}`);
const has = (dump: Dump, field: string, mask: number): boolean | null => {
  const value = fieldOf(dump, field);
  return value === null ? null : (value & BigInt(mask >>> 0)) !== 0n;
};

const unloaded = (field: string, control: number, controls: string, what: string): Trap => ({
  applies: (dump) => fieldOf(dump, field) !== null && has(dump, controls, control) === false,
  says: (dump) =>
    `${what} is printed as ${hex(fieldOf(dump, field))} but "load ${what.split(' ').pop()}" is 0: the entry does not look at it.`,
});

/** What the entry takes, because it looks at bits beyond the linear-address width alone, and the guest cannot use. */
const notCanonical = (field: string, control: number, check: string, what: string, use: string): Trap => ({
  applies: (dump, _outcome, holds) => {
    const value = fieldOf(dump, field);
    const isLoaded = control === 0 || has(dump, 'VM_ENTRY_CONTROLS', control) === true;
    if (value === null || !isLoaded || !in64BitMode(dump)) return false;
    return !isCanonical(value, linearBitsOf(dump)) && holds(check);
  },
  says: (dump) =>
    `${what} ${hex(fieldOf(dump, field))} is not canonical (${linearBitsOf(dump)} bits by guest CR4.LA57), and the entry allows that: it only wants bits beyond the processor's linear-address width to be identical. It is no cause of a failed entry; ${use}.`,
});

const VALID = 0x8000_0000;

const TRAPS: readonly Trap[] = [
  notCanonical('GUEST_RIP', 0, 'guest.rip.linear_width', 'Guest RIP', "the guest's first fetch faults (#GP)"),
  notCanonical(
    'GUEST_SSP',
    ENTRY.loadCet,
    'guest.ssp.linear_width',
    'Guest SSP',
    "the guest's first use of its shadow stack faults",
  ),
  unloaded('GUEST_IA32_EFER', ENTRY.loadEfer, 'VM_ENTRY_CONTROLS', 'guest IA32_EFER'),
  unloaded('GUEST_IA32_PAT', ENTRY.loadPat, 'VM_ENTRY_CONTROLS', 'guest IA32_PAT'),
  {
    applies: (dump) =>
      fieldOf(dump, 'HOST_IA32_EFER') !== null && has(dump, 'VM_EXIT_CONTROLS', EXIT.loadEfer) === false,
    says: (dump) => `host IA32_EFER is printed as ${hex(fieldOf(dump, 'HOST_IA32_EFER'))} but VM exits do not load it.`,
  },
  {
    applies: ({ efer }) => efer === 'effective',
    says: (dump) =>
      `EFER ${hex(fieldOf(dump, 'efer.list'))} is marked (effective): the kernel computed it, it is not a field of this VMCS.`,
  },
  {
    applies: ({ efer }) => efer === 'autoload',
    says: (dump) =>
      `EFER ${hex(fieldOf(dump, 'efer.list'))} is marked (autoload): it comes from the MSR-load area, not from a field.`,
  },
  {
    applies: (dump) =>
      (fieldOf(dump, 'VM_ENTRY_INTR_INFO_FIELD') ?? 0n) !== 0n &&
      has(dump, 'VM_ENTRY_INTR_INFO_FIELD', VALID) === false,
    says: (dump) =>
      `VMEntry intr_info ${hex(fieldOf(dump, 'VM_ENTRY_INTR_INFO_FIELD'))} has its valid bit (31) clear: nothing is injected, the rest is left over from an earlier event.`,
  },
  {
    applies: (dump, { kind }) =>
      (kind === 'guest-state' || kind === 'msr-load') &&
      (fieldOf(dump, 'VM_EXIT_INTR_INFO') !== null || fieldOf(dump, 'IDT_VECTORING_INFO_FIELD') !== null),
    says: () =>
      'A failed entry writes the exit reason and the qualification only: VMExit intr_info, ilen and IDTVectoring are left over from an earlier exit.',
  },
  {
    applies: (dump, { kind }) => kind === 'vmfail' && fieldOf(dump, 'VM_EXIT_REASON') !== null,
    says: (dump) =>
      `VMfail does not write the exit reason: ${hex(fieldOf(dump, 'VM_EXIT_REASON'))} is stale and says nothing about this entry.`,
  },
  {
    applies: (dump) => {
      const [actual, shadow] = [fieldOf(dump, 'GUEST_CR0'), fieldOf(dump, 'CR0_READ_SHADOW')];
      return actual !== null && shadow !== null && actual !== shadow;
    },
    says: () =>
      'CR0 and CR4 "actual" are what the processor runs with, "shadow" is what the guest reads back: only "actual" is checked.',
  },
  {
    applies: (_dump, { kind }) => kind === 'no-error',
    says: () =>
      'Hardware error 0x0 means that KVM took a success for a failure (flags clobbered after VMLAUNCH, or a stale error field): look at the hypervisor, not at the guest state.',
  },
  {
    applies: ({ format, sections }, { kind, isa }) =>
      format === 'qemu' && isa !== 'svm' && kind !== 'vmrun-invalid' && sections.includes('registers'),
    says: () =>
      'QEMU prints the registers as the guest sees them. The VMCS holds others: CR0 and CR4 with the bits that VMX demands, EFER, DR7, and without "unrestricted guest" also real-mode segments.',
  },
  {
    applies: ({ format }, { kind }) => FORMATS[format].isa === 'svm' && kind === 'exit',
    says: () =>
      'Only an exit code below zero, as -1 (VMEXIT_INVALID), is a failed VMRUN: with any other the guest ran.',
  },
];

/** Of a recorded run nothing was printed that could be misread. */
export function trapsOf(dump: Dump, outcome: Outcome, judged: readonly Judged[]): string[] {
  const held = new Set(judged.filter(({ answer }) => answer === 'holds').map(({ check }) => check.id));
  const holds = (id: string): boolean => held.has(id);
  const traps = dump.format === 'vmcs' ? [] : TRAPS;
  return traps.filter(({ applies }) => applies(dump, outcome, holds)).map(({ says }) => says(dump));
}
