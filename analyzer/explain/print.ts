/**
 * A VMCS as hypervisors print it: Linux `dump_vmcs` (arch/x86/kvm/vmx/vmx.c) as it is since 6.0 and as it was before
 * 5.15, Xen `vmcs_dump_vcpu` (xen/arch/x86/hvm/vmx/vmcs.c). Lines are data: `{FIELD:n}` is a value of n hexadecimal
 * digits, `{:n}` one of 0. A line is printed where its control is set.
 */
import { ENTRY, EXIT, PIN, PRIMARY, SECONDARY } from '../../engine/vmx/controls.js';
import { VM_ENTRY_FAILURE } from '../../engine/vmx/exit-reasons.js';
import {
  both,
  type Condition,
  control,
  either,
  entry,
  exit,
  gives,
  not,
  pin,
  primary,
  secondary,
} from './conditions.js';

export const PRINTED_AS = ['kvm', 'kvm-old', 'xen'] as const;
export type PrintedAs = (typeof PRINTED_AS)[number];

export interface Printed {
  readonly fields: ReadonlyMap<string, bigint>;
  /** EFER that the guest would run with; printed where it is no field. */
  readonly efer: bigint;
}

interface Line {
  readonly text: string;
  readonly when?: Condition;
}

const lines = (...texts: readonly string[]): Line[] => texts.map((text) => ({ text }));
const when = (condition: Condition, ...texts: readonly string[]): Line[] =>
  texts.map((text) => ({ text, when: condition }));

const CODE_AND_DATA = ['CS', 'DS', 'SS', 'ES', 'FS', 'GS'] as const;
const kvmSegment = (name: string): string =>
  `${`${name}:`.padEnd(5)} sel=0x{GUEST_${name}_SELECTOR:4}, attr=0x{GUEST_${name}_AR_BYTES:5}, limit=0x{GUEST_${name}_LIMIT:8}, base=0x{GUEST_${name}_BASE:16}`;
const kvmTable = (name: string): string =>
  `${name}:                           limit=0x{GUEST_${name}_LIMIT:8}, base=0x{GUEST_${name}_BASE:16}`;
const xenSegment = (name: string): string =>
  `${`${name}:`.padStart(5)} {GUEST_${name}_SELECTOR:4} {GUEST_${name}_AR_BYTES:5} {GUEST_${name}_LIMIT:8} {GUEST_${name}_BASE:16}`;
const xenTable = (name: string): string =>
  `${`${name}:`.padStart(5)}            {GUEST_${name}_LIMIT:8} {GUEST_${name}_BASE:16}`;

const CONTROL_REGISTERS = lines(
  'CR0: actual=0x{GUEST_CR0:16}, shadow=0x{CR0_READ_SHADOW:16}, gh_mask={CR0_GUEST_HOST_MASK:16}',
  'CR4: actual=0x{GUEST_CR4:16}, shadow=0x{CR4_READ_SHADOW:16}, gh_mask={CR4_GUEST_HOST_MASK:16}',
  'CR3 = 0x{GUEST_CR3:16}',
);
const SYSENTER = 'Sysenter RSP={GUEST_SYSENTER_ESP:16} CS:RIP={GUEST_SYSENTER_CS:4}:{GUEST_SYSENTER_EIP:16}';
const DEBUG = 'DebugCtl = 0x{GUEST_IA32_DEBUGCTL:16}  DebugExceptions = 0x{GUEST_PENDING_DBG_EXCEPTIONS:16}';
const INTERRUPTIBILITY = 'Interruptibility = {GUEST_INTERRUPTIBILITY_INFO:8}  ActivityState = {GUEST_ACTIVITY_STATE:8}';
const HOST = lines(
  'CS={HOST_CS_SELECTOR:4} SS={HOST_SS_SELECTOR:4} DS={HOST_DS_SELECTOR:4} ES={HOST_ES_SELECTOR:4} FS={HOST_FS_SELECTOR:4} GS={HOST_GS_SELECTOR:4} TR={HOST_TR_SELECTOR:4}',
  'FSBase={HOST_FS_BASE:16} GSBase={HOST_GS_BASE:16} TRBase={HOST_TR_BASE:16}',
  'GDTBase={HOST_GDTR_BASE:16} IDTBase={HOST_IDTR_BASE:16}',
  'CR0={HOST_CR0:16} CR3={HOST_CR3:16} CR4={HOST_CR4:16}',
  'Sysenter RSP={HOST_IA32_SYSENTER_ESP:16} CS:RIP={HOST_IA32_SYSENTER_CS:4}:{HOST_IA32_SYSENTER_EIP:16}',
);
const EVENTS = lines(
  'ExceptionBitmap={EXCEPTION_BITMAP:8} PFECmask={PAGE_FAULT_ERROR_CODE_MASK:8} PFECmatch={PAGE_FAULT_ERROR_CODE_MATCH:8}',
  'VMEntry: intr_info={VM_ENTRY_INTR_INFO_FIELD:8} errcode={VM_ENTRY_EXCEPTION_ERROR_CODE:8} ilen={VM_ENTRY_INSTRUCTION_LEN:8}',
  'VMExit: intr_info={VM_EXIT_INTR_INFO:8} errcode={VM_EXIT_INTR_ERROR_CODE:8} ilen={VM_EXIT_INSTRUCTION_LEN:8}',
  '        reason={VM_EXIT_REASON:8} qualification={EXIT_QUALIFICATION:16}',
  'IDTVectoring: info={IDT_VECTORING_INFO_FIELD:8} errcode={IDT_VECTORING_ERROR_CODE:8}',
  'TSC Offset = 0x{TSC_OFFSET:16}',
);

