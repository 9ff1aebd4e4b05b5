/** Segment registers: loads, limits and types. Intel SDM Vol. 2, "MOV"; Vol. 3A, "Protection". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BLOCKING } from '../../../engine/cpu/delivery.js';
import { FLAG } from '../../../engine/cpu/flags.js';
import { GPR, S, SEG, segBase, segLimit, segRights, segSelector, UNUSABLE } from '../../../engine/cpu/layout.js';
import { linearAddress, setSegment } from '../../../engine/cpu/segments.js';
import {
  Bench,
  descriptor,
  enterLongMode,
  enterProtectedMode,
  enterRing3,
  faultOf,
  GDT,
  SELECTOR,
  TSS,
} from './bench.js';

const FREE = 0x38;
const inProtectedMode = (free = 0n): Bench => {
  const bench = new Bench();
  enterProtectedMode(bench);
  bench.put(GDT + FREE, free);
  return bench;
};
const inLongMode = (): Bench => {
  const bench = new Bench();
  enterLongMode(bench);
  return bench;
};
const load = (bench: Bench, n: number, selector: number): string => {
  bench.cpu.setU64(GPR.RBX, BigInt(selector));
  return bench.fault('mov_to_segment', { dst: segSelector(n), src: GPR.RBX, size: 4 });
};

/** Types of descriptors (bits 47:40) that DS and SS take from ring 0, by the manual's table of types. */
test('each descriptor type: data and readable code may be loaded into DS, writable data into SS', () => {
  for (let type = 0; type < 32; type++) {
    const segment = descriptor(0x1234, 0xffff, 0x80 | type, 0);
    const data = type >= 16 && type < 24;
    const readableCode = type >= 24 && (type & 2) !== 0;
    const forDs = data || readableCode ? 'none' : `#GP(${FREE})`;
    const forSs = data && (type & 2) !== 0 ? 'none' : `#GP(${FREE})`;
    assert.equal(load(inProtectedMode(segment), SEG.DS, FREE), forDs, `DS, type ${type}`);
    assert.equal(load(inProtectedMode(segment), SEG.SS, FREE), forSs, `SS, type ${type}`);
  }
});

test('a load sets base, limit with granularity, rights, and the accessed bit in memory', () => {
  const bench = inProtectedMode(descriptor(0xab12_3456 | 0, 0x1_2345, 0xf2, 0xd));
  assert.equal(load(bench, SEG.ES, FREE), 'none');
  assert.equal(bench.cpu.u64(segBase(SEG.ES)), 0xab12_3456n);
  assert.equal(bench.cpu.u32(segLimit(SEG.ES)), 0x1234_5fff);
  assert.equal(bench.cpu.u32(segRights(SEG.ES)), 0xd0f3);
  assert.equal(bench.memory.read(GDT + FREE + 5, 1), 0xf3);
});

test('privilege: RPL and CPL must not exceed DPL, unless the segment is conforming code', () => {
  for (const dpl of [0, 1, 2, 3]) {
    for (const rpl of [0, 1, 2, 3]) {
      const selector = FREE | rpl;
      const allowed = rpl <= dpl;
      const data = inProtectedMode(descriptor(0, 0xffff, 0x92 | (dpl << 5), 0));
      assert.equal(load(data, SEG.DS, selector), allowed ? 'none' : `#GP(${FREE})`);
      const conforming = inProtectedMode(descriptor(0, 0xffff, 0x9e | (dpl << 5), 0));
      assert.equal(load(conforming, SEG.DS, selector), 'none');
      const stack = inProtectedMode(descriptor(0, 0xffff, 0x92 | (dpl << 5), 0));
      assert.equal(load(stack, SEG.SS, selector), rpl === 0 && dpl === 0 ? 'none' : `#GP(${FREE})`);
    }
  }
});

test('a segment that is not present: #NP(selector), in SS #SS(selector)', () => {
  const absent = descriptor(0, 0xffff, 0x12, 0);
  assert.equal(load(inProtectedMode(absent), SEG.DS, FREE), `#NP(${FREE})`);
  assert.equal(load(inProtectedMode(absent), SEG.SS, FREE), `#SS(${FREE})`);
});

