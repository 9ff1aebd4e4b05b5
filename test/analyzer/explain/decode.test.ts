/**
 * Values in words. Segment registers: Intel SDM Vol. 3C, "Checks on Guest Segment Registers"; what an exit tells: the
 * same, "Basic VM-Exit Information"; SVM: AMD APM Vol. 2, chapter 15 and appendix B.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeBits } from '../../../analyzer/explain/decode.js';
import { fixture, healthy, only } from './helpers.js';

/** What is said of a field of the only dump of a text. */
const said = (text: string, field: string): readonly string[] | undefined =>
  only(text).decoded.find((each) => each.field === field)?.says;

describe('an unusable register', () => {
  it('TR, which may not be one: that it is, and all that is checked besides', () => {
    assert.deepEqual(decodeBits('GUEST_TR_AR_BYTES', 0x1008bn), ['unusable', 'type 11 (TSS, busy)', 'DPL 0', 'P']);
    assert.deepEqual(decodeBits('GUEST_TR_AR_BYTES', 0x8bn), ['type 11 (TSS, busy)', 'DPL 0', 'P']);
    assert.deepEqual(decodeBits('GUEST_TR_AR_BYTES', 0x2008bn).at(-1), 'bits without a name: 0x20000');
    assert.deepEqual(decodeBits('GUEST_TR_AR_BYTES', 0x3008bn).at(-1), 'bits without a name: 0x20000');
  });
  it('TR, in a dump', () => {
    const text = fixture('vmx-two-faults').replace('attr=0x0009b', 'attr=0x1009b');
    const says = only(text).decoded.find(({ field }) => field === 'GUEST_TR_AR_BYTES')?.says;
    assert.deepEqual(says?.slice(0, 2), ['unusable', 'type 11 (TSS, busy)']);
    assert.ok(says?.includes('S'));
  });
  it('SS: its DPL is the CPL all the same; of others nothing has a meaning', () => {
    assert.deepEqual(decodeBits('GUEST_SS_AR_BYTES', 0x10060n), ['unusable', 'DPL 3']);
    assert.deepEqual(decodeBits('GUEST_DS_AR_BYTES', 0x10060n), ['unusable']);
    assert.deepEqual(decodeBits('GUEST_LDTR_AR_BYTES', 0x10082n), ['unusable']);
  });
});

describe('an exit qualification', () => {
  const qualified = (digits: string, reason = 48): readonly string[] | undefined =>
    said(
      healthy.replace(
        'reason=00000030 qualification=0000000000000184',
        `reason=${reason.toString(16).padStart(8, '0')} qualification=${digits}`,
      ),
      'EXIT_QUALIFICATION',
    );
  it('of an EPT violation: bits 9 to 16 too, of which 11 is that of an execute-disable page', () => {
    // "Exit Qualification for EPT Violations": 0 read, 7 and 8 of the translation, 11 XD with advanced information
    assert.deepEqual(qualified('0000000000000981'), [
      'read: yes',
      'linear address valid: yes',
      'access was: to the translation',
      'execute-disable linear address (advanced information): yes',
    ]);
    // each of bits 16:0 has a meaning there
    assert.equal(qualified('000000000001ffff')?.length, 17);
  });
  it('of an APIC access: its type, and the offset where the access is linear', () => {
    // "Exit Qualification for APIC-Access VM Exits": 11:0 offset, undefined of guest-physical accesses, 15:12 type, of which
    // 4 is "linear access for monitoring" and 11 "guest-physical access for monitoring or trace", 16 asynchronous accesses
    const accessed = (digits: string): readonly string[] | undefined => qualified(digits, 44);
    assert.deepEqual(accessed('00000000000040b0'), ['offset in the APIC page: 0xb0', 'access: monitoring']);
    assert.deepEqual(accessed('000000000001b0b0'), [
      'access: guest-physical, monitoring or trace',
      'asynchronous: yes',
    ]);
    assert.deepEqual(accessed('00000000000210b0')?.slice(1), ['access: write', 'bits without a name: 0x20000']);
  });
  it('of a control-register access: what its access type has', () => {
    // "Exit Qualification for Control-Register Accesses": 11:8 is the register of MOV CR, 6 and 31:16 are those of LMSW
    assert.deepEqual(qualified('0000000000000518', 28), [
      'control register: CR8',
      'access: MOV from CR',
      'register: RBP',
    ]);
    assert.deepEqual(qualified('0000000000000020', 28), ['control register: CR0', 'access: CLTS']);
    assert.deepEqual(qualified('00000000fff10030', 28), [
      'control register: CR0',
      'access: LMSW',
      'LMSW operand: register',
      'LMSW source: 0xfff1',
    ]);
  });
  it('tells of a bit that has no name', () => {
    assert.equal(qualified('0000008000020181')?.at(-1), 'bits without a name: 0x8000020000');
  });
});

