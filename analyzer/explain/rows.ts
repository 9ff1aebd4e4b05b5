/**
 * What the lines of each dump look like, as data: Linux `dump_vmcb` (arch/x86/kvm/svm/svm.c) of all versions since 2.6.39,
 * QEMU `x86_cpu_dump_state` (target/i386/cpu-dump.c); those of Intel are in vmcs-rows.ts, of Xen on AMD in xen-vmcb.ts.
 */
import { VMCB_FIELDS } from '../../engine/svm/fields.js';
import { FIELDS } from '../../engine/vmx/fields.js';
import { BARE } from './bare-errors.js';
import { both, either, gives, line, not } from './conditions.js';
import { type Family, may, must, type Row, type RowSpec, when } from './row.js';
import { template } from './template.js';
import { VMCS_ROWS } from './vmcs-rows.js';
import { XEN_CHECK_ROWS } from './xen-check.js';
import { XEN_VMCB_ROWS } from './xen-vmcb.js';

/** VMCB rows are `%-20s` columns, so that names end in a colon. */
const vmcb = (name: string, width: number, ...fields: readonly string[]): string =>
  `${name}: ${fields.map((field) => `{${field}:${width}}`).join(' ')}`;

const vmcbSegment = (label: string, name: string): string =>
  `${label}: s: {${name}_SELECTOR:4} a: {${name}_ATTRIB:4} l: {${name}_LIMIT:8} b: {${name}_BASE:16}`;

/** Lines of one version, 4.7 and 5.11: where one is, all are. */
const AVIC = gives('AVIC_APIC_BAR', 'AVIC_BACKING_PAGE', 'AVIC_LOGICAL_ID', 'AVIC_PHYSICAL_ID');
const SEV_ES = gives('GHCB_GPA', 'VMSA_PA');

/** SEV-ES keeps the state in a VMSA, encrypted; Linux prints what of it the policy of the guest lets it read, or nothing. */
const NO_VMSA = both(
  ({ value }) => ((value('NESTED_CTL') ?? 0n) & 4n) !== 0n,
  not(either(line('VMCB State Save Area:'), line('es: s: '), line('rip: '))),
);

const STATE_ROWS: readonly RowSpec[] = [
  ...must(
    'state',
    vmcbSegment('es', 'ES'),
    vmcbSegment('cs', 'CS'),
    vmcbSegment('ss', 'SS'),
    vmcbSegment('ds', 'DS'),
    vmcbSegment('fs', 'FS'),
    vmcbSegment('gs', 'GS'),
    vmcbSegment('gdtr', 'GDTR'),
    vmcbSegment('ldtr', 'LDTR'),
    vmcbSegment('idtr', 'IDTR'),
    vmcbSegment('tr', 'TR'),
  ),
  { section: 'state', text: 'vmpl: {VMPL.decimal:1}', optional: true, goesOn: 'cpl: ' },
  { section: 'state', text: 'cpl: {CPL.decimal:1}' },
  ...must(
    'state',
    'efer: {EFER:16}',
    'cr0: {CR0:16}',
    'cr2: {CR2:16}',
    'cr3: {CR3:16}',
    'cr4: {CR4:16}',
    'dr6: {DR6:16}',
    'dr7: {DR7:16}',
    'rip: {RIP:16}',
    'rflags: {RFLAGS:16}',
    'rsp: {RSP:16}',
    'rax: {RAX:16}',
  ),
  // Since 6.18, and amid the others.
  ...may('state', 's_cet: {S_CET:16}', 'ssp: {SSP:16}', 'isst_addr: {ISST_ADDR:16}'),
  ...must(
    'state',
    'star: {STAR:16}',
    'lstar: {LSTAR:16}',
    'cstar: {CSTAR:16}',
    'sfmask: {SFMASK:16}',
    'kernel_gs_base: {KERNEL_GS_BASE:16}',
    'sysenter_cs: {SYSENTER_CS:16}',
    'sysenter_esp: {SYSENTER_ESP:16}',
    'sysenter_eip: {SYSENTER_EIP:16}',
    'gpat: {G_PAT:16}',
    'dbgctl: {DBGCTL:16}',
    'br_from: {BR_FROM:16}',
    'br_to: {BR_TO:16}',
    'excp_from: {EXCP_FROM:16}',
    'excp_to: {EXCP_TO:16}',
  ),
  ...may(
    'state',
    // Of the VMSA; its printer forgot the colon.
    'sev_features {SEV_FEATURES:16}',
    'sev_features: {SEV_FEATURES:16}',
    'u_cet: {U_CET:16}',
    'xss: {XSS:16}',
  ),
];