const CR4_PAE = 1 << 5;
/** PAE paging with EPT: the PDPTEs are fields that count. */
const USES_PDPTES = both(secondary(SECONDARY.ept), control('GUEST_CR4', CR4_PAE), not(entry(ENTRY.ia32e)));
const DELIVERS = secondary(SECONDARY.interruptDelivery);
const TPR_SHADOW = primary(PRIMARY.tprShadow);
const APIC_ACCESSES = secondary(SECONDARY.apicAccesses);

/** What both print between debug state and the host's, and behind the host's. */
const GUEST_OPTIONS: readonly Line[] = [
  ...when(entry(ENTRY.loadPerf), 'PerfGlobCtl = 0x{GUEST_IA32_PERF_GLOBAL_CTRL:16}'),
  ...when(entry(ENTRY.loadBndcfgs), 'BndCfgS = 0x{GUEST_BNDCFGS:16}'),
];
const GUEST_END: readonly Line[] = [
  ...lines(INTERRUPTIBILITY),
  ...when(DELIVERS, 'InterruptStatus = {GUEST_INTR_STATUS:4}'),
];
const GUEST_CET = when(
  entry(ENTRY.loadCet),
  'S_CET = 0x{GUEST_S_CET:16}',
  'SSP = 0x{GUEST_SSP:16}',
  'SSP TABLE = 0x{GUEST_INTR_SSP_TABLE:16}',
);
const HOST_CET = when(
  exit(EXIT.loadCet),
  'S_CET = 0x{HOST_S_CET:16}',
  'SSP = 0x{HOST_SSP:16}',
  'SSP TABLE = 0x{HOST_INTR_SSP_TABLE:16}',
);
const HOST_PERF = when(exit(EXIT.loadPerf), 'PerfGlobCtl = 0x{HOST_IA32_PERF_GLOBAL_CTRL:16}');
const PLE = when(secondary(SECONDARY.pauseLoop), 'PLE Gap={PLE_GAP:8} Window={PLE_WINDOW:8}');
const VIRTUAL_INTERRUPTS = 'SVI|RVI = {svi:2}|{rvi:2} TPR Threshold = 0x{TPR_THRESHOLD:2}';

const pdptrs = (condition: Condition): Line[] =>
  when(
    condition,
    'PDPTR0 = 0x{GUEST_PDPTR0:16}  PDPTR1 = 0x{GUEST_PDPTR1:16}',
    'PDPTR2 = 0x{GUEST_PDPTR2:16}  PDPTR3 = 0x{GUEST_PDPTR3:16}',
  );
const KVM_REGISTERS: readonly Line[] = [
  ...lines(
    'RSP = 0x{GUEST_RSP:16}  RIP = 0x{GUEST_RIP:16}',
    'RFLAGS=0x{GUEST_RFLAGS:8}         DR7 = 0x{GUEST_DR7:16}',
    SYSENTER,
    ...CODE_AND_DATA.map(kvmSegment),
    kvmTable('GDTR'),
    kvmSegment('LDTR'),
    kvmTable('IDTR'),
    kvmSegment('TR'),
  ),
];
const KVM_TAIL: readonly Line[] = [
  ...EVENTS,
  ...when(secondary(SECONDARY.tscScaling), 'TSC Multiplier = 0x{TSC_MULTIPLIER:16}'),
  ...when(both(TPR_SHADOW, DELIVERS), VIRTUAL_INTERRUPTS),
  ...when(both(TPR_SHADOW, not(DELIVERS)), 'TPR Threshold = 0x{TPR_THRESHOLD:2}'),
  ...when(
    both(TPR_SHADOW, APIC_ACCESSES),
    'APIC-access addr = 0x{APIC_ACCESS_ADDR:16} virt-APIC addr = 0x{VIRTUAL_APIC_PAGE_ADDR:16}',
  ),
  ...when(both(TPR_SHADOW, not(APIC_ACCESSES)), 'virt-APIC addr = 0x{VIRTUAL_APIC_PAGE_ADDR:16}'),
  ...when(pin(PIN.posted), 'PostedIntrVec = 0x{POSTED_INTR_NV:2}'),
  ...when(secondary(SECONDARY.ept), 'EPT pointer = 0x{EPT_POINTER:16}'),
  ...PLE,
  ...when(secondary(SECONDARY.vpid), 'Virtual processor ID = 0x{VIRTUAL_PROCESSOR_ID:4}'),
  ...HOST_CET,
];

