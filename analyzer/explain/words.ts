/** Numbers of a dump in which fields of a VMCB stand side by side: AMD APM Vol. 2, appendix B, "VMCB Layout". */

/** A number that holds several fields: each with its lowest bit and its number of bits. */
export const WORDS: {
  readonly [name: string]: readonly { readonly field: string; readonly low: number; readonly bits: number }[];
} = {
  // As KVM prints them before 5.10: those of offsets 00Ch and 010h, little endian.
  intercepts: [
    { field: 'INTERCEPT_WORD3', low: 0, bits: 32 },
    { field: 'INTERCEPT_WORD4', low: 32, bits: 32 },
  ],
  'xen.cr_intercepts': [
    { field: 'INTERCEPT_CR_READ', low: 0, bits: 16 },
    { field: 'INTERCEPT_CR_WRITE', low: 16, bits: 16 },
  ],
  'xen.dr_intercepts': [
    { field: 'INTERCEPT_DR_READ', low: 0, bits: 16 },
    { field: 'INTERCEPT_DR_WRITE', low: 16, bits: 16 },
  ],
  'xen.vintr': [
    { field: 'INT_CTL', low: 0, bits: 32 },
    { field: 'INT_VECTOR', low: 32, bits: 32 },
  ],
  'xen.event_inj': [
    { field: 'EVENT_INJ', low: 0, bits: 32 },
    { field: 'EVENT_INJ_ERR', low: 32, bits: 32 },
  ],
  'xen.exit_int_info': [
    { field: 'EXIT_INT_INFO', low: 0, bits: 32 },
    { field: 'EXIT_INT_INFO_ERR', low: 32, bits: 32 },
  ],
};
