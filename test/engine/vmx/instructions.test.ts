/** VMX instructions: faults in the manual's order, flags, error numbers and events. Vol. 3C, "VMX Instruction Reference". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FLAG } from '../../../engine/cpu/flags.js';
import { GPR, S, SEG, segRights } from '../../../engine/cpu/layout.js';
import { OUTCOME } from '../../../engine/cpu/outcome.js';
import { skylakeVmx } from '../../../engine/vmx/capabilities.js';
import { execute } from '../../../engine/vmx/execute.js';
import { F, FIELDS, fieldByEncoding, REGION } from '../../../engine/vmx/fields.js';
import { restoreVmx } from '../../../engine/vmx/restore.js';
import { Bench, modelWith, PLACES } from './bench.js';

const STATUS = FLAG.CF | FLAG.PF | FLAG.AF | FLAG.ZF | FLAG.SF | FLAG.OF;

/** How the last instruction ended: `ok`, `invalid`, or the VM-instruction error. */
function status(bench: Bench): string | number {
  const flags = bench.cpu.rflags & STATUS;
  if (flags === 0) return 'ok';
  if (flags === FLAG.CF) return 'invalid';
  assert.equal(flags, FLAG.ZF);
  return Number(bench.field('VM_INSTRUCTION_ERROR'));
}

const kinds = (bench: Bench): string[] => bench.told.map(({ kind }) => kind);

test('VMXON is #UD or #GP in the order of the manual, and needs a region with the revision', () => {
  const cases: readonly (readonly [string, (bench: Bench) => void])[] = [
    ['#6(0)', ({ cpu }) => cpu.setU64(S.CR4, 0x20n)],
    [
      '#6(0)',
      ({ cpu }) => {
        cpu.setU64(S.CR0, 0x30n);
        cpu.setU64(S.EFER, 0n);
      },
    ],
    [
      '#6(0)',
      ({ cpu }) => {
        cpu.rflags |= FLAG.VM;
        cpu.setU64(S.EFER, 0n);
      },
    ],
    ['#6(0)', ({ cpu }) => cpu.setU32(segRights(SEG.CS), 0xc09b)],
    ['#13(0)', ({ cpu }) => cpu.setU32(S.CPL, 3)],
    ['#13(0)', ({ cpu }) => cpu.setU64(S.CR0, 0x8000_0011n)],
    ['#13(0)', ({ cpu }) => cpu.setU64(S.CR4, 0x1_0000_2020n)],
    ['#13(0)', ({ cpu }) => cpu.setU64(S.FEATURE_CONTROL, 4n)],
    ['#13(0)', ({ cpu }) => cpu.setU64(S.FEATURE_CONTROL, 1n)],
    ['0', () => {}],
  ];
  for (const [expected, change] of cases) {
    const bench = new Bench();
    bench.cpu.memory.write(PLACES.vmxon, 4, 0x5452_4150);
    change(bench);
    bench.cpu.updateMode();
    assert.equal(
      bench.faultOf(() => bench.pointer('vmxon', BigInt(PLACES.vmxon))),
      expected,
      change.toString(),
    );
    assert.equal(bench.cpu.u32(S.VMX_ON), expected === '0' ? 1 : 0);
  }
  for (const [address, word] of [
    [0x1001n, 0x5452_4150],
    [0x80_0000_0000n, 0],
    [0x1000n, 0x5452_4151],
    [0x1000n, 0xd452_4150],
  ] as const) {
    const bench = new Bench();
    bench.cpu.memory.write(PLACES.vmxon, 4, word);
    bench.pointer('vmxon', address);
    assert.equal(status(bench), 'invalid');
    assert.equal(bench.cpu.u32(S.VMX_ON), 0);
    assert.deepEqual(kinds(bench), ['vmfail']);
  }
});

test('outside VMX operation and outside ring 0 the others fault', () => {
  const names = ['vmxoff', 'vmlaunch', 'vmresume', 'vmcall'];
  const memory = ['vmclear', 'vmptrld', 'vmptrst', 'vmread', 'vmwrite', 'invept', 'invvpid'];
  for (const name of [...names, ...memory]) {
    const at = memory.includes(name) ? { at: PLACES.pointer } : {};
    const off = new Bench();
    assert.equal(
      off.faultOf(() => off.run(name, at)),
      '#6(0)',
      name,
    );
    const user = new Bench().startVmx();
    user.cpu.setU32(S.CPL, 3);
    assert.equal(
      user.faultOf(() => user.run(name, at)),
      '#13(0)',
      name,
    );
  }
  const bench = new Bench().startVmx();
  assert.equal(
    bench.faultOf(() => bench.run('vmfunc')),
    '#6(0)',
  );
  assert.equal(
    bench.faultOf(() => bench.run('vmclear')),
    '#6(0)',
  );
});

