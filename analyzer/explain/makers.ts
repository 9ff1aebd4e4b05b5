/** Who makes processors, and with which extensions for virtual machines; by the vendor strings of CPUID. */
import type { CpuModel } from '../../engine/cpu/model.js';

export interface Maker {
  /** Null: one of those with these extensions, it is not known which. */
  readonly name: string | null;
  readonly isa: 'vmx' | 'svm';
}

const INTEL: Maker = { name: 'Intel', isa: 'vmx' };
const AMD: Maker = { name: 'AMD', isa: 'svm' };

/** Whoever makes processors with VMX, which alone have its capability MSRs. */
export const ANY_WITH_VMX: Maker = { name: null, isa: 'vmx' };

/** CPUID.0H:EBX, EDX, ECX, without the blanks around it (arch/x86/kernel/cpu of Linux, `c_ident`). */
const VENDORS: { readonly [vendor: string]: Maker } = {
  GenuineIntel: INTEL,
  CentaurHauls: { name: 'Centaur', isa: 'vmx' },
  Shanghai: { name: 'Zhaoxin', isa: 'vmx' },
  AuthenticAMD: AMD,
  HygonGenuine: { name: 'Hygon', isa: 'svm' },
};

/** Who calls himself so; null where nobody is known to, as with strings that a hypervisor made up. */
export const makerOf = (vendor: string): Maker | null =>
  Object.hasOwn(VENDORS, vendor.trim()) ? (VENDORS[vendor.trim()] ?? null) : null;

/** Makers of the machine's own models. */
export const MAKERS: { readonly [vendor in CpuModel['vendor']]: Maker } = { intel: INTEL, amd: AMD };
