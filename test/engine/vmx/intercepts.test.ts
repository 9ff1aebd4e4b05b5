/** What makes a guest exit, and what the exit then says of it. Vol. 3C, "VMX Non-Root Operation". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CpuFault } from '../../../engine/cpu/fault.js';
import type { Intercepted } from '../../../engine/cpu/intercepts.js';
import { GPR, S } from '../../../engine/cpu/layout.js';
import { EXIT, PIN, PRIMARY, SECONDARY } from '../../../engine/vmx/controls.js';
import { nextDeadline } from '../../../engine/vmx/timer.js';
import { type Bench, exitOf, guest } from './bench.js';

const primary =
  (bits: number) =>
  (bench: Bench): void =>
    bench.or('CPU_BASED_VM_EXEC_CONTROL', bits);
const secondary =
  (bits: number) =>
  (bench: Bench): void =>
    bench.or('SECONDARY_VM_EXEC_CONTROL', bits);

test('instructions exit always, by a control, or never', () => {
  const always: readonly (readonly [Intercepted, number])[] = [
    ['cpuid', 10],
    ['getsec', 11],
    ['invd', 13],
    ['vmcall', 18],
    ['vmclear', 19],
    ['vmlaunch', 20],
    ['vmptrld', 21],
    ['vmptrst', 22],
    ['vmread', 23],
    ['vmresume', 24],
    ['vmwrite', 25],
    ['vmxoff', 26],
    ['vmxon', 27],
    ['invept', 50],
    ['invvpid', 53],
    ['xsetbv', 55],
    ['task_switch', 9],
  ];
  for (const [name, reason] of always) {
    const bench = guest();
    assert.ok(bench.cpu.intercepts.instruction(bench.cpu, name), name);
    assert.deepEqual(exitOf(bench), [reason, 0n]);
  }
  const controlled: readonly (readonly [Intercepted, number, number, number])[] = [
    ['hlt', 12, PRIMARY.hlt, 0],
    ['invlpg', 14, PRIMARY.invlpg, 0],
    ['rdpmc', 15, PRIMARY.rdpmc, 0],
    ['rdtsc', 16, PRIMARY.rdtsc, 0],
    ['mwait', 36, PRIMARY.mwait, 0],
    ['monitor', 39, PRIMARY.monitor, 0],
    ['pause', 40, PRIMARY.pause, 0],
    ['sgdt', 46, 0, SECONDARY.descriptorTable],
    ['lidt', 46, 0, SECONDARY.descriptorTable],
    ['str', 47, 0, SECONDARY.descriptorTable],
    ['lldt', 47, 0, SECONDARY.descriptorTable],
    ['wbinvd', 54, 0, SECONDARY.wbinvd],
    ['rdrand', 57, 0, SECONDARY.rdrand],
    ['rdseed', 61, 0, SECONDARY.rdseed],
  ];
  for (const [name, reason, first, second] of controlled) {
    const free = guest();
    assert.equal(free.cpu.intercepts.instruction(free.cpu, name), false, name);
    const bench = guest((each) => {
      primary(first)(each);
      secondary(second)(each);
    });
    assert.ok(bench.cpu.intercepts.instruction(bench.cpu, name, 0x1234n), name);
    assert.deepEqual(exitOf(bench), [reason, 0x1234n]);
  }
});

test('RDTSCP and INVPCID are #UD without their enabling control, and then follow RDTSC and INVLPG exiting', () => {
  const cases: readonly (readonly [Intercepted, number, number, number])[] = [
    ['rdtscp', SECONDARY.rdtscp, PRIMARY.rdtsc, 51],
    ['invpcid', SECONDARY.invpcid, PRIMARY.invlpg, 58],
  ];
  for (const [name, enable, exiting, reason] of cases) {
    const without = guest(primary(exiting));
    assert.throws(() => without.cpu.intercepts.instruction(without.cpu, name), CpuFault);
    const enabled = guest(secondary(enable));
    assert.equal(enabled.cpu.intercepts.instruction(enabled.cpu, name), false);
    const bench = guest((each) => {
      secondary(enable)(each);
      primary(exiting)(each);
    });
    assert.ok(bench.cpu.intercepts.instruction(bench.cpu, name));
    assert.equal(exitOf(bench)?.[0], reason);
  }
});

test('I/O exits by bitmap or unconditionally, with the facts of the access', () => {
  const out = { port: 0x80, size: 1, input: false, string: false, rep: false, immediate: true } as const;
  const bitmaps = (bench: Bench): void => {
    primary(PRIMARY.ioBitmaps)(bench);
    bench.set('IO_BITMAP_A', 0x8000);
    bench.set('IO_BITMAP_B', 0x9000);
    bench.cpu.memory.view.setUint8(0x8000 + 0x80 / 8, 1);
    bench.cpu.memory.view.setUint8(0x9000 + 0xfff, 0x80);
  };
  const tried: readonly (readonly [Partial<typeof out> | object, [number, bigint] | null])[] = [
    [{}, [30, 0x80_0040n]],
    [{ port: 0x81 }, null],
    [{ port: 0x7f, size: 2, immediate: false, input: true }, [30, 0x7f_0009n]],
    [{ port: 0x7d, size: 4 }, [30, 0x7d_0043n]],
    [{ port: 0x7c, size: 4 }, null],
    [{ port: 0xffff, immediate: false }, [30, 0xffff_0000n]],
    [{ port: 0xfffe, immediate: false }, null],
    // Wraps around the end of the port space.
    [{ port: 0xfffe, size: 4, immediate: false }, [30, 0xfffe_0003n]],
    [{ string: true, rep: true, immediate: false, input: true }, [30, 0x80_0038n]],
  ];
  for (const [change, expected] of tried) {
    const bench = guest(bitmaps);
    assert.equal(bench.cpu.intercepts.io(bench.cpu, { ...out, ...change }), expected !== null, JSON.stringify(change));
    assert.deepEqual(exitOf(bench), expected, JSON.stringify(change));
  }
  const free = guest();
  assert.equal(free.cpu.intercepts.io(free.cpu, out), false);
  const every = guest(primary(PRIMARY.unconditionalIo));
  every.cpu.setU64(GPR.RAX, 0x1234n);
  assert.ok(every.cpu.intercepts.io(every.cpu, out));
  const { fields } = every.told[0] ?? assert.fail();
  assert.deepEqual([fields.code, fields.value, fields.size, fields.flags], [0x80n, 0x34n, 1n, 1n]);
});

test('MSR accesses exit by bitmap; without bitmaps, and outside their ranges, always', () => {
  const bit = (bench: Bench, byte: number, msr: number): void =>
    bench.cpu.memory.view.setUint8(0x8000 + byte + ((msr & 0x1fff) >> 3), 1 << (msr & 7));
  const bitmaps = (bench: Bench): void => {
    primary(PRIMARY.msrBitmaps)(bench);
    bench.set('MSR_BITMAP', 0x8000);
    bit(bench, 0, 0x174);
    bit(bench, 1024, 0xc000_0082);
    bit(bench, 2048, 0x1fff);
    bit(bench, 3072, 0xc000_1fff);
  };
  const reads: readonly (readonly [number, boolean])[] = [
    [0x174, true],
    [0x175, false],
    [0x1fff, false],
    [0x2000, true],
    [0xc000_0082, true],
    [0xc000_0081, false],
    [0xc000_2000, true],
    [0x4000_0000, true],
  ];
  for (const [msr, exits] of reads) {
    const bench = guest(bitmaps);
    assert.equal(bench.cpu.intercepts.readMsr(bench.cpu, msr), exits, msr.toString(16));
    assert.deepEqual(exitOf(bench), exits ? [31, 0n] : null);
  }
  for (const [msr, exits] of [
    [0x174, false],
    [0x1fff, true],
    [0xc000_1fff, true],
    [0xc000_0082, false],
  ] as const) {
    const bench = guest(bitmaps);
    bench.cpu.setU64(GPR.RAX, 0x1111n);
    bench.cpu.setU64(GPR.RDX, 0x2222n);
    assert.equal(bench.cpu.intercepts.writeMsr(bench.cpu, msr), exits, msr.toString(16));
    assert.deepEqual(exitOf(bench), exits ? [32, 0n] : null);
    if (exits) {
      assert.equal(bench.told[0]?.fields.value, 0x2222_0000_1111n);
      assert.equal(bench.told[0]?.fields.code, BigInt(msr));
    }
  }
  const without = guest();
  assert.ok(without.cpu.intercepts.readMsr(without.cpu, 0x175));
});

test('CR0 and CR4: masks decide who owns a bit, shadows what the guest sees', () => {
  const owned = (bench: Bench): void => {
    bench.set('CR0_GUEST_HOST_MASK', 0x1_0028n);
    bench.set('CR0_READ_SHADOW', 0x8n);
    bench.set('CR4_GUEST_HOST_MASK', 0x2000n);
  };
  const same = guest(owned);
  assert.equal(same.cpu.intercepts.readCr(same.cpu, 0, 0), 0x8000_0019n);
  assert.equal(same.cpu.intercepts.readCr(same.cpu, 4, 0), 0x20n);
  // Bits of the guest change, bits of the host keep their real values.
  assert.equal(same.cpu.intercepts.writeCr(same.cpu, 0, 0x8000_001bn, 3), 0x8000_0033n);
  assert.equal(same.cpu.intercepts.writeCr(same.cpu, 4, 0x2a0n, 3), 0x22a0n);
  const differs = guest(owned);
  assert.equal(differs.cpu.intercepts.writeCr(differs.cpu, 0, 0x8000_0011n, 3), null);
  assert.deepEqual(exitOf(differs), [28, 0x300n]);
  const cr4 = guest(owned);
  assert.equal(cr4.cpu.intercepts.writeCr(cr4.cpu, 4, 0x2020n, 15), null);
  assert.deepEqual(exitOf(cr4), [28, 0xf04n]);
  const restricted = guest();
  assert.throws(() => restricted.cpu.intercepts.writeCr(restricted.cpu, 0, 0x31n, 0), CpuFault);
});

test('CR3 and CR8: load and store exiting, CR3 targets, TPR shadow', () => {
  const targets = guest((bench) => {
    primary(PRIMARY.cr3Load)(bench);
    bench.set('CR3_TARGET_COUNT', 2);
    bench.set('CR3_TARGET_VALUE1', 0x9000n);
    bench.set('CR3_TARGET_VALUE2', 0xa000n);
  });
  const { cpu } = targets;
  assert.equal(cpu.intercepts.writeCr(cpu, 3, 0x9000n, 0), 0x9000n);
  assert.equal(cpu.intercepts.writeCr(cpu, 3, 0xa000n, 5), null);
  assert.deepEqual(exitOf(targets), [28, 0x503n]);
  const store = guest(primary(PRIMARY.cr3Store | PRIMARY.cr8Store));
  assert.equal(store.cpu.intercepts.readCr(store.cpu, 3, 2), null);
  assert.deepEqual(exitOf(store), [28, 0x213n]);
  const cr8 = guest(primary(PRIMARY.cr8Load));
  assert.equal(cr8.cpu.intercepts.writeCr(cr8.cpu, 8, 3n, 1), null);
  assert.deepEqual(exitOf(cr8), [28, 0x108n]);
  const shadow = guest((bench) => {
    primary(PRIMARY.tprShadow)(bench);
    bench.set('VIRTUAL_APIC_PAGE_ADDR', 0x8000);
    bench.cpu.memory.view.setUint32(0x8080, 0x50, true);
    bench.set('TPR_THRESHOLD', 4);
  });
  shadow.cpu.setU64(S.CR8, 9n);
  assert.equal(shadow.cpu.intercepts.readCr(shadow.cpu, 8, 0), 5n);
  assert.equal(shadow.cpu.intercepts.writeCr(shadow.cpu, 8, 4n, 0), 9n);
  assert.equal(shadow.cpu.memory.read(0x8080, 4), 0x40);
  assert.throws(() => shadow.cpu.intercepts.writeCr(shadow.cpu, 8, 16n, 0), CpuFault);
  assert.equal(shadow.cpu.intercepts.writeCr(shadow.cpu, 8, 3n, 0), null);
  assert.deepEqual(exitOf(shadow), [43, 0n]);
  assert.equal(shadow.field('GUEST_RIP'), 0x40_0003n);
});

test('CLTS and LMSW follow mask and shadow of their bits', () => {
  const clts = (mask: bigint, shadow: bigint): boolean | 'keep' => {
    const bench = guest((each) => {
      each.set('CR0_GUEST_HOST_MASK', mask);
      each.set('CR0_READ_SHADOW', shadow);
    });
    const verdict = bench.cpu.intercepts.clts(bench.cpu);
    if (verdict === true) assert.deepEqual(exitOf(bench), [28, 0x20n]);
    return verdict;
  };
  assert.equal(clts(0n, 8n), false);
  assert.equal(clts(8n, 0n), 'keep');
  assert.equal(clts(8n, 8n), true);
  const lmsw = (mask: bigint, shadow: bigint, source: number, operand: bigint | null): [bigint | null, Bench] => {
    const bench = guest((each) => {
      each.set('CR0_GUEST_HOST_MASK', mask);
      each.set('CR0_READ_SHADOW', shadow);
    });
    return [bench.cpu.intercepts.lmsw(bench.cpu, source, operand), bench];
  };
  assert.equal(lmsw(0n, 0n, 0xe, null)[0], 0x8000_003fn);
  // PE is owned by the host and clear in the source: LMSW cannot clear it, so there is no exit.
  assert.equal(lmsw(1n, 1n, 0, null)[0], 0x8000_0031n);
  const [value, bench] = lmsw(2n, 0n, 0xabc2, 0x1234n);
  assert.equal(value, null);
  assert.deepEqual(exitOf(bench), [28, 0xabc2_0070n]);
  assert.equal(bench.field('GUEST_LINEAR_ADDRESS'), 0x1234n);
});

test('MOV DR exits with register and direction', () => {
  const bench = guest(primary(PRIMARY.movDr));
  assert.ok(bench.cpu.intercepts.movDr(bench.cpu, 7, false, 9));
  assert.deepEqual(exitOf(bench), [29, 0x917n]);
  const free = guest();
  assert.equal(free.cpu.intercepts.movDr(free.cpu, 7, true, 0), false);
});

test('the exception bitmap selects exceptions; page faults also by error code', () => {
  const selected = (bitmap: number, mask = 0, match = 0) =>
    guest((bench) => {
      bench.set('EXCEPTION_BITMAP', bitmap);
      bench.set('PAGE_FAULT_ERROR_CODE_MASK', mask);
      bench.set('PAGE_FAULT_ERROR_CODE_MATCH', match);
    });
  const ud = selected(1 << 6);
  assert.ok(ud.cpu.intercepts.exception(ud.cpu, 6, null, 0n, false));
  assert.deepEqual(exitOf(ud), [0, 0n]);
  assert.equal(ud.field('VM_EXIT_INTR_INFO'), 0x8000_0306n);
  assert.equal(ud.field('GUEST_RFLAGS'), 0x1_0002n);
  const gp = selected(1 << 13);
  assert.ok(gp.cpu.intercepts.exception(gp.cpu, 13, 0x18, 0n, false));
  assert.equal(gp.field('VM_EXIT_INTR_INFO'), 0x8000_0b0dn);
  assert.equal(gp.field('VM_EXIT_INTR_ERROR_CODE'), 0x18n);
  const bp = selected(1 << 3);
  assert.ok(bp.cpu.intercepts.exception(bp.cpu, 3, null, 0n, true));
  assert.equal(bp.field('VM_EXIT_INTR_INFO'), 0x8000_0603n);
  assert.equal(bp.field('GUEST_RFLAGS'), 2n);
  const icebp = selected(1 << 1);
  assert.ok(icebp.cpu.intercepts.exception(icebp.cpu, 1, null, 0n, true));
  assert.equal(icebp.field('VM_EXIT_INTR_INFO'), 0x8000_0501n);
  // Bit 14 set: exit where (code & mask) == match; clear: where it is not.
  const pageFaults: readonly (readonly [number, number, number, number, boolean])[] = [
    [1 << 14, 0, 0, 6, true],
    [1 << 14, 4, 4, 6, true],
    [1 << 14, 4, 4, 2, false],
    [0, 0, 0, 6, false],
    [0, 4, 4, 2, true],
    [0, 0, 1, 0, true],
  ];
  for (const [bitmap, mask, match, code, exits] of pageFaults) {
    const bench = selected(bitmap, mask, match);
    assert.equal(bench.cpu.intercepts.exception(bench.cpu, 14, code, 0xdead_0000n, false), exits);
    if (exits) assert.deepEqual(exitOf(bench), [0, 0xdead_0000n]);
  }
});

test('external interrupts exit with or without acknowledgement; NMIs block the host', () => {
  const plain = guest((bench) => bench.or('PIN_BASED_VM_EXEC_CONTROL', PIN.externalInterrupt));
  assert.ok(plain.cpu.intercepts.interruptsIgnoreFlag(plain.cpu));
  assert.ok(plain.cpu.intercepts.externalInterrupt(plain.cpu, () => assert.fail('acknowledged')));
  assert.deepEqual(exitOf(plain), [1, 0n]);
  assert.equal(plain.field('VM_EXIT_INTR_INFO'), 0n);
  const acknowledged = guest((bench) => {
    bench.or('PIN_BASED_VM_EXEC_CONTROL', PIN.externalInterrupt);
    bench.or('VM_EXIT_CONTROLS', EXIT.acknowledge);
  });
  assert.ok(acknowledged.cpu.intercepts.externalInterrupt(acknowledged.cpu, () => 0x31));
  assert.equal(acknowledged.field('VM_EXIT_INTR_INFO'), 0x8000_0031n);
  const free = guest();
  assert.equal(
    free.cpu.intercepts.externalInterrupt(free.cpu, () => assert.fail('acknowledged')),
    false,
  );
  assert.equal(free.cpu.intercepts.interruptsIgnoreFlag(free.cpu), false);
  const nmi = guest((bench) => bench.or('PIN_BASED_VM_EXEC_CONTROL', PIN.nmi));
  assert.ok(nmi.cpu.intercepts.nmi(nmi.cpu));
  assert.equal(nmi.field('VM_EXIT_INTR_INFO'), 0x8000_0202n);
  assert.equal(nmi.cpu.u32(S.INTERRUPTIBILITY), 8);
  assert.ok(guest().cpu.intercepts.nmi(free.cpu) === false);
});

test('windows open when nothing blocks, and the timer expires at its tick', () => {
  const interrupt = guest((bench) => {
    primary(PRIMARY.interruptWindow)(bench);
    bench.set('GUEST_RFLAGS', 0x202n);
    bench.set('GUEST_INTERRUPTIBILITY_INFO', 1);
  });
  assert.equal(interrupt.cpu.intercepts.window(interrupt.cpu), false);
  interrupt.cpu.setU32(S.INTERRUPTIBILITY, 0);
  interrupt.cpu.rflags = 2;
  assert.equal(interrupt.cpu.intercepts.window(interrupt.cpu), false);
  interrupt.cpu.rflags = 0x202;
  assert.ok(interrupt.cpu.intercepts.window(interrupt.cpu));
  assert.deepEqual(exitOf(interrupt), [7, 0n]);
  const nmi = guest((bench) => {
    bench.or('PIN_BASED_VM_EXEC_CONTROL', PIN.nmi | PIN.virtualNmis);
    primary(PRIMARY.nmiWindow)(bench);
    bench.set('GUEST_INTERRUPTIBILITY_INFO', 8);
  });
  assert.equal(nmi.cpu.intercepts.window(nmi.cpu), false);
  nmi.cpu.setU32(S.INTERRUPTIBILITY, 0);
  assert.ok(nmi.cpu.intercepts.window(nmi.cpu));
  assert.deepEqual(exitOf(nmi), [8, 0n]);
  const timer = guest((bench) => {
    bench.or('PIN_BASED_VM_EXEC_CONTROL', PIN.timer);
    bench.or('VM_EXIT_CONTROLS', EXIT.saveTimer);
    bench.set('VMX_PREEMPTION_TIMER_VALUE', 10);
    bench.cpu.setNumber(S.TICK, 1000);
  });
  // The timer counts at 1/32 of the TSC: 1001 / 32 is 31, and 41 is reached at tick 1312.
  assert.equal(nextDeadline(timer.cpu), 1312);
  timer.cpu.setNumber(S.TICK, 1311);
  assert.equal(timer.cpu.intercepts.window(timer.cpu), false);
  timer.cpu.setNumber(S.TICK, 1312);
  assert.ok(timer.cpu.intercepts.window(timer.cpu));
  assert.deepEqual(exitOf(timer), [52, 0n]);
  assert.equal(timer.field('VMX_PREEMPTION_TIMER_VALUE'), 0n);
  assert.equal(nextDeadline(timer.cpu), Number.POSITIVE_INFINITY);
  // Nothing but a SIPI ends that wait.
  const waiting = guest((bench) => {
    bench.or('PIN_BASED_VM_EXEC_CONTROL', PIN.timer);
    bench.set('GUEST_ACTIVITY_STATE', 3);
  });
  assert.equal(waiting.cpu.intercepts.window(waiting.cpu), false);
  assert.equal(nextDeadline(waiting.cpu), Number.POSITIVE_INFINITY);
});
