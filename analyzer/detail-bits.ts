/**
 * What the bits of exit information mean, as data.
 * Sources: Intel SDM volume 3C, "Basic VM-Exit Information" (the tables "Exit Qualification for ..."); AMD APM volume 2,
 * appendix "SVM Intercept Exit Codes" and the sections on EXITINFO1 and EXITINFO2 of each intercept.
 */
import { VMX_EXIT_MODIFIERS } from '../engine/vmx/exit-reasons.js';
import { type Bits, bit, field, flag, only, type Part } from './detail-parts.js';
import { SVM_EVENT, VMX_EVENT, VMX_EXITING_EVENT } from './event-bits.js';

export type Information = 'reason' | 'qualification' | 'info2' | 'intr_info';

/** What the manual of each architecture calls the columns: 1 VMX, 2 SVM. */
export const INFORMATION_NAMES: { readonly [isa in 1 | 2]: { readonly [word in Information]: string } } = {
  1: {
    reason: 'reason',
    qualification: 'qualification',
    info2: 'IDT-vectoring information',
    intr_info: 'interruption information',
  },
  2: { reason: 'exit code', qualification: 'EXITINFO1', info2: 'EXITINFO2', intr_info: 'EXITINTINFO' },
};

export interface Layout {
  readonly isa: 1 | 2;
  /** Basic exit reasons (VMX) or exit codes (SVM) from `first` to `last`; absent: any. */
  readonly first?: number;
  readonly last?: number;
  readonly word: Information;
  /** The word is this only where the source gives that one too. */
  readonly beside?: Information;
  /** Absent: the whole word is what `name` says. */
  readonly bits?: readonly Bits[];
  readonly name?: string;
}

/** Access types of a control-register access. */
const [MOV_CR, LMSW]: readonly [Part, Part] = [
  { high: 5, low: 4, holds: [0, 1] },
  { high: 5, low: 4, holds: [3] },
];
/** Access types of an APIC access of which the linear address is known. */
const APIC_LINEAR: Part = { high: 15, low: 12, holds: [0, 1, 2, 3, 4] };

const GPRS = {
  0: 'RAX',
  1: 'RCX',
  2: 'RDX',
  3: 'RBX',
  4: 'RSP',
  5: 'RBP',
  6: 'RSI',
  7: 'RDI',
  8: 'R8',
  9: 'R9',
  10: 'R10',
  11: 'R11',
  12: 'R12',
  13: 'R13',
  14: 'R14',
  15: 'R15',
} as const;

