/** What to look at next, by what happened and what was missing. */
import type { Conclusion } from './conclude.js';
import { areMixed, type Dump, fieldOf } from './dump.js';
import type { Missing } from './evaluate.js';
import type { Host, Outcome } from './outcome.js';
import { FACTS } from './processor.js';

const EFER_LMA = 0x400n;

export const GET_VMCS =
  'Get the VMCS: load kvm_intel with dump_invalid_vmcs=1 (or write 1 to /sys/module/kvm_intel/parameters/dump_invalid_vmcs) and give the kernel log to trapline explain.';
export const GET_VMCB =
  'Get the VMCB: load kvm_amd with dump_invalid_vmcb=1 and give the kernel log to trapline explain. With SEV-ES the state is encrypted: check that LBR virtualization is on and the SEV features agree.';

const GIVE_CPUID =
  'give --cpuid FILE, /proc/cpuinfo of the host or, which says more, the output of `cpuid -1 -r` or `kcpuid -r`';
const dependsOn = (it: Conclusion): string => `Some checks depend on the processor (${lacksCpuid(it).join(', ')}):`;

interface Advice {
  readonly applies: (dump: Dump, outcome: Outcome, conclusion: Conclusion) => boolean;
  /** Said only where the log has no dump of a control structure. */
  readonly wantsDump?: true;
  readonly says: string | ((conclusion: Conclusion) => string);
}

/** What CPUID would say and nothing says. */
const lacksCpuid = ({ suspects, undecidable }: Conclusion): string[] => [
  ...new Set([...suspects, ...undecidable].flatMap(({ missing }) => missing.filter(isOfCpuid).map(({ name }) => name))),
];
const isOfCpuid = ({ kind, name }: Missing): boolean =>
  kind === 'processor' && (OF_CPUID.has(name) || name.endsWith('(CPUID)'));
const OF_CPUID: ReadonlySet<string> = new Set(Object.values(FACTS));

const lacks = ({ suspects, undecidable }: Conclusion, kind: Missing['kind']): boolean =>
  [...suspects, ...undecidable].some(({ missing }) => missing.some((one) => one.kind === kind));
const breaks = ({ violated, suspects }: Conclusion, id: RegExp): boolean =>
  [...violated, ...suspects].some(({ check }) => id.test(check.id));

