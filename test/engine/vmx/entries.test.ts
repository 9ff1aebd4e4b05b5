/** VM entries: what they load, inject and tell, and what is left after one that failed. Vol. 3C, "VM Entries". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GPR, S, SEG, segRights } from '../../../engine/cpu/layout.js';
import { OUTCOME } from '../../../engine/cpu/outcome.js';
import { CHECK_NAMES } from '../../../engine/vmx/checks/table.js';
import { ENTRY, EXIT, PRIMARY, SECONDARY } from '../../../engine/vmx/controls.js';
import { REGION } from '../../../engine/vmx/fields.js';
import { Bench, PLACES } from './bench.js';

const ready = (change: (bench: Bench) => void = () => {}): Bench => {
  const bench = new Bench().startVmx().fill();
  change(bench);
  bench.told.length = 0;
  bench.calls.length = 0;
  return bench;
};

/** Entries of an MSR area at a place in RAM: index, reserved word, value. */
function area(bench: Bench, at: number, entries: readonly (readonly [number, number, bigint])[]): void {
  entries.forEach(([index, reserved, value], i) => {
    bench.cpu.memory.view.setUint32(at + 16 * i, index, true);
    bench.cpu.memory.view.setUint32(at + 16 * i + 4, reserved, true);
    bench.cpu.memory.view.setBigUint64(at + 16 * i + 8, value, true);
  });
}

const summary = (bench: Bench): unknown[] =>
  bench.told.map(({ kind, from, to, fields: { reason, qualification, code } }) => [
    kind,
    from,
    to,
    kind === 'check' ? CHECK_NAMES[Number(code)]?.name : (reason ?? code),
    qualification,
  ]);

test('an entry spends one tick, raises the level and tells where the guest goes on', () => {
  const bench = ready();
  const { cpu } = bench;
  const { tick, step } = cpu;
  assert.equal(bench.run('vmlaunch'), OUTCOME.switched);
  assert.ok(cpu.nonRoot);
  assert.equal(cpu.tick - tick, 1);
  assert.equal(cpu.step, step);
  assert.equal(cpu.level, 1);
  assert.equal(cpu.rip, 0x40_0000n);
  assert.equal(cpu.cpl, 0);
  const [event] = bench.told;
  assert.deepEqual([event?.kind, event?.from, event?.to, event?.tick], ['entry', 0, 1, tick]);
  assert.deepEqual([event?.fields.rip, event?.fields.cr3, event?.fields.vmcs], [0x40_0000n, 0x7000n, 0x2000n]);
  assert.equal(event?.fields.intr_info, undefined);
});

test('ENTRY_LEVEL names the level of a guest that is not the next one', () => {
  const bench = ready();
  bench.cpu.setU32(S.ENTRY_LEVEL, 2);
  bench.run('vmlaunch');
  assert.equal(bench.cpu.level, 2);
  bench.cpu.intercepts.instruction(bench.cpu, 'cpuid');
  assert.equal(bench.cpu.level, 0);
});

test('VMLAUNCH makes the VMCS launched, and a failed one does not', () => {
  const launched = (bench: Bench): number => bench.cpu.memory.read(PLACES.vmcs + REGION.launched, 4);
  const good = ready();
  good.run('vmlaunch');
  assert.equal(launched(good), 1);
  const bad = ready((bench) => bench.set('GUEST_RFLAGS', 0));
  bad.run('vmlaunch');
  assert.equal(launched(bad), 0);
});

test('controls decide which MSRs and debug registers come from the VMCS', () => {
  const values = (bench: Bench): void => {
    bench.set('GUEST_IA32_PAT', 0x0606_0606_0606_0606n);
    bench.set('GUEST_IA32_EFER', 0xd01n);
    bench.set('GUEST_DR7', 0xffff_f4ffn);
    bench.set('GUEST_IA32_DEBUGCTL', 2n);
    bench.set('GUEST_IA32_PERF_GLOBAL_CTRL', 3n);
  };
  const none = ready((bench) => {
    values(bench);
    bench.set('VM_ENTRY_CONTROLS', bench.field('VM_ENTRY_CONTROLS') & ~BigInt(ENTRY.loadDebug));
  });
  none.run('vmlaunch');
  assert.deepEqual(
    [S.PAT, S.EFER, S.DR7, S.DEBUGCTL, S.PERF_GLOBAL_CTRL].map((slot) => none.cpu.u64(slot)),
    [0x0007_0406_0007_0406n, 0x500n, 0x400n, 0n, 0n],
  );
  const all = ready((bench) => {
    values(bench);
    bench.or('VM_ENTRY_CONTROLS', ENTRY.loadDebug | ENTRY.loadPat | ENTRY.loadEfer | ENTRY.loadPerf);
  });
  all.run('vmlaunch');
  assert.deepEqual(
    [S.PAT, S.EFER, S.DR7, S.DEBUGCTL, S.PERF_GLOBAL_CTRL].map((slot) => all.cpu.u64(slot)),
    // Bits 12, 14 and 15 of DR7 are loaded as 0, bit 10 as 1.
    [0x0606_0606_0606_0606n, 0xd01n, 0xffff_24ffn, 2n, 3n],
  );
});