const VMCB_ROWS: readonly RowSpec[] = [
  { section: 'header', text: 'VMCB {*} last attempted VMRUN on CPU', opens: 'dump', optional: true },
  { section: 'control', text: 'VMCB Control Area:', opens: 'section', optional: true },
  ...must(
    'control',
    vmcb('cr_read', 4, 'INTERCEPT_CR_READ'),
    vmcb('cr_write', 4, 'INTERCEPT_CR_WRITE'),
    vmcb('dr_read', 4, 'INTERCEPT_DR_READ'),
    vmcb('dr_write', 4, 'INTERCEPT_DR_WRITE'),
    vmcb('exceptions', 8, 'INTERCEPT_EXCEPTIONS'),
  ),
  ...when(not(line('intercepts: ')), 'control', vmcb('intercepts', 8, 'INTERCEPT_WORD3', 'INTERCEPT_WORD4')),
  ...may('control', 'intercepts: {intercepts:16}'),
  ...may('control', 'pause filter count: {:1}', 'pause filter threshold: {:1}'),
  ...must(
    'control',
    vmcb('iopm_base_pa', 16, 'IOPM_BASE_PA'),
    vmcb('msrpm_base_pa', 16, 'MSRPM_BASE_PA'),
    vmcb('tsc_offset', 16, 'TSC_OFFSET'),
  ),
  { section: 'control', text: 'asid: {ASID.decimal:1}' },
  { section: 'control', text: 'tlb_ctl: {TLB_CONTROL.decimal:1}' },
  ...may('control', 'erap_ctl: {:1}'),
  ...must(
    'control',
    vmcb('int_ctl', 8, 'INT_CTL'),
    vmcb('int_vector', 8, 'INT_VECTOR'),
    'int_state: {INT_STATE:8-8}',
    vmcb('exit_code', 8, 'EXIT_CODE'),
    vmcb('exit_info1', 16, 'EXIT_INFO_1'),
    vmcb('exit_info2', 16, 'EXIT_INFO_2'),
    vmcb('exit_int_info', 8, 'EXIT_INT_INFO'),
    vmcb('exit_int_info_err', 8, 'EXIT_INT_INFO_ERR'),
  ),
  { section: 'control', text: 'nested_ctl: {NESTED_CTL.decimal:1}' },
  // Since 2026 both are named after what the manual calls them now, miscellaneous controls.
  ...may('control', 'misc_ctl: {NESTED_CTL.decimal:1}'),
  ...must('control', vmcb('nested_cr3', 16, 'NESTED_CR3')),
  ...when(AVIC, 'control', vmcb('avic_vapic_bar', 16, 'AVIC_APIC_BAR')),
  ...when(SEV_ES, 'control', vmcb('ghcb', 16, 'GHCB_GPA')),
  ...must('control', vmcb('event_inj', 8, 'EVENT_INJ'), vmcb('event_inj_err', 8, 'EVENT_INJ_ERR')),
  ...must('control', 'virt_ext: {VIRT_EXT.decimal:1}'),
  // As it was called before, and is since 2026.
  ...may('control', 'lbr_ctl: {VIRT_EXT.decimal:1}', 'misc_ctl2: {VIRT_EXT.decimal:1}'),
  ...must('control', vmcb('next_rip', 16, 'NEXT_RIP')),
  ...when(
    AVIC,
    'control',
    vmcb('avic_backing_page', 16, 'AVIC_BACKING_PAGE'),
    vmcb('avic_logical_id', 16, 'AVIC_LOGICAL_ID'),
    vmcb('avic_physical_id', 16, 'AVIC_PHYSICAL_ID'),
  ),
  ...when(SEV_ES, 'control', vmcb('vmsa_pa', 16, 'VMSA_PA')),
  ...may(
    'control',
    vmcb('allowed_sev_features', 16, 'ALLOWED_SEV_FEATURES'),
    vmcb('guest_sev_features', 16, 'GUEST_SEV_FEATURES'),
  ),
  { section: 'state', text: 'VMCB State Save Area:', opens: 'section', optional: true },
  ...STATE_ROWS.map((row) => ({ ...row, unless: NO_VMSA })),
];

const qemuSegment = (name: string): string => {
  const label = name.toLowerCase();
  return `${name}={qemu.${label}.selector:4-4} {qemu.${label}.base:8|16} {qemu.${label}.limit:8-8} {qemu.${label}.flags:8-8}`;
};

/**
 * Bits 23:8 of a descriptor's second half (`get_seg` of target/i386/kvm/kvm.c); without KVM what else stands there, of the
 * base (SDM volume 3A, "Segment Descriptors").
 */