const KVM_HOST: readonly Line[] = [
  ...lines(DEBUG),
  ...GUEST_OPTIONS,
  ...GUEST_END,
  ...GUEST_CET,
  ...lines('*** Host State ***', 'RIP = 0x{HOST_RIP:16}  RSP = 0x{HOST_RSP:16}'),
];

const LOADS_EFER = entry(ENTRY.loadEfer);
const LOADS_PAT = entry(ENTRY.loadPat);
const EFER_OR_PAT = either(LOADS_EFER, LOADS_PAT, exit(EXIT.saveEfer), exit(EXIT.savePat));
const HOST_EFER_OR_PAT = either(exit(EXIT.loadEfer), exit(EXIT.loadPat));

/** How the newer dumps of KVM and those of Xen go on behind their own lines of the host. */
const HOST_AND_CONTROLS: readonly Line[] = [
  ...HOST,
  ...when(HOST_EFER_OR_PAT, 'EFER = 0x{HOST_IA32_EFER:16}  PAT = 0x{HOST_IA32_PAT:16}'),
  ...HOST_PERF,
  ...lines(
    '*** Control State ***',
    'PinBased={PIN_BASED_VM_EXEC_CONTROL:8} CPUBased={CPU_BASED_VM_EXEC_CONTROL:8} SecondaryExec={SECONDARY_VM_EXEC_CONTROL:8}',
    'EntryControls={VM_ENTRY_CONTROLS:8} ExitControls={VM_EXIT_CONTROLS:8}',
  ),
];

