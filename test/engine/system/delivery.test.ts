/** Delivery of events: Intel SDM Vol. 3A, "Interrupt and Exception Handling"; the sentence tested is the test's name. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ACTIVITY,
  BLOCKING,
  deliverEvent,
  deliverException,
  deliverInterrupt,
  deliverNmi,
} from '../../../engine/cpu/delivery.js';
import { VECTOR } from '../../../engine/cpu/fault.js';
import { FLAG } from '../../../engine/cpu/flags.js';
import { S, SEG, segRights, segSelector, UNUSABLE } from '../../../engine/cpu/layout.js';
import { OUTCOME } from '../../../engine/cpu/outcome.js';
import { EVENT_TYPE } from '../../../engine/cpu/vector.js';
import { Bench, enterRing3, gate, IDT, SELECTOR, TSS } from './bench.js';
import { fault, frame, gate32, gate64, handler64, long, protectedMode } from './events.js';

test('64-bit: SS:RSP, RFLAGS, CS:RIP and the error code are pushed in 8 bytes each, RSP aligned to 16 before', () => {
  const bench = long((b) => gate64(b, VECTOR.GP));
  const { cpu } = bench;
  cpu.rip = 0x1234n;
  cpu.rsp = 0x800bn;
  cpu.rflags = FLAG.IF | FLAG.CF | 2;
  assert.equal(deliverException(cpu, fault(VECTOR.GP, 0x18)), 'delivered');
  assert.equal(cpu.rip, handler64(13));
  assert.equal(cpu.rsp, 0x8000n - 48n);
  assert.deepEqual(frame(bench, 6, 8), [0x18n, 0x1234n, 8n, BigInt(FLAG.RF | FLAG.IF | FLAG.CF | 2), 0x800bn, 0x10n]);
});

test('an interrupt gate clears IF, a trap gate leaves it; both clear TF, NT and RF', () => {
  for (const [type, keeps] of [
    [0x8e, false],
    [0x8f, true],
  ] as const) {
    const bench = long((b) => gate64(b, 0x20, type));
    bench.cpu.rflags = FLAG.IF | FLAG.TF | FLAG.NT | FLAG.ZF | 2;
    deliverInterrupt(bench.cpu, 0x20);
    assert.equal(bench.cpu.rflags, (keeps ? FLAG.IF : 0) | FLAG.ZF | 2);
  }
});

test('64-bit: an inward transfer loads RSP from the TSS and SS with a null selector of the new level', () => {
  const bench = long((b) => gate64(b, 0x20));
  const { cpu } = bench;
  enterRing3(bench);
  bench.put(TSS + 4, 0x9008n);
  cpu.rsp = 0x8000n;
  deliverInterrupt(cpu, 0x20);
  assert.equal(cpu.cpl, 0);
  assert.equal(cpu.u32(segSelector(SEG.SS)), 0);
  assert.ok(cpu.u32(segRights(SEG.SS)) & UNUSABLE);
  assert.equal(cpu.rsp, 0x9000n - 40n);
  assert.deepEqual(frame(bench, 5, 8), [0n, 0x1bn, 2n, 0x8000n, 0x23n]);
});

test('64-bit: a gate with an IST index switches to that stack at the same level too', () => {
  const bench = long((b) => gate64(b, 0x20, 0x8e, 7));
  bench.put(TSS + 0x24 + 8 * 6, 0xa000n);
  deliverInterrupt(bench.cpu, 0x20);
  assert.equal(bench.cpu.rsp, 0xa000n - 40n);
  assert.equal(bench.cpu.u32(segSelector(SEG.SS)), SELECTOR.data, 'SS stays where the level stays');
});

test('INT n with CPL above the DPL of the gate: #GP(vector * 8 + 2), EXT clear', () => {
  const bench = long((b) => {
    gate64(b, 0x40);
    gate64(b, VECTOR.GP);
    b.put(TSS + 4, 0x9000n);
  });
  enterRing3(bench);
  bench.cpu.rip = 0x500n;
  assert.equal(bench.run('int_n', { immediate: 0x40n }), OUTCOME.switched);
  assert.equal(bench.cpu.rip, handler64(13));
  assert.deepEqual(frame(bench, 2, 8), [BigInt(0x40 * 8 + 2), 0x500n]);
});

test('an external interrupt through a gate with a DPL below CPL is delivered', () => {
  const bench = long((b) => gate64(b, 0x40));
  bench.put(TSS + 4, 0x9000n);
  enterRing3(bench);
  assert.equal(deliverInterrupt(bench.cpu, 0x40), 'delivered');
});

test('INT n returns behind the instruction, a fault to it', () => {
  const bench = long((b) => gate64(b, 0x40, 0xee));
  bench.cpu.rip = 0x700n;
  assert.equal(bench.run('int_n', { immediate: 0x40n, length: 2 }), OUTCOME.jump);
  assert.deepEqual(frame(bench, 1, 8), [0x702n]);
});

const DELIVERY_ERRORS = [
  ['the vector lies outside the IDT limit', (b: Bench) => b.cpu.setU32(S.IDTR_LIMIT, 0x20 * 16 + 14), 13, 0x20 * 8 + 3],
  ['the gate is no interrupt or trap gate', (b: Bench) => gate64(b, 0x20, 0x85), 13, 0x20 * 8 + 3],
  ['the gate is a 16-bit one in IA-32e mode', (b: Bench) => gate64(b, 0x20, 0x86), 13, 0x20 * 8 + 3],
  ['the gate is not present', (b: Bench) => gate64(b, 0x20, 0x0e), 11, 0x20 * 8 + 3],
  ['the gate names a null selector', (b: Bench) => b.put(IDT + 0x200, gate(0, 0, 0x8e)), 13, 1],
  [
    'the gate names a data segment',
    (b: Bench) => b.put(IDT + 0x200, gate(SELECTOR.data, 0, 0x8e)),
    13,
    SELECTOR.data | 1,
  ],
  [
    'the gate names code that is not 64-bit',
    (b: Bench) => b.put(IDT + 0x200, gate(SELECTOR.code32, 0, 0x8e)),
    13,
    SELECTOR.code32 | 1,
  ],
  ['the selector lies outside the GDT', (b: Bench) => b.put(IDT + 0x200, gate(0x40, 0, 0x8e)), 13, 0x41],
  ['the handler is not canonical', (b: Bench) => b.put(IDT + 0x200, gate(8, 0, 0x8e), 0x8000n), 13, 1],
] as const;

for (const [what, arrange, vector, errorCode] of DELIVERY_ERRORS) {
  test(`64-bit: ${what}: #${vector === 13 ? 'GP' : 'NP'}(${errorCode.toString(16)}) with EXT set`, () => {
    const bench = long((b) => {
      for (const v of [VECTOR.GP, VECTOR.NP]) gate64(b, v);
      gate64(b, 0x20);
      arrange(b);
    });
    assert.equal(deliverInterrupt(bench.cpu, 0x20), 'replaced');
    assert.equal(bench.cpu.rip, handler64(vector));
    assert.deepEqual(frame(bench, 1, 8), [BigInt(errorCode)]);
  });
}

test('an injected page fault pushes its error code and leaves CR2 to the hypervisor', () => {
  const bench = long((b) => gate64(b, VECTOR.PF));
  bench.cpu.setU64(S.CR2, 7n);
  assert.equal(deliverEvent(bench.cpu, VECTOR.PF, EVENT_TYPE.exception, 2, 0), 'delivered');
  assert.equal(bench.cpu.u64(S.CR2), 7n);
  assert.deepEqual(frame(bench, 1, 8), [2n]);
});

test('an injected software interrupt returns behind an instruction of the given length', () => {
  const bench = long((b) => gate64(b, 0x30));
  bench.cpu.rip = 0x1000n;
  deliverEvent(bench.cpu, 0x30, EVENT_TYPE.softwareInterrupt, null, 3);
  assert.deepEqual(frame(bench, 1, 8), [0x1003n]);
});

test('an NMI blocks further NMIs; any delivery ends the shadow of STI and wakes from HLT', () => {
  const bench = long((b) => gate64(b, VECTOR.NMI));
  const { cpu } = bench;
  cpu.setU32(S.INTERRUPTIBILITY, BLOCKING.sti);
  cpu.setU32(S.ACTIVITY, ACTIVITY.hlt);
  deliverNmi(cpu);
  assert.equal(cpu.u32(S.INTERRUPTIBILITY), BLOCKING.nmi);
  assert.equal(cpu.u32(S.ACTIVITY), ACTIVITY.active);
  bench.run('iret', { size: 8 });
  assert.equal(cpu.u32(S.INTERRUPTIBILITY), 0, 'IRET unblocks them');
});

test('a delivered event costs one tick, which is no step, and is recorded at the tick of its cause', () => {
  const bench = long((b) => {
    gate64(b, 0x20);
    gate64(b, VECTOR.UD);
  });
  bench.cpu.setNumber(S.TICK, 100);
  deliverInterrupt(bench.cpu, 0x20);
  deliverException(bench.cpu, fault(VECTOR.UD));
  assert.deepEqual(bench.events, [
    { kind: 'irq', code: 0x20, tick: 100 },
    { kind: 'fault', code: 6, tick: 101 },
  ]);
  assert.equal(bench.cpu.tick, 102);
  assert.equal(bench.cpu.step, 100);
});

test('32-bit: EFLAGS, CS, EIP in 4 bytes each at the same level; SS and ESP from the TSS of an inner one', () => {
  const bench = protectedMode((b) => gate32(b, 0x20));
  const { cpu } = bench;
  cpu.rip = 0x1234n;
  deliverInterrupt(cpu, 0x20);
  assert.deepEqual(frame(bench, 3, 4), [0x1234n, 8n, 2n]);
  const user = protectedMode((b) => gate32(b, 0x20));
  enterRing3(user);
  user.memory.write(TSS + 4, 4, 0x9000);
  user.memory.write(TSS + 8, 2, SELECTOR.data);
  user.cpu.rsp = 0x7000n;
  deliverInterrupt(user.cpu, 0x20);
  assert.equal(user.cpu.rsp, 0x9000n - 20n);
  assert.equal(user.cpu.u32(segSelector(SEG.SS)), SELECTOR.data);
  assert.deepEqual(frame(user, 5, 4), [0n, 0x1bn, 2n, 0x7000n, 0x23n]);
});

const INNER_STACK = [
  ['a null SS in the TSS: #TS(EXT)', 0, 10, 1],
  ['an SS outside the GDT: #TS(selector)', 0x40, 10, 0x41],
  ['an SS whose RPL is not the new level: #TS(selector)', SELECTOR.data3, 10, 0x21],
  ['an SS that is code: #TS(selector)', SELECTOR.code, 10, 9],
] as const;
for (const [what, selector, vector, errorCode] of INNER_STACK) {
  test(`32-bit: ${what}`, () => {
    const bench = protectedMode((b) => {
      gate32(b, 0x20);
      // Conforming code runs the fault's handler at the same level, so that it needs no new stack.
      b.put(0x1000 + 0x28, 0x00cf_9e00_0000_ffffn);
      for (const v of [VECTOR.TS, VECTOR.SS]) b.put(IDT + 8 * v, gate(SELECTOR.code32, v, 0x8e));
      b.memory.write(TSS + 4, 4, 0x9000);
      b.memory.write(TSS + 8, 2, selector);
    });
    enterRing3(bench);
    bench.cpu.rsp = 0x7000n;
    assert.equal(deliverInterrupt(bench.cpu, 0x20), 'replaced');
    assert.equal(bench.cpu.rip, BigInt(vector));
    assert.deepEqual(frame(bench, 1, 4), [BigInt(errorCode)]);
  });
}

test('a 16-bit gate pushes 2 bytes each and jumps to a 16-bit offset', () => {
  const bench = protectedMode((b) => gate32(b, 0x20, 0x86));
  bench.cpu.rip = 0x5_1234n;
  deliverInterrupt(bench.cpu, 0x20);
  assert.deepEqual(frame(bench, 3, 2), [0x1234n, 8n, 2n]);
  assert.equal(bench.cpu.rip, 0x20n);
});

test('virtual-8086 mode: the data segments are pushed and become null, and the handler runs at level 0', () => {
  const bench = protectedMode((b) => gate32(b, 0x20));
  const { cpu } = bench;
  bench.memory.write(TSS + 4, 4, 0x9000);
  bench.memory.write(TSS + 8, 2, SELECTOR.data);
  cpu.rflags = FLAG.VM | FLAG.IF | 2;
  cpu.setU32(S.CPL, 3);
  const selectors = [SEG.ES, SEG.CS, SEG.SS, SEG.DS, SEG.FS, SEG.GS];
  for (const n of selectors) cpu.setU32(segSelector(n), 0x100 + n);
  cpu.rsp = 0x700n;
  cpu.rip = 0x50n;
  deliverInterrupt(cpu, 0x20);
  assert.deepEqual(frame(bench, 9, 4), [
    0x50n,
    0x101n,
    BigInt(FLAG.VM | FLAG.IF | 2),
    0x700n,
    0x102n,
    0x100n,
    0x103n,
    0x104n,
    0x105n,
  ]);
  assert.equal(cpu.virtual8086, false);
  assert.equal(cpu.cpl, 0);
  for (const n of [SEG.ES, SEG.DS, SEG.FS, SEG.GS]) assert.equal(cpu.u32(segSelector(n)), 0);
  // And back, by IRET.
  bench.run('iret', { size: 4 });
  assert.equal(cpu.virtual8086, true);
  assert.equal(cpu.cpl, 3);
  assert.deepEqual(
    selectors.map((n) => cpu.u32(segSelector(n))),
    [0x100, 0x101, 0x102, 0x103, 0x104, 0x105],
  );
  assert.equal(cpu.rsp, 0x700n);
});

test('real mode: FLAGS, CS and IP go to the stack, IF and TF are cleared, the IVT names the handler', () => {
  const bench = new Bench();
  const { cpu } = bench;
  bench.memory.write(4 * 0x21, 4, 0x2000_0100);
  cpu.rsp = 0x7c00n;
  cpu.rip = 0x1234n;
  cpu.rflags = FLAG.IF | FLAG.TF | 2;
  deliverInterrupt(cpu, 0x21);
  assert.equal(cpu.rip, 0x100n);
  assert.equal(cpu.u32(segSelector(SEG.CS)), 0x2000);
  assert.deepEqual(frame(bench, 3, 2), [0x1234n, 0n, BigInt(FLAG.IF | FLAG.TF | 2)]);
  assert.equal(cpu.rflags, 2);
  bench.run('iret', { size: 2 });
  assert.equal(cpu.rip, 0x1234n);
  assert.equal(cpu.rflags, FLAG.IF | FLAG.TF | 2);
  assert.equal(cpu.rsp, 0x7c00n);
});

test('a fault while pushing leaves the interrupted state untouched', () => {
  const bench = long((b) => {
    gate64(b, 0x20);
    gate64(b, VECTOR.PF, 0x8e, 1);
  });
  bench.put(TSS + 4, 0x4000_0000n);
  bench.put(TSS + 0x24, 0x9000n);
  enterRing3(bench);
  bench.cpu.rsp = 0x7000n;
  bench.cpu.rip = 0x44n;
  assert.equal(deliverInterrupt(bench.cpu, 0x20), 'replaced');
  // The page fault's frame shows the state before the interrupt; the access was a supervisor write.
  assert.deepEqual(frame(bench, 6, 8), [2n, 0x44n, 0x1bn, BigInt(FLAG.RF | 2), 0x7000n, 0x23n]);
});