const isFlags = (value: bigint, base: bigint): boolean => {
  const ofBase = value & 0xff00_00ffn;
  return ofBase === 0n || ofBase === ((base & 0xff00_0000n) | ((base >> 16n) & 0xffn));
};
/** That of a table has 16 bits. */
const isTableLimit = (value: bigint): boolean => value <= 0xffffn;

const QEMU_ROWS: readonly RowSpec[] = [
  {
    section: 'header',
    text: 'KVM: entry failed, hardware error 0x{error.hardware:1}',
    opens: 'dump',
    optional: true,
  },
  { section: 'header', text: 'KVM internal error. Suberror: {error.internal:1}', opens: 'dump', optional: true },
  { section: 'registers', text: 'EAX={:8} EBX={:8}', opens: 'section', optional: true },
  { section: 'registers', text: 'RAX={:16} RBX={:16}', opens: 'section', optional: true },
  ...may('registers', 'RIP={qemu.rip:16} RFL={qemu.rflags:8}'),
  ...must(
    'registers',
    'EIP={qemu.rip:8} EFL={qemu.rflags:8}',
    'CPL={qemu.cpl:1-1} II={qemu.ii:1-1} A20={:1-1} SMM={qemu.smm:1-1} HLT={qemu.hlt:1-1}',
  ),
  ...must('registers', ...['ES', 'CS', 'SS', 'DS', 'FS', 'GS', 'LDT', 'TR'].map(qemuSegment)).map((row) => ({
    ...row,
    isLast: isFlags,
  })),
  ...must(
    'registers',
    'GDT= {qemu.gdt.base:8|16} {qemu.gdt.limit:8-8}',
    'IDT= {qemu.idt.base:8|16} {qemu.idt.limit:8-8}',
  ).map((row) => ({ ...row, isLast: isTableLimit })),
  ...must(
    'registers',
    'CR0={qemu.cr0:8} CR2={qemu.cr2:8|16} CR3={qemu.cr3:8|16} CR4={qemu.cr4:8}',
    // Of QEMU for 64 bits; both have as many digits, so that a DR7 of 8 behind a DR6 of 16 was broken off.
    'DR6={qemu.dr6:=16} DR7={qemu.dr7:16}',
  ),
  ...may('registers', 'DR6={qemu.dr6:=8} DR7={qemu.dr7:8-8}'),
  // Linux prints that of a VMCS with a prefix (dump_vmcs of arch/x86/kvm/vmx/vmx.c).
  { section: 'registers', text: 'EFER={qemu.efer:16}', begins: /^EFER=(?!0x)/i },
];

/** A line that says that an instruction or an entry failed, and needs no dump around it. */
const REPORT_ROWS: readonly RowSpec[] = [
  `${BARE.error} {error.vm:1}`,
  `${BARE.entry} {error.hardware:1}`,
  'vmwrite failed: field={report.vmwrite:1} val={report.value:1} err={error.vm.decimal:1}',
  'vmread failed: field={report.vmread:1}',
  'vmwrite error: reg {report.vmwrite:1} value {report.value:1} (err {error.vm.decimal:1})',
  // A pointer and an address; with the error since 6.0.
  ...['vmclear', 'vmptrld'].flatMap((name) => [
    `${name} failed: {@}/{report.${name}:1}`,
    `${name} failed: {@}/{report.${name}:1} err={error.vm.decimal:1}`,
  ]),
  'vmclear fail: {@}/{report.vmclear:1}',
  'vmptrld {@}/{report.vmptrld:1} fail',
  'invept failed: ext=0x{report.invept:1} eptp={report.eptp:1}',
  'invvpid failed: ext=0x{report.invvpid:1} vpid={report.vpid.decimal:1} gva=0x{report.gva:1}',
].map((text) => ({ section: 'header', text, opens: 'dump', optional: true }));

/** Bytes of each field. */
const BYTES: ReadonlyMap<string, number> = new Map([...VMCB_FIELDS, ...FIELDS].map(({ name, bytes }) => [name, bytes]));

const rowsOf = (family: Family, specs: readonly RowSpec[]): Row[] =>
  specs.map((spec, order) => ({ ...spec, ...template(spec.text, (name) => BYTES.get(name)), family, order }));

export const ROWS: readonly Row[] = [
  ...rowsOf('vmcs', VMCS_ROWS),
  ...rowsOf('vmcb', VMCB_ROWS),
  ...rowsOf('xen-vmcb', XEN_VMCB_ROWS),
  ...rowsOf('xen-check', XEN_CHECK_ROWS),
  ...rowsOf('qemu', QEMU_ROWS),
  ...rowsOf('report', REPORT_ROWS),
];
