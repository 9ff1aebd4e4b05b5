/** Far transfers, IRET, SYSCALL and their kin: Intel SDM Vol. 2; Vol. 3A, "Privilege Level Checking ...". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FLAG } from '../../../engine/cpu/flags.js';
import { noIntercepts } from '../../../engine/cpu/intercepts.js';
import { GPR, S, SEG, segBase, segLimit, segRights, segSelector } from '../../../engine/cpu/layout.js';
import { OUTCOME } from '../../../engine/cpu/outcome.js';
import { setSegment } from '../../../engine/cpu/segments.js';
import { Bench, descriptor, enterLongMode, enterProtectedMode, enterRing3, GDT, gate, SELECTOR, TSS } from './bench.js';

const FREE = 0x38;
const inProtectedMode = (free = 0n): Bench => {
  const bench = new Bench();
  enterProtectedMode(bench);
  bench.put(GDT + FREE, free);
  return bench;
};
const inLongMode = (...free: bigint[]): Bench => {
  const bench = new Bench();
  enterLongMode(bench);
  bench.cpu.setU32(S.GDTR_LIMIT, 0x5f);
  bench.put(GDT + FREE, ...free);
  return bench;
};
const pointer = (selector: number, offset: number): { immediate: bigint; size: number } => ({
  immediate: (BigInt(selector) << 32n) | BigInt(offset),
  size: 4,
});
const push = (bench: Bench, size: 2 | 4 | 8, ...values: (bigint | number)[]): void => {
  for (const value of values) {
    bench.cpu.rsp -= BigInt(size);
    bench.cpu.linear.store(bench.cpu, bench.cpu.rsp, size, BigInt(value));
  }
};
const top = (bench: Bench, count: number, size: 2 | 4 | 8): bigint[] =>
  Array.from({ length: count }, (_, i) => bench.cpu.linear.load(bench.cpu, bench.cpu.rsp + BigInt(i * size), size));

/** JMP to code: conforming DPL <= CPL; else RPL <= CPL and DPL = CPL. */
test('a far jump to code: by DPL, RPL and conformity', () => {
  for (const cpl of [0, 3]) {
    for (const dpl of [0, 3]) {
      for (const rpl of [0, 3]) {
        for (const conforming of [false, true]) {
          const bench = inProtectedMode(descriptor(0, 0xffff, (conforming ? 0x9e : 0x9a) | (dpl << 5), 4));
          if (cpl === 3) enterRing3(bench);
          const allowed = conforming ? dpl <= cpl : rpl <= cpl && dpl === cpl;
          const result = bench.fault('jmp_far', pointer(FREE | rpl, 0x100));
          assert.equal(result, allowed ? 'none' : `#GP(${FREE})`, `CPL ${cpl} DPL ${dpl} RPL ${rpl} ${conforming}`);
          if (allowed) assert.equal(bench.cpu.u32(segSelector(SEG.CS)), FREE | cpl, 'the RPL of CS is the CPL');
        }
      }
    }
  }
});

const JUMPS = [
  ['a null selector', 0n, 0, 0, '#GP(0)'],
  ['a selector beyond the GDT', 0n, 0x40, 0, '#GP(64)'],
  ['data', descriptor(0, 0xffff, 0x92, 0), FREE, 0, `#GP(${FREE})`],
  ['an LDT', descriptor(0, 0xffff, 0x82, 0), FREE, 0, `#GP(${FREE})`],
  ['code that is not present', descriptor(0, 0xffff, 0x1a, 0), FREE, 0, `#NP(${FREE})`],
  ['an offset at the limit', descriptor(0, 0xff, 0x9a, 0), FREE, 0xff, 'none'],
  ['an offset beyond the limit', descriptor(0, 0xff, 0x9a, 0), FREE, 0x100, '#GP(0)'],
] as const;
for (const [what, free, selector, offset, result] of JUMPS) {
  test(`a far jump to ${what}: ${result}`, () => {
    assert.equal(inProtectedMode(free).fault('jmp_far', pointer(selector, offset)), result);
  });
}