test('a selector beyond the limit of its table: #GP(selector); the LDT is a table of its own', () => {
  assert.equal(load(inProtectedMode(), SEG.DS, 0x40), '#GP(64)');
  const bench = inProtectedMode(descriptor(0x5000, 0xf, 0x82, 0));
  assert.equal(load(bench, SEG.DS, 4), '#GP(4)', 'no LDT');
  bench.cpu.setU64(GPR.RBX, BigInt(FREE));
  bench.run('lldt', { dst: GPR.RBX });
  bench.put(0x5000, 0n, descriptor(0x77, 0xffff, 0x92, 0));
  assert.equal(load(bench, SEG.DS, 0xc), 'none');
  assert.equal(bench.cpu.u64(segBase(SEG.DS)), 0x77n);
  assert.equal(load(bench, SEG.DS, 0x14), '#GP(20)');
});

test('null selectors: DS takes one and every use of it raises #GP(0); SS only in 64-bit mode below ring 3', () => {
  const bench = inProtectedMode();
  assert.equal(load(bench, SEG.DS, 3), 'none');
  assert.equal(
    faultOf(() => linearAddress(bench.cpu, SEG.DS, 0n, 1, false)),
    '#GP(0)',
  );
  assert.equal(load(bench, SEG.SS, 0), '#GP(0)');
  const long = inLongMode();
  assert.equal(load(long, SEG.SS, 0), 'none');
  assert.ok(long.cpu.u32(segRights(SEG.SS)) & UNUSABLE);
  assert.equal(load(long, SEG.SS, 3), '#GP(0)', 'RPL must equal CPL');
  enterRing3(long);
  assert.equal(load(long, SEG.SS, 3), '#GP(0)');
});

test('loading SS blocks interrupts for one instruction; loading CS is no instruction', () => {
  const bench = inProtectedMode();
  load(bench, SEG.SS, SELECTOR.data);
  assert.equal(bench.cpu.u32(S.INTERRUPTIBILITY), BLOCKING.movSs);
  assert.equal(load(bench, SEG.CS, SELECTOR.code), '#UD(0)');
});

test('real mode: base is selector * 16, limit and rights stay', () => {
  const bench = new Bench();
  setSegment(bench.cpu, SEG.DS, 8, 0n, 0xffff_ffff, 0xc093);
  assert.equal(load(bench, SEG.DS, 0x1234), 'none');
  assert.equal(bench.cpu.u64(segBase(SEG.DS)), 0x1_2340n);
  assert.equal(bench.cpu.u32(segLimit(SEG.DS)), 0xffff_ffff);
});

test('limits: the last byte may lie at the limit; an expand-down segment begins behind it', () => {
  const bench = inProtectedMode();
  const { cpu } = bench;
  const at = (offset: number, size: number): string =>
    faultOf(() => linearAddress(cpu, SEG.DS, BigInt(offset), size, true));
  setSegment(cpu, SEG.DS, 8, 0x1000n, 0xfff, 0x93);
  assert.equal(at(0xffc, 4), 'none');
  assert.equal(at(0xffd, 4), '#GP(0)');
  assert.equal(at(0xffff_fffe, 4), '#GP(0)', 'no wrap');
  setSegment(cpu, SEG.DS, 8, 0n, 0xfff, 0x97);
  assert.equal(at(0xfff, 1), '#GP(0)');
  assert.equal(at(0x1000, 4), 'none');
  assert.equal(at(0xfffc, 4), 'none');
  assert.equal(at(0xfffd, 4), '#GP(0)', 'upper bound 0xffff without B');
  setSegment(cpu, SEG.DS, 8, 0n, 0xfff, 0x4097);
  assert.equal(at(0xffff_fffc, 4), 'none', 'upper bound 4 GiB with B');
  setSegment(cpu, SEG.SS, 8, 0n, 0xfff, 0x93);
  assert.equal(
    faultOf(() => linearAddress(cpu, SEG.SS, 0x1000n, 1, false)),
    '#SS(0)',
  );
});

