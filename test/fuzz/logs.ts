/** Forms of logs that `explain` reads. */
import assert from 'node:assert/strict';
import { AnalysisError } from '../../analyzer/errors.js';
import { explain } from '../../analyzer/explain/log.js';
import { fixture } from '../analyzer/explain/helpers.js';
import { mutateText } from './mutate.js';
import type { Form, Outcome } from './run.js';

/** A dump in the form in which Xen prints it (xen/arch/x86/hvm/vmx/vmcs.c, vmcs_dump_vcpu). */
const XEN = `(XEN) d1v0 vmentry failure (reason 0x80000021): Invalid guest state (0)
(XEN) *********** VMCS Areas **************
(XEN) *** Guest State ***
(XEN) CR0: actual=0x0000000080000033, shadow=0x0000000080000033, gh_mask=ffffffffffffffff
(XEN) CR4: actual=0x0000000000002660, shadow=0x0000000000000020, gh_mask=ffffffffffc8f860
(XEN) CR3 = 0x0000000000123000
(XEN) RSP = 0x0000000000010000 (0x0000000000010000)  RIP = 0x0000000000100000 (0x0000000000100000)
(XEN) RFLAGS=0x00008002 (0x00008002)  DR7 = 0x0000000000000400
(XEN) Sysenter RSP=0000000000000000 CS:RIP=0000:0000000000000000
(XEN)        sel  attr  limit   base
(XEN)   CS: 0008 0a09b ffffffff 0000000000000000
(XEN)   DS: 0010 0c093 ffffffff 0000000000000000
(XEN)   SS: 0010 0c093 ffffffff 0000000000000000
(XEN)   ES: 0010 0c093 ffffffff 0000000000000000
(XEN)   FS: 0000 1c000 ffffffff 0000000000000000
(XEN)   GS: 0000 1c000 ffffffff 0000000000000000
(XEN) GDTR:            00000027 0000000000001000
(XEN) LDTR: 0000 10000 00000000 0000000000000000
(XEN) IDTR:            000002ff 0000000000002000
(XEN)   TR: 0018 0008b 00000068 0000000000003000
(XEN) EFER = 0x0000000000000500  PAT = 0x0007040600070406
(XEN) Interruptibility = 00000000  ActivityState = 00000000
(XEN) *** Host State ***
(XEN) RIP = 0xffff82d080300000 (vmx_asm_vmexit_handler)  RSP = 0xffff830000000f70
(XEN) CS=e008 SS=0000 DS=0000 ES=0000 FS=0000 GS=0000 TR=e040
(XEN) CR0=0000000080050033 CR3=0000000000900000 CR4=00000000000426e0
(XEN) *** Control State ***
(XEN) PinBased=0000003f CPUBased=b5a065fa SecondaryExec=000014eb
(XEN) EntryControls=000053ff ExitControls=000fefff
(XEN) VMEntry: intr_info=00000000 errcode=00000000 ilen=00000000
(XEN) VMExit: intr_info=00000000 errcode=00000000 ilen=00000003
(XEN)         reason=80000021 qualification=0000000000000000
(XEN) VMLAUNCH error: 0x7
`;

/** A VMCB in the form in which Xen prints it (xen/arch/x86/hvm/svm/svmdebug.c, svm_vmcb_dump). */
const XEN_VMCB = `(XEN) d1v0 invalid VMCB state:
(XEN) Dumping guest's current state at svm_vmexit_handler...
(XEN) cr_intercepts = 0xfef3fef3 dr_intercepts = 0xffffffff exception_intercepts = 0x60082
(XEN) general1_intercepts = 0xbdc4000f general2_intercepts = 0x6f7f
(XEN) tlb_control = 0 vintr = 0x10f0001 int_stat = 0
(XEN) event_inj 0000000000000000, valid? 0, ec? 0, type 0, vector 0
(XEN) exitcode = 0xffffffffffffffff exit_int_info = 0
(XEN) asid = 0x22d np_ctrl = 0x1: NP
(XEN) cpl = 0 efer = 0x1d03 star = 0x23001000000000 lstar = 0xffffffff82200000
(XEN) CR0 = 0x000000008005003b CR2 = 0x0000000000001000
(XEN) CR3 = 0x0000000002e23001 CR4 = 0x0000000000770ef0
(XEN) RSP = 0xffffffff82e03e00  RIP = 0xffffffff820e26ca
(XEN) RAX = 0x0000000000004000  RFLAGS=0x0000000000000246
(XEN)   CS: 0010 029b ffffffff 0000000000000000
(XEN) GDTR: 0000 0000 0000007f fffffe0000001000
`;

