/** Names that an imported trace carries with it. */
import { EVENT_KINDS } from '../../engine/observer.js';
import { SVM_EXIT_CODES } from '../../engine/svm/exit-codes.js';
import { VMX_EXIT_REASONS } from '../../engine/vmx/exit-reasons.js';
import type { TraceWriter } from '../../traces/store.js';
import { APIC_REGISTERS } from './kvm/names.js';
import { type CoinedReason, reasonDomain } from './reasons.js';

/** Reasons of returning to user space, by number: Linux include/uapi/linux/kvm.h, KVM_EXIT_*. */
const USERSPACE = [
  'UNKNOWN',
  'EXCEPTION',
  'IO',
  'HYPERCALL',
  'DEBUG',
  'HLT',
  'MMIO',
  'IRQ_WINDOW_OPEN',
  'SHUTDOWN',
  'FAIL_ENTRY',
  'INTR',
  'SET_TPR',
  'TPR_ACCESS',
  'S390_SIEIC',
  'S390_RESET',
  'DCR',
  'NMI',
  'INTERNAL_ERROR',
  'OSI',
  'PAPR_HCALL',
  'S390_UCONTROL',
  'WATCHDOG',
  'S390_TSCH',
  'EPR',
  'SYSTEM_EVENT',
  'S390_STSI',
  'IOAPIC_EOI',
  'HYPERV',
  'ARM_NISV',
  'X86_RDMSR',
  'X86_WRMSR',
  'DIRTY_RING_FULL',
  'AP_RESET_HOLD',
  'X86_BUS_LOCK',
  'XEN',
  'RISCV_SBI',
  'RISCV_CSR',
  'NOTIFY',
  'LOONGARCH_IOCSR',
  'MEMORY_FAULT',
  'TDX',
];

const COINED = 'exit reason of a newer kernel: the code is of Trapline, made of the name';

/** A tracepoint that no kind names, and what the dictionary says of it. */
export interface NamedTracepoint {
  readonly name: string;
  readonly says: string | null;
}

/** Writes the dictionaries of kinds, reasons, user-space exits, APIC registers, and of events by their tracepoint. */
export function defineDictionaries(
  writer: TraceWriter,
  tracepoints: readonly NamedTracepoint[],
  coined: readonly CoinedReason[],
): void {
  for (const [name, code] of Object.entries(EVENT_KINDS)) writer.define('kind', code, name);
  for (const { code, name, says } of VMX_EXIT_REASONS) writer.define('reason.vmx', code, name, says);
  for (const { code, name, says } of SVM_EXIT_CODES) writer.define('reason.svm', code, name, says);
  for (const { isa, low, name } of coined) writer.define(reasonDomain(isa), low, name, COINED);
  for (const [code, name] of USERSPACE.entries()) writer.define('kvm_exit', code, `KVM_EXIT_${name}`);
  for (const [name, code] of Object.entries(APIC_REGISTERS)) writer.define('apic', code, name);
  for (const [code, { name, says }] of tracepoints.entries()) writer.define('event', code, name, says ?? undefined);
}
