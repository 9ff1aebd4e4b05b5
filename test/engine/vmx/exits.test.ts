/** VM exits: what they say, what they save and load. Vol. 3C, "VM Exits". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FLAG } from '../../../engine/cpu/flags.js';
import { GPR, S, SEG, segBase, segLimit, segRights, segSelector, UNUSABLE } from '../../../engine/cpu/layout.js';
import { skylakeVmx } from '../../../engine/vmx/capabilities.js';
import { EXIT, SECONDARY } from '../../../engine/vmx/controls.js';
import { exitForNestedFault } from '../../../engine/vmx/intercepts.js';
import { generateCopies } from '../../../engine/vmx/transfer-wasm.js';
import { Bench, exitOf, guest, modelWith, PLACES } from './bench.js';

test('EPT faults say where, and during delivery of what', () => {
  const bench = guest();
  exitForNestedFault(bench.cpu, 'ept_violation', 0x182n, 0xffff_8000_0000_1234n, 0x4000_0234);
  assert.deepEqual(exitOf(bench), [48, 0x182n]);
  assert.equal(bench.field('GUEST_LINEAR_ADDRESS'), 0xffff_8000_0000_1234n);
  assert.equal(bench.field('GUEST_PHYSICAL_ADDRESS'), 0x4000_0234n);
  assert.equal(bench.field('GUEST_RFLAGS'), 0x1_0002n);
  assert.equal(bench.field('IDT_VECTORING_INFO_FIELD'), 0n);
  const { fields } = bench.told[0] ?? assert.fail();
  assert.deepEqual([fields.gva, fields.gpa], [0xffff_8000_0000_1234n, 0x4000_0234n]);
  const delivering = guest();
  delivering.cpu.vectoring = { info: 0x8000_0480, errorCode: 0, instructionLength: 2 };
  exitForNestedFault(delivering.cpu, 'ept_misconfig', 0n, 0n, 0x5000);
  assert.deepEqual(exitOf(delivering), [49, 0n]);
  assert.equal(delivering.field('IDT_VECTORING_INFO_FIELD'), 0x8000_0480n);
  assert.equal(delivering.field('VM_EXIT_INSTRUCTION_LEN'), 2n);
  assert.equal(delivering.field('GUEST_RFLAGS'), 2n);
  assert.equal(delivering.cpu.vectoring, null);
});

test('an exit loads the host as the manual lays down, and tells levels, tick and instruction', () => {
  const bench = guest((each) => {
    each.set('HOST_FS_BASE', 0x1111n);
    each.set('HOST_GS_BASE', 0x2222n);
    each.set('HOST_TR_BASE', 0x3333n);
    each.set('HOST_GDTR_BASE', 0x4444n);
    each.set('HOST_DS_SELECTOR', 0);
    each.set('HOST_IA32_SYSENTER_EIP', 0x5555n);
  });
  const { cpu } = bench;
  const tick = cpu.tick;
  cpu.rflags = 0xad7;
  cpu.setU64(S.DR7, 0x4ffn);
  cpu.setU64(GPR.RAX, 0x4000_0000n);
  assert.equal(cpu.level, 1);
  bench.run('vmcall');
  assert.equal(cpu.level, 0);
  assert.equal(cpu.tick - tick, 1);
  assert.equal(cpu.rip, 0xffff_8000_0000_1000n);
  assert.equal(cpu.rsp, 0xffff_8000_0000_2000n);
  assert.equal(cpu.rflags, 2);
  assert.equal(cpu.u64(S.DR7), 0x400n);
  assert.deepEqual(
    [SEG.FS, SEG.GS, SEG.TR].map((n) => cpu.u64(segBase(n))),
    [0x1111n, 0x2222n, 0x3333n],
  );
  assert.equal(cpu.u32(segRights(SEG.DS)) & UNUSABLE, UNUSABLE);
  assert.equal(cpu.u32(segRights(SEG.LDTR)) & UNUSABLE, UNUSABLE);
  assert.equal(cpu.u32(segRights(SEG.CS)), 0xa09b);
  assert.equal(cpu.u32(segRights(SEG.TR)), 0x8b);
  assert.deepEqual(
    [segLimit(SEG.TR), S.GDTR_LIMIT, S.IDTR_LIMIT].map((slot) => cpu.u32(slot)),
    [0x67, 0xffff, 0xffff],
  );
  assert.equal(cpu.u64(S.SYSENTER_EIP), 0x5555n);
  assert.equal(bench.field('GUEST_RFLAGS'), 0xad7n);
  assert.equal(bench.field('GUEST_RIP'), 0x40_0000n);
  assert.equal(bench.field('VM_EXIT_INSTRUCTION_LEN'), 3n);
  const [event] = bench.told;
  assert.deepEqual([event?.kind, event?.from, event?.to, event?.tick], ['exit', 1, 0, tick]);
  assert.deepEqual(
    [event?.fields.reason, event?.fields.rip, event?.fields.cr3, event?.fields.code, event?.fields.vmcs],
    [18n, 0x40_0000n, 0x7000n, 0x4000_0000n, BigInt(PLACES.vmcs)],
  );
});

test('instruction information names the operands of the instruction that exits', () => {
  // VMREAD [disp64 in GS], RCX: memory, 64-bit addresses, no base, no index, register 2 is RCX.
  const memory = guest();
  memory.run('vmread', { at: 0x1234, src: GPR.RCX, segment: SEG.GS, length: 8 });
  assert.deepEqual(exitOf(memory), [23, 0x1234n]);
  assert.equal(
    memory.field('VMX_INSTRUCTION_INFO'),
    (1n << 28n) | (1n << 27n) | (1n << 22n) | (5n << 15n) | (2n << 7n),
  );
  assert.equal(memory.field('VM_EXIT_INSTRUCTION_LEN'), 8n);
  // VMWRITE RDX, R9: register form, register 1 is R9.
  const registers = guest();
  registers.run('vmwrite', { dst: GPR.RDX, src: GPR.R9 });
  assert.equal(registers.field('VMX_INSTRUCTION_INFO'), (2n << 28n) | (1n << 10n) | (9n << 3n));
});

test('what an exit saves, the next entry loads', () => {
  const bench = guest((each) => each.or('VM_EXIT_CONTROLS', EXIT.saveDebug | EXIT.saveEfer | EXIT.savePat));
  bench.or('VM_ENTRY_CONTROLS', 0xc004);
  const { cpu } = bench;
  const slots = [S.RIP, GPR.RSP, S.CR0, S.CR3, S.CR4, S.EFER, S.PAT, S.DR7, S.DEBUGCTL, S.SYSENTER_CS, S.GDTR_BASE];
  const segments = [0, 1, 2, 3, 4, 5, 7].flatMap((n) => [segSelector(n), segBase(n), segLimit(n), segRights(n)]);
  cpu.setU64(S.CR3, 0x8000n);
  cpu.setU64(S.DR7, 0x455n);
  cpu.setU64(S.SYSENTER_CS, 0x77n);
  cpu.setU64(segBase(SEG.GS), 0xffff_8888_0000_0000n);
  cpu.setU64(GPR.RSP, 0xffff_8000_1234_5678n);
  cpu.rip = 0x1234_5678_9abcn;
  cpu.rflags = 0x246 | FLAG.DF;
  const before = [...slots, ...segments].map((slot) => cpu.u64(slot));
  cpu.intercepts.instruction(cpu, 'cpuid');
  assert.equal(cpu.nonRoot, false);
  bench.run('vmresume');
  assert.ok(cpu.nonRoot);
  assert.deepEqual(
    [...slots, ...segments].map((slot) => cpu.u64(slot)),
    before,
  );
  assert.equal(cpu.rflags, 0x246 | FLAG.DF);
});

test('generated copies leave the same bytes as the loops', () => {
  const run = (generated: boolean): Uint8Array => {
    const memory = new WebAssembly.Memory({ initial: 4, maximum: 4 });
    const bench = new Bench(modelWith(skylakeVmx), memory.buffer);
    if (generated) bench.cpu.vmx.copies = generateCopies(memory);
    bench.startVmx().fill().enterGuest();
    const { cpu } = bench;
    for (let i = 0; i < 20; i++) {
      cpu.setU64(S.CR3, BigInt(0x1000 * (i + 8)));
      cpu.setU64(segBase(SEG.FS), BigInt(i) << 20n);
      cpu.rip += 2n;
      cpu.rflags = i % 2 ? 0x8d7 : 2;
      cpu.setU64(GPR.RCX, BigInt(i));
      if (i % 3) cpu.intercepts.instruction(cpu, 'rdpmc', 5n);
      else cpu.intercepts.exception(cpu, 6, null, 0n, false);
      if (cpu.nonRoot) cpu.intercepts.instruction(cpu, 'cpuid');
      bench.run('vmresume');
    }
    return new Uint8Array(memory.buffer.slice(0));
  };
  assert.deepEqual(run(true), run(false));
});

test('VPIDs keep translations, without them entries and exits drop those of VPID 0', () => {
  const without = guest();
  without.cpu.intercepts.instruction(without.cpu, 'cpuid');
  assert.deepEqual(without.calls, ['vpid 0']);
  const tagged = guest((bench) => {
    bench.or('SECONDARY_VM_EXEC_CONTROL', SECONDARY.vpid);
    bench.set('VIRTUAL_PROCESSOR_ID', 7);
  });
  assert.equal(tagged.cpu.u32(S.VPID), 7);
  tagged.cpu.intercepts.instruction(tagged.cpu, 'cpuid');
  assert.equal(tagged.cpu.u32(S.VPID), 0);
  assert.deepEqual(tagged.calls, []);
});