const ADVICE: readonly Advice[] = [
  {
    applies: (_dump, _outcome, it) => breaks(it, /\.injection\.|injected|if_for_injection/),
    says: 'Find who wrote VM_ENTRY_INTR_INFO_FIELD: in KVM vmx_inject_irq, vmx_inject_nmi, vmx_inject_exception, or an event that user space set (KVM_SET_VCPU_EVENTS).',
  },
  {
    applies: (_dump, { qualification, kind }, it) =>
      kind === 'guest-state' && qualification === 2n && !breaks(it, /pdpte/),
    says: 'PDPTEs: with EPT they are the PDPTR fields (KVM loads them in vmx_ept_load_pdptrs); without, the four entries at guest CR3, written by the shadow-paging code.',
  },
  {
    applies: (_dump, { kind, error }, it) =>
      kind === 'vmfail' && (error === 7 || error === null) && it.violated.length === 0,
    says: 'VM-instruction error 7 names no field: print the controls and the VM-entry interruption information, and hold them against the capability MSRs 480H to 493H.',
  },
  {
    applies: (_dump, { kind }) => kind === 'msr-load',
    says: 'Look at the entry of the VM-entry MSR-load area that the qualification counts from 1, and whether WRMSR would take its value: reserved bits, canonical addresses, x2APIC and FS/GS base MSRs.',
  },
  {
    applies: ({ msrs }, { kind }) => kind === 'msr-load' && msrs.some(({ msr }) => msr >= 0x680 && msr < 0x6e0),
    says: 'MSRs 680H to 6DFH are last-branch records: a stored FROM address may carry flags in bits 63:61, and without TSX WRMSR wants them sign-extended, so that a value that RDMSR gave can be refused.',
  },
  {
    applies: ({ format }, { failed, kind }) =>
      (format === 'qemu' || format === 'report') && failed !== false && kind !== 'vmrun-invalid' && kind !== 'access',
    wantsDump: true,
    says: GET_VMCS,
  },
  {
    applies: (dump, { kind }) =>
      dump.format === 'qemu' && kind === 'guest-state' && ((fieldOf(dump, 'qemu.efer') ?? EFER_LMA) & EFER_LMA) === 0n,
    says: 'Outside long mode the PDPTEs are checked too: with EPT the PDPTR fields, without it four entries of page tables that the hypervisor itself made, also for a guest without paging. Qualification 2 in the dump of the VMCS would say so.',
  },
  {
    applies: ({ format }, { kind }) => (format === 'qemu' || format === 'report') && kind === 'vmrun-invalid',
    wantsDump: true,
    says: GET_VMCB,
  },
  {
    applies: (_dump, { failed }, it) => failed === true && lacks(it, 'msr'),
    says: 'Some checks depend on capability MSRs: give them with --msrs FILE (lines "0x480 0xVALUE", as `for m in $(seq 1152 1171); do echo $m $(rdmsr -c $m); done` prints), or name the processor with --cpu MODEL.',
  },
  {
    applies: (_dump, { failed, isa }, it) => failed !== false && isa !== 'svm' && lacksCpuid(it).length > 0,
    says: (it) => `${dependsOn(it)} ${GIVE_CPUID}, or name the processor with --cpu MODEL.`,
  },
  {
    applies: (_dump, { failed, isa }, it) => failed !== false && isa === 'svm' && lacksCpuid(it).length > 0,
    says: (it) => `${dependsOn(it)} ${GIVE_CPUID}.`,
  },
  {
    applies: ({ damage }) => damage.some(({ kind }) => kind === 'missing'),
    says: 'Lines of the dump are missing: take the log from the kernel itself (dmesg, journalctl -k), not from a screen or a mail.',
  },
  {
    applies: ({ damage }) =>
      damage.some(({ kind }) => kind === 'cut' || kind === 'garbled') && !damage.some(({ kind }) => kind === 'missing'),
    says: 'Lines of the dump are broken: take the log from the kernel itself (dmesg, journalctl -k), not from a screen or a mail.',
  },
  {
    applies: ({ damage }) => damage.some(({ kind }) => kind === 'edge'),
    says: 'Lines of the log are cut at one column: take it whole (dmesg without cut, journalctl -k --no-pager -l, less without -S).',
  },
  {
    applies: ({ damage }) => damage.some(({ kind }) => kind === 'dropped'),
    says: 'Messages were lost on the way to this log: take it from the ring buffer itself (dmesg, xl dmesg), made larger by log_buf_len=4M or conring_size=4M where it is too small.',
  },
  {
    applies: ({ clockSetAt }) => clockSetAt !== undefined,
    says: 'The clock of the kernel itself is never set: if its times go on where the clock jumps (dmesg without -T, journalctl -o short-monotonic), the dump is whole.',
  },
  {
    applies: ({ pieces }) => pieces > 1,
    says: 'Take one dump from one log, whole: lines of several runs or of several vCPUs are mixed here.',
  },
  {
    applies: (dump) => dump.format.startsWith('kvm-') && areMixed(dump),
    says: 'A kernel with CONFIG_PRINTK_CALLER names the thread of each line, so that dumps of several vCPUs are told apart.',
  },
  {
    applies: (_dump, { kind }) => kind === 'no-error',
    says: 'Look at how the hypervisor tells success from failure after VMLAUNCH and VMRESUME (CF and ZF), and at the kernel log for the VMCS itself.',
  },
];

/** Further causes stand with their checks in the JSON, and say less the more there are. */
const MOST_CAUSES = 3;

/** What usually causes it: each cause once, however many checks of its family are violated. */
function causesOf({ violated, suspects }: Conclusion): string[] {
  const [said, chosen] = violated.length > 0 ? ['Often', violated] : ['If so, often', suspects];
  const causes = [...new Set(chosen.flatMap(({ check }) => check.causes ?? []))];
  const left = causes.length - MOST_CAUSES;
  return [
    ...causes.slice(0, MOST_CAUSES).map((cause) => `${said}: ${cause}.`),
    ...(left > 0 ? [`${left} further usual ${left === 1 ? 'cause' : 'causes'}: see "causes" of --json.`] : []),
  ];
}

export const adviceFor = (dump: Dump, outcome: Outcome, conclusion: Conclusion, host: Host): string[] => [
  ...new Set([
    ...causesOf(conclusion),
    ...ADVICE.filter(
      ({ applies, wantsDump }) => applies(dump, outcome, conclusion) && !(wantsDump && host !== null),
    ).map(({ says }) => (typeof says === 'string' ? says : says(conclusion))),
  ]),
];
