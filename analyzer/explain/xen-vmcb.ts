/**
 * Lines of a VMCB as Xen prints it, of all versions since 3.0: `svm_vmcb_dump` (xen/arch/x86/hvm/svm/svmdebug.c, since
 * 4.21 in vmcb.c; `svm_dump_vmcb` before 4.2). It follows "invalid VMCB state:", and `xl debug-keys v` prints it of
 * every vCPU. Numbers are printed with `%#x`, so that they have as many digits as they need; the registers are padded.
 */
import { may, must, type RowSpec } from './row.js';

const segment = (name: string): string =>
  `${name}: {${name}_SELECTOR:4} {${name}_ATTRIB:4} {${name}_LIMIT:8} {${name}_BASE:16}`;
/** Of older versions, as KVM prints those of a VMCS. */
const oldSegment = (name: string): string =>
  `${name}: sel=0x{${name}_SELECTOR:4}, attr=0x{${name}_ATTRIB:4}, limit=0x{${name}_LIMIT:8}, base=0x{${name}_BASE:16}`;
const SEGMENTS = ['CS', 'DS', 'SS', 'ES', 'FS', 'GS', 'GDTR', 'LDTR', 'IDTR', 'TR'] as const;

export const XEN_VMCB_ROWS: readonly RowSpec[] = [
  { section: 'header', text: "Dumping guest's current state at", opens: 'dump', optional: true },
  { section: 'header', text: 'Size of VMCB =', optional: true },
  ...must(
    'control',
    'cr_intercepts = {xen.cr_intercepts:1} dr_intercepts = {xen.dr_intercepts:1} exception_intercepts = {INTERCEPT_EXCEPTIONS:1}',
    'general1_intercepts = {INTERCEPT_WORD3:1} general2_intercepts = {INTERCEPT_WORD4:1}',
  ),
  ...may('control', 'pause_filter_threshold = {:1} pause_filter_count = {:1}'),
  ...must(
    'control',
    'iopm_base_pa = {IOPM_BASE_PA:1} msrpm_base_pa = {MSRPM_BASE_PA:1} tsc_offset = {TSC_OFFSET:1}',
    'tlb_control = {TLB_CONTROL:1} vintr = {xen.vintr:1}',
  ),
  // Versions have other names for the same number: one of them is there.
  ...must('control', 'int_stat = {INT_STATE:1}', 'interrupt_shadow = {INT_STATE:1}'),
  // Older ones do not print it.
  ...may('control', 'event_inj {xen.event_inj:16}', 'eventinj {xen.event_inj:16}'),
  ...must('control', 'exitcode = {EXIT_CODE:1}'),
  ...must('control', 'exit_int_info = {xen.exit_int_info:1}', 'exitintinfo = {xen.exit_int_info:1}'),
  ...must('control', 'exitinfo1 = {EXIT_INFO_1:1} exitinfo2 = {EXIT_INFO_2:1}'),
  ...must('control', 'np_ctrl = {NESTED_CTL:1}', 'np_enable = {NESTED_CTL:1}'),
  ...must('control', 'asid = {ASID:1}', 'guest_asid = {ASID:1}'),
  ...may(
    'control',
    'vmsa_pa = {VMSA_PA:1} ghcb_msr = {GHCB_GPA:1}',
    'virtual vmload/vmsave = {:1}, virt_ext = {VIRT_EXT:1}',
  ),
  // Of an SEV-ES guest, what follows is its VMSA.
  { section: 'vmsa', text: 'Decrypted SEV-ES state', optional: true },
  ...must(
    'state',
    'cpl = {CPL:1} efer = {EFER:1} star = {STAR:1} lstar = {LSTAR:1}',
    'CR0 = 0x{CR0:16} CR2 = 0x{CR2:16}',
    'CR3 = 0x{CR3:16} CR4 = 0x{CR4:16}',
    'RSP = 0x{RSP:16} RIP = 0x{RIP:16}',
    'RAX = 0x{RAX:16} RFLAGS=0x{RFLAGS:16}',
    'DR6 = 0x{DR6:16}, DR7 = 0x{DR7:16}',
    'CSTAR = 0x{CSTAR:16} SFMask = 0x{SFMASK:16}',
    'KernGSBase = 0x{KERNEL_GS_BASE:16} PAT = 0x{G_PAT:16}',
  ),
  ...may(
    'state',
    'SSP = 0x{SSP:16} S_CET = 0x{S_CET:16} ISST = 0x{ISST_ADDR:16}',
    'H_CR3 = 0x{NESTED_CR3:16}',
    'CleanBits = {CLEAN:1}',
    'lbrv: DebugCtl: {DBGCTL:1} LBFI: {BR_FROM:1} LBTI: {BR_TO:1}',
    'LIFI: {EXCP_FROM:1} LITI: {EXCP_TO:1}',
  ),
  ...must('segments', ...SEGMENTS.map(segment), ...SEGMENTS.map(oldSegment)),
];
