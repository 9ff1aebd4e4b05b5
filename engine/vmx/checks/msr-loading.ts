/** Rules for an entry of a VM-entry MSR-load area: a violated one fails the entry with reason 34. */
import { CITE, type Citation } from './manual.js';

export interface MsrRule {
  readonly id: string;
  readonly cites: Citation;
  readonly says: string;
  /** What usually causes its violation. */
  readonly causes: readonly string[];
  /** `reserved`: bits 63:32 of the entry; `refused`: WRMSR would raise an exception. */
  readonly holds: (entry: { index: number; reserved: number; refused: () => boolean }) => boolean;
}

const FS_BASE = 0xc000_0100;
const GS_BASE = 0xc000_0101;
const SMM_MONITOR_CTL = 0x9b;
const BIOS_UPDT_TRIG = 0x79;
const BIOS_SIGN_ID = 0x8b;

const RULES: readonly Omit<MsrRule, 'cites'>[] = [
  {
    id: 'msr_load.reserved',
    says: 'bits 63:32 of the entry are 0',
    causes: [
      'the entry was put together as two 64-bit halves with something above the MSR number, or never zeroed: number in bits 31:0, zero in 63:32, then the value',
    ],
    holds: ({ reserved }) => reserved === 0,
  },
  {
    id: 'msr_load.segment_base',
    says: 'the MSR is neither IA32_FS_BASE nor IA32_GS_BASE',
    causes: [
      'the FS or GS base was put into the MSR-load area: an entry loads both from the segment fields GUEST_FS_BASE and GUEST_GS_BASE',
    ],
    holds: ({ index }) => index !== FS_BASE && index !== GS_BASE,
  },
  {
    id: 'msr_load.x2apic',
    says: 'the MSR is not one of the x2APIC (800H to 8FFH)',
    causes: [
      'x2APIC registers of the guest were put into the MSR-load area: virtualize them by "virtualize x2APIC mode" instead',
    ],
    holds: ({ index }) => index >>> 8 !== 8,
  },
  {
    id: 'msr_load.smm_monitor',
    says: 'the MSR is not IA32_SMM_MONITOR_CTL outside SMM',
    causes: [
      'all MSRs of a list were put into the MSR-load area, IA32_SMM_MONITOR_CTL among them, which only SMM may write',
    ],
    holds: ({ index }) => index !== SMM_MONITOR_CTL,
  },
  {
    id: 'msr_load.microcode',
    says: 'the MSR is none that the model refuses in this area (IA32_BIOS_UPDT_TRIG, IA32_BIOS_SIGN_ID)',
    causes: [
      'all MSRs of a list were put into the MSR-load area, those of microcode updates among them, which no VM entry may load',
    ],
    holds: ({ index }) => index !== BIOS_UPDT_TRIG && index !== BIOS_SIGN_ID,
  },
  {
    id: 'msr_load.refused',
    says: 'WRMSR at privilege level 0 would accept the value',
    causes: [
      'the value was not checked as WRMSR would: reserved bits, a pointer that is not canonical, or an MSR that this processor lacks; usual with values of user space (KVM_SET_MSRS), of L1, or of another processor (KVM: add_atomic_switch_msr)',
    ],
    holds: ({ refused }) => !refused(),
  },
];

export const MSR_RULES: readonly MsrRule[] = RULES.map((rule) => ({ ...rule, cites: CITE.msrLoading }));