test('a far pointer in memory: 16, 32 and 64 bits of offset, then the selector', () => {
  for (const [bytes, offset] of [
    [4, 0x5678n],
    [6, 0x1234_5678n],
    [10, 0x1234_5678n],
  ] as const) {
    const bench = inLongMode();
    bench.put(0x9000, 0x1234_5678n, 0n);
    bench.memory.write(0x9000 + bytes - 2, 2, SELECTOR.code);
    bench.run('jmp_far', { size: bytes, memory: true, displacement: 0x9000n });
    assert.equal(bench.cpu.rip, offset);
  }
});

test('IA-32e mode: code with L and D set raises #GP(selector), 64-bit code takes only canonical offsets', () => {
  const bench = inLongMode(descriptor(0, 0xfffff, 0x9a, 0xe));
  assert.equal(bench.fault('jmp_far', pointer(FREE, 0)), `#GP(${FREE})`);
  bench.put(0x9000, 0x8000_0000_0000n, BigInt(SELECTOR.code));
  assert.equal(bench.fault('jmp_far', { size: 10, memory: true, displacement: 0x9000n }), '#GP(0)');
});

test('CALL and RET far at one level: CS and the next EIP; RET n releases n bytes more', () => {
  const bench = inProtectedMode(descriptor(0, 0xffff, 0x9a, 4));
  bench.cpu.rip = 0x100n;
  bench.run('call_far', { ...pointer(FREE, 0x200), length: 7 });
  assert.deepEqual(top(bench, 2, 4), [0x107n, BigInt(SELECTOR.code)]);
  assert.equal(bench.cpu.rip, 0x200n);
  bench.run('ret_far', { size: 4, immediate: 8n });
  assert.equal(bench.cpu.rip, 0x107n);
  assert.equal(bench.cpu.rsp, 0x8008n);
});

test('a call gate into ring 0 moves parameters and the old stack; RET releases them from both stacks', () => {
  const bench = inProtectedMode(gate(SELECTOR.code, 0x4_5678, 0xec, 2));
  enterRing3(bench);
  bench.memory.write(TSS + 4, 4, 0x9000);
  bench.memory.write(TSS + 8, 2, SELECTOR.data);
  push(bench, 4, 0x11, 0x22);
  const outer = bench.cpu.rsp;
  bench.cpu.rip = 0x300n;
  assert.equal(bench.run('call_far', { ...pointer(FREE | 3, 0), length: 7 }), OUTCOME.jump);
  assert.equal(bench.cpu.cpl, 0);
  assert.equal(bench.cpu.rip, 0x4_5678n);
  assert.deepEqual(top(bench, 6, 4), [0x307n, 0x1bn, 0x22n, 0x11n, outer, 0x23n]);
  bench.run('ret_far', { size: 4, immediate: 8n });
  assert.equal(bench.cpu.cpl, 3);
  assert.equal(bench.cpu.rsp, 0x8000n);
  assert.equal(bench.cpu.rip, 0x307n);
});

test('a 64-bit call gate takes 16 bytes, RSP from the TSS and a null SS', () => {
  const bench = inLongMode(gate(SELECTOR.code, 0x1000, 0xec), 0xffff_8000n);
  enterRing3(bench);
  bench.put(TSS + 4, 0x9000n);
  bench.cpu.rip = 0x300n;
  bench.put(0xa000, 0n);
  bench.memory.write(0xa004, 2, FREE | 3);
  bench.run('call_far', { size: 6, memory: true, displacement: 0xa000n, length: 3 });
  assert.equal(bench.cpu.rip, 0xffff_8000_0000_1000n);
  assert.equal(bench.cpu.u32(segSelector(SEG.SS)), 0);
  assert.deepEqual(top(bench, 4, 8), [0x303n, 0x1bn, 0x8000n, 0x23n]);
});

test('a gate whose DPL is below CPL or RPL: #GP(gate)', () => {
  const bench = inProtectedMode(gate(SELECTOR.code, 0, 0x8c));
  assert.equal(bench.fault('call_far', pointer(FREE | 3, 0)), `#GP(${FREE})`);
  enterRing3(bench);
  assert.equal(bench.fault('call_far', pointer(FREE, 0)), `#GP(${FREE})`);
});

