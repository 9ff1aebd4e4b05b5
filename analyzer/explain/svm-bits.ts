/**
 * Names of the bits of a VMCB's control area, and of the debug registers of its save area: AMD APM Vol. 2, appendix B,
 * "VMCB Layout". What a dump has two fields of in one number, words.ts takes apart.
 */
import { SVM_EXCEPTIONS, SVM_EXIT_CODES } from '../../engine/svm/exit-codes.js';
import { SVM_EVENT } from '../event-bits.js';
import { type BitField, BREAKPOINTS, exceptions, fieldsOf, flags, number } from './bit-fields.js';

/** Bits of an intercept word are in the order of the exit codes, from that of its bit 0 on. */
const intercepts = (first: number, count: number): BitField[] =>
  SVM_EXIT_CODES.filter(({ code }) => code >= BigInt(first) && code < BigInt(first + count)).map(({ code, name }) => {
    const bit = Number(code) - first;
    return { high: bit, low: bit, name };
  });
const WORD3 = 0x60;
const WORD4 = 0x80;

const V_IRQ = 1n << 8n;

export const SVM_BITS: { readonly [field: string]: readonly BitField[] } = {
  INTERCEPT_CR_READ: intercepts(0x00, 16),
  INTERCEPT_CR_WRITE: intercepts(0x10, 16),
  INTERCEPT_DR_READ: intercepts(0x20, 16),
  INTERCEPT_DR_WRITE: intercepts(0x30, 16),
  INTERCEPT_EXCEPTIONS: exceptions(SVM_EXCEPTIONS),
  INTERCEPT_WORD3: intercepts(WORD3, 32),
  INTERCEPT_WORD4: intercepts(WORD4, 32),
  TLB_CONTROL: [
    number(7, 0, 'command', {
      0: 'do nothing',
      1: 'flush the entire TLB',
      3: "flush this guest's entries",
      7: "flush this guest's non-global entries",
    }),
  ],
  // Offset 60h, in halves.
  INT_CTL: [
    number(7, 0, 'V_TPR'),
    ...flags({ 8: 'V_IRQ', 9: 'VGIF', 11: 'V_NMI', 12: 'V_NMI_MASK' }),
    { ...number(19, 16, 'V_INTR_PRIO'), of: V_IRQ },
    ...flags({
      20: 'V_IGN_TPR',
      24: 'V_INTR_MASKING',
      25: 'virtual GIF enabled',
      26: 'V_NMI_ENABLE',
      30: 'x2AVIC enable',
      31: 'AVIC enable',
    }),
  ],
  INT_VECTOR: [number(7, 0, 'V_INTR_VECTOR')],
  INT_STATE: flags({ 0: 'INTERRUPT_SHADOW', 1: 'GUEST_INTERRUPT_MASK' }),
  EXIT_INT_INFO: fieldsOf(SVM_EVENT),
  EVENT_INJ: fieldsOf(SVM_EVENT),
  NESTED_CTL: flags({
    0: 'NP_ENABLE',
    1: 'SEV',
    2: 'SEV-ES',
    3: 'guest mode execute trap',
    4: 'SSSCheckEn',
    5: 'virtual transparent encryption',
    6: 'read-only guest page tables',
    7: 'INVLPGB/TLBSYNC',
  }),
  VIRT_EXT: flags({
    0: 'LBR virtualization',
    1: 'VMSAVE/VMLOAD virtualization',
    2: 'IBS virtualization',
    3: 'PMC virtualization',
  }),
  // 13.1.1.3 and 13.1.1.4; BLD is cleared by a bus lock.
  DR6: [
    ...flags({ 0: 'B0', 1: 'B1', 2: 'B2', 3: 'B3' }),
    { high: 11, low: 11, name: 'BLD', isActiveLow: true },
    ...flags({ 13: 'BD', 14: 'BS', 15: 'BT' }),
  ],
  DR7: [...BREAKPOINTS, ...flags({ 13: 'GD' })],
};