test('types: read-only data and code are not written, execute-only code is not read', () => {
  const bench = inProtectedMode();
  for (const [rights, reads, writes] of [
    [0x91, true, false],
    [0x93, true, true],
    [0x99, false, false],
    [0x9b, true, false],
  ] as const) {
    setSegment(bench.cpu, SEG.DS, 8, 0n, 0xffff, rights);
    assert.equal(
      faultOf(() => linearAddress(bench.cpu, SEG.DS, 0n, 1, false)),
      reads ? 'none' : '#GP(0)',
    );
    assert.equal(
      faultOf(() => linearAddress(bench.cpu, SEG.DS, 0n, 1, true)),
      writes ? 'none' : '#GP(0)',
    );
  }
});

test('64-bit mode: only FS and GS have a base, limits do not count, addresses must be canonical', () => {
  const { cpu } = inLongMode();
  for (const n of [SEG.DS, SEG.FS]) setSegment(cpu, n, 8, 0x1000n, 0, 0x93);
  assert.equal(linearAddress(cpu, SEG.DS, 0x5n, 1, true), 5n);
  assert.equal(linearAddress(cpu, SEG.FS, 0x5n, 1, true), 0x1005n);
  assert.equal(linearAddress(cpu, SEG.FS, -0x1000n, 1, true), 0n);
  const last = 0x7fff_ffff_fff8n;
  assert.equal(
    faultOf(() => linearAddress(cpu, SEG.DS, last, 8, false)),
    'none',
  );
  assert.equal(
    faultOf(() => linearAddress(cpu, SEG.DS, last + 1n, 8, false)),
    '#GP(0)',
  );
  assert.equal(
    faultOf(() => linearAddress(cpu, SEG.SS, last + 1n, 8, false)),
    '#SS(0)',
  );
});

test('LAR, LSL, VERR and VERW answer in ZF and never fault for a selector', () => {
  const bench = inProtectedMode(descriptor(0, 0x1_2345, 0xf0, 0x8));
  const { cpu } = bench;
  const ask = (name: string, selector: number): boolean => {
    cpu.setU64(GPR.RBX, BigInt(selector));
    bench.run(name, { dst: name.startsWith('l') ? GPR.RDX : GPR.RBX, src: GPR.RBX, size: 4 });
    return (cpu.rflags & FLAG.ZF) !== 0;
  };
  assert.equal(ask('lar', FREE), true);
  assert.equal(cpu.u64(GPR.RDX), 0x0081_f000n);
  assert.equal(ask('lsl', FREE), true);
  assert.equal(cpu.u64(GPR.RDX), 0x1234_5fffn);
  assert.equal(ask('verr', FREE), true);
  assert.equal(ask('verw', FREE), false);
  assert.equal(ask('verw', SELECTOR.data), true);
  assert.equal(ask('verr', SELECTOR.data | 3), false, 'RPL 3 may not see DPL 0');
  for (const selector of [0, 3, 0x40, 0x1004])
    for (const name of ['lar', 'lsl', 'verr', 'verw']) assert.equal(ask(name, selector), false);
  assert.equal(ask('lar', SELECTOR.tss), true);
  assert.equal(ask('lsl', SELECTOR.tss), true);
  assert.equal(cpu.u64(GPR.RDX), 0x67n);
});

test('ARPL raises the RPL and tells in ZF', () => {
  const bench = inProtectedMode();
  bench.cpu.setU64(GPR.RAX, 0x10n);
  bench.cpu.setU64(GPR.RCX, 0x1bn);
  bench.run('arpl', { dst: GPR.RAX, src: GPR.RCX, size: 2 });
  assert.equal(bench.cpu.u64(GPR.RAX), 0x13n);
  assert.ok(bench.cpu.rflags & FLAG.ZF);
  bench.run('arpl', { dst: GPR.RAX, src: GPR.RCX, size: 2 });
  assert.equal(bench.cpu.rflags & FLAG.ZF, 0);
});

