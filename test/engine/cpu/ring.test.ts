/** Recorded memory accesses: each once, in order, with the value that was there. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { GPR, gpr } from '../../../engine/cpu/layout.js';
import { ACCESS_KINDS } from '../../../engine/observer.js';
import { Accesses } from './accesses.js';
import { Computer, FREE, PTE } from './computer.js';
import { startKernel } from './digests.js';

const CODE = 0x40_0000n;
const DATA = 0x60_0000n;
const PHYSICAL = FREE + 0x1_0000;
const DATA_PHYSICAL = PHYSICAL + 0x1000;

/** Accesses of user code, without page walks, as `load8 +10 = 1234`; `+` is the distance from DATA. */
function accessesOf(code: string, setUp: (computer: Computer) => void, ticks: number): string[] {
  const seen: string[] = [];
  const names = ['load', 'store'];
  const observer = new Accesses(({ tick, kind, size, gva, gpa, value }) => {
    if (kind > 1) return;
    assert.equal(gpa, DATA_PHYSICAL + Number(gva - DATA), 'gpa');
    seen.push(`${tick} ${names[kind]}${size} +${(gva - DATA).toString(16)} = ${value.toString(16)}`);
  });
  const computer = new Computer({ observer });
  const all = PTE.present | PTE.writable | PTE.user;
  computer.map(CODE, PHYSICAL, all);
  for (const page of [0, 1]) computer.map(DATA + BigInt(page * 4096), DATA_PHYSICAL + page * 4096, all);
  computer.enterLongMode(64);
  const { machine } = computer;
  machine.memory.copyIn(PHYSICAL, Buffer.from(code.replaceAll(' ', ''), 'hex'));
  machine.cpu.rip = CODE;
  machine.cpu.setU64(gpr(3), DATA);
  setUp(computer);
  machine.recordMemory('all');
  machine.run(ticks);
  machine.drain();
  observer.end();
  return seen;
}

/** The same code twice: all misses at first, then all hits. */
test('each access of each kind of instruction, missing the TLB and hitting it', () => {
  // again: mov rax,[rbx]; mov [rbx+8],ax; add [rbx+16],ecx; push [rbx]; pop [rbx+32]; xchg [rbx+40],dl; jmp again
  const code = '488b03 66894308 014b10 ff33 8f4320 865328 ebec';
  const seen = accessesOf(
    code,
    ({ machine: { cpu, memory } }) => {
      cpu.rsp = DATA + 0x100n;
      cpu.setU64(GPR.RCX, 5n);
      cpu.setU64(GPR.RDX, 0x77n);
      memory.write64(DATA_PHYSICAL, 0x1122_3344_5566_7788n);
      memory.write64(DATA_PHYSICAL + 16, 1n);
      memory.write64(DATA_PHYSICAL + 40, 0x99n);
    },
    14,
  );
  const round = (tick: number, counter: number, old: string, stored: string): string[] => [
    `${tick} load8 +0 = 1122334455667788`,
    `${tick + 1} store2 +8 = 7788`,
    `${tick + 2} load4 +10 = ${counter.toString(16)}`,
    `${tick + 2} store4 +10 = ${(counter + 5).toString(16)}`,
    `${tick + 3} load8 +0 = 1122334455667788`,
    `${tick + 3} store8 +f8 = 1122334455667788`,
    `${tick + 4} load8 +f8 = 1122334455667788`,
    `${tick + 4} store8 +20 = 1122334455667788`,
    `${tick + 5} load1 +28 = ${old}`,
    `${tick + 5} store1 +28 = ${stored}`,
  ];
  assert.deepEqual(seen, [...round(0, 1, '99', '77'), ...round(7, 6, '77', '99')]);
});

test('accesses across two pages are one record', () => {
  // mov rax,[rbx+0xffd]; mov [rbx+0xfff],ax
  const seen = accessesOf(
    '488b83fd0f0000 668983ff0f0000',
    ({ machine: { memory } }) => memory.write64(DATA_PHYSICAL + 0xffd, 0x0102_0304_0506_0708n),
    2,
  );
  assert.deepEqual(seen, ['0 load8 +ffd = 102030405060708', '1 store2 +fff = 708']);
});

test('iterations of REP, each at its tick', () => {
  // rep movsd
  const seen = accessesOf(
    'f3a5',
    ({ machine: { cpu, memory } }) => {
      cpu.setU64(GPR.RSI, DATA);
      cpu.setU64(GPR.RDI, DATA + 0x40n);
      cpu.setU64(GPR.RCX, 2n);
      memory.write64(DATA_PHYSICAL, 0x2_0000_0001n);
    },
    3,
  );
  assert.deepEqual(seen, ['0 load4 +0 = 1', '0 store4 +40 = 1', '1 load4 +4 = 2', '1 store4 +44 = 2']);
});

for (const [name, n, ticks] of [
  ['mem', 20_000, 300_000],
  ['rep-string', 3, 40_000],
  ['fib', 15, 60_000],
  ['sieve', 1, 300_000],
  ['smc', 2000, 30_000],
] as const) {
  test(`kernel ${name}: a model of RAM that follows the records is RAM`, () => {
    let shadow = new DataView(new ArrayBuffer(0));
    let last = 0;
    let count = 0;
    const observer = new Accesses(({ tick, kind, gpa, value, bytes }) => {
      assert.ok(tick >= last);
      last = tick;
      count++;
      if (gpa + 8 > shadow.byteLength) return;
      if (kind === ACCESS_KINDS.walk) {
        // Of a paging entry only the low half is ever written (accessed and dirty flags).
        shadow.setUint32(gpa, Number(value & 0xffff_ffffn), true);
        return;
      }
      if (kind === ACCESS_KINDS.store) {
        for (const [i, byte] of bytes.entries()) shadow.setUint8(gpa + i, byte);
        return;
      }
      // A load, or a fetch: these kernels map each page onto itself, so that bytes across two pages lie together.
      for (const [i, byte] of bytes.entries()) assert.equal(shadow.getUint8(gpa + i), byte, `at ${gpa.toString(16)}`);
    });
    const machine = startKernel(name, n, observer);
    shadow = new DataView(machine.memory.bytes.slice().buffer);
    machine.recordMemory('all');
    machine.run(ticks);
    machine.drain();
    observer.end();
    assert.ok(count > 1000);
    assert.ok(Buffer.from(shadow.buffer).equals(Buffer.from(machine.memory.copyOut(0, machine.memory.size))));
  });
}