/** Every layout that fits an event applies. */
export const LAYOUTS: readonly Layout[] = [
  {
    isa: 1,
    word: 'reason',
    bits: [...VMX_EXIT_MODIFIERS.map(({ bit, name }) => flag(bit, name)), flag(31, 'VM-entry failure')],
  },
  { isa: 1, word: 'intr_info', bits: VMX_EXITING_EVENT },
  // Linux 5.10 and later: what was being delivered when the exit came. Before, info2 was what intr_info is now, and text
  // without intr_info may be of either.
  { isa: 1, word: 'info2', beside: 'intr_info', bits: VMX_EVENT },
  {
    isa: 1,
    first: 9,
    last: 9,
    word: 'qualification',
    bits: [
      field(15, 0, 'TSS selector'),
      field(31, 30, 'source', { 0: 'CALL', 1: 'IRET', 2: 'JMP', 3: 'task gate in IDT' }),
    ],
  },
  { isa: 1, first: 14, last: 14, word: 'qualification', name: 'linear address of INVLPG' },
  {
    isa: 1,
    first: 28,
    last: 28,
    word: 'qualification',
    bits: [
      field(3, 0, 'control register', { 0: 'CR0', 3: 'CR3', 4: 'CR4', 8: 'CR8' }),
      field(5, 4, 'access', { 0: 'MOV to CR', 1: 'MOV from CR', 2: 'CLTS', 3: 'LMSW' }),
      // 0 of the others.
      only(LMSW, bit(6, 'LMSW operand', { 0: 'register', 1: 'memory' })),
      only(MOV_CR, field(11, 8, 'register', GPRS)),
      only(LMSW, field(31, 16, 'LMSW source')),
    ],
  },
  {
    isa: 1,
    first: 29,
    last: 29,
    word: 'qualification',
    bits: [
      field(2, 0, 'debug register', { 0: 'DR0', 1: 'DR1', 2: 'DR2', 3: 'DR3', 4: 'DR4', 5: 'DR5', 6: 'DR6', 7: 'DR7' }),
      bit(4, 'direction', { 0: 'MOV to DR', 1: 'MOV from DR' }),
      field(11, 8, 'register', GPRS),
    ],
  },
  {
    isa: 1,
    first: 30,
    last: 30,
    word: 'qualification',
    bits: [
      field(31, 16, 'port'),
      bit(3, 'direction', { 0: 'OUT', 1: 'IN' }),
      field(2, 0, 'size', { 0: '1 byte', 1: '2 bytes', 3: '4 bytes' }),
      flag(4, 'string'),
      flag(5, 'REP'),
      bit(6, 'operand', { 0: 'DX', 1: 'immediate' }),
    ],
  },
  {
    isa: 1,
    first: 33,
    last: 33,
    word: 'qualification',
    bits: [
      field(7, 0, 'detail', {
        0: 'none given',
        1: 'not used',
        2: 'loading the PDPTEs',
        3: 'NMI injected while STI blocks',
        4: 'VMCS link pointer',
      }),
    ],
  },
  { isa: 1, first: 34, last: 34, word: 'qualification', name: 'entry of the MSR-load list, from 1' },
  {
    isa: 1,
    first: 44,
    last: 44,
    word: 'qualification',
    bits: [
      // Undefined of a guest-physical access.
      only(APIC_LINEAR, field(11, 0, 'offset in the APIC page')),
      field(15, 12, 'access', {
        0: 'read',
        1: 'write',
        2: 'instruction fetch',
        3: 'event delivery',
        4: 'monitoring',
        10: 'guest-physical, event delivery',
        11: 'guest-physical, monitoring or trace',
        15: 'guest-physical, fetch or execution',
      }),
      flag(16, 'asynchronous'),
    ],
  },
  { isa: 1, first: 45, last: 45, word: 'qualification', bits: [field(7, 0, 'vector')] },
  {
    isa: 1,
    first: 48,
    last: 48,
    word: 'qualification',
    bits: [
      flag(0, 'read'),
      flag(1, 'write'),
      flag(2, 'fetch'),
      flag(3, 'EPT: readable'),
      flag(4, 'EPT: writable'),
      flag(5, 'EPT: executable'),
      // Undefined without "mode-based execute control for EPT".
      flag(6, 'EPT: executable in user mode (mode-based control)'),
      flag(7, 'linear address valid'),
      bit(8, 'access was', { 0: 'of a page walk', 1: 'to the translation' }),
      // Undefined where IA32_VMX_EPT_VPID_CAP has no bit 22.
      flag(9, 'user-mode linear address (advanced information)'),
      flag(10, 'writable linear address (advanced information)'),
      flag(11, 'execute-disable linear address (advanced information)'),
      flag(12, 'NMI unblocking due to IRET'),
      flag(13, 'shadow stack'),
      flag(14, 'EPT: supervisor shadow stack'),
      flag(15, 'guest-paging verification'),
      flag(16, 'asynchronous'),
    ],
  },
  { isa: 1, first: 56, last: 56, word: 'qualification', bits: [field(11, 0, 'offset in the APIC page')] },
  {
    isa: 1,
    first: 75,
    last: 75,
    word: 'qualification',
    bits: [flag(0, 'VM context invalid'), flag(12, 'NMI unblocking due to IRET')],
  },

  { isa: 2, word: 'intr_info', bits: SVM_EVENT },
  {
    isa: 2,
    first: 0x00,
    last: 0x1f,
    word: 'qualification',
    // "Decode Assists"; without them bit 63 is clear whatever the instruction.
    bits: [
      only({ high: 63, low: 63, holds: [1] }, field(3, 0, 'register', GPRS)),
      bit(63, 'instruction', { 0: 'CLTS, LMSW, SMSW, or any without decode assists', 1: 'MOV CR' }),
    ],
  },
  { isa: 2, first: 0x20, last: 0x3f, word: 'qualification', bits: [field(3, 0, 'register', GPRS)] },
  { isa: 2, first: 0x40, last: 0x5f, word: 'qualification', name: 'error code of the exception, where it has one' },
  { isa: 2, first: 0x4e, last: 0x4e, word: 'info2', name: 'faulting linear address' },
  { isa: 2, first: 0x79, last: 0x79, word: 'qualification', name: 'linear address of INVLPG' },
  {
    isa: 2,
    first: 0x7b,
    last: 0x7b,
    word: 'qualification',
    bits: [
      field(31, 16, 'port'),
      bit(0, 'direction', { 0: 'OUT', 1: 'IN' }),
      field(6, 4, 'size', { 1: '1 byte', 2: '2 bytes', 4: '4 bytes' }),
      flag(2, 'string'),
      flag(3, 'REP'),
      field(9, 7, 'address size', { 1: '16 bits', 2: '32 bits', 4: '64 bits' }),
      // IN and OUT have no operand in memory.
      only(
        { high: 2, low: 2, holds: [1] },
        field(12, 10, 'segment', { 0: 'ES', 1: 'CS', 2: 'SS', 3: 'DS', 4: 'FS', 5: 'GS' }),
      ),
    ],
  },
  { isa: 2, first: 0x7b, last: 0x7b, word: 'info2', name: 'RIP after the instruction' },
  { isa: 2, first: 0x7c, last: 0x7c, word: 'qualification', bits: [bit(0, 'direction', { 0: 'RDMSR', 1: 'WRMSR' })] },
  // 15.14.1, "Task Switch Intercept".
  { isa: 2, first: 0x7d, last: 0x7d, word: 'qualification', bits: [field(15, 0, 'TSS selector')] },
  {
    isa: 2,
    first: 0x7d,
    last: 0x7d,
    word: 'info2',
    bits: [
      flag(36, 'by IRET'),
      flag(38, 'by far JMP'),
      flag(44, 'has an error code'),
      // Undefined without one.
      only({ high: 44, low: 44, holds: [1] }, field(31, 0, 'error code')),
      flag(48, 'RFLAGS.RF'),
    ],
  },
  {
    isa: 2,
    first: 0x400,
    last: 0x400,
    word: 'qualification',
    bits: [
      bit(0, 'page', { 0: 'not present', 1: 'present' }),
      bit(1, 'access', { 0: 'read', 1: 'write' }),
      flag(2, 'user'),
      flag(3, 'reserved bit set'),
      flag(4, 'fetch'),
      flag(6, 'shadow stack'),
      // 31 and 34 to 36 came with SEV-SNP (15.36.10), 37 with the checks of supervisor shadow stacks (15.25.6).
      flag(31, 'RMP check'),
      flag(32, 'on the final address'),
      flag(33, 'on a page walk'),
      flag(34, 'effective C-bit'),
      flag(35, 'size other than in the RMP'),
      flag(36, 'VMPL permission'),
      flag(37, 'supervisor shadow-stack page'),
    ],
  },
  { isa: 2, first: 0x400, last: 0x400, word: 'info2', name: 'guest physical address' },
  // 15.29.9, "AVIC Exit Codes".
  {
    isa: 2,
    first: 0x401,
    last: 0x401,
    word: 'qualification',
    bits: [field(31, 0, 'ICR low'), field(63, 32, 'ICR high')],
  },
  {
    isa: 2,
    first: 0x401,
    last: 0x401,
    word: 'info2',
    bits: [
      field(63, 32, 'cause', {
        0: 'invalid interrupt type',
        1: 'IPI target not running',
        2: 'invalid target in IPI',
        3: 'invalid backing page pointer',
        4: 'invalid IPI vector',
        5: 'unaccelerated IPI',
      }),
      // Of the physical table or the logical one; reserved with other causes.
      only({ high: 63, low: 32, holds: [1, 2, 3] }, field(11, 0, 'index in the APIC ID table')),
    ],
  },
  {
    isa: 2,
    first: 0x402,
    last: 0x402,
    word: 'qualification',
    bits: [field(11, 0, 'offset in the APIC page'), bit(32, 'access', { 0: 'read', 1: 'write' })],
  },
  {
    isa: 2,
    first: 0x402,
    last: 0x402,
    word: 'info2',
    bits: [field(7, 0, 'vector of an EOI (undefined of other registers)')],
  },
];