test('a task switch is a VM exit with source and selector as qualification', () => {
  const bench = inProtectedMode(descriptor(0, 0x67, 0x89, 0));
  const seen: bigint[] = [];
  bench.cpu.intercepts = {
    ...noIntercepts,
    instruction: (_cpu, what, qualification) => {
      if (what === 'task_switch') seen.push(qualification ?? 0n);
      return what === 'task_switch';
    },
  };
  assert.equal(bench.run('jmp_far', pointer(FREE, 0)), OUTCOME.switched);
  assert.equal(bench.run('call_far', pointer(FREE, 0)), OUTCOME.switched);
  // Bits 31:30: 0 CALL, 1 IRET, 2 JMP, 3 task gate in the IDT: Intel SDM Vol. 3C, table "Exit Qualification for Task Switches".
  assert.deepEqual(seen, [BigInt(FREE) | (2n << 30n), BigInt(FREE)]);
});

test('IRETQ pops SS:RSP at the same level too, and to ring 3 drops segments that it may not see', () => {
  const bench = inLongMode();
  push(bench, 8, SELECTOR.data, 0x7000, 2, SELECTOR.code, 0x1234);
  bench.run('iret', { size: 8 });
  assert.equal(bench.cpu.rsp, 0x7000n);
  assert.equal(bench.cpu.rip, 0x1234n);
  push(bench, 8, SELECTOR.data3, 0x7800, FLAG.IF | 2, SELECTOR.code3, 0x5678);
  bench.run('iret', { size: 8 });
  assert.equal(bench.cpu.cpl, 3);
  assert.equal(bench.cpu.rflags, FLAG.IF | 2);
  assert.equal(bench.cpu.u32(segSelector(SEG.DS)), 0, 'DS had DPL 0');
  assert.equal(bench.cpu.u32(segRights(SEG.CS)) & 0x60, 0x60);
});

const IRET_FAULTS = [
  ['a null CS', SELECTOR.data, 0, 0x10n, '#GP(0)'],
  ['a data segment as CS', SELECTOR.data, SELECTOR.data, 0x10n, `#GP(${SELECTOR.data})`],
  ['an RPL that is not the DPL', SELECTOR.data, SELECTOR.code3 & ~3, 0x10n, `#GP(${SELECTOR.code3 & ~3})`],
  ['a RIP that is not canonical', SELECTOR.data, SELECTOR.code, 1n << 47n, '#GP(0)'],
  ['an SS of another level', SELECTOR.data3, SELECTOR.code, 0x10n, `#GP(${SELECTOR.data3 & ~3})`],
  ['a null SS for ring 3', 3, SELECTOR.code3, 0x10n, '#GP(0)'],
  ['a null SS for 64-bit code in ring 0', 0, SELECTOR.code, 0x10n, 'none'],
] as const;
for (const [what, ss, cs, rip, result] of IRET_FAULTS) {
  test(`IRETQ with ${what}: ${result}`, () => {
    const bench = inLongMode();
    push(bench, 8, ss, 0x7000, 2, cs, rip);
    const rsp = bench.cpu.rsp;
    assert.equal(bench.fault('iret', { size: 8 }), result);
    if (result !== 'none') assert.equal(bench.cpu.rsp, rsp, 'a fault leaves RSP');
  });
}

test('IRET in ring 3 changes neither IOPL nor, above IOPL, IF', () => {
  for (const iopl of [0, 3]) {
    const bench = inLongMode();
    enterRing3(bench);
    bench.cpu.rflags = (iopl << 12) | 2;
    push(bench, 8, SELECTOR.data3, 0x7000, FLAG.IF | FLAG.IOPL | FLAG.CF | FLAG.AC | 2, SELECTOR.code3, 0x10);
    bench.run('iret', { size: 8 });
    assert.equal(bench.cpu.rflags, (iopl << 12) | (iopl === 3 ? FLAG.IF : 0) | FLAG.CF | FLAG.AC | 2);
  }
});

test('IRET with NT in IA-32e mode: #GP(0)', () => {
  const bench = inLongMode();
  bench.cpu.rflags = FLAG.NT | 2;
  assert.equal(bench.fault('iret', { size: 8 }), '#GP(0)');
});

