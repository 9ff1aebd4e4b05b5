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
import { CpuFault, VECTOR } from '../../../engine/cpu/fault.js';
import { FLAG } from '../../../engine/cpu/flags.js';
import { noIntercepts } from '../../../engine/cpu/intercepts.js';
import { S, SEG, segRights, segSelector, UNUSABLE } from '../../../engine/cpu/layout.js';
import { OUTCOME } from '../../../engine/cpu/outcome.js';
import { EVENT_TYPE } from '../../../engine/cpu/vector.js';
import { Bench, enterLongMode, enterProtectedMode, enterRing3, gate, IDT, SELECTOR, TSS } from './bench.js';

const long = (setup: (bench: Bench) => void = () => {}): Bench => {
  const bench = new Bench();
  enterLongMode(bench);
  setup(bench);
  return bench;
};
const protectedMode = (setup: (bench: Bench) => void = () => {}): Bench => {
  const bench = new Bench();
  enterProtectedMode(bench);
  setup(bench);
  return bench;
};

const gate64 = (bench: Bench, vector: number, type = 0x8e, ist = 0): void =>
  bench.put(IDT + 16 * vector, gate(SELECTOR.code, 0x10_0000 + vector, type, ist), 0xffff_8000n);
const gate32 = (bench: Bench, vector: number, type = 0x8e): void =>
  bench.put(IDT + 8 * vector, gate(SELECTOR.code, 0x10_0000 + vector, type));
const handler64 = (vector: number): bigint => 0xffff_8000_0010_0000n + BigInt(vector);

/** Stack from its top: `count` elements of `size` bytes. */
const frame = (bench: Bench, count: number, size: 2 | 4 | 8): bigint[] =>
  Array.from({ length: count }, (_, i) =>
    bench.cpu.linear.load(bench.cpu, bench.cpu.rsp + BigInt(i * size), size, true),
  );

const fault = (vector: number, errorCode = 0, qualification = 0n) => new CpuFault(vector, errorCode, qualification);

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

/** Vol. 3A, "Conditions for Generating a Double Fault": first, second, what follows. Second: #NP of its gate, #PF ... */
const FIRST = [
  ['interrupt', 'benign'],
  [VECTOR.UD, 'benign'],
  [VECTOR.NM, 'benign'],
  [VECTOR.BR, 'benign'],
  [VECTOR.DE, 'contributory'],
  [VECTOR.TS, 'contributory'],
  [VECTOR.NP, 'contributory'],
  [VECTOR.SS, 'contributory'],
  [VECTOR.GP, 'contributory'],
  [VECTOR.PF, 'page fault'],
] as const;
const HAPPENS = {
  benign: { contributory: 'serial', 'page fault': 'serial' },
  contributory: { contributory: 'double', 'page fault': 'serial' },
  'page fault': { contributory: 'double', 'page fault': 'double' },
} as const;

for (const [first, kind] of FIRST) {
  for (const second of ['contributory', 'page fault'] as const) {
    const result = HAPPENS[kind][second];
    test(`first ${first} (${kind}), second ${second}: ${result === 'double' ? 'double fault' : 'handled serially'}`, () => {
      const bench = long();
      const { cpu } = bench;
      const vector = first === 'interrupt' ? 0x20 : first;
      const errorVector = second === 'contributory' ? 1 : 2;
      for (const v of [VECTOR.DF, VECTOR.GP, VECTOR.PF, VECTOR.NP]) gate64(bench, v, 0x8e, 1);
      bench.put(TSS + 0x24, 0x9000n);
      // The first event's own gate leads to #GP (a null selector), or to a stack whose page is not there.
      if (errorVector === 1) bench.put(IDT + 16 * vector, gate(0, 0, 0x8e));
      else {
        gate64(bench, vector, 0x8e, 2);
        bench.put(TSS + 0x24 + 8, 0x4000_0000n);
      }
      const delivery =
        first === 'interrupt' ? deliverInterrupt(cpu, 0x20) : deliverException(cpu, fault(first, 0, 0x1234_5000n));
      assert.equal(delivery, 'replaced');
      const reached = result === 'double' ? VECTOR.DF : second === 'contributory' ? VECTOR.GP : VECTOR.PF;
      assert.equal(cpu.rip, handler64(reached));
      if (result === 'double') assert.deepEqual(frame(bench, 1, 8), [0n], 'the error code of #DF is always 0');
      if (second === 'page fault') assert.equal(cpu.u64(S.CR2), 0x4000_0000n - 8n);
    });
  }
}