describe('an EPT pointer', () => {
  // "Format of Extended-Page-Table Pointer": 2:0 memory type, 5:3 "1 less than the EPT page-walk length", 6 "accessed and
  // dirty flags for EPT", 7 "supervisor shadow-stack pages", 11:8 reserved, N-1:12 "the physical address of the
  // 4-KByte aligned EPT paging structure"
  it('is more than its flags: where the paging structure is', () => {
    assert.deepEqual(decodeBits('EPT_POINTER', 0x10_5a27_005en), [
      'memory type 6 (write-back)',
      'walk 3 (4 levels)',
      'accessed and dirty flags',
      'EPT paging structure at 0x105a270000',
    ]);
    assert.deepEqual(decodeBits('EPT_POINTER', 0x000f_ffff_ffff_f0e6n), [
      'memory type 6 (write-back)',
      'walk 4 (5 levels)',
      'accessed and dirty flags',
      'supervisor shadow-stack control',
      'EPT paging structure at 0xffffffffff000',
    ]);
  });
  it('has bits that are reserved', () => {
    assert.equal(decodeBits('EPT_POINTER', 0x8000_0000_0000_1f1en).at(-1), 'bits without a name: 0x8000000000000f00');
  });
  it('is that of a dump', () => {
    const [, pointer] = /EPT pointer = 0x(\w{16})/.exec(healthy) ?? [];
    const address = (BigInt(`0x${pointer}`) & ~0xfffn).toString(16);
    assert.equal(said(healthy, 'EPT_POINTER')?.at(-1), `EPT paging structure at 0x${address}`);
  });
});

describe('VMX controls', () => {
  it('of the tertiary ones, those that came last', () => {
    // "Definitions of Tertiary Processor-Based VM-Execution Controls": 5 SEAM guest-physical address width, 8 APIC-timer
    // virtualization, 9 enable PBNDKB, 12 PEBS uses guest physical addresses
    assert.deepEqual(decodeBits('TERTIARY_VM_EXEC_CONTROL', 0x1320n), [
      'SEAM guest-physical address width',
      'APIC-timer virtualization',
      'enable PBNDKB',
      'PEBS uses guest physical addresses',
    ]);
    assert.deepEqual(decodeBits('TERTIARY_VM_EXEC_CONTROL', 0xec00n), ['bits without a name: 0xec00']);
  });
  it('of the secondary VM-exit controls, and of the VM-function controls', () => {
    // "Definitions of Secondary VM-Exit Controls", "Definitions of VM-Function Controls"
    assert.deepEqual(decodeBits('SECONDARY_VM_EXIT_CONTROLS', 0x1fn), [
      'save FRED',
      'load FRED',
      'load IA32_SPEC_CTRL',
      'prematurely busy shadow stack',
      'bits without a name: 0x10',
    ]);
    assert.deepEqual(decodeBits('VM_FUNCTION_CONTROL', 3n), ['EPTP switching', 'bits without a name: 0x2']);
  });
  it('of the VM-entry controls, the highest', () => {
    // "Definitions of VM-Entry Controls": 25 allow SEAM-guest telemetry
    assert.deepEqual(decodeBits('VM_ENTRY_CONTROLS', 0x0600_11fbn), [
      'allow SEAM-guest telemetry',
      'bits without a name: 0x4000000',
    ]);
  });
  it('of the others, all but those that are reserved', () => {
    // bits that no table "Definitions of ..." has: what is left of a word of ones without those that have to be 1
    for (const [field, rest] of [
      ['PIN_BASED_VM_EXEC_CONTROL', 'ffffff00'],
      ['CPU_BASED_VM_EXEC_CONTROL', '40001'],
      ['SECONDARY_VM_EXEC_CONTROL', '20000000'],
    ] as const)
      assert.equal(decodeBits(field, 0xffff_ffffn).at(-1), `bits without a name: 0x${rest}`, field);
    assert.equal(decodeBits('VM_EXIT_CONTROLS', 0xffff_ffffn).at(-1), 'activate secondary controls');
  });
});

