/**
 * What the lines of a dump of a VMCS look like, as data: Linux `dump_vmcs` (arch/x86/kvm/vmx/vmx.c) of all versions since
 * 4.2, and Xen `vmcs_dump_vcpu` (xen/arch/x86/hvm/vmx/vmcs.c) of all since 4.0.
 */
import { ENTRY, EXIT, PIN, PRIMARY, SECONDARY } from '../../engine/vmx/controls.js';
import {
  both,
  type Condition,
  clear,
  control,
  either,
  entry,
  exit,
  gives,
  line,
  not,
  pin,
  primary,
  printedBy,
  secondary,
} from './conditions.js';
import { may, must, only, type RowSpec, when as whenever } from './row.js';

const SEGMENTS = ['CS', 'DS', 'SS', 'ES', 'FS', 'GS'] as const;
/** With a selector, and without. */
const SELECTED = [...SEGMENTS, 'LDTR', 'TR'] as const;
const TABLES = ['GDTR', 'IDTR'] as const;
const kvmSegment = (name: string): string =>
  `${name}: sel=0x{GUEST_${name}_SELECTOR:4}, attr=0x{GUEST_${name}_AR_BYTES:5}, limit=0x{GUEST_${name}_LIMIT:8}, base=0x{GUEST_${name}_BASE:16}`;
const kvmTable = (name: string): string => `${name}: limit=0x{GUEST_${name}_LIMIT:8}, base=0x{GUEST_${name}_BASE:16}`;
const xenSegment = (name: string): string =>
  `${name}: {GUEST_${name}_SELECTOR:4} {GUEST_${name}_AR_BYTES:5} {GUEST_${name}_LIMIT:8} {GUEST_${name}_BASE:16}`;
const xenTable = (name: string): string => `${name}: {GUEST_${name}_LIMIT:8} {GUEST_${name}_BASE:16}`;
/** All segments and tables, in the order of every printer. */
const segments = (segment: (name: string) => string, table: (name: string) => string): string[] => [
  ...SEGMENTS.map(segment),
  table('GDTR'),
  segment('LDTR'),
  table('IDTR'),
  segment('TR'),
];

const CR4_PAE = 1 << 5;
const EFER_LMA = 1 << 10;
const EPT = secondary(SECONDARY.ept);
const TPR_SHADOW = primary(PRIMARY.tprShadow);

/** Between CR0 and CR4 stands the host's, without a prefix: what is left of its line is none of the guest's. */
const GUEST_CR3 = /^CR3=0x/i;
/** QEMU prints its own without a prefix (target/i386/cpu-dump.c). */
const withPrefix = (row: RowSpec): RowSpec => ({ ...row, begins: /^EFER=0x/i });

const XEN_PREFIX = /\(XEN\)/i;
const NO_XEN_PREFIX = /^(?!.*\(XEN\))/i;
const EXCEPTIONS =
  'ExceptionBitmap={EXCEPTION_BITMAP:8} PFECmask={PAGE_FAULT_ERROR_CODE_MASK:8} PFECmatch={PAGE_FAULT_ERROR_CODE_MATCH:8}';

/** Lines that Xen 4.0 to 4.5 alone print so, in the order of each section: their form tells it where others are lost. */
const FORMS_4_5 = {
  guest: {
    pat: 'Guest PAT = 0x{GUEST_IA32_PAT:16}',
    tsc: 'TSC Offset = {TSC_OFFSET:=16}',
    debug: 'DebugCtl = {GUEST_IA32_DEBUGCTL:=16} DebugExceptions = {GUEST_PENDING_DBG_EXCEPTIONS:=16}',
    activity: 'Interruptibility = {GUEST_INTERRUPTIBILITY_INFO:=4} ActivityState = {GUEST_ACTIVITY_STATE:=4}',
  },
  host: {
    selectors:
      'CS={HOST_CS_SELECTOR:4} DS={HOST_DS_SELECTOR:4} ES={HOST_ES_SELECTOR:4} FS={HOST_FS_SELECTOR:4} GS={HOST_GS_SELECTOR:4} SS={HOST_SS_SELECTOR:4} TR={HOST_TR_SELECTOR:4}',
    pat: 'Host PAT = 0x{HOST_IA32_PAT:16}',
  },
} as const;
/** Of KVM; behind the prefix of Xen it is the host's in another form. */
const GUEST_STACK = 'RSP = 0x{GUEST_RSP:16} RIP = 0x{GUEST_RIP:16}';
const HOST_STACK_4_5 = 'RSP = 0x{HOST_RSP:16} RIP = 0x{HOST_RIP:16}';
/** The lower half alone, which is all of what a failed entry gives. */
const QUALIFICATION_4_5 = 'reason={VM_EXIT_REASON:8} qualification={EXIT_QUALIFICATION:=8}';