test('LTR: only an available TSS, which becomes busy; a second LTR of it raises #GP(selector)', () => {
  const bench = inProtectedMode();
  assert.equal(bench.memory.read(GDT + SELECTOR.tss + 5, 1), 0x8b);
  assert.equal(bench.cpu.u64(segBase(SEG.TR)), BigInt(TSS));
  bench.cpu.setU64(GPR.RAX, BigInt(SELECTOR.tss));
  assert.equal(bench.fault('ltr', { dst: GPR.RAX }), `#GP(${SELECTOR.tss})`);
  bench.cpu.setU64(GPR.RAX, 0n);
  assert.equal(bench.fault('ltr', { dst: GPR.RAX }), '#GP(0)');
  bench.cpu.setU64(GPR.RAX, BigInt(SELECTOR.data));
  assert.equal(bench.fault('ltr', { dst: GPR.RAX }), `#GP(${SELECTOR.data})`);
});

test('LTR and LLDT in IA-32e mode read 16 bytes: base bits 63:32, which must be canonical', () => {
  const bench = inLongMode();
  bench.cpu.setU32(S.GDTR_LIMIT, 0x4f);
  bench.put(GDT + FREE, descriptor(0x1234_5678, 0x67, 0x89, 0), 0xffff_8000n);
  bench.cpu.setU64(GPR.RAX, BigInt(FREE));
  assert.equal(bench.fault('ltr', { dst: GPR.RAX }), 'none');
  assert.equal(bench.cpu.u64(segBase(SEG.TR)), 0xffff_8000_1234_5678n);
  bench.put(GDT + FREE, descriptor(0x1234_5678, 0x67, 0x82, 0), 0x8000n);
  assert.equal(bench.fault('lldt', { dst: GPR.RAX }), `#GP(${FREE})`);
  bench.cpu.setU32(S.GDTR_LIMIT, 0x46);
  assert.equal(bench.fault('lldt', { dst: GPR.RAX }), `#GP(${FREE})`);
});

test('SGDT stores what LGDT loaded; LGDT in 64-bit mode takes a canonical base of 64 bits', () => {
  const bench = inLongMode();
  bench.put(0x9000, 0x7ff_0000_1234_00ffn, 0x8000n);
  const table = { memory: true, displacement: 0x9000n };
  assert.equal(bench.fault('lgdt', table), '#GP(0)', 'not canonical');
  bench.put(0x9000, 0x7ff0_0000_1234_00ffn, 0n);
  assert.equal(bench.fault('lgdt', table), 'none');
  assert.equal(bench.cpu.u64(S.GDTR_BASE), 0x7ff0_0000_1234n);
  assert.equal(bench.cpu.u32(S.GDTR_LIMIT), 0xff);
  bench.run('sgdt', { memory: true, displacement: 0xa000n });
  assert.equal(bench.memory.read64(0xa000), 0x7ff0_0000_1234_00ffn);
  enterRing3(bench);
  assert.equal(bench.fault('lgdt', table), '#GP(0)');
});

test('PUSH and POP of a segment register move the stack pointer by the operand size', () => {
  const bench = inProtectedMode();
  const { cpu } = bench;
  bench.memory.write(0x7ffc, 4, 0xdddd_dddd);
  bench.run('push_segment', { dst: segSelector(SEG.DS), size: 4 });
  assert.equal(cpu.rsp, 0x7ffcn);
  assert.equal(bench.memory.read(0x7ffc, 4), 0xdddd_0010, 'the upper half is not written');
  bench.run('pop_segment', { dst: segSelector(SEG.FS), size: 4 });
  assert.equal(cpu.rsp, 0x8000n);
  assert.equal(cpu.u32(segSelector(SEG.FS)), 0x10);
});

test('LSS loads offset and selector, and nothing where the selector is bad', () => {
  const bench = inProtectedMode();
  bench.put(0x6000, 0x0010_1234_5678n, 0x0018_9999_9999n);
  assert.equal(bench.fault('lss', { dst: GPR.RSP, size: 4, memory: true, displacement: 0x6000n }), 'none');
  assert.equal(bench.cpu.rsp, 0x1234_5678n);
  assert.equal(bench.fault('lss', { dst: GPR.RSP, size: 4, memory: true, displacement: 0x6008n }), '#GP(24)');
  assert.equal(bench.cpu.rsp, 0x1234_5678n);
});
