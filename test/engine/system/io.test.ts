/** Port I/O: Intel SDM Vol. 1, "Protected-Mode I/O"; Vol. 3C, "Relative Priority of Faults and VM Exits". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FLAG } from '../../../engine/cpu/flags.js';
import { PREFIX } from '../../../engine/cpu/insn.js';
import { type IoAccess, noIntercepts } from '../../../engine/cpu/intercepts.js';
import { GPR, S, SEG, segLimit } from '../../../engine/cpu/layout.js';
import { OUTCOME } from '../../../engine/cpu/outcome.js';
import { setSegment } from '../../../engine/cpu/segments.js';
import { Bench, enterProtectedMode, enterRing3, TSS } from './bench.js';

const inProtectedMode = (): Bench => {
  const bench = new Bench();
  enterProtectedMode(bench);
  return bench;
};

test('IN and OUT: the port is DX or an immediate, the data AL, AX or EAX', () => {
  const bench = inProtectedMode();
  const { cpu } = bench;
  bench.ports.set(0x60, 0x1122_3344);
  cpu.setU64(GPR.RAX, 0xffff_ffff_ffff_ffffn);
  bench.run('in', { size: 1, immediate: 0x60n });
  assert.equal(cpu.u64(GPR.RAX), 0xffff_ffff_ffff_ff44n);
  cpu.setU64(GPR.RDX, 0x60n);
  bench.run('in', { size: 4, src: GPR.RDX });
  assert.equal(cpu.u64(GPR.RAX), 0x1122_3344n, 'a 32-bit write clears the high half');
  bench.run('out', { size: 2, immediate: -1n });
  assert.deepEqual(bench.written, [{ port: 0xff, size: 2, value: 0x3344 }]);
});

/** Ring 3 with a map at 0x68 and the given byte for ports 0x10..0x17. */
function mapped(byte: number, limit: number): Bench {
  const bench = inProtectedMode();
  enterRing3(bench);
  bench.memory.write(TSS + 0x66, 2, 0x68);
  bench.memory.write(TSS + 0x68 + 2, 1, byte);
  bench.memory.write(TSS + 0x68 + 3, 1, 0xff);
  bench.cpu.setU32(segLimit(SEG.TR), limit);
  return bench;
}

test('the I/O map: every bit that the access covers must be 0', () => {
  for (const size of [1, 2, 4] as const) {
    for (let bit = 0; bit < 8; bit++) {
      const bench = mapped(1 << bit, 0xff);
      bench.cpu.setU64(GPR.RDX, 0x12n);
      const covered = bit >= 2 && bit < 2 + size;
      assert.equal(bench.fault('in', { size, src: GPR.RDX }), covered ? '#GP(0)' : 'none', `${size} bytes, bit ${bit}`);
    }
  }
});

test('the I/O map: two bytes are read, and both must lie inside the limit', () => {
  const at = 0x68 + 2;
  for (const [limit, result] of [
    [at, '#GP(0)'],
    [at + 1, 'none'],
  ] as const) {
    const bench = mapped(0, limit);
    assert.equal(bench.fault('in', { size: 1, immediate: 0x10n }), result);
  }
  const bench = mapped(0, 0x66);
  assert.equal(bench.fault('in', { size: 1, immediate: 0x10n }), '#GP(0)', 'no room for the map base');
});

test('the I/O map is not looked at while CPL does not exceed IOPL, and always in virtual-8086 mode', () => {
  const bench = mapped(0xff, 0xff);
  bench.cpu.rflags = FLAG.IOPL | 2;
  assert.equal(bench.fault('in', { size: 1, immediate: 0x10n }), 'none');
  bench.cpu.rflags = FLAG.IOPL | FLAG.VM | 2;
  assert.equal(bench.fault('in', { size: 1, immediate: 0x10n }), '#GP(0)');
});

test('a permission fault comes before the VM exit, the VM exit before the access', () => {
  const seen: IoAccess[] = [];
  const intercepts = {
    ...noIntercepts,
    io: (_cpu: unknown, access: IoAccess) => {
      seen.push(access);
      return true;
    },
  };
  const bench = mapped(0xff, 0xff);
  bench.cpu.intercepts = intercepts;
  assert.equal(bench.fault('in', { size: 1, immediate: 0x10n }), '#GP(0)');
  assert.equal(seen.length, 0);
  bench.cpu.rflags = FLAG.IOPL | 2;
  bench.cpu.setU64(GPR.RDX, 0x10n);
  bench.cpu.setU64(GPR.RCX, 3n);
  // ES is unusable: a fault of lower priority than the exit.
  setSegment(bench.cpu, SEG.ES, 0, 0n, 0, 0x1_0000);
  assert.equal(bench.run('ins', { size: 2, src: GPR.RDX, prefixes: PREFIX.rep }), OUTCOME.switched);
  assert.deepEqual(seen, [{ port: 0x10, size: 2, input: true, string: true, rep: true, immediate: false }]);
});

test('REP INSW: one element a call, up or down, until the count is 0', () => {
  for (const down of [false, true]) {
    const bench = inProtectedMode();
    const { cpu } = bench;
    bench.ports.set(0x1f0, 0xbeef);
    cpu.rflags = (down ? FLAG.DF : 0) | 2;
    cpu.setU64(GPR.RDX, 0x1f0n);
    cpu.setU64(GPR.RCX, 2n);
    cpu.setU64(GPR.RDI, 0x6000n);
    const insw = { size: 2, prefixes: PREFIX.rep };
    assert.equal(bench.run('ins', insw), OUTCOME.repeat);
    assert.notEqual(bench.run('ins', insw), OUTCOME.repeat);
    assert.equal(cpu.u64(GPR.RCX), 0n);
    assert.equal(cpu.u64(GPR.RDI), down ? 0x5ffcn : 0x6004n);
    assert.equal(bench.memory.read(0x6000, 2), 0xbeef);
    assert.equal(bench.memory.read(down ? 0x5ffe : 0x6002, 2), 0xbeef);
    assert.equal(bench.run('ins', insw), OUTCOME.next, 'a count of 0 does nothing');
  }
});

test('INS to memory that may not be written faults before the port is read', () => {
  const bench = inProtectedMode();
  let reads = 0;
  bench.ports.get = () => {
    reads++;
    return 0;
  };
  setSegment(bench.cpu, SEG.ES, 8, 0n, 0xffff_ffff, 0xc091);
  bench.cpu.setU64(GPR.RDI, 0x6000n);
  assert.equal(bench.fault('ins', { size: 1 }), '#GP(0)');
  assert.equal(reads, 0);
});

test('OUTSB reads through the segment of its prefix', () => {
  const bench = inProtectedMode();
  setSegment(bench.cpu, SEG.FS, 8, 0x1000n, 0xffff, 0x93);
  bench.memory.write(0x6005, 1, 0x5a);
  bench.cpu.setU64(GPR.RSI, 0x5005n);
  bench.cpu.setU64(GPR.RDX, 0xe9n);
  bench.run('outs', { size: 1, segment: SEG.FS });
  assert.deepEqual(bench.written, [{ port: 0xe9, size: 1, value: 0x5a }]);
  assert.equal(bench.cpu.u64(GPR.RSI), 0x5006n);
  assert.equal(bench.cpu.u32(S.CPL), 0);
});