test('an exit loads and saves the MSRs that its controls name', () => {
  const bench = ready((each) => {
    each.or('VM_EXIT_CONTROLS', EXIT.savePat | EXIT.loadPat | EXIT.saveEfer | EXIT.loadEfer | EXIT.loadPerf);
    each.set('HOST_IA32_PAT', 1n);
    each.set('HOST_IA32_EFER', 0x501n);
    each.set('HOST_IA32_PERF_GLOBAL_CTRL', 1n);
  });
  bench.enterGuest();
  const { cpu } = bench;
  cpu.setU64(S.PAT, 4n);
  cpu.setU64(S.EFER, 0xd00n);
  cpu.intercepts.instruction(cpu, 'cpuid');
  assert.deepEqual([bench.field('GUEST_IA32_PAT'), bench.field('GUEST_IA32_EFER')], [4n, 0xd00n]);
  assert.deepEqual(
    [S.PAT, S.EFER, S.PERF_GLOBAL_CTRL].map((slot) => cpu.u64(slot)),
    [1n, 0x501n, 1n],
  );
});

test('the TSC offset counts in the guest only', () => {
  const bench = ready((each) => {
    each.or('CPU_BASED_VM_EXEC_CONTROL', PRIMARY.tscOffset);
    each.set('TSC_OFFSET', -5n);
  });
  bench.cpu.setU64(S.TSC_OFFSET, 100n);
  bench.run('vmlaunch');
  assert.equal(bench.cpu.u64(S.TSC_OFFSET), 95n);
  bench.cpu.intercepts.instruction(bench.cpu, 'cpuid');
  assert.equal(bench.cpu.u64(S.TSC_OFFSET), 100n);
});

test('MSR areas are loaded at entry, stored and loaded at exit', () => {
  const bench = ready((each) => {
    area(each, 0x8000, [
      [0x174, 0, 0x11n],
      [0xc000_0082, 0, 0x22n],
    ]);
    area(each, 0x9000, [[0xc000_0082, 0, 0n]]);
    area(each, 0xa000, [[0xc000_0082, 0, 0x44n]]);
    each.set('VM_ENTRY_MSR_LOAD_ADDR', 0x8000);
    each.set('VM_ENTRY_MSR_LOAD_COUNT', 2);
    each.set('VM_EXIT_MSR_STORE_ADDR', 0x9000);
    each.set('VM_EXIT_MSR_STORE_COUNT', 1);
    each.set('VM_EXIT_MSR_LOAD_ADDR', 0xa000);
    each.set('VM_EXIT_MSR_LOAD_COUNT', 1);
  });
  const { cpu } = bench;
  bench.run('vmlaunch');
  assert.deepEqual([cpu.u64(S.SYSENTER_CS), cpu.u64(S.LSTAR)], [0x11n, 0x22n]);
  cpu.setU64(S.LSTAR, 0x33n);
  cpu.intercepts.instruction(cpu, 'cpuid');
  assert.equal(cpu.memory.read64(0x9008), 0x33n);
  assert.equal(cpu.u64(S.LSTAR), 0x44n);
});

test('an MSR that cannot be loaded fails the entry with reason 34 and the number of its entry', () => {
  const refused: readonly (readonly [readonly [number, number, bigint], string])[] = [
    [[0x174, 1, 0n], 'msr_load.reserved'],
    [[0xc000_0100, 0, 0n], 'msr_load.segment_base'],
    [[0xc000_0101, 0, 0n], 'msr_load.segment_base'],
    [[0x802, 0, 0n], 'msr_load.x2apic'],
    [[0x9b, 0, 0n], 'msr_load.smm_monitor'],
    [[0x79, 0, 0n], 'msr_load.microcode'],
    [[0xc000_0082, 0, 0x8000_0000_0000n], 'msr_load.refused'],
    [[0x480, 0, 0n], 'msr_load.refused'],
  ];
  for (const [entry, rule] of refused) {
    const bench = ready((each) => {
      area(each, 0x8000, [[0x174, 0, 0x11n], entry]);
      each.set('VM_ENTRY_MSR_LOAD_ADDR', 0x8000);
      each.set('VM_ENTRY_MSR_LOAD_COUNT', 2);
    });
    bench.run('vmlaunch');
    assert.deepEqual(summary(bench), [
      ['check', 0, 255, rule, undefined],
      ['entry_failed', 0, 0, 0x8000_0022n, 2n],
    ]);
    assert.equal(bench.cpu.rip, 0xffff_8000_0000_1000n);
    assert.equal(bench.field('EXIT_QUALIFICATION'), 2n);
  }
});