test('POPF changes IOPL in ring 0 only and IF at or below IOPL only; 16 bits leave the upper flags', () => {
  for (const [cpl, iopl, takesIf, takesIopl] of [
    [0, 0, true, true],
    [3, 0, false, false],
    [3, 3, true, false],
  ] as const) {
    const bench = inProtectedMode();
    if (cpl === 3) enterRing3(bench);
    bench.cpu.rflags = (iopl << 12) | FLAG.AC | 2;
    push(bench, 2, FLAG.IF | FLAG.IOPL | FLAG.ZF);
    bench.run('popf', { size: 2 });
    const expectedIopl = takesIopl ? FLAG.IOPL : iopl << 12;
    assert.equal(bench.cpu.rflags, FLAG.AC | FLAG.ZF | (takesIf ? FLAG.IF : 0) | expectedIopl | 2);
  }
});

test('CLI and STI: CPL above IOPL raises #GP(0); STI blocks interrupts for one instruction only where IF was clear', () => {
  const bench = inProtectedMode();
  bench.run('sti');
  assert.equal(bench.cpu.u32(S.INTERRUPTIBILITY), 1);
  bench.cpu.setU32(S.INTERRUPTIBILITY, 0);
  bench.run('sti');
  assert.equal(bench.cpu.u32(S.INTERRUPTIBILITY), 0);
  bench.run('cli');
  assert.equal(bench.cpu.rflags & FLAG.IF, 0);
  enterRing3(bench);
  for (const iopl of [0, 2, 3]) {
    bench.cpu.rflags = (iopl << 12) | 2;
    for (const name of ['cli', 'sti']) assert.equal(bench.fault(name), iopl === 3 ? 'none' : '#GP(0)');
  }
});

test('virtual-8086 mode with IOPL below 3: INT n, PUSHF, POPF, IRET, CLI and STI raise #GP(0)', () => {
  const bench = inProtectedMode();
  for (const iopl of [0, 2]) {
    bench.cpu.rflags = FLAG.VM | (iopl << 12) | 2;
    bench.cpu.setU32(S.CPL, 3);
    for (const name of ['int_n', 'pushf', 'popf', 'iret', 'cli', 'sti'])
      assert.equal(bench.fault(name), '#GP(0)', name);
  }
});

test('SYSCALL: RCX and R11 keep RIP and RFLAGS, FMASK clears flags, STAR gives CS and SS; SYSRET returns', () => {
  const bench = inLongMode();
  const { cpu } = bench;
  enterRing3(bench);
  assert.equal(bench.fault('syscall'), '#UD(0)', 'EFER.SCE is clear');
  cpu.setU64(S.EFER, 0x501n);
  cpu.setU64(S.STAR, 0x0013_0008_0000_0000n);
  cpu.setU64(S.LSTAR, 0xffff_8000_0000_4000n);
  cpu.setU64(S.FMASK, BigInt(FLAG.IF | FLAG.TF));
  cpu.rip = 0x1000n;
  cpu.rflags = FLAG.IF | FLAG.CF | 2;
  bench.run('syscall', { length: 2 });
  assert.equal(cpu.cpl, 0);
  assert.equal(cpu.rip, 0xffff_8000_0000_4000n);
  assert.equal(cpu.u64(GPR.RCX), 0x1002n);
  assert.equal(cpu.u64(GPR.R11), BigInt(FLAG.IF | FLAG.CF | 2));
  assert.equal(cpu.rflags, FLAG.CF | 2);
  assert.deepEqual(
    [SEG.CS, SEG.SS].map((n) => cpu.u32(segSelector(n))),
    [8, 0x10],
  );
  assert.equal(cpu.u32(segRights(SEG.CS)), 0xa09b);
  bench.run('sysret', { size: 8 });
  assert.equal(cpu.cpl, 3);
  assert.equal(cpu.rip, 0x1002n);
  assert.equal(cpu.rflags, FLAG.IF | FLAG.CF | 2);
  assert.deepEqual(
    [SEG.CS, SEG.SS].map((n) => cpu.u32(segSelector(n))),
    [0x23, 0x1b],
  );
});