test('VMCLEAR and VMPTRLD refuse bad pointers with their error numbers', () => {
  const cases: readonly (readonly [string, bigint, number])[] = [
    ['vmclear', 0x2001n, 2],
    ['vmclear', 0x80_0000_0000n, 2],
    ['vmclear', BigInt(PLACES.vmxon), 3],
    ['vmptrld', 0x2800n, 9],
    ['vmptrld', 0x1_0000_0000_0000n, 9],
    ['vmptrld', BigInt(PLACES.vmxon), 10],
    ['vmptrld', BigInt(PLACES.page), 11],
    // A page-aligned address where there is no RAM holds no revision identifier.
    ['vmptrld', 0x10_0000_0000n, 11],
  ];
  for (const [name, pointer, error] of cases) {
    const bench = new Bench().startVmx();
    bench.pointer(name, pointer);
    assert.equal(status(bench), error, `${name} ${pointer}`);
    assert.equal(bench.cpu.u64(S.VMCS_POINTER), BigInt(PLACES.vmcs));
  }
  const bench = new Bench().startVmx();
  bench.pointer('vmclear', BigInt(PLACES.vmcs));
  assert.equal(status(bench), 'ok');
  assert.equal(bench.cpu.u64(S.VMCS_POINTER), 0xffff_ffff_ffff_ffffn);
  bench.pointer('vmclear', 0x2001n);
  assert.equal(status(bench), 'invalid');
});

test('without a current VMCS the others answer VMfailInvalid', () => {
  const bench = new Bench().startVmx();
  bench.pointer('vmclear', BigInt(PLACES.vmcs));
  for (const name of ['vmread', 'vmwrite', 'vmlaunch', 'vmresume', 'vmcall']) {
    bench.cpu.rflags = 2 | STATUS;
    assert.equal(bench.run(name, { dst: GPR.RAX, src: GPR.RCX }), OUTCOME.next);
    assert.equal(status(bench), 'invalid', name);
  }
  bench.run('vmptrst', { at: PLACES.pointer });
  assert.equal(bench.cpu.memory.read64(PLACES.pointer), 0xffff_ffff_ffff_ffffn);
});

test('VMREAD and VMWRITE reach every field that the model has, at its width', () => {
  const bench = new Bench().startVmx();
  const { cpu } = bench;
  const value = 0xf123_4567_89ab_cdefn;
  for (const { name, encoding, bytes, type, needs } of FIELDS) {
    cpu.setU64(GPR.RDX, BigInt(encoding));
    cpu.setU64(GPR.RAX, value);
    bench.run('vmwrite', { dst: GPR.RDX, src: GPR.RAX });
    const missing = status(bench) === 12;
    if (needs.length === 0) assert.ok(!missing, name);
    if (missing) continue;
    assert.equal(status(bench), type === 'data' ? 13 : 'ok', name);
    bench.run('vmread', { dst: GPR.RBX, src: GPR.RDX });
    assert.equal(cpu.u64(GPR.RBX), type === 'data' ? bench.field(name) : BigInt.asUintN(8 * bytes, value), name);
  }
});

test('the high half of a 64-bit field has an encoding of its own; others have none', () => {
  const bench = new Bench().startVmx();
  const { cpu } = bench;
  const write = (encoding: bigint, value: bigint): string | number => {
    cpu.setU64(GPR.RDX, encoding);
    cpu.setU64(GPR.RAX, value);
    bench.run('vmwrite', { dst: GPR.RDX, src: GPR.RAX });
    return status(bench);
  };
  assert.equal(write(0x2010n, 0x1111_2222_3333_4444n), 'ok');
  assert.equal(write(0x2011n, 0xffff_ffff_5555_6666n), 'ok');
  assert.equal(bench.field('TSC_OFFSET'), 0x5555_6666_3333_4444n);
  cpu.setU64(GPR.RDX, 0x2011n);
  bench.run('vmread', { dst: GPR.RBX, src: GPR.RDX });
  assert.equal(cpu.u64(GPR.RBX), 0x5555_6666n);
  for (const encoding of [0x6801n, 0x4001n, 0x0801n, 0x2046n, 0x7000n, 0x1_0000_6800n, 0xffff_ffffn]) {
    assert.equal(write(encoding, 0n), 12, encoding.toString(16));
  }
});