test('an entry that fails on guest state loads the host and its MSRs, and saves nothing', () => {
  const bench = ready((each) => {
    each.set('GUEST_RFLAGS', 0);
    each.set('GUEST_TR_AR_BYTES', 0x89);
    each.set('VM_ENTRY_INTR_INFO_FIELD', 0x8000_0306);
    area(each, 0x9000, [[0xc000_0082, 0, 0n]]);
    area(each, 0xa000, [[0xc000_0082, 0, 0x44n]]);
    each.set('VM_EXIT_MSR_STORE_ADDR', 0x9000);
    each.set('VM_EXIT_MSR_STORE_COUNT', 1);
    each.set('VM_EXIT_MSR_LOAD_ADDR', 0xa000);
    each.set('VM_EXIT_MSR_LOAD_COUNT', 1);
    each.set('VM_EXIT_INTR_INFO', 0x77);
  });
  const { cpu } = bench;
  const tick = cpu.tick;
  cpu.setU64(S.LSTAR, 0x33n);
  assert.equal(bench.run('vmlaunch'), OUTCOME.switched);
  assert.equal(cpu.nonRoot, false);
  assert.equal(cpu.level, 0);
  assert.equal(cpu.tick - tick, 1);
  assert.equal(cpu.rip, 0xffff_8000_0000_1000n);
  assert.equal(cpu.u64(S.LSTAR), 0x44n);
  assert.equal(cpu.memory.read64(0x9008), 0n);
  assert.equal(bench.field('GUEST_RFLAGS'), 0n);
  assert.equal(bench.field('VM_ENTRY_INTR_INFO_FIELD'), 0x8000_0306n);
  assert.equal(bench.field('VM_EXIT_INTR_INFO'), 0x77n);
  assert.deepEqual(summary(bench), [
    ['check', 0, 255, 'guest.tr.type', undefined],
    ['check', 0, 255, 'guest.rflags.bit1', undefined],
    ['entry_failed', 0, 0, 0x8000_0021n, 0n],
  ]);
});

test('violated controls and host state leave the processor where it is', () => {
  const bench = ready((each) => {
    each.set('HOST_TR_SELECTOR', 0);
    each.set('GUEST_RFLAGS', 0);
  });
  assert.equal(bench.run('vmlaunch'), OUTCOME.next);
  assert.deepEqual(summary(bench), [
    ['check', 0, 255, 'host.tr.null', undefined],
    ['vmfail', 0, 255, 8n, undefined],
  ]);
  assert.equal(bench.cpu.rip, 0x1234n);
});

/** An IDT of 64-bit interrupt gates to 0x6000 + 16 * vector, and a GDT for them. */
function tables(bench: Bench): void {
  const { view } = bench.cpu.memory;
  for (let vector = 0; vector < 64; vector++) {
    const handler = 0x6000 + 16 * vector;
    view.setUint32(0xb000 + 16 * vector, (8 << 16) | (handler & 0xffff), true);
    view.setUint32(0xb004 + 16 * vector, 0x8e00, true);
  }
  view.setBigUint64(0xc008, 0x00af_9b00_0000_ffffn, true);
  view.setBigUint64(0xc010, 0x00cf_9300_0000_ffffn, true);
  bench.set('GUEST_IDTR_BASE', 0xb000);
  bench.set('GUEST_IDTR_LIMIT', 64 * 16 - 1);
  bench.set('GUEST_GDTR_BASE', 0xc000);
  bench.set('GUEST_GDTR_LIMIT', 0x1f);
}

test('an injected event is delivered before the first instruction of the guest', () => {
  const injected: readonly (readonly [number, number, number, bigint, bigint | null])[] = [
    // Information, error code, length; the pushed RIP, and the pushed error code.
    [0x8000_0030, 0, 0, 0x40_0000n, null],
    [0x8000_0202, 0, 0, 0x40_0000n, null],
    [0x8000_0b0d, 0x18, 0, 0x40_0000n, 0x18n],
    [0x8000_0420, 0, 2, 0x40_0002n, null],
    [0x8000_0603, 0, 1, 0x40_0001n, null],
  ];
  for (const [info, error, length, rip, code] of injected) {
    const bench = ready((each) => {
      tables(each);
      each.set('GUEST_RFLAGS', 0x202n);
      each.set('GUEST_ACTIVITY_STATE', (info & 0x700) === 0 ? 1 : 0);
      each.set('VM_ENTRY_INTR_INFO_FIELD', info);
      each.set('VM_ENTRY_EXCEPTION_ERROR_CODE', error);
      each.set('VM_ENTRY_INSTRUCTION_LEN', length);
    });
    const { cpu } = bench;
    bench.run('vmlaunch');
    assert.ok(cpu.nonRoot, info.toString(16));
    assert.equal(cpu.rip, 0x6000n + 16n * BigInt(info & 0xff));
    assert.equal(cpu.u32(S.ACTIVITY), 0);
    assert.equal(cpu.u32(S.INTERRUPTIBILITY), (info & 0x700) === 0x200 ? 8 : 0);
    const stack = Number(cpu.rsp);
    if (code !== null) assert.equal(cpu.memory.read64(stack), code);
    assert.equal(cpu.memory.read64(stack + (code === null ? 0 : 8)), rip);
    const [event] = bench.told;
    assert.deepEqual([event?.kind, event?.fields.intr_info], ['entry', BigInt(info)]);
    assert.equal(bench.told.length, 1);
  }
});

