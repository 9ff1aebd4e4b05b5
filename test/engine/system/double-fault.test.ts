/** Exceptions during delivery, and what a hypervisor sees of them: Intel SDM Vol. 3A, "Interrupt 8, Double Fault Exception". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ACTIVITY, deliverException, deliverInterrupt } from '../../../engine/cpu/delivery.js';
import { VECTOR } from '../../../engine/cpu/fault.js';
import { noIntercepts } from '../../../engine/cpu/intercepts.js';
import { S } from '../../../engine/cpu/layout.js';
import { Bench, gate, IDT, TSS } from './bench.js';
import { fault, frame, gate64, handler64, long } from './events.js';

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