test('outside 64-bit mode VMREAD and VMWRITE move 32 bits', () => {
  const bench = new Bench().startVmx();
  const { cpu } = bench;
  bench.set('GUEST_RIP', 0x1111_2222_3333_4444n);
  cpu.setU64(S.EFER, 0n);
  cpu.setU32(segRights(SEG.CS), 0xc09b);
  cpu.updateMode();
  cpu.setU64(GPR.RDX, 0xffff_ffff_0000_681en);
  bench.run('vmread', { dst: GPR.RBX, src: GPR.RDX, size: 4 });
  assert.equal(cpu.u64(GPR.RBX), 0x3333_4444n);
  cpu.setU64(GPR.RAX, 0xaaaa_bbbb_cccc_ddddn);
  bench.run('vmwrite', { dst: GPR.RDX, src: GPR.RAX, size: 4 });
  assert.equal(bench.field('GUEST_RIP'), 0xcccc_ddddn);
  bench.run('vmread', { at: PLACES.page, src: GPR.RDX, size: 4 });
  assert.equal(cpu.memory.read64(PLACES.page), 0xcccc_ddddn);
});

test('VMWRITE tells field, value before and after; VMREAD tells the value', () => {
  const bench = new Bench().startVmx();
  bench.told.length = 0;
  bench.cpu.setU64(GPR.RDX, 0x4016n);
  for (const value of [0x8000_0306n, 5n]) {
    bench.cpu.setU64(GPR.RAX, value);
    bench.run('vmwrite', { dst: GPR.RDX, src: GPR.RAX });
  }
  bench.run('vmread', { dst: GPR.RAX, src: GPR.RDX });
  assert.deepEqual(
    bench.told.map(({ kind, fields: { code, old, value } }) => [kind, code, old, value]),
    [
      ['vmwrite', 0x4016n, 0n, 0x8000_0306n],
      ['vmwrite', 0x4016n, 0x8000_0306n, 5n],
      ['vmread', 0x4016n, undefined, 5n],
    ],
  );
});

test('basic checks of VMLAUNCH and VMRESUME: MOV SS, launch state, shadow VMCS', () => {
  const bench = new Bench().startVmx().fill();
  bench.run('vmresume');
  assert.equal(status(bench), 5);
  bench.cpu.setU32(S.INTERRUPTIBILITY, 2);
  bench.run('vmresume');
  assert.equal(status(bench), 26);
  bench.cpu.setU32(S.INTERRUPTIBILITY, 0);
  bench.cpu.memory.view.setUint32(PLACES.vmcs + REGION.launched, 1, true);
  bench.run('vmlaunch');
  assert.equal(status(bench), 4);
  bench.cpu.memory.view.setUint32(PLACES.vmcs, 0xd452_4150, true);
  bench.run('vmresume');
  assert.equal(bench.cpu.rflags & STATUS, FLAG.CF);
});

test('VMXON in root operation and VMCALL fail with 15 and 1; VMXOFF ends VMX operation', () => {
  const bench = new Bench().startVmx();
  bench.pointer('vmxon', BigInt(PLACES.vmxon));
  assert.equal(status(bench), 15);
  bench.run('vmcall');
  assert.equal(status(bench), 1);
  bench.run('vmxoff');
  assert.equal(bench.cpu.rflags & STATUS, 0);
  assert.equal(bench.cpu.u32(S.VMX_ON), 0);
  assert.equal(
    bench.faultOf(() => bench.run('vmxoff')),
    '#6(0)',
  );
});

test('INVEPT and INVVPID invalidate what their descriptor names, or fail with 28', () => {
  const run = (name: string, type: bigint, first: bigint, second = 0n): [string | number, string | undefined] => {
    const bench = new Bench().startVmx();
    bench.cpu.memory.write64(PLACES.page, first);
    bench.cpu.memory.write64(PLACES.page + 8, second);
    bench.cpu.setU64(GPR.RAX, type);
    bench.calls.length = 0;
    bench.run(name, { at: PLACES.page, dst: GPR.RAX });
    return [status(bench), bench.calls[0]];
  };
  assert.deepEqual(run('invept', 1n, 0x501en), ['ok', `ept ${0x501e}`]);
  assert.deepEqual(run('invept', 2n, 0n), ['ok', 'ept null']);
  assert.deepEqual(run('invvpid', 0n, 7n, 0x1234n), ['ok', 'vpid 7']);
  assert.deepEqual(run('invvpid', 1n, 7n), ['ok', 'vpid 7']);
  assert.deepEqual(run('invvpid', 2n, 0n), ['ok', 'vpid null']);
  assert.deepEqual(run('invvpid', 3n, 7n), ['ok', 'vpid 7']);
  const refused: readonly (readonly [string, bigint, bigint, bigint])[] = [
    ['invept', 0n, 0x501en, 0n],
    ['invept', 3n, 0x501en, 0n],
    ['invept', 1n, 0x5019n, 0n],
    ['invept', 1n, 0x501en, 1n],
    ['invept', 1n, 0x80_0000_001en, 0n],
    ['invvpid', 4n, 7n, 0n],
    ['invvpid', 0n, 0n, 0n],
    ['invvpid', 1n, 0n, 0n],
    ['invvpid', 1n, 0x1_0001n, 0n],
    ['invvpid', 0n, 7n, 0x8000_0000_0000n],
  ];
  for (const [name, type, first, second] of refused) {
    assert.deepEqual(run(name, type, first, second), [28, undefined], `${name} ${type} ${first}`);
  }
});

