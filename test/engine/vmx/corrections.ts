/**
 * Where Bochs is known to be wrong, Debian's 2.7 or that of August 2026: what it answers, what is right, and the
 * manual's sentence.
 */

export interface Correction {
  /** Lines of this check that end in `bochs` must end in `right`. */
  readonly line: RegExp;
  readonly bochs: string;
  readonly right: string;
  /** The manual's sentence. */
  readonly why: string;
}

const entered = (line: RegExp, why: string, right = 'exit 33:0'): Correction => ({
  line,
  bochs: 'entered',
  right,
  why,
});

export const CORRECTIONS: readonly Correction[] = [
  {
    line: /^controls\.entry_to_smm\.outside_smm /,
    bochs: 'exit 33:0',
    right: 'error 7',
    why:
      '"If the processor is not in SMM, the entry to SMM and deactivate dual-monitor treatment VM-entry controls must ' +
      'be 0." Bochs only fails on the interruptibility state that goes with it.',
  },
  entered(
    /^host\.perf_global_ctrl\.reserved /,
    '"If the load IA32_PERF_GLOBAL_CTRL VM-exit control is 1, bits reserved in the IA32_PERF_GLOBAL_CTRL MSR must be 0 ' +
      'in the field for that register." Bochs has no such MSR.',
    'error 8',
  ),
  entered(/^guest\.perf_global_ctrl\.reserved /, 'The same for the load IA32_PERF_GLOBAL_CTRL VM-entry control.'),
  entered(
    /^guest\.debugctl\.(reserved|supported) /,
    '"If the load debug controls VM-entry control is 1, bits reserved in the IA32_DEBUGCTL MSR must be 0 in the field ' +
      'for that register."',
  ),
  entered(
    /^guest\.cr0\.ia32e_needs_paging /,
    '"If the IA-32e mode guest VM-entry control is 1, bit 31 in the CR0 field (corresponding to CR0.PG) and bit 5 in ' +
      'the CR4 field (corresponding to CR4.PAE) must each be 1."',
  ),
  entered(
    /^guest\.(ds|es|fs|gs)\.dpl .*=c09b /,
    '"The DPL cannot be less than the RPL in the selector field if (1) the unrestricted guest VM-execution control is ' +
      '0; (2) the register is usable; and (3) the Type in the access-rights field is in the range 0 - 11." Bochs 2.7 ' +
      'leaves out type 11; later versions do not.',
  ),
  {
    line: /^good @unrestricted GUEST_CS_SELECTOR\+=[12] /,
    bochs: 'exit 33:0',
    right: 'entered',
    why:
      '"SS. If the guest will not be virtual-8086 and the unrestricted guest VM-execution control is 0, the RPL (bits ' +
      '1:0) must equal the RPL of the selector field for CS": not in this guest. Later versions know it.',
  },
  entered(
    /^guest\.cs\.dpl_nonconforming @unrestricted GUEST_SS_AR_BYTES\+=[24]0 /,
    '"If the Type is 9 or 11 (non-conforming code segment), the DPL must equal the DPL in the access-rights field for ' +
      'SS", also of an unrestricted guest. Later versions check it.',
  ),
  entered(
    /^guest\.rip\.linear_width /,
    '"If the processor supports N < 64 linear-address bits, bits 63:N must be identical if the IA-32e mode guest ' +
      'VM-entry control is 1 and the L bit in the access-rights field for CS is 1."',
  ),
  entered(
    /^guest\.rflags\.vm_needs_protection /,
    '"The VM flag (bit 17) must be 0 either if the IA-32e mode guest VM-entry control is 1 or if bit 0 in the CR0 field ' +
      '(corresponding to CR0.PE) is 0."',
  ),
  entered(
    /^guest\.activity\.hlt_injection /,
    'In HLT only external interrupts, NMIs, #DB, #MC and pending MTF VM exits may be injected ("Checks on Guest ' +
      'Non-Register State").',
  ),
  entered(
    /^guest\.activity\.shutdown_injection /,
    'In shutdown only an NMI or a machine-check exception may be injected; Bochs takes any event with vector 18.',
  ),
  entered(
    /^guest\.interruptibility\.injected_nmi_blocked /,
    '"Bit 3 (blocking by NMI) must be 0 if the virtual NMIs VM-execution control is 1, the valid bit in the VM-entry ' +
      'interruption-information field is 1, and the interruption type in that field has value 2." Later versions check it.',
  ),
  entered(
    /^guest\.pending_debug\.reserved .*=[0-9a-f]{9,} /,
    '"Bits 11:4, bit 13, bit 15, and bits 63:17 must be 0." Bochs looks at the low 32 bits.',
  ),
  entered(
    /^guest\.pending_debug\.bs_(set|clear) /,
    '"Bit 14 (BS) must be 1 if the TF flag in the RFLAGS field is 1 and the BTF flag in the IA32_DEBUGCTL field is 0", ' +
      'and 0 otherwise, with blocking by STI or MOV SS or in HLT.',
  ),
  entered(
    /^controls\.exit2\.reserved .*=[0-9a-f]{9,} /,
    'The secondary VM-exit controls have 64 bits, and "VM entry fails if bit X is set to 1 in the secondary VM-exit ' +
      'controls and bit X is cleared to 0 in this MSR" (IA32_VMX_EXIT_CTLS2). Bochs looks at the low 32 bits.',
    'error 7',
  ),
  entered(
    /^controls\.injection\.error_code .*INTR\+=800 /,
    '"The deliver-error-code bit must be 0" unless "the interruption type is hardware exception"; bit 56 of ' +
      'IA32_VMX_BASIC frees hardware exceptions alone. Bochs with CET looks at no event.',
    'error 7',
  ),
  entered(
    /^host\.cr4\.cet_needs_wp /,
    '"If bit 23 in the CR4 field (corresponding to CET) is 1, bit 16 in the CR0 field (WP) must also be 1." Bochs asks ' +
      'for it only with "load CET state".',
    'error 8',
  ),
  entered(
    /^host\.pkrs\.high /,
    '"If the load PKRS VM-exit control is 1, bits 63:32 must be 0 in the IA32_PKRS field." Bochs keeps 32 bits and then ' +
      'looks at the others.',
    'error 8',
  ),
  entered(/^guest\.pkrs\.high /, 'The same for the load PKRS VM-entry control.'),
  entered(
    /^host\.fred_config\.canonical /,
    'The load FRED VM-exit control: IA32_FRED_CONFIG holds a linear address in bits 63:12, which must be canonical, as ' +
      'WRMSR demands too. Bochs looks at the reserved bits alone.',
    'error 8',
  ),
  entered(/^guest\.fred_config\.canonical /, 'The same for the load FRED VM-entry control.'),
  entered(
    /^msr_load\.smm_monitor /,
    'The entry fails for "an MSR that can be written only in system-management mode (SMM)" where "the VM entry did not ' +
      'commence in SMM. (IA32_SMM_MONITOR_CTL is an MSR that can be written only in SMM.)"',
    'exit 34:2',
  ),
  {
    line: /^good ENTRY\+=100000 (@32 )?GUEST_SSP/,
    bochs: 'exit 33:0',
    right: 'entered',
    why:
      '"Bits 63:N must be identical, where N is the CPU’s maximum linear-address width"; "the guest SSP value is not ' +
      'required to be canonical; the value of bit N-1 may differ from that of bit N." Bochs wants a canonical one, and ' +
      '32 bits of a guest outside IA-32e mode.',
  },
];

/** The correction that a line of Bochs needs, or undefined. */
export const correctionOf = (line: string): Correction | undefined =>
  CORRECTIONS.find(({ line: matches, bochs }) => matches.test(line) && line.endsWith(bochs));

/** What a processor answers instead. */
export const corrected = (line: string): string => {
  const found = correctionOf(line);
  return found === undefined ? line : line.slice(0, -found.bochs.length) + found.right;
};