const LAYOUTS: { readonly [as in PrintedAs]: readonly Line[] } = {
  kvm: [
    ...lines('VMCS 0000000000000000, last attempted VM-entry on CPU 0', '*** Guest State ***'),
    ...CONTROL_REGISTERS,
    ...pdptrs(gives('GUEST_PDPTR0')),
    ...KVM_REGISTERS,
    ...when(LOADS_EFER, 'EFER= 0x{GUEST_IA32_EFER:16}'),
    ...when(not(LOADS_EFER), 'EFER= 0x{efer:16} (effective)'),
    ...when(either(LOADS_PAT, exit(EXIT.savePat)), 'PAT = 0x{GUEST_IA32_PAT:16}'),
    ...KVM_HOST,
    ...HOST,
    ...when(exit(EXIT.loadEfer), 'EFER= 0x{HOST_IA32_EFER:16}'),
    ...when(exit(EXIT.loadPat), 'PAT = 0x{HOST_IA32_PAT:16}'),
    ...HOST_PERF,
    ...lines(
      '*** Control State ***',
      'CPUBased=0x{CPU_BASED_VM_EXEC_CONTROL:8} SecondaryExec=0x{SECONDARY_VM_EXEC_CONTROL:8} TertiaryExec=0x{TERTIARY_VM_EXEC_CONTROL:16}',
      'PinBased=0x{PIN_BASED_VM_EXEC_CONTROL:8} EntryControls={VM_ENTRY_CONTROLS:8} ExitControls={VM_EXIT_CONTROLS:8}',
    ),
    ...KVM_TAIL,
  ],
  'kvm-old': [
    ...lines('*** Guest State ***'),
    ...CONTROL_REGISTERS,
    ...pdptrs(USES_PDPTES),
    ...KVM_REGISTERS,
    ...when(EFER_OR_PAT, 'EFER =     0x{GUEST_IA32_EFER:16}  PAT = 0x{GUEST_IA32_PAT:16}'),
    ...KVM_HOST,
    ...HOST_AND_CONTROLS,
    ...KVM_TAIL,
  ],
  xen: [
    ...lines('************* VMCS Area **************', '*** Guest State ***'),
    ...CONTROL_REGISTERS,
    ...when(
      USES_PDPTES,
      'PDPTE0 = 0x{GUEST_PDPTR0:16}  PDPTE1 = 0x{GUEST_PDPTR1:16}',
      'PDPTE2 = 0x{GUEST_PDPTR2:16}  PDPTE3 = 0x{GUEST_PDPTR3:16}',
    ),
    ...lines(
      'RSP = 0x{GUEST_RSP:16} (0x{GUEST_RSP:16})  RIP = 0x{GUEST_RIP:16} (0x{GUEST_RIP:16})',
      'RFLAGS=0x{GUEST_RFLAGS:8} (0x{GUEST_RFLAGS:8})  DR7 = 0x{GUEST_DR7:16}',
      SYSENTER,
      '       sel  attr  limit   base',
      ...CODE_AND_DATA.map(xenSegment),
      xenTable('GDTR'),
      xenSegment('LDTR'),
      xenTable('IDTR'),
      xenSegment('TR'),
    ),
    ...when(LOADS_EFER, 'EFER(VMCS) = 0x{GUEST_IA32_EFER:16}  PAT = 0x{GUEST_IA32_PAT:16}'),
    ...when(not(LOADS_EFER), 'EFER(MSR LL) = 0x{efer:16}  PAT = 0x{GUEST_IA32_PAT:16}'),
    ...lines('PreemptionTimer = 0x{VMX_PREEMPTION_TIMER_VALUE:8}  SM Base = 0x{GUEST_SMBASE:8}', DEBUG),
    ...GUEST_OPTIONS,
    ...GUEST_END,
    ...lines('*** Host State ***', 'RIP = 0x{HOST_RIP:16} (vmx_asm_vmexit_handler)  RSP = 0x{HOST_RSP:16}'),
    ...HOST_AND_CONTROLS,
    ...EVENTS.slice(0, -1),
    ...lines('TSC Offset = 0x{TSC_OFFSET:16}  TSC Multiplier = 0x{TSC_MULTIPLIER:16}'),
    ...when(both(TPR_SHADOW, DELIVERS), VIRTUAL_INTERRUPTS),
    ...when(
      both(TPR_SHADOW, not(DELIVERS)),
      'TPR Threshold = 0x{TPR_THRESHOLD:2}  PostedIntrVec = 0x{POSTED_INTR_NV:2}',
    ),
    ...when(secondary(SECONDARY.ept), 'EPT pointer = 0x{EPT_POINTER:16}  EPTP index = 0x{EPTP_INDEX:4}'),
    ...PLE,
    ...when(
      secondary(SECONDARY.vpid),
      'Virtual processor ID = 0x{VIRTUAL_PROCESSOR_ID:4} VMfunc controls = {VM_FUNCTION_CONTROL:16}',
    ),
    ...lines('**************************************'),
  ],
};

const SLOT = /\{(\w*):(\d+)\}/g;

/** The line before the dump that says how the entry failed; KVM prints none. */
function headline(as: PrintedAs, { fields }: Printed, error: bigint | null): string[] {
  if (as !== 'xen') return [];
  const reason = fields.get('VM_EXIT_REASON') ?? 0n;
  const hex = (value: bigint): string => `0x${value.toString(16)}`;
  if (error !== null) return [`(XEN) d1v0 VMLAUNCH error: ${hex(error)}`];
  if (!(reason & BigInt(VM_ENTRY_FAILURE))) return [];
  const qualification = fields.get('EXIT_QUALIFICATION') ?? 0n;
  // Xen counts the entries of the area from 0.
  const what =
    (reason & 0xffffn) === 34n
      ? `MSR loading (entry ${BigInt.asUintN(64, qualification - 1n)})`
      : `Invalid guest state (${qualification})`;
  return [`(XEN) d1v0 vmentry failure (reason ${hex(reason)}): ${what}`];
}

/**
 * The lines of the dump. Fields that the processor lacks are printed as 0, as VMREAD of a masked field would give.
 * @param error VM-instruction error number of an entry that ended in VMfail; null where it did not
 */
export function printVmcs(as: PrintedAs, vmcs: Printed, error: bigint | null): string[] {
  const status = vmcs.fields.get('GUEST_INTR_STATUS') ?? 0n;
  const other: { readonly [name: string]: bigint } = { efer: vmcs.efer, svi: status >> 8n, rvi: status & 0xffn };
  const value = (name: string): bigint | null => other[name] ?? vmcs.fields.get(name) ?? null;
  const prefix = as === 'xen' ? '(XEN) ' : '';
  const body = LAYOUTS[as]
    .filter((line) => line.when?.({ value, has: () => false, program: 'kvm' }) ?? true)
    .map(({ text }) => {
      const filled = text.replace(SLOT, (_, name: string, digits: string) =>
        (value(name) ?? 0n).toString(16).padStart(Number(digits), '0'),
      );
      return prefix + filled;
    });
  return [...headline(as, vmcs, error), ...body];
}