describe('events', () => {
  it('pending debug exceptions: a bus lock too', () => {
    // "Format of Pending-Debug-Exceptions": 11 BLD, "a bus lock was asserted while OS bus-lock detection was enabled"
    assert.deepEqual(decodeBits('GUEST_PENDING_DBG_EXCEPTIONS', 0x1800n), ['BLD', 'enabled breakpoint']);
    assert.deepEqual(decodeBits('GUEST_PENDING_DBG_EXCEPTIONS', 0xa7f0n), ['bits without a name: 0xa7f0']);
  });
  it('an injected exception may be nested in another', () => {
    // "Format of the Injected-Event Identification Field": 13 nested exception
    assert.deepEqual(decodeBits('VM_ENTRY_INTR_INFO_FIELD', 0x8000_2b0en), [
      'vector 14',
      'type 3 (hardware exception)',
      'error code',
      'nested exception',
      'valid',
    ]);
  });
});

describe('an exit reason', () => {
  it('is a number that has a name, and what is told of the exit besides', () => {
    // appendix C, "VMX Basic Exit Reasons": 48 EPT violation, 33 VM-entry failure due to invalid guest state
    assert.deepEqual(said(healthy, 'VM_EXIT_REASON'), ['basic exit reason 48 (EPT_VIOLATION)']);
    assert.deepEqual(said(fixture('vmx-pdpte'), 'VM_EXIT_REASON'), [
      'basic exit reason 33 (INVALID_STATE)',
      'VM-entry failure',
    ]);
    // "Format of Exit Reason": 25 a shadow stack became prematurely busy, 26 a bus lock was asserted, 27 the exit was
    // incident to enclave mode, 28 pending MTF VM exit, 29 VM exit from VMX root operation
    assert.deepEqual(decodeBits('VM_EXIT_REASON', 0x3e00_000an), [
      'basic exit reason 10 (CPUID)',
      'busy shadow stack',
      'bus lock',
      'enclave mode',
      'pending MTF',
      'exit from VMX root',
    ]);
    // 16 is always 0, 24:17 and 30 are not defined
    assert.equal(decodeBits('VM_EXIT_REASON', 0x41ff_000an).at(-1), 'bits without a name: 0x41ff0000');
  });
  it('that no manual names is its number', () => {
    assert.deepEqual(decodeBits('VM_EXIT_REASON', 0x23n), ['basic exit reason 35']);
  });
});

describe('an event of SVM', () => {
  // 15.20, "Event Injection": TYPE 0 external or virtual interrupt, 2 NMI, 3 exception, 4 software interrupt; VMRUN
  // exits with VMEXIT_INVALID where "reserved values of TYPE have been specified"
  const TYPES = [
    'external or virtual interrupt',
    'reserved',
    'NMI',
    'exception',
    'software interrupt',
    ...['reserved', 'reserved', 'reserved'],
  ];
  for (const field of ['EVENT_INJ', 'EXIT_INT_INFO'])
    it(`${field} has other types than one of VMX`, () => {
      for (const [type, word] of TYPES.entries())
        assert.deepEqual(decodeBits(field, 0x8000_000dn | BigInt(type << 8)), [
          'vector 13',
          `type ${type} (${word})`,
          'valid',
        ]);
    });
  it('has an error code or none, and reserved bits', () => {
    assert.deepEqual(decodeBits('EVENT_INJ', 0xc000_3b0en), [
      'vector 14',
      'type 3 (exception)',
      'error code',
      'valid',
      'bits without a name: 0x40003000',
    ]);
    assert.deepEqual(decodeBits('EVENT_INJ', 0xb0en), ['not valid']);
  });
});