/** VM-instruction errors: Intel SDM volume 3C, "VM Instruction Error Numbers". 0 stands for VMfailInvalid. */
export const VM_INSTRUCTION_ERRORS: { readonly [number: number]: string } = {
  0: 'VMfailInvalid: no current VMCS',
  1: 'VMCALL in VMX root operation',
  2: 'VMCLEAR with invalid physical address',
  3: 'VMCLEAR with VMXON pointer',
  4: 'VMLAUNCH with non-clear VMCS',
  5: 'VMRESUME with non-launched VMCS',
  6: 'VMRESUME after VMXOFF',
  7: 'VM entry with invalid control fields',
  8: 'VM entry with invalid host-state fields',
  9: 'VMPTRLD with invalid physical address',
  10: 'VMPTRLD with VMXON pointer',
  11: 'VMPTRLD with incorrect VMCS revision identifier',
  12: 'VMREAD or VMWRITE of an unsupported VMCS component',
  13: 'VMWRITE to a read-only VMCS component',
  15: 'VMXON in VMX root operation',
  16: 'VM entry with invalid executive-VMCS pointer',
  17: 'VM entry with non-launched executive VMCS',
  18: 'VM entry with executive-VMCS pointer that is not the VMXON pointer',
  19: 'VMCALL with non-clear VMCS',
  20: 'VMCALL with invalid VM-exit control fields',
  22: 'VMCALL with incorrect MSEG revision identifier',
  23: 'VMXOFF under dual-monitor treatment of SMIs and SMM',
  24: 'VMCALL with invalid SMM-monitor features',
  25: 'VM entry with invalid VM-execution control fields in executive VMCS',
  26: 'VM entry with events blocked by MOV SS',
  28: 'invalid operand to INVEPT or INVVPID',
};

/** What the guest's registers say of an exit: operands of the instruction that exited. */
export const OPERANDS: readonly {
  readonly isa: 1 | 2;
  readonly reasons: readonly number[];
  readonly register: string;
  readonly name: string;
  /** Dictionary that names the value. */
  readonly domain?: string;
}[] = [
  { isa: 1, reasons: [31, 32], register: 'rcx', name: 'MSR', domain: 'msr' },
  { isa: 2, reasons: [0x7c], register: 'rcx', name: 'MSR', domain: 'msr' },
  { isa: 1, reasons: [10], register: 'rax', name: 'CPUID leaf' },
  { isa: 1, reasons: [10], register: 'rcx', name: 'CPUID subleaf' },
  { isa: 2, reasons: [0x72], register: 'rax', name: 'CPUID leaf' },
  { isa: 2, reasons: [0x72], register: 'rcx', name: 'CPUID subleaf' },
  { isa: 1, reasons: [18], register: 'rax', name: 'hypercall' },
  { isa: 2, reasons: [0x81], register: 'rax', name: 'hypercall' },
];
