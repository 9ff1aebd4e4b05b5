/** Rules for an entry of a VM-entry MSR-load area: a violated one fails the entry with reason 34. */
import { CITE, type Citation } from './manual.js';

export interface MsrRule {
  readonly id: string;
  readonly cites: Citation;
  readonly says: string;
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
    holds: ({ reserved }) => reserved === 0,
  },
  {
    id: 'msr_load.segment_base',
    says: 'the MSR is neither IA32_FS_BASE nor IA32_GS_BASE',
    holds: ({ index }) => index !== FS_BASE && index !== GS_BASE,
  },
  {
    id: 'msr_load.x2apic',
    says: 'the MSR is not one of the x2APIC (800H to 8FFH)',
    holds: ({ index }) => index >>> 8 !== 8,
  },
  {
    id: 'msr_load.smm_monitor',
    says: 'the MSR is not IA32_SMM_MONITOR_CTL outside SMM',
    holds: ({ index }) => index !== SMM_MONITOR_CTL,
  },
  {
    id: 'msr_load.microcode',
    says: 'the MSR is none that the model refuses in this area (IA32_BIOS_UPDT_TRIG, IA32_BIOS_SIGN_ID)',
    holds: ({ index }) => index !== BIOS_UPDT_TRIG && index !== BIOS_SIGN_ID,
  },
  {
    id: 'msr_load.refused',
    says: 'WRMSR at privilege level 0 would accept the value',
    holds: ({ refused }) => !refused(),
  },
];

export const MSR_RULES: readonly MsrRule[] = RULES.map((rule) => ({ ...rule, cites: CITE.msrLoading }));
