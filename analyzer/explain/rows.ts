/**
 * What the lines of each dump look like, as data: Linux `dump_vmcs` (arch/x86/kvm/vmx/vmx.c) and `dump_vmcb`
 * (arch/x86/kvm/svm/svm.c) of all versions since 2.6.39, Xen `vmcs_dump_vcpu` (xen/arch/x86/hvm/vmx/vmcs.c), QEMU
 * `x86_cpu_dump_state` (target/i386/cpu-dump.c); those of Xen on AMD are in xen-vmcb.ts.
 */
import { BARE } from './bare-errors.js';
import { type Family, may, must, only, type Row, type RowSpec } from './row.js';
import { template } from './template.js';
import { XEN_CHECK_ROWS } from './xen-check.js';
import { XEN_VMCB_ROWS } from './xen-vmcb.js';

const SEGMENTS = ['CS', 'DS', 'SS', 'ES', 'FS', 'GS'] as const;
const kvmSegment = (name: string): string =>
  `${name}: sel=0x{GUEST_${name}_SELECTOR:4}, attr=0x{GUEST_${name}_AR_BYTES:5}, limit=0x{GUEST_${name}_LIMIT:8}, base=0x{GUEST_${name}_BASE:16}`;
const kvmTable = (name: string): string => `${name}: limit=0x{GUEST_${name}_LIMIT:8}, base=0x{GUEST_${name}_BASE:16}`;
const xenSegment = (name: string): string =>
  `${name}: {GUEST_${name}_SELECTOR:4} {GUEST_${name}_AR_BYTES:5} {GUEST_${name}_LIMIT:8} {GUEST_${name}_BASE:16}`;
const xenTable = (name: string): string => `${name}: {GUEST_${name}_LIMIT:8} {GUEST_${name}_BASE:16}`;