/**
 * Xen 4.0 to 4.5, which print the same lines of every VMCS: several in a form, with a width and at a place of their own,
 * segments as KVM does, and no EFER.
 */
const XEN_4_5 = either(
  ...['CR3: actual=', 'target0=', 'target2='].map(line),
  ...[...Object.values(FORMS_4_5.guest), ...Object.values(FORMS_4_5.host), HOST_STACK_4_5, QUALIFICATION_4_5].map(line),
  both(
    printedBy('xen'),
    not(line('CR3=')),
    either(...SELECTED.map((name) => line(`${name}: sel=`)), ...TABLES.map((name) => line(`${name}: limit=`))),
  ),
);
const XEN_4_6 = both(printedBy('xen'), not(XEN_4_5));
/** A line of those since 4.6. */
const IS_4_6 = either(line('CR3='), line(EXCEPTIONS), ...[...SELECTED, ...TABLES].map((name) => line(`${name}: `)));
const asXen45 = (section: string, ...texts: readonly string[]): RowSpec[] =>
  only('xen', may(section, ...texts)).map((row) => ({ ...row, within: XEN_4_5 }));
/** The same of lines of a section that has few of a form of its own: where all others are lost, they may be of any version. */
const maybeXen45 = (section: string, ...texts: readonly string[]): RowSpec[] =>
  asXen45(section, ...texts).map((row) => ({ ...row, within: either(XEN_4_5, both(printedBy('xen'), not(IS_4_6))) }));
const when = (condition: Condition, section: string, ...texts: readonly string[]): RowSpec[] =>
  whenever(both(not(XEN_4_5), condition), section, ...texts);
/** The same of lines that those print whatever the controls are. */
const whenOrXen45 = (condition: Condition, section: string, ...texts: readonly string[]): RowSpec[] =>
  whenever(either(XEN_4_5, condition), section, ...texts);

/** What Linux prints since 5.13 alone: where it ran, an EFER that it computed; and since 6.0 the tertiary controls. */
const SINCE_5_13 = either(
  line('VMCS '),
  both(gives('efer.list', 'TERTIARY_VM_EXEC_CONTROL'), not(line('EFER(MSR LL)='))),
);
/** And since 5.2. */
const SINCE_5_2 = either(gives('intr.svi', 'APIC_ACCESS_ADDR', 'VIRTUAL_APIC_PAGE_ADDR'), SINCE_5_13);
/** PAE paging, as the EFER of the guest has it; where the field is none, what was printed is any value. */
const PAE_BY_EFER = both(
  control('GUEST_CR4', CR4_PAE),
  entry(ENTRY.loadEfer),
  clear('VM_ENTRY_CONTROLS', ENTRY.ia32e),
  clear('GUEST_IA32_EFER', EFER_LMA),
);
/** Two lines, of which none stands alone. */
const PDPTES = gives('GUEST_PDPTR0', 'GUEST_PDPTR2');
/** Some kernels had the control before they printed the fields. */
const CET = ['S_CET', 'SSP', 'INTR_SSP_TABLE'].flatMap((name) => [`GUEST_${name}`, `HOST_${name}`]);

/** Since 5.13 the lists stand at the end of the state that they belong to. */
const msrLists = (section: string): RowSpec[] => [
  ...(['guest', 'host'] as const).map(
    (list): RowSpec => ({ section, text: `MSR ${list} autoload:`, optional: true, list }),
  ),
  ...['MSR guest autostore:', 'MSR autostore:'].map(
    (text): RowSpec => ({ section, text, optional: true, list: 'stored' }),
  ),
  { section, text: 'msr=0x{list.msr:8-8} value=0x{list.value:16}', optional: true, repeats: true },
];