test('SYSENTER and SYSEXIT: CS, CS + 8 in, CS + 16 and CS + 24 out (32 and 40 for 64 bits)', () => {
  const bench = inLongMode();
  const { cpu } = bench;
  assert.equal(bench.fault('sysenter'), '#GP(0)', 'SYSENTER_CS is null');
  cpu.setU64(S.SYSENTER_CS, 8n);
  cpu.setU64(S.SYSENTER_ESP, 0x7000n);
  cpu.setU64(S.SYSENTER_EIP, 0x4000n);
  enterRing3(bench);
  assert.equal(bench.fault('sysexit', { size: 8 }), '#GP(0)', 'ring 3');
  bench.run('sysenter');
  assert.deepEqual([cpu.cpl, cpu.rip, cpu.rsp], [0, 0x4000n, 0x7000n]);
  cpu.setU64(GPR.RDX, 0x1234n);
  cpu.setU64(GPR.RCX, 0x5678n);
  bench.run('sysexit', { size: 8 });
  assert.deepEqual([cpu.cpl, cpu.rip, cpu.rsp], [3, 0x1234n, 0x5678n]);
  assert.deepEqual(
    [SEG.CS, SEG.SS].map((n) => cpu.u32(segSelector(n))),
    [0x2b, 0x33],
  );
});

test('SWAPGS exchanges the base of GS with KERNEL_GS_BASE, in ring 0 of 64-bit mode', () => {
  const bench = inLongMode();
  bench.cpu.setU64(S.KERNEL_GS_BASE, 0x1234n);
  bench.run('swapgs');
  assert.equal(bench.cpu.u64(segBase(SEG.GS)), 0x1234n);
  assert.equal(bench.cpu.u64(S.KERNEL_GS_BASE), 0n);
  enterRing3(bench);
  assert.equal(bench.fault('swapgs'), '#GP(0)');
  assert.equal(inProtectedMode().fault('swapgs'), '#UD(0)');
});

test('real mode: a far jump sets CS to selector * 16; an offset beyond the limit of CS raises #GP', () => {
  const bench = new Bench();
  bench.run('jmp_far', { size: 2, immediate: (0xf000n << 32n) | 0xfff0n });
  assert.equal(bench.cpu.u64(segBase(SEG.CS)), 0xf_0000n);
  assert.equal(bench.cpu.rip, 0xfff0n);
  assert.equal(bench.fault('jmp_far', { size: 4, immediate: 0x1_0000n }), '#GP(0)');
  assert.equal(bench.cpu.u32(segLimit(SEG.CS)), 0xffff);
});

test('BOUND raises #BR outside the signed bounds, ENTER copies the display', () => {
  const bench = inProtectedMode();
  const { cpu } = bench;
  bench.put(0x6000, 0x0000_0005_ffff_fffen);
  for (const [index, result] of [
    [-3, '#BR(0)'],
    [-2, 'none'],
    [5, 'none'],
    [6, '#BR(0)'],
  ] as const) {
    cpu.setU32(GPR.RAX, index >>> 0);
    assert.equal(bench.fault('bound', { dst: GPR.RAX, size: 4, memory: true, displacement: 0x6000n }), result);
  }
  setSegment(cpu, SEG.SS, SELECTOR.data, 0n, 0xffff_ffff, 0xc093);
  cpu.setU64(GPR.RBP, 0x7000n);
  cpu.rsp = 0x8000n;
  bench.put(0x6ff8, 0x0000_aaaa_0000_bbbbn);
  bench.run('enter', { size: 4, immediate: (3n << 32n) | 0x20n });
  // Old EBP, two pointers of enclosing frames from below it, the new frame pointer, then 0x20 bytes.
  assert.equal(cpu.u64(GPR.RBP), 0x7ffcn);
  assert.equal(cpu.rsp, 0x8000n - 16n - 0x20n);
  assert.deepEqual(
    [0x7ffc, 0x7ff8, 0x7ff4, 0x7ff0].map((at) => bench.memory.read(at, 4)),
    [0x7000, 0xaaaa, 0xbbbb, 0x7ffc],
  );
});