const VMCS_ROWS: readonly RowSpec[] = [
  { section: 'header', text: 'VMCS {*} last attempted VM-entry on CPU', opens: 'dump', optional: true },
  {
    section: 'header',
    text: 'vmentry failure (reason 0x{failure.reason:1}):',
    opens: 'dump',
    optional: true,
    only: 'xen',
  },
  { section: 'header', text: 'Invalid guest state ({failure.qualification:1})', optional: true },
  { section: 'header', text: 'MSR loading (entry {failure.msr.decimal:1})', optional: true },
  {
    section: 'header',
    text: 'Failed vm entry (exit reason 0x{failure.reason:1}) caused by invalid guest state ({failure.qualification:1})',
    opens: 'dump',
    optional: true,
    only: 'xen',
  },
  {
    section: 'header',
    text: 'Failed vm entry (exit reason 0x{failure.reason:1}) caused by MSR loading (entry {failure.msr.decimal:1})',
    opens: 'dump',
    optional: true,
    only: 'xen',
  },
  // Before 4.8, with the qualification as it is.
  {
    section: 'header',
    text: 'Failed vm entry (exit reason 0x{failure.reason:1}) caused by MSR entry {failure.qualification.decimal:1} loading',
    opens: 'dump',
    optional: true,
    only: 'xen',
  },
  {
    section: 'header',
    text: 'Failed vm entry (exit reason 0x{failure.reason:1}) caused by machine check',
    opens: 'dump',
    optional: true,
    only: 'xen',
  },
  {
    section: 'header',
    text: 'msr {list.msr:8} val {list.value:16} (mbz {list.reserved:1})',
    optional: true,
    repeats: true,
  },
  { section: 'guest', text: '*** Guest State ***', opens: 'section', optional: true },
  ...must(
    'guest',
    'CR0: actual=0x{GUEST_CR0:16}, shadow=0x{CR0_READ_SHADOW:16}, gh_mask={CR0_GUEST_HOST_MASK:16}',
    'CR4: actual=0x{GUEST_CR4:16}, shadow=0x{CR4_READ_SHADOW:16}, gh_mask={CR4_GUEST_HOST_MASK:16}',
    'CR3 = 0x{GUEST_CR3:16}',
  ),
  ...may(
    'guest',
    'PDPTR0 = 0x{GUEST_PDPTR0:16} PDPTR1 = 0x{GUEST_PDPTR1:16}',
    'PDPTR2 = 0x{GUEST_PDPTR2:16} PDPTR3 = 0x{GUEST_PDPTR3:16}',
    'PDPTE0 = 0x{GUEST_PDPTR0:16} PDPTE1 = 0x{GUEST_PDPTR1:16}',
    'PDPTE2 = 0x{GUEST_PDPTR2:16} PDPTE3 = 0x{GUEST_PDPTR3:16}',
  ),
  ...only('xen', [
    ...must('guest', 'RSP = 0x{GUEST_RSP:16} (0x{:1}) RIP = 0x{GUEST_RIP:16} (0x{:1})'),
    ...must('guest', 'RFLAGS=0x{GUEST_RFLAGS:8} (0x{:1}) DR7 = 0x{GUEST_DR7:16}'),
  ]),
  ...only('kvm', [
    ...must('guest', 'RSP = 0x{GUEST_RSP:16} RIP = 0x{GUEST_RIP:16}'),
    ...must('guest', 'RFLAGS=0x{GUEST_RFLAGS:8} DR7 = 0x{GUEST_DR7:16}'),
  ]),
  ...must('guest', 'Sysenter RSP={GUEST_SYSENTER_ESP:16} CS:RIP={GUEST_SYSENTER_CS:4}:{GUEST_SYSENTER_EIP:16}'),
  ...only('kvm', [
    ...must('guest', ...SEGMENTS.map(kvmSegment)),
    ...must('guest', kvmTable('GDTR'), kvmSegment('LDTR'), kvmTable('IDTR'), kvmSegment('TR')),
  ]),
  ...only('xen', [
    ...must('guest', ...SEGMENTS.map(xenSegment)),
    ...must('guest', xenTable('GDTR'), xenSegment('LDTR'), xenTable('IDTR'), xenSegment('TR')),
  ]),
  ...may(
    'guest',
    'EFER = 0x{GUEST_IA32_EFER:16}',
    'EFER(VMCS) = 0x{GUEST_IA32_EFER:16}',
    'EFER(MSR LL) = 0x{efer.list:16}',
    'PAT = 0x{GUEST_IA32_PAT:16}',
    'PreemptionTimer = 0x{VMX_PREEMPTION_TIMER_VALUE:8} SM Base = 0x{GUEST_SMBASE:8}',
  ),
  ...must('guest', 'DebugCtl = 0x{GUEST_IA32_DEBUGCTL:16}', 'DebugExceptions = 0x{GUEST_PENDING_DBG_EXCEPTIONS:16}'),
  ...may('guest', 'PerfGlobCtl = 0x{GUEST_IA32_PERF_GLOBAL_CTRL:16}', 'BndCfgS = 0x{GUEST_BNDCFGS:16}'),
  ...must('guest', 'Interruptibility = {GUEST_INTERRUPTIBILITY_INFO:8}', 'ActivityState = {GUEST_ACTIVITY_STATE:8}'),
  ...may(
    'guest',
    'InterruptStatus = {GUEST_INTR_STATUS:4}',
    'S_CET = 0x{GUEST_S_CET:16}',
    'SSP = 0x{GUEST_SSP:16}',
    'SSP TABLE = 0x{GUEST_INTR_SSP_TABLE:16}',
  ),
  { section: 'host', text: '*** Host State ***', opens: 'section', optional: true },
  ...only('xen', must('host', 'RIP = 0x{HOST_RIP:16} ({*}) RSP = 0x{HOST_RSP:16}')),
  ...only('kvm', must('host', 'RIP = 0x{HOST_RIP:16} RSP = 0x{HOST_RSP:16}')),
  ...must(
    'host',
    'CS={HOST_CS_SELECTOR:4} SS={HOST_SS_SELECTOR:4} DS={HOST_DS_SELECTOR:4} ES={HOST_ES_SELECTOR:4} FS={HOST_FS_SELECTOR:4} GS={HOST_GS_SELECTOR:4} TR={HOST_TR_SELECTOR:4}',
    'FSBase={HOST_FS_BASE:16} GSBase={HOST_GS_BASE:16} TRBase={HOST_TR_BASE:16}',
    'GDTBase={HOST_GDTR_BASE:16} IDTBase={HOST_IDTR_BASE:16}',
    'CR0={HOST_CR0:16} CR3={HOST_CR3:16} CR4={HOST_CR4:16}',
    'Sysenter RSP={HOST_IA32_SYSENTER_ESP:16} CS:RIP={HOST_IA32_SYSENTER_CS:4}:{HOST_IA32_SYSENTER_EIP:16}',
  ),
  ...may(
    'host',
    'EFER = 0x{HOST_IA32_EFER:16}',
    'PAT = 0x{HOST_IA32_PAT:16}',
    'PerfGlobCtl = 0x{HOST_IA32_PERF_GLOBAL_CTRL:16}',
    'S_CET = 0x{HOST_S_CET:16}',
    'SSP = 0x{HOST_SSP:16}',
    'SSP TABLE = 0x{HOST_INTR_SSP_TABLE:16}',
  ),
  { section: 'control', text: '*** Control State ***', opens: 'section', optional: true },
  ...must('control', 'PinBased={PIN_BASED_VM_EXEC_CONTROL:8}', 'CPUBased={CPU_BASED_VM_EXEC_CONTROL:8}'),
  ...must('control', 'SecondaryExec={SECONDARY_VM_EXEC_CONTROL:8}'),
  ...may('control', 'TertiaryExec={TERTIARY_VM_EXEC_CONTROL:16}'),
  ...must(
    'control',
    'EntryControls={VM_ENTRY_CONTROLS:8}',
    'ExitControls={VM_EXIT_CONTROLS:8}',
    'ExceptionBitmap={EXCEPTION_BITMAP:8} PFECmask={PAGE_FAULT_ERROR_CODE_MASK:8} PFECmatch={PAGE_FAULT_ERROR_CODE_MATCH:8}',
    'VMEntry: intr_info={VM_ENTRY_INTR_INFO_FIELD:8} errcode={VM_ENTRY_EXCEPTION_ERROR_CODE:8} ilen={VM_ENTRY_INSTRUCTION_LEN:8}',
    'VMExit: intr_info={VM_EXIT_INTR_INFO:8} errcode={VM_EXIT_INTR_ERROR_CODE:8} ilen={VM_EXIT_INSTRUCTION_LEN:8}',
    'reason={VM_EXIT_REASON:8} qualification={EXIT_QUALIFICATION:16}',
    'IDTVectoring: info={IDT_VECTORING_INFO_FIELD:8} errcode={IDT_VECTORING_ERROR_CODE:8}',
    'TSC Offset = 0x{TSC_OFFSET:16}',
  ),
  ...may(
    'control',
    'TSC Multiplier = 0x{TSC_MULTIPLIER:16}',
    'SVI|RVI = {intr.svi:2}|{intr.rvi:2}',
    'TPR Threshold = 0x{TPR_THRESHOLD:2}',
    'APIC-access addr = 0x{APIC_ACCESS_ADDR:16}',
    'virt-APIC addr = 0x{VIRTUAL_APIC_PAGE_ADDR:16}',
    'PostedIntrVec = 0x{POSTED_INTR_NV:2}',
    'EPT pointer = 0x{EPT_POINTER:16}',
    'EPTP index = 0x{EPTP_INDEX:4}',
    'PLE Gap={PLE_GAP:8} Window={PLE_WINDOW:8}',
    'Virtual processor ID = 0x{VIRTUAL_PROCESSOR_ID:4}',
    'VMfunc controls = {VM_FUNCTION_CONTROL:16}',
    'MSR guest autoload:',
    'MSR host autoload:',
    'S_CET = 0x{HOST_S_CET:16}',
    'SSP = 0x{HOST_SSP:16}',
    'SSP TABLE = 0x{HOST_INTR_SSP_TABLE:16}',
  ),
  { section: 'control', text: 'msr=0x{list.msr:8} value=0x{list.value:16}', optional: true, repeats: true },
];