export const VMCS_ROWS: readonly RowSpec[] = [
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
    text: 'msr {list.msr:8-8} val {list.value:16} (mbz {list.reserved:1})',
    optional: true,
    repeats: true,
  },
  { section: 'guest', text: '*** Guest State ***', opens: 'section', optional: true },
  ...must(
    'guest',
    'CR0: actual=0x{GUEST_CR0:16}, shadow=0x{CR0_READ_SHADOW:16}, gh_mask={CR0_GUEST_HOST_MASK:16}',
    'CR4: actual=0x{GUEST_CR4:16}, shadow=0x{CR4_READ_SHADOW:16}, gh_mask={CR4_GUEST_HOST_MASK:16}',
  ),
  ...only(
    'xen',
    whenever(
      XEN_4_5,
      'guest',
      'CR3: actual=0x{GUEST_CR3:16}, target_count={CR3_TARGET_COUNT.decimal:1}',
      'target0={CR3_TARGET_VALUE0:16}, target1={CR3_TARGET_VALUE1:16}',
      'target2={CR3_TARGET_VALUE2:16}, target3={CR3_TARGET_VALUE3:16}',
    ),
  ),
  // Amid a dump alone, so that a part of the host's line is none of another printer's.
  {
    section: 'guest',
    text: 'CR3 = 0x{GUEST_CR3:16}',
    unless: XEN_4_5,
    within: not(XEN_4_5),
    begins: GUEST_CR3,
  },
  ...only(
    'kvm',
    when(
      either(PDPTES, both(EPT, either(SINCE_5_13, PAE_BY_EFER))),
      'guest',
      'PDPTR0 = 0x{GUEST_PDPTR0:16} PDPTR1 = 0x{GUEST_PDPTR1:16}',
      'PDPTR2 = 0x{GUEST_PDPTR2:16} PDPTR3 = 0x{GUEST_PDPTR3:16}',
    ),
  ),
  ...only(
    'xen',
    when(
      either(PDPTES, both(EPT, PAE_BY_EFER)),
      'guest',
      'PDPTE0 = 0x{GUEST_PDPTR0:16} PDPTE1 = 0x{GUEST_PDPTR1:16}',
      'PDPTE2 = 0x{GUEST_PDPTR2:16} PDPTE3 = 0x{GUEST_PDPTR3:16}',
    ),
  ),
  ...only('xen', [
    ...must('guest', 'RSP = 0x{GUEST_RSP:16} (0x{:1}) RIP = 0x{GUEST_RIP:16} (0x{:1})'),
    ...must('guest', 'RFLAGS=0x{GUEST_RFLAGS:8} (0x{:1}) DR7 = 0x{GUEST_DR7:16}'),
  ]),
  ...only('kvm', [
    { section: 'guest', text: GUEST_STACK, behind: NO_XEN_PREFIX },
    { section: 'guest', text: GUEST_STACK, within: not(XEN_4_5), optional: true },
    ...must('guest', 'RFLAGS=0x{GUEST_RFLAGS:8} DR7 = 0x{GUEST_DR7:16}'),
  ]),
  ...must('guest', 'Sysenter RSP={GUEST_SYSENTER_ESP:16} CS:RIP={GUEST_SYSENTER_CS:4}:{GUEST_SYSENTER_EIP:16}'),
  ...must('guest', ...segments(kvmSegment, kvmTable)).map((row) => ({ ...row, unless: XEN_4_6 })),
  ...only('xen', must('guest', ...segments(xenSegment, xenTable))).map((row) => ({ ...row, unless: XEN_4_5 })),
  ...when(either(entry(ENTRY.loadEfer), SINCE_5_13), 'guest', 'EFER = 0x{GUEST_IA32_EFER:16}').map(withPrefix),
  ...may('guest', 'EFER(VMCS) = 0x{GUEST_IA32_EFER:16}', 'EFER(MSR LL) = 0x{efer.list:16}'),
  ...whenOrXen45(entry(ENTRY.loadPat), 'guest', 'PAT = 0x{GUEST_IA32_PAT:16}'),
  ...only('xen', whenever(XEN_4_5, 'guest', ...Object.values(FORMS_4_5.guest))),
  ...may('guest', 'PreemptionTimer = 0x{VMX_PREEMPTION_TIMER_VALUE:8} SM Base = 0x{GUEST_SMBASE:8}'),
  ...must('guest', 'DebugCtl = 0x{GUEST_IA32_DEBUGCTL:16}', 'DebugExceptions = 0x{GUEST_PENDING_DBG_EXCEPTIONS:16}'),
  ...when(entry(ENTRY.loadPerf), 'guest', 'PerfGlobCtl = 0x{GUEST_IA32_PERF_GLOBAL_CTRL:16}'),
  ...when(entry(ENTRY.loadBndcfgs), 'guest', 'BndCfgS = 0x{GUEST_BNDCFGS:16}'),
  ...asXen45('guest', 'Interruptibility = {GUEST_INTERRUPTIBILITY_INFO:4}', 'ActivityState = {GUEST_ACTIVITY_STATE:4}'),
  ...must('guest', 'Interruptibility = {GUEST_INTERRUPTIBILITY_INFO:8}', 'ActivityState = {GUEST_ACTIVITY_STATE:8}'),
  ...when(secondary(SECONDARY.interruptDelivery), 'guest', 'InterruptStatus = {GUEST_INTR_STATUS:4}'),
  ...msrLists('guest'),
  ...when(
    both(entry(ENTRY.loadCet), gives(...CET)),
    'guest',
    'S_CET = 0x{GUEST_S_CET:16}',
    'SSP = 0x{GUEST_SSP:16}',
    'SSP TABLE = 0x{GUEST_INTR_SSP_TABLE:16}',
  ),
  { section: 'host', text: '*** Host State ***', opens: 'section', optional: true },
  ...only('xen', must('host', 'RIP = 0x{HOST_RIP:16} ({*}) RSP = 0x{HOST_RSP:16}')),
  ...only('xen', may('host', HOST_STACK_4_5)).map((row) => ({ ...row, behind: XEN_PREFIX })),
  ...asXen45('host', HOST_STACK_4_5),
  ...only('xen', may('host', ...Object.values(FORMS_4_5.host))),
  ...only('kvm', must('host', 'RIP = 0x{HOST_RIP:16} RSP = 0x{HOST_RSP:16}')),
  ...must(
    'host',
    'CS={HOST_CS_SELECTOR:4} SS={HOST_SS_SELECTOR:4} DS={HOST_DS_SELECTOR:4} ES={HOST_ES_SELECTOR:4} FS={HOST_FS_SELECTOR:4} GS={HOST_GS_SELECTOR:4} TR={HOST_TR_SELECTOR:4}',
    'FSBase={HOST_FS_BASE:16} GSBase={HOST_GS_BASE:16} TRBase={HOST_TR_BASE:16}',
    'GDTBase={HOST_GDTR_BASE:16} IDTBase={HOST_IDTR_BASE:16}',
    'CR0={HOST_CR0:16} CR3={HOST_CR3:16} CR4={HOST_CR4:16}',
    'Sysenter RSP={HOST_IA32_SYSENTER_ESP:16} CS:RIP={HOST_IA32_SYSENTER_CS:4}:{HOST_IA32_SYSENTER_EIP:16}',
  ),
  ...when(exit(EXIT.loadEfer), 'host', 'EFER = 0x{HOST_IA32_EFER:16}').map(withPrefix),
  ...whenOrXen45(exit(EXIT.loadPat), 'host', 'PAT = 0x{HOST_IA32_PAT:16}'),
  ...when(exit(EXIT.loadPerf), 'host', 'PerfGlobCtl = 0x{HOST_IA32_PERF_GLOBAL_CTRL:16}'),
  ...msrLists('host'),
  ...when(
    both(exit(EXIT.loadCet), gives(...CET)),
    'host',
    'S_CET = 0x{HOST_S_CET:16}',
    'SSP = 0x{HOST_SSP:16}',
    'SSP TABLE = 0x{HOST_INTR_SSP_TABLE:16}',
  ),
  { section: 'control', text: '*** Control State ***', opens: 'section', optional: true },
  ...must('control', 'PinBased={PIN_BASED_VM_EXEC_CONTROL:8}', 'CPUBased={CPU_BASED_VM_EXEC_CONTROL:8}'),
  ...must('control', 'SecondaryExec={SECONDARY_VM_EXEC_CONTROL:8}'),
  ...when(primary(PRIMARY.tertiary), 'control', 'TertiaryExec={TERTIARY_VM_EXEC_CONTROL:16}'),
  ...must('control', 'EntryControls={VM_ENTRY_CONTROLS:8}', 'ExitControls={VM_EXIT_CONTROLS:8}'),
  ...maybeXen45('control', 'ExceptionBitmap={EXCEPTION_BITMAP:8}'),
  ...must(
    'control',
    EXCEPTIONS,
    'VMEntry: intr_info={VM_ENTRY_INTR_INFO_FIELD:8} errcode={VM_ENTRY_EXCEPTION_ERROR_CODE:8} ilen={VM_ENTRY_INSTRUCTION_LEN:8}',
  ),
  // Its length is that of the entry.
  ...maybeXen45('control', 'VMExit: intr_info={VM_EXIT_INTR_INFO:8} errcode={VM_EXIT_INTR_ERROR_CODE:8} ilen={:8}'),
  ...must(
    'control',
    'VMExit: intr_info={VM_EXIT_INTR_INFO:8} errcode={VM_EXIT_INTR_ERROR_CODE:8} ilen={VM_EXIT_INSTRUCTION_LEN:8}',
  ),
  ...maybeXen45('control', QUALIFICATION_4_5),
  ...must(
    'control',
    'reason={VM_EXIT_REASON:8} qualification={EXIT_QUALIFICATION:16}',
    'IDTVectoring: info={IDT_VECTORING_INFO_FIELD:8} errcode={IDT_VECTORING_ERROR_CODE:8}',
  ),
  { section: 'control', text: 'TSC Offset = 0x{TSC_OFFSET:16}', unless: XEN_4_5 },
  ...when(secondary(SECONDARY.tscScaling), 'control', 'TSC Multiplier = 0x{TSC_MULTIPLIER:16}'),
  ...only('kvm', [
    ...when(
      both(TPR_SHADOW, secondary(SECONDARY.interruptDelivery), SINCE_5_2),
      'control',
      'SVI|RVI = {intr.svi:2-2}|{intr.rvi:2-2}',
    ),
  ]),
  ...whenOrXen45(TPR_SHADOW, 'control', 'TPR Threshold = 0x{TPR_THRESHOLD:2}'),
  ...only('kvm', [
    ...when(
      both(TPR_SHADOW, secondary(SECONDARY.apicAccesses), SINCE_5_2),
      'control',
      'APIC-access addr = 0x{APIC_ACCESS_ADDR:16}',
    ),
    ...when(both(TPR_SHADOW, SINCE_5_2), 'control', 'virt-APIC addr = 0x{VIRTUAL_APIC_PAGE_ADDR:16}'),
    ...when(pin(PIN.posted), 'control', 'PostedIntrVec = 0x{POSTED_INTR_NV:2}'),
  ]),
  ...whenOrXen45(EPT, 'control', 'EPT pointer = 0x{EPT_POINTER:16}'),
  ...only('xen', when(EPT, 'control', 'EPTP index = 0x{EPTP_INDEX:4}')),
  ...when(secondary(SECONDARY.pauseLoop), 'control', 'PLE Gap={PLE_GAP:8} Window={PLE_WINDOW:8}'),
  ...whenOrXen45(secondary(SECONDARY.vpid), 'control', 'Virtual processor ID = 0x{VIRTUAL_PROCESSOR_ID:4}'),
  ...only('xen', when(secondary(SECONDARY.vpid), 'control', 'VMfunc controls = {VM_FUNCTION_CONTROL:16}')),
  ...msrLists('control'),
  ...may('control', 'S_CET = 0x{HOST_S_CET:16}', 'SSP = 0x{HOST_SSP:16}', 'SSP TABLE = 0x{HOST_INTR_SSP_TABLE:16}'),
];