/** Registers in the form in which QEMU prints them (target/i386/cpu-dump.c), short and long. */
const QEMU = `KVM: entry failed, hardware error 0x80000021

EAX=00000000 EBX=00000000 ECX=00000000 EDX=000806f3
ESI=00000000 EDI=00000000 EBP=00000000 ESP=00000000
EIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0
ES =0000 00000000 0000ffff 00009300
CS =f000 ffff0000 0000ffff 00009b00
SS =0000 00000000 0000ffff 00009300
LDT=0000 00000000 0000ffff 00008200
TR =0000 00000000 0000ffff 00008b00
GDT=     00000000 0000ffff
IDT=     00000000 0000ffff
CR0=60000010 CR2=00000000 CR3=00000000 CR4=00000000
DR6=00000000ffff0ff0 DR7=0000000000000400
EFER=0000000000000000
Code=?? ?? ?? <??> ?? ??
`;

const QEMU_LONG = `KVM: entry failed, hardware error 0x80000021
RAX=0000000000000000 RBX=0000000000000000 RCX=0000000000000000 RDX=0000000000000000
RIP=ffffffff81000000 RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0
CS =0010 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]
SS =0018 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]
TR =0040 fffffe0000003000 00004087 00008b00 DPL=0 TSS64-busy
GDT=     fffffe0000001000 0000007f
CR0=80050033 CR2=0000000000000000 CR3=0000000002610000 CR4=000006f0
EFER=0000000000000d01
`;

const WORDS = [
  ...['VMCS 0000000000000000, last attempted VM-entry on CPU 0\n', '*** Guest State ***\n', '*** Host State ***\n'],
  ...['*** Control State ***\n', 'CR0: actual=0x', 'sel=0x', 'attr=0x', 'EFER= 0x', '(XEN) ', '[  1.000000] ', '[T1] '],
  ...[
    'kvm_intel: ',
    'SVM: ',
    'exit_code:          ',
    'VM-instruction error',
    'hardware error 0x7\n',
    'MSR guest autoload:\n',
  ],
  ...['VMRESUME error: 0x7\n', 'fault = 0x', '   0: msr=0x00000600 value=0x0000000000000000\n', '\n# note\n', '> '],
];

function checkLog(input: Uint8Array): Outcome {
  const text = Buffer.from(input).toString('utf8');
  const lines = text.split(/\r\n|\n|\r/).length;
  try {
    const { dumps } = explain(text, 'mutation');
    assert.ok(dumps.length > 0 && dumps.length <= lines);
    let cut = false;
    let before = 0;
    for (const dump of dumps) {
      const { first, last, violated, suspects, undecidable, damage, decoded, sentence } = dump;
      assert.ok(before <= first && first <= last && last <= lines, `lines ${first} to ${last} of ${lines}`);
      before = first;
      assert.ok(sentence.length > 0);
      for (const { values, says, cites } of [...violated, ...suspects, ...undecidable]) {
        assert.ok(says.length > 0 && cites.length > 0);
        for (const { line } of values) assert.ok(line >= 1 && line <= lines, `a value in line ${line} of ${lines}`);
      }
      for (const { line } of [...damage, ...decoded]) assert.ok(line >= 1 && line <= lines, `line ${line} of ${lines}`);
      cut ||= damage.length > 0;
    }
    return cut ? 'stopped' : 'whole';
  } catch (error) {
    if (!(error instanceof AnalysisError)) throw error;
    return 'refused';
  }
}

function logForm(name: string, texts: readonly string[]): Form {
  return {
    name,
    seeds: texts.map((text) => Buffer.from(text)),
    mutate: (original, random) => Buffer.from(mutateText(Buffer.from(original).toString('utf8'), WORDS, random)),
    check: checkLog,
  };
}

export function logForms(): readonly Form[] {
  return [
    logForm('kvm-vmcs-dump', ['vmx-injection', 'vmx-pdpte', 'vmx-two-faults'].map(fixture)),
    logForm('kvm-vmcb-dump', [fixture('svm-cs')]),
    logForm('xen-dump', [XEN, XEN_VMCB]),
    logForm('qemu-registers', [QEMU, QEMU_LONG]),
  ];
}
