/** The vocabulary of the checks of VMRUN: questions about fields that the tables combine. */
import { V } from '../fields.js';
import type { SvmCheckState } from './check.js';

export const bit = (s: SvmCheckState, field: number, n: number): boolean =>
  ((n < 32 ? s.low(field) >>> n : s.high(field) >>> (n - 32)) & 1) !== 0;

/** True where no bit of the masks is set. */
export const clear = (s: SvmCheckState, field: number, low: number, high = 0xffff_ffff): boolean =>
  (s.low(field) & low) === 0 && (s.high(field) & high) === 0;

/** No bit beyond the physical-address width. */
export const inWidth = (s: SvmCheckState, field: number): boolean =>
  s.high(field) >>> Math.min(31, s.physicalBits - 32) === 0;

const NP = 0;
const SEV = 1;
const SEV_ES = 2;
const AVIC = 31;
export const nested = (s: SvmCheckState): boolean => bit(s, V.NESTED_CTL, NP);
export const sev = (s: SvmCheckState): boolean => bit(s, V.NESTED_CTL, SEV);
export const sevEs = (s: SvmCheckState): boolean => bit(s, V.NESTED_CTL, SEV_ES);
export const avic = (s: SvmCheckState): boolean => bit(s, V.INT_CTL, AVIC);

/** Types of an injected event. */
export const EVENT = { interrupt: 0, nmi: 2, exception: 3, software: 4 } as const;
/** The VMCB injects an event: it is not looked at where the guest's VMSA holds events and NMIs (15.36.16, 15.36.21). */
export const injects = (s: SvmCheckState): boolean => bit(s, V.EVENT_INJ, 31) && !vmsaInjects(s);
export const eventType = (s: SvmCheckState): number => (s.low(V.EVENT_INJ) >>> 8) & 7;
export const eventVector = (s: SvmCheckState): number => s.low(V.EVENT_INJ) & 0xff;

/** Bits of SEV_FEATURES with a meaning: 16:0, and IBPB on entry (21). */
export const SEV_FEATURES_DEFINED = 0x0021_ffff;
/** Bits of SEV_FEATURES, in the VMSA of an SEV-ES guest; 0 for any other. */
export const SEV_FEATURE = {
  snp: 0,
  restrictedInjection: 3,
  alternateInjection: 4,
  preventHostIbs: 6,
  vmplShadowStack: 8,
  pmc: 11,
  ibs: 12,
  smtProtection: 15,
  secureAvic: 16,
} as const;
export const sevFeature = (s: SvmCheckState, name: keyof typeof SEV_FEATURE): boolean =>
  sevEs(s) && bit(s, V.SEV_FEATURES, SEV_FEATURE[name]);
export const SEV_FEATURES_READ = [V.NESTED_CTL, V.SEV_FEATURES] as const;
/** Events and virtual NMIs come from the VMSA; EVENTINJ and V_NMI_ENABLE of the VMCB are ignored. */
export const vmsaInjects = (s: SvmCheckState): boolean =>
  sevFeature(s, 'alternateInjection') || sevFeature(s, 'secureAvic');
export const EVENT_INJ_READ = [V.EVENT_INJ, ...SEV_FEATURES_READ] as const;