/** VMCB rows are `%-20s` columns, so that names end in a colon. */
const vmcb = (name: string, width: number, ...fields: readonly string[]): string =>
  `${name}: ${fields.map((field) => `{${field}:${width}}`).join(' ')}`;

const vmcbSegment = (label: string, name: string): string =>
  `${label}: s: {${name}_SELECTOR:4} a: {${name}_ATTRIB:4} l: {${name}_LIMIT:8} b: {${name}_BASE:16}`;

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
  ...may('control', vmcb('intercepts', 8, 'INTERCEPT_WORD3', 'INTERCEPT_WORD4'), 'intercepts: {intercepts:16}'),
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
    vmcb('int_state', 8, 'INT_STATE'),
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
  ...may('control', vmcb('avic_vapic_bar', 16, 'AVIC_APIC_BAR'), vmcb('ghcb', 16, 'GHCB_GPA')),
  ...must('control', vmcb('event_inj', 8, 'EVENT_INJ'), vmcb('event_inj_err', 8, 'EVENT_INJ_ERR')),
  ...may('control', ...['virt_ext', 'lbr_ctl', 'misc_ctl2'].map((name) => `${name}: {VIRT_EXT.decimal:1}`)),
  ...must('control', vmcb('next_rip', 16, 'NEXT_RIP')),
  ...may(
    'control',
    vmcb('avic_backing_page', 16, 'AVIC_BACKING_PAGE'),
    vmcb('avic_logical_id', 16, 'AVIC_LOGICAL_ID'),
    vmcb('avic_physical_id', 16, 'AVIC_PHYSICAL_ID'),
    vmcb('vmsa_pa', 16, 'VMSA_PA'),
    vmcb('allowed_sev_features', 16, 'ALLOWED_SEV_FEATURES'),
    vmcb('guest_sev_features', 16, 'GUEST_SEV_FEATURES'),
  ),
  { section: 'state', text: 'VMCB State Save Area:', opens: 'section', optional: true },
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
  { section: 'state', text: 'vmpl: {VMPL.decimal:1}', optional: true },
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
    's_cet: {S_CET:16}',
    'ssp: {SSP:16}',
    'isst_addr: {ISST_ADDR:16}',
    'u_cet: {U_CET:16}',
    'xss: {XSS:16}',
  ),
];