test('stores of software into an active VMCS are told, those of the processor are not', () => {
  const bench = new Bench().startVmx().fill();
  const { memory } = bench.cpu;
  bench.told.length = 0;
  memory.write64(PLACES.vmcs + F.GUEST_RIP, 0x77n);
  memory.write(PLACES.vmcs + F.GUEST_RSP, 4, 0x88);
  bench.cpu.setU64(GPR.RDX, 0x681en);
  bench.run('vmwrite', { dst: GPR.RDX, src: GPR.RAX });
  bench.pointer('vmclear', BigInt(PLACES.vmcs));
  memory.write64(PLACES.vmcs + F.GUEST_RIP, 0x99n);
  assert.deepEqual(
    bench.told.map(({ kind, fields: { code, old, value } }) => [kind, code, old, value]),
    [
      ['vmcs_store', 0x681en, 0x40_0000n, 0x77n],
      ['vmcs_store', 0x681cn, 0x9000n, 0x88n],
      ['vmwrite', 0x681en, 0x77n, bench.cpu.u64(GPR.RAX)],
      ['vmclear', undefined, undefined, BigInt(PLACES.vmcs)],
    ],
  );
});

test('the active VMCSs are known again after CPU state and RAM came from a checkpoint', () => {
  const first = new Bench().startVmx();
  first.pointer('vmptrld', BigInt(PLACES.other));
  const { cpu } = first;
  const second = new Bench();
  new Uint8Array(second.cpu.state.buffer, second.cpu.state.byteOffset, second.cpu.state.byteLength).set(
    new Uint8Array(cpu.state.buffer, cpu.state.byteOffset, cpu.state.byteLength),
  );
  second.cpu.memory.copyIn(0, cpu.memory.copyOut(0, cpu.memory.size));
  restoreVmx(second.cpu);
  second.cpu.memory.write(PLACES.vmcs + F.GUEST_RSP, 4, 1);
  second.cpu.memory.write(PLACES.other + F.GUEST_RSP, 4, 1);
  second.cpu.memory.write(PLACES.page, 4, 1);
  assert.deepEqual(kinds(second), ['vmcs_store', 'vmcs_store']);
});

test('monitors execute the same instructions, at one tick each', () => {
  const bench = new Bench().startVmx().fill();
  const { cpu } = bench;
  const before = cpu.tick;
  bench.told.length = 0;
  assert.ok(execute.vmwrite(cpu, 0x681e, 0x1234n));
  assert.equal(execute.vmread(cpu, 0x681e), 0x1234n);
  assert.equal(execute.vmread(cpu, 0x7ffe), null);
  assert.equal(execute.error(cpu), 12);
  assert.equal(execute.vmwrite(cpu, 0x4402, 0n), false);
  assert.equal(execute.error(cpu), 13);
  assert.equal(cpu.tick - before, 4);
  assert.deepEqual(kinds(bench), ['vmwrite', 'vmread', 'vmfail', 'vmfail']);
  assert.ok(execute.vmlaunch(cpu));
  assert.ok(cpu.nonRoot);
  assert.throws(() => execute.vmresume(cpu));
});

test('encodings say width, type and access as the manual lays down', () => {
  for (const { encoding, width, type, name } of FIELDS) {
    assert.equal(encoding & ~0x6ffe, 0, name);
    assert.equal(['16', '64', '32', 'natural'][encoding >> 13], width, name);
    assert.equal(['control', 'data', 'guest', 'host'][(encoding >> 10) & 3], type, name);
    assert.equal(fieldByEncoding(encoding)?.name, name);
  }
  assert.equal(new Set(FIELDS.map(({ encoding }) => encoding)).size, FIELDS.length);
  assert.equal(modelWith(skylakeVmx).msrs.get(0x48a), 0x2en);
});