describe('exceptions and debug registers', () => {
  it('the exception bitmap has a bit for each exception', () => {
    // SDM Vol. 3A, "Protected-Mode Exceptions and Interrupts": 1 #DB, 6 #UD, 17 #AC, 18 #MC, 19 #XM, 20 #VE, 21 #CP
    assert.deepEqual(decodeBits('EXCEPTION_BITMAP', 0x0006_0042n), ['#DB', '#UD', '#AC', '#MC']);
    assert.deepEqual(decodeBits('EXCEPTION_BITMAP', 0x0038_0000n), ['#XM', '#VE', '#CP']);
    // 2 is the NMI, for which there is another control; 9 and 15 are reserved, and 31:22 too
    assert.deepEqual(decodeBits('EXCEPTION_BITMAP', 0xffc0_8204n), ['bits without a name: 0xffc08204']);
  });
  it('DR7: conditions of the breakpoints that are enabled', () => {
    // SDM Vol. 3B, "Debug Control Register (DR7)": R/W0 17:16, LEN0 19:18; 01 data writes, 11 four bytes
    assert.deepEqual(decodeBits('GUEST_DR7', 0x000d_0401n), ['L0', 'R/W0 1 (write)', 'LEN0 3 (4 bytes)']);
    assert.deepEqual(decodeBits('GUEST_DR7', 0x0420n), ['G2', 'R/W2 0 (execution)', 'LEN2 0 (1 byte)']);
    // bit 10 is reserved and always 1, as bit 1 of RFLAGS is (Vol. 1, "EFLAGS Register")
    assert.deepEqual(decodeBits('GUEST_DR7', 0x400n), []);
    assert.deepEqual(decodeBits('DR7', 0xc00n), ['bits without a name: 0x800']);
    for (const field of ['GUEST_RFLAGS', 'RFLAGS'])
      assert.deepEqual(decodeBits(field, 0x800an), ['IOPL 0', 'bits without a name: 0x8008']);
  });
  it('DR6 of a VMCB: a bus lock clears its bit, and others read as 1', () => {
    // APM Vol. 2, 13.1.1.3: B3:B0, 11 BLD, 13 BD, 14 BS, 15 BT; 31:16 and 10:4 read as 1
    assert.deepEqual(decodeBits('DR6', 0xffff_0ff0n), []);
    assert.deepEqual(decodeBits('DR6', 0xffff_47f2n), ['B1', 'BLD', 'BS']);
    assert.deepEqual(decodeBits('DR6', 0x1_ffff_1ff0n), ['bits without a name: 0x100001000']);
  });
});

describe('the control area of a VMCB', () => {
  const vmcb = (field: string, name: string, value: string): readonly string[] | undefined =>
    said(fixture('svm-cs').replace(new RegExp(`(${name}: *)\\S.*`), `$1${value}`), field);
  // appendix B, "VMCB Layout, Control Area": 00Ch has INTR 0, NMI 1, SMI 2, VINTR 4, CR0 writes other than TS and MP 5,
  // CPUID 18, IOIO_PROT 27, MSR_PROT 28, shutdown 31; 010h has VMRUN 0, RDTSCP 7, XSETBV 13, EFER after its write 15, CR0
  // after its write 16
  const WORD3 = ['INTR', 'NMI', 'SMI', 'VINTR', 'CR0_SEL_WRITE', 'CPUID', 'IOIO', 'MSR', 'SHUTDOWN'];
  const WORD4 = ['VMRUN', 'RDTSCP', 'XSETBV', 'EFER_WRITE_TRAP', 'CR0_WRITE_TRAP'];
  it('names what is intercepted', () => {
    assert.deepEqual(vmcb('INTERCEPT_WORD3', 'intercepts', '98040037 0001a081'), WORD3);
    assert.deepEqual(vmcb('INTERCEPT_WORD4', 'intercepts', '98040037 0001a081'), WORD4);
    // before 5.10: 8 bytes from 00Ch on as one number (`control->intercept`, "%016llx")
    assert.deepEqual(vmcb('INTERCEPT_WORD3', 'intercepts', '0001a08198040037'), WORD3);
    assert.deepEqual(vmcb('INTERCEPT_WORD4', 'intercepts', '0001a08198040037'), WORD4);
    assert.deepEqual(vmcb('INTERCEPT_CR_WRITE', 'cr_write', '0110'), ['WRITE_CR4', 'WRITE_CR8']);
    assert.deepEqual(vmcb('INTERCEPT_DR_READ', 'dr_read', '8001'), ['READ_DR0', 'READ_DR15']);
    assert.deepEqual(vmcb('INTERCEPT_EXCEPTIONS', 'exceptions', '60080002'), ['#DB', '#XF', '#VC', '#SX']);
  });
  it('names the bits of virtual interrupts', () => {
    // 060h: 7:0 V_TPR, 8 V_IRQ, 9 VGIF value, 11 V_NMI, 12 V_NMI_MASK, 19:16 V_INTR_PRIO, 20 V_IGN_TPR, 24
    // V_INTR_MASKING, 25 virtual GIF enabled, 26 V_NMI_ENABLE, 30 x2AVIC enable, 31 AVIC enable, 39:32 V_INTR_VECTOR
    assert.deepEqual(vmcb('INT_CTL', 'int_ctl', '03000200'), [
      'V_TPR 0',
      'VGIF',
      'V_INTR_MASKING',
      'virtual GIF enabled',
    ]);
    assert.deepEqual(vmcb('INT_CTL', 'int_ctl', 'c51f1902'), [
      'V_TPR 2',
      'V_IRQ',
      'V_NMI',
      'V_NMI_MASK',
      'V_INTR_PRIO 15',
      'V_IGN_TPR',
      'V_INTR_MASKING',
      'V_NMI_ENABLE',
      'x2AVIC enable',
      'AVIC enable',
    ]);
    assert.deepEqual(vmcb('INT_CTL', 'int_ctl', '38e0e400'), ['V_TPR 0', 'bits without a name: 0x38e0e400']);
    assert.deepEqual(vmcb('INT_VECTOR', 'int_vector', '00000031'), ['V_INTR_VECTOR 49']);
    // 068h: 0 INTERRUPT_SHADOW, 1 GUEST_INTERRUPT_MASK
    assert.deepEqual(vmcb('INT_STATE', 'int_state', '00000007'), [
      'INTERRUPT_SHADOW',
      'GUEST_INTERRUPT_MASK',
      'bits without a name: 0x4',
    ]);
  });
  it('names what TLB_CONTROL asks for', () => {
    // 05Ch: 00h do nothing, 01h flush entire TLB, 03h this guest's TLB entries, 07h this guest's non-global ones
    const said = ['0', '1', '3', '7', '2'].map((value) => vmcb('TLB_CONTROL', 'tlb_ctl', value)?.join());
    assert.deepEqual(said, [
      'command 0 (do nothing)',
      'command 1 (flush the entire TLB)',
      "command 3 (flush this guest's entries)",
      "command 7 (flush this guest's non-global entries)",
      'command 2',
    ]);
  });
  it('names what 090h and 0B8h switch on, which KVM prints in decimal', () => {
    assert.deepEqual(vmcb('NESTED_CTL', 'nested_ctl', '511'), [
      'NP_ENABLE',
      'SEV',
      'SEV-ES',
      'guest mode execute trap',
      'SSSCheckEn',
      'virtual transparent encryption',
      'read-only guest page tables',
      'INVLPGB/TLBSYNC',
      'bits without a name: 0x100',
    ]);
    assert.deepEqual(vmcb('VIRT_EXT', 'virt_ext', '31'), [
      'LBR virtualization',
      'VMSAVE/VMLOAD virtualization',
      'IBS virtualization',
      'PMC virtualization',
      'bits without a name: 0x10',
    ]);
  });
});