const qemuSegment = (name: string): string => {
  const label = name.toLowerCase();
  return `${name}={qemu.${label}.selector:4} {qemu.${label}.base:8} {qemu.${label}.limit:8} {qemu.${label}.flags:8}`;
};

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
  ...may(
    'registers',
    'EIP={qemu.rip:8} EFL={qemu.rflags:8}',
    'RIP={qemu.rip:16} RFL={qemu.rflags:8}',
    'CPL={qemu.cpl:1} II={qemu.ii:1} A20={:1} SMM={qemu.smm:1} HLT={qemu.hlt:1}',
  ),
  ...must('registers', ...['ES', 'CS', 'SS', 'DS', 'FS', 'GS', 'LDT', 'TR'].map(qemuSegment)),
  ...must(
    'registers',
    'GDT= {qemu.gdt.base:8} {qemu.gdt.limit:8}',
    'IDT= {qemu.idt.base:8} {qemu.idt.limit:8}',
    'CR0={qemu.cr0:8} CR2={qemu.cr2:8} CR3={qemu.cr3:8} CR4={qemu.cr4:8}',
    'DR6={qemu.dr6:8} DR7={qemu.dr7:8}',
    'EFER={qemu.efer:16}',
  ),
];

/** A line that says that an instruction or an entry failed, and needs no dump around it. */
const REPORT_ROWS: readonly RowSpec[] = [
  `${BARE.error} {error.vm:1}`,
  `${BARE.entry} {error.hardware:1}`,
  'VM-Entry, Code={error.vm.decimal:1}',
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

const rowsOf = (family: Family, specs: readonly RowSpec[]): Row[] =>
  specs.map((spec, order) => ({ ...spec, ...template(spec.text), family, order }));

export const ROWS: readonly Row[] = [
  ...rowsOf('vmcs', VMCS_ROWS),
  ...rowsOf('vmcb', VMCB_ROWS),
  ...rowsOf('xen-vmcb', XEN_VMCB_ROWS),
  ...rowsOf('xen-check', XEN_CHECK_ROWS),
  ...rowsOf('qemu', QEMU_ROWS),
  ...rowsOf('report', REPORT_ROWS),
];
