/** MOV to CR, EFER and MSRs: Intel SDM Vol. 2, "MOV - Move to/from Control Registers"; Vol. 4 for the MSRs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GPR, S, SEG, segBase, segRights } from '../../../engine/cpu/layout.js';
import { OUTCOME } from '../../../engine/cpu/outcome.js';
import { MSR } from '../../../engine/cpu/system/msr.js';
import { Bench, enterLongMode, enterProtectedMode, enterRing3, PML4, SELECTOR } from './bench.js';

const PG = 0x8000_0000n;
const toCr = (bench: Bench, cr: number, value: bigint): string => {
  bench.cpu.setU64(GPR.RBX, value);
  return bench.fault('mov_to_cr', { dst: GPR.RBX, immediate: BigInt(cr) });
};
const wrmsr = (bench: Bench, msr: number, value: bigint): string => {
  bench.cpu.setU32(GPR.RCX, msr);
  bench.cpu.setU64(GPR.RAX, value & 0xffff_ffffn);
  bench.cpu.setU64(GPR.RDX, value >> 32n);
  return bench.fault('wrmsr');
};
const rdmsr = (bench: Bench, msr: number): bigint => {
  bench.cpu.setU32(GPR.RCX, msr);
  bench.run('rdmsr');
  return (bench.cpu.u64(GPR.RDX) << 32n) | bench.cpu.u64(GPR.RAX);
};
const inProtectedMode = (): Bench => {
  const bench = new Bench();
  enterProtectedMode(bench);
  return bench;
};
const inLongMode = (): Bench => {
  const bench = new Bench();
  enterLongMode(bench);
  return bench;
};

test('the way to 64-bit mode: PAE, CR3, EFER.LME, PG, far jump to 64-bit code', () => {
  const bench = inProtectedMode();
  const { cpu } = bench;
  bench.put(PML4, BigInt(PML4 + 0x1000) | 3n);
  bench.put(PML4 + 0x1000, BigInt(PML4 + 0x2000) | 3n);
  bench.put(PML4 + 0x2000, 0x83n);
  bench.memory.write64(0x1000 + 0x28, 0x00af_9a00_0000_ffffn);
  assert.equal(toCr(bench, 4, 0x20n), 'none');
  assert.equal(toCr(bench, 3, BigInt(PML4)), 'none');
  assert.equal(wrmsr(bench, MSR.EFER, 0x100n), 'none');
  assert.equal(cpu.longMode, false, 'LMA is clear until paging is on');
  assert.equal(toCr(bench, 0, PG | 0x11n), 'none');
  assert.equal(cpu.longMode, true);
  assert.equal(cpu.mode64, false, 'compatibility mode until CS is loaded');
  assert.equal(
    bench.run('jmp_far', { size: 4, immediate: (BigInt(SELECTOR.code32) << 32n) | 0x1_2340n }),
    OUTCOME.jump,
  );
  assert.equal(cpu.mode64, true);
  assert.equal(cpu.rip, 0x1_2340n);
  // Paging cannot be turned off from 64-bit mode.
  assert.equal(toCr(bench, 0, 0x11n), '#GP(0)');
});

const CR0_RULES = [
  ['PG without PE', PG | 0x10n, '#GP(0)'],
  ['NW without CD', 0x2000_0011n, '#GP(0)'],
  ['NW with CD', 0x6000_0011n, 'none'],
] as const;
for (const [what, value, result] of CR0_RULES) {
  test(`MOV to CR0: ${what}: ${result}`, () => assert.equal(toCr(inProtectedMode(), 0, value), result));
}

test('MOV to CR0: bits 63:32 must be 0 in 64-bit mode', () => {
  assert.equal(toCr(inLongMode(), 0, (1n << 32n) | PG | 0x11n), '#GP(0)');
});

test('MOV to CR0: setting PG with EFER.LME raises #GP(0) without CR4.PAE, and with CS.L set', () => {
  const bench = inProtectedMode();
  wrmsr(bench, MSR.EFER, 0x100n);
  assert.equal(toCr(bench, 0, PG | 0x11n), '#GP(0)');
  toCr(bench, 4, 0x20n);
  bench.cpu.setU32(segRights(SEG.CS), bench.cpu.u32(segRights(SEG.CS)) | 0x2000);
  assert.equal(toCr(bench, 0, PG | 0x11n), '#GP(0)');
});

test('MOV to CR0: ET stays 1, undefined bits read as 0', () => {
  const bench = inProtectedMode();
  assert.equal(toCr(bench, 0, 0x1f00_ff21n), 'none');
  assert.equal(bench.cpu.u64(S.CR0), 0x31n);
});

test('MOV to CR4: each bit that the model lacks raises #GP(0), each other is taken', () => {
  for (let bit = 0; bit < 32; bit++) {
    const bench = inProtectedMode();
    const supported = ((0x33_21bcn >> BigInt(bit)) & 1n) === 1n;
    // PCIDE needs IA-32e mode.
    assert.equal(toCr(bench, 4, 1n << BigInt(bit)), supported && bit !== 17 ? 'none' : '#GP(0)', `bit ${bit}`);
  }
});

test('MOV to CR4: PAE cannot be cleared in IA-32e mode; PCIDE needs CR3[11:0] = 0', () => {
  assert.equal(toCr(inLongMode(), 4, 0n), '#GP(0)');
  const bench = inLongMode();
  bench.cpu.setU64(S.CR3, BigInt(PML4) | 8n);
  assert.equal(toCr(bench, 4, 0x2_0020n), '#GP(0)');
  bench.cpu.setU64(S.CR3, BigInt(PML4));
  assert.equal(toCr(bench, 4, 0x2_0020n), 'none');
  assert.equal(toCr(bench, 0, 0x11n), '#GP(0)', 'nor can PG be cleared with PCIDE');
});

test('MOV to CR3: bits above the physical width raise #GP(0); bit 63 is free with PCIDE only', () => {
  const bench = inLongMode();
  assert.equal(toCr(bench, 3, (1n << 38n) | BigInt(PML4)), 'none');
  assert.equal(toCr(bench, 3, (1n << 39n) | BigInt(PML4)), '#GP(0)');
  assert.equal(toCr(bench, 3, (1n << 63n) | BigInt(PML4)), '#GP(0)');
  toCr(bench, 3, BigInt(PML4));
  toCr(bench, 4, 0x2_0020n);
  assert.equal(toCr(bench, 3, (1n << 63n) | BigInt(PML4)), 'none');
  assert.equal(bench.cpu.u64(S.CR3), BigInt(PML4));
});

test('MOV to CR drops translations: CR3 those of the context, paging bits all', () => {
  const bench = inLongMode();
  toCr(bench, 3, BigInt(PML4));
  toCr(bench, 4, 0xa0n);
  toCr(bench, 4, 0xa4n);
  assert.deepEqual(bench.flushes, ['context', 'all']);
});

test('PAE paging: CR3 loads the PDPTEs, and a reserved bit in one leaves CR3 as it was', () => {
  const bench = inProtectedMode();
  bench.put(0x6000, 0x7001n, 0n, 0n, 0n);
  bench.put(0x8000, 0x7003n, 0n, 0n, 0n);
  bench.put(0x7000, 0x83n);
  assert.equal(toCr(bench, 3, 0x6000n), 'none');
  assert.equal(toCr(bench, 4, 0x20n), 'none');
  assert.equal(toCr(bench, 0, PG | 0x11n), 'none');
  assert.equal(bench.cpu.u64(S.PDPTE0), 0x7001n);
  assert.equal(toCr(bench, 3, 0x8000n), '#GP(0)');
  assert.equal(bench.cpu.u64(S.CR3), 0x6000n);
});

test('control registers that do not exist raise #UD before the privilege is looked at', () => {
  const bench = inLongMode();
  enterRing3(bench);
  assert.equal(toCr(bench, 1, 0n), '#UD(0)');
  assert.equal(toCr(bench, 3, 0n), '#GP(0)');
});

test('CR8 holds 4 bits and exists in 64-bit mode only', () => {
  assert.equal(toCr(inLongMode(), 8, 15n), 'none');
  assert.equal(toCr(inLongMode(), 8, 16n), '#GP(0)');
  assert.equal(toCr(inProtectedMode(), 8, 1n), '#UD(0)');
});

test('LMSW sets PE and cannot clear it', () => {
  const bench = new Bench();
  bench.cpu.setU64(GPR.RAX, 1n);
  bench.run('lmsw', { dst: GPR.RAX });
  assert.equal(bench.cpu.protectedMode, true);
  bench.cpu.setU64(GPR.RAX, 0x8n);
  bench.run('lmsw', { dst: GPR.RAX });
  assert.equal(bench.cpu.u64(S.CR0), 0x19n);
});

test('WRMSR EFER: reserved bits and a change of LME under paging raise #GP(0); LMA is not written', () => {
  const bench = inProtectedMode();
  for (let bit = 0; bit < 64; bit++) {
    const defined = [0, 8, 10, 11].includes(bit);
    assert.equal(wrmsr(bench, MSR.EFER, 1n << BigInt(bit)), defined ? 'none' : '#GP(0)', `bit ${bit}`);
  }
  assert.equal(wrmsr(bench, MSR.EFER, 0x400n), 'none');
  assert.equal(bench.cpu.longMode, false);
  assert.equal(wrmsr(inLongMode(), MSR.EFER, 0n), '#GP(0)');
});

test('canonical MSRs: bit 47 is the first to be extended', () => {
  for (const msr of [MSR.LSTAR, MSR.CSTAR, MSR.FS_BASE, MSR.GS_BASE, MSR.KERNEL_GS_BASE, MSR.SYSENTER_EIP]) {
    const bench = inLongMode();
    assert.equal(wrmsr(bench, msr, 0x7fff_ffff_ffffn), 'none');
    assert.equal(wrmsr(bench, msr, 0x8000_0000_0000n), '#GP(0)');
    assert.equal(wrmsr(bench, msr, 0xffff_8000_0000_0000n), 'none');
    assert.equal(rdmsr(bench, msr), 0xffff_8000_0000_0000n);
  }
});

test('FS_BASE is the base of FS', () => {
  const bench = inLongMode();
  wrmsr(bench, MSR.FS_BASE, 0x1234n);
  assert.equal(bench.cpu.u64(segBase(SEG.FS)), 0x1234n);
});

test('PAT: memory types 2, 3 and above 7 raise #GP(0), in any of its bytes', () => {
  for (let type = 0; type < 256; type++) {
    const valid = [0, 1, 4, 5, 6, 7].includes(type);
    for (const byte of [0, 7]) {
      assert.equal(wrmsr(inLongMode(), MSR.PAT, BigInt(type) << BigInt(8 * byte)), valid ? 'none' : '#GP(0)');
    }
  }
});

test('FEATURE_CONTROL can be written until its lock bit is set', () => {
  const bench = inLongMode();
  assert.equal(wrmsr(bench, MSR.FEATURE_CONTROL, 4n), 'none');
  assert.equal(wrmsr(bench, MSR.FEATURE_CONTROL, 8n), '#GP(0)');
  assert.equal(wrmsr(bench, MSR.FEATURE_CONTROL, 5n), 'none');
  assert.equal(wrmsr(bench, MSR.FEATURE_CONTROL, 5n), '#GP(0)');
});

test('MSRs: unknown ones raise #GP(0), capability MSRs can be read and not written, ring 3 may neither', () => {
  const bench = inLongMode();
  assert.equal(wrmsr(bench, 0x1234_5678, 0n), '#GP(0)');
  bench.cpu.setU32(GPR.RCX, 0x1234_5678);
  assert.equal(bench.fault('rdmsr'), '#GP(0)');
  for (let msr = 0x480; msr <= 0x490; msr++) {
    assert.doesNotThrow(() => rdmsr(bench, msr), msr.toString(16));
    assert.equal(wrmsr(bench, msr, 0n), '#GP(0)');
  }
  enterRing3(bench);
  assert.equal(bench.fault('rdmsr'), '#GP(0)');
  assert.equal(wrmsr(bench, MSR.STAR, 0n), '#GP(0)');
});

test('the time-stamp counter follows ticks, and a write sets it', () => {
  const bench = inLongMode();
  bench.cpu.setNumber(S.TICK, 1000);
  assert.equal(rdmsr(bench, MSR.TSC), 1000n);
  wrmsr(bench, MSR.TSC, 5n);
  bench.cpu.setNumber(S.TICK, 1010);
  bench.run('rdtsc');
  assert.equal(bench.cpu.u64(GPR.RAX), 15n);
});

test('RDTSC in ring 3 raises #GP(0) with CR4.TSD', () => {
  const bench = inLongMode();
  enterRing3(bench);
  assert.equal(bench.fault('rdtsc'), 'none');
  bench.cpu.setU64(S.CR4, 0x24n);
  assert.equal(bench.fault('rdtsc'), '#GP(0)');
});

test('CPUID: the vendor, the highest leaf above it, OSXSAVE follows CR4', () => {
  const bench = inLongMode();
  const cpuid = (leaf: number, subleaf = 0): number[] => {
    bench.cpu.setU32(GPR.RAX, leaf);
    bench.cpu.setU32(GPR.RCX, subleaf);
    bench.run('cpuid');
    return [GPR.RAX, GPR.RBX, GPR.RCX, GPR.RDX].map((slot) => bench.cpu.u32(slot));
  };
  const [highest, ...words] = cpuid(0);
  const text = [words[0], words[2], words[1]].map((word) =>
    Buffer.from(new Uint32Array([word ?? 0]).buffer).toString(),
  );
  assert.equal(text.join(''), 'GenuineIntel');
  assert.deepEqual(cpuid(0x4000_0000), cpuid(highest ?? 0));
  assert.equal((cpuid(1)[2] ?? 0) & 0x0800_0000, 0);
  bench.cpu.setU64(S.CR4, 0x4_0020n);
  assert.notEqual((cpuid(1)[2] ?? 0) & 0x0800_0000, 0, 'OSXSAVE');
  assert.equal(((cpuid(1)[2] ?? 0) >> 5) & 1, 1, 'VMX');
});

test('debug registers: GD raises #DB with BD, DR4 and DR5 are DR6 and DR7 unless CR4.DE, high bits of DR7 are 0', () => {
  const bench = inLongMode();
  const toDr = (dr: number, value: bigint): string => {
    bench.cpu.setU64(GPR.RBX, value);
    return bench.fault('mov_to_dr', { dst: GPR.RBX, immediate: BigInt(dr) });
  };
  assert.equal(toDr(7, 0n), 'none');
  assert.equal(bench.cpu.u64(S.DR7), 0x400n);
  assert.equal(toDr(6, 1n << 32n), '#GP(0)');
  assert.equal(toDr(5, 0xffffn), 'none');
  assert.equal(bench.cpu.u64(S.DR7), 0x27ffn);
  assert.equal(toDr(0, 1n), '#DB(0)');
  bench.cpu.setU64(S.DR7, 0x400n);
  bench.cpu.setU64(S.CR4, 0x28n);
  assert.equal(toDr(4, 0n), '#UD(0)');
});