describe('what an exit of SVM tells', () => {
  const exited = (code: string, info1: string, field: string): readonly string[] | undefined =>
    said(
      fixture('svm-cs')
        .replace(/(exit_code: +)\w+/, `$1${code}`)
        .replace(/(exit_info1: +)\w+/, `$1${info1}`),
      field,
    );
  it('of a nested page fault: its error code', () => {
    // 15.25.6: 0 P, 1 RW, 2 US, 3 RSV, 4 ID, 6 SS, 32 on the final address, 33 on the guest page tables, 37 a supervisor
    // shadow stack page; 15.36.10: 31 RMP, 34 ENC, 35 SIZEM, 36 VMPL
    assert.deepEqual(exited('00000400', '0000000100000014', 'EXIT_INFO_1'), [
      'page: not present',
      'access: read',
      'user: yes',
      'fetch: yes',
      'on the final address: yes',
    ]);
    assert.deepEqual(exited('00000400', '0000007e80000080', 'EXIT_INFO_1'), [
      'page: not present',
      'access: read',
      'RMP check: yes',
      'on a page walk: yes',
      'effective C-bit: yes',
      'size other than in the RMP: yes',
      'VMPL permission: yes',
      'supervisor shadow-stack page: yes',
      'bits without a name: 0x4000000080',
    ]);
    assert.deepEqual(exited('00000400', '0000000100000014', 'EXIT_INFO_2'), ['guest physical address']);
  });
  it('of an I/O instruction: the segment where it accesses memory', () => {
    // 15.10.2: 0 IN, 2 STR, 3 REP, 6:4 size, 9:7 address size, 12:10 segment, 31:16 port; of OUT 12:10 mean nothing, and are
    // told neither as a segment nor as bits without a name
    const io = (info1: string): readonly string[] => exited('0000007b', info1, 'EXIT_INFO_1') ?? [];
    assert.deepEqual(io('0000000003f80e1c').at(-1), 'segment: DS');
    assert.deepEqual(io('0000000003f80e10').at(-1), 'address size: 64 bits');
  });
  it('of another exit, what the manual has for that, and of none where VMRUN failed', () => {
    // 15.11: EXITINFO1 is 0 for RDMSR and 1 for WRMSR
    assert.deepEqual(exited('0000007c', '0000000000000001', 'EXIT_INFO_1'), ['direction: WRMSR']);
    assert.equal(exited('ffffffff', '0000000000000001', 'EXIT_INFO_1'), undefined);
  });
});