test('an exception while calling the double-fault handler: shutdown', () => {
  const bench = long((b) => b.cpu.setU32(S.IDTR_LIMIT, 0));
  assert.equal(deliverException(bench.cpu, fault(VECTOR.GP)), 'replaced');
  assert.equal(bench.cpu.u32(S.ACTIVITY), ACTIVITY.shutdown);
});

test('a hypervisor that takes triple faults sees one instead of shutdown, outside event delivery', () => {
  const bench = long((b) => b.cpu.setU32(S.IDTR_LIMIT, 0));
  let seen: unknown = 'nothing';
  bench.cpu.intercepts = {
    ...noIntercepts,
    tripleFault: (cpu) => {
      seen = cpu.vectoring;
      return true;
    },
  };
  deliverException(bench.cpu, fault(VECTOR.GP));
  assert.equal(seen, null);
  assert.equal(bench.cpu.u32(S.ACTIVITY), ACTIVITY.active);
});

test('an exception during delivery that exits finds the first event as IDT-vectoring information', () => {
  const bench = long((b) => b.put(IDT + 16 * 14, gate(0, 0, 0x8e)));
  const seen: unknown[] = [];
  bench.cpu.intercepts = {
    ...noIntercepts,
    exception: (cpu, vector) => {
      if (vector !== VECTOR.GP) return false;
      seen.push(cpu.vectoring);
      return true;
    },
  };
  assert.equal(deliverException(bench.cpu, fault(VECTOR.PF, 6, 0x5000n)), 'exited');
  // #PF: vector 14, type 3 (hardware exception), error code valid, valid.
  assert.deepEqual(seen, [{ info: 0x8000_0b0e, errorCode: 6, instructionLength: 0 }]);
  assert.equal(bench.cpu.vectoring, null);
});

test('an access of the delivery that EPT stops is a VM exit with the event as IDT-vectoring information', () => {
  const bench = long((b) => gate64(b, 0x20));
  const { cpu } = bench;
  // Every page is mapped by EPT but that of the stack.
  bench.put(0x2_0000, 0x2_1007n);
  bench.put(0x2_1000, 0x2_2007n);
  bench.put(0x2_2000, 0x2_3007n);
  for (let page = 0; page < 64; page++) bench.put(0x2_3000 + 8 * page, BigInt(page * 4096) | 0x37n);
  bench.put(0x2_3000 + 8 * 7, 0n);
  cpu.setU64(S.EPTP, 0x2_001en);
  const seen: unknown[] = [];
  cpu.intercepts = {
    ...noIntercepts,
    nestedFault: (_cpu, { kind, qualification, gva, gpa }) => {
      seen.push({ kind, qualification, gva, gpa, info: cpu.vectoring?.info });
    },
  };
  assert.equal(deliverInterrupt(cpu, 0x20), 'exited');
  const stack = { qualification: 0x182n, gva: 0x7ff8n, gpa: 0x7ff8 };
  assert.deepEqual(seen, [{ kind: 'ept_violation', ...stack, info: 0x8000_0020 }]);
  assert.equal(cpu.vectoring, null);
  assert.equal(cpu.rsp, 0x8000n);
});

test('real mode: exceptions have no error code, neither on the stack nor for the hypervisor', () => {
  const bench = new Bench();
  const seen: unknown[] = [];
  bench.cpu.intercepts = {
    ...noIntercepts,
    exception: (_cpu, _vector, errorCode) => {
      seen.push(errorCode);
      return false;
    },
  };
  bench.cpu.rsp = 0x7c00n;
  deliverException(bench.cpu, fault(VECTOR.GP, 8));
  assert.deepEqual(seen, [null]);
  assert.equal(bench.cpu.rsp, 0x7c00n - 6n);
});

test('a page fault that the hypervisor takes leaves CR2 as it was', () => {
  const bench = long();
  bench.cpu.setU64(S.CR2, 7n);
  bench.cpu.intercepts = { ...noIntercepts, exception: () => true };
  assert.equal(deliverException(bench.cpu, fault(VECTOR.PF, 6, 0x5000n)), 'exited');
  assert.equal(bench.cpu.u64(S.CR2), 7n);
});

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