test('after an exit the event counts as delivered', () => {
  const bench = ready((each) => {
    tables(each);
    each.set('VM_ENTRY_INTR_INFO_FIELD', 0x8000_0306);
  });
  bench.run('vmlaunch');
  bench.cpu.intercepts.instruction(bench.cpu, 'cpuid');
  assert.equal(bench.field('VM_ENTRY_INTR_INFO_FIELD'), 0x306n);
  assert.equal(bench.field('IDT_VECTORING_INFO_FIELD'), 0n);
});

test('the bitmap does not stop an injected exception, but the one that its delivery raises', () => {
  const bench = ready((each) => {
    tables(each);
    each.set('GUEST_IDTR_LIMIT', 0x10);
    each.set('EXCEPTION_BITMAP', (1 << 13) | (1 << 6));
    each.set('VM_ENTRY_INTR_INFO_FIELD', 0x8000_0306);
  });
  bench.run('vmlaunch');
  assert.equal(bench.cpu.nonRoot, false);
  assert.equal(bench.field('VM_EXIT_REASON'), 0n);
  assert.equal(bench.field('VM_EXIT_INTR_INFO'), 0x8000_0b0dn);
  // Vector 6 of the IDT, external: 6 * 8 + 2 + 1.
  assert.equal(bench.field('VM_EXIT_INTR_ERROR_CODE'), 0x33n);
  assert.equal(bench.field('IDT_VECTORING_INFO_FIELD'), 0x8000_0306n);
});

test('privilege level and mode come from the guest', () => {
  const user = ready((bench) => {
    bench.set('GUEST_SS_SELECTOR', 0x23);
    bench.set('GUEST_SS_AR_BYTES', 0xc0f3);
    bench.set('GUEST_CS_SELECTOR', 0x1b);
    bench.set('GUEST_CS_AR_BYTES', 0xa0fb);
  });
  user.run('vmlaunch');
  assert.equal(user.cpu.cpl, 3);
  const real = ready((bench) => {
    bench.or('SECONDARY_VM_EXEC_CONTROL', SECONDARY.ept | SECONDARY.unrestricted);
    bench.set('EPT_POINTER', 0x501e);
    bench.set('VM_ENTRY_CONTROLS', bench.field('VM_ENTRY_CONTROLS') & ~BigInt(ENTRY.ia32e));
    bench.set('GUEST_CR0', 0x30n);
    bench.set('GUEST_CS_AR_BYTES', 0x9b);
    bench.set('GUEST_CS_LIMIT', 0xffff);
  });
  real.run('vmlaunch');
  assert.ok(real.cpu.nonRoot);
  assert.equal(real.cpu.protectedMode, false);
  assert.equal(real.cpu.longMode, false);
  assert.equal(real.cpu.u64(S.EPTP), 0x501en);
  real.cpu.intercepts.instruction(real.cpu, 'cpuid');
  assert.ok(real.cpu.mode64);
  assert.equal(real.cpu.u64(S.CR0), 0x8000_0031n);
  assert.equal(real.field('GUEST_CR0'), 0x30n);
  assert.equal(real.cpu.u64(S.EPTP), 0n);
});

test('VMX aborts shut the processor down and leave their indicator', () => {
  const bench = ready((each) => {
    area(each, 0xa000, [[0xc000_0100, 0, 0n]]);
    each.set('VM_EXIT_MSR_LOAD_ADDR', 0xa000);
    each.set('VM_EXIT_MSR_LOAD_COUNT', 1);
  });
  bench.run('vmlaunch');
  bench.cpu.intercepts.instruction(bench.cpu, 'cpuid');
  assert.equal(bench.cpu.memory.read(PLACES.vmcs + REGION.abort, 4), 4);
  assert.equal(bench.cpu.u32(S.ACTIVITY), 2);
  assert.equal(bench.cpu.u64(GPR.RAX), 0n);
  assert.equal(bench.cpu.u32(segRights(SEG.CS)), 0xa09b);
});
