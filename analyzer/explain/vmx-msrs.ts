/** Names of the VMX capability MSRs, and the controls that all processors want to be 1. */
import { CONTROL_GROUPS } from '../../engine/vmx/controls.js';

export type MsrReader = (msr: number) => bigint | null;

/** Intel SDM Vol. 3D, appendix A, "VMX Capability Reporting Facility". */
export const MSR_NAMES: { readonly [msr: number]: string } = {
  1152: 'IA32_VMX_BASIC',
  1153: 'IA32_VMX_PINBASED_CTLS',
  1154: 'IA32_VMX_PROCBASED_CTLS',
  1155: 'IA32_VMX_EXIT_CTLS',
  1156: 'IA32_VMX_ENTRY_CTLS',
  1157: 'IA32_VMX_MISC',
  1158: 'IA32_VMX_CR0_FIXED0',
  1159: 'IA32_VMX_CR0_FIXED1',
  1160: 'IA32_VMX_CR4_FIXED0',
  1161: 'IA32_VMX_CR4_FIXED1',
  1162: 'IA32_VMX_VMCS_ENUM',
  1163: 'IA32_VMX_PROCBASED_CTLS2',
  1164: 'IA32_VMX_EPT_VPID_CAP',
  1165: 'IA32_VMX_TRUE_PINBASED_CTLS',
  1166: 'IA32_VMX_TRUE_PROCBASED_CTLS',
  1167: 'IA32_VMX_TRUE_EXIT_CTLS',
  1168: 'IA32_VMX_TRUE_ENTRY_CTLS',
  1169: 'IA32_VMX_VMFUNC',
  1170: 'IA32_VMX_PROCBASED_CTLS3',
  1171: 'IA32_VMX_EXIT_CTLS2',
};

/** The default1 class (appendix A.2 to A.5): `usual` by the plain MSR, `always` by the TRUE one. */
const CLASSES: { readonly [group: string]: readonly [usual: number, always: number] } = {
  pin: [0x16, 0x16],
  primary: [0x0401_e172, 0x0400_6172],
  exit: [0x3_6dff, 0x3_6dfb],
  entry: [0x11ff, 0x11fb],
  secondary: [0, 0],
};

export const DEFAULT1 = CONTROL_GROUPS.flatMap(({ name, field, msr, trueMsr }) => {
  const [usual, always] = CLASSES[name] ?? [];
  return usual === undefined || always === undefined ? [] : [{ name, field, msr, trueMsr, usual, always }];
});
