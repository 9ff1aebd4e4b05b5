/** Precise faults: an instruction that faults has changed nothing, and the exception says where and why. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { gpr } from '../../../engine/cpu/layout.js';
import { Computer, type Exception, FREE, PTE } from './computer.js';

const CODE = 0x40_0000n;
/** A writable page, a read-only one, and none behind it. */
const GOOD = 0x60_0000n;
const READ_ONLY = GOOD + 0x1000n;
const GONE = GOOD + 0x2000n;
const PHYSICAL = FREE + 0x1_0000;
const NOT_CANONICAL = 0x8000_0000_0000n;

const [RAX, RCX, RBX, RSP, RBP, RSI, RDI] = [0, 1, 3, 4, 5, 6, 7];
type Registers = { readonly [register: number]: bigint };

interface Case {
  readonly says: string;
  readonly code: string;
  readonly registers: Registers;
  /** Vector, error code; for a page fault the address too. */
  readonly faults: readonly [vector: number, errorCode: number, address?: bigint];
  /** Registers that differ from before: iterations of REP that were done. */
  readonly after?: Registers;
}

/** Page-fault error codes: user reads and writes of a page that is absent, and a write of one that is read-only. */
const [ABSENT_READ, ABSENT_WRITE, PROTECTED_WRITE] = [4, 6, 7];

const CASES: readonly Case[] = [
  { says: 'push', code: '50', registers: { [RSP]: GONE + 8n }, faults: [14, ABSENT_WRITE, GONE] },
  {
    says: 'push onto a read-only page',
    code: '50',
    registers: { [RSP]: READ_ONLY + 8n },
    faults: [14, PROTECTED_WRITE, READ_ONLY],
  },
  {
    says: 'push across two pages, the lower one good',
    code: '50',
    registers: { [RSP]: READ_ONLY + 4n },
    faults: [14, PROTECTED_WRITE, READ_ONLY],
  },
  {
    says: 'push [rbx], the load',
    code: 'ff33',
    registers: { [RBX]: GONE, [RSP]: GOOD + 64n },
    faults: [14, ABSENT_READ, GONE],
  },
  {
    says: 'push [rbx], the store',
    code: 'ff33',
    registers: { [RBX]: GOOD, [RSP]: GONE + 64n },
    faults: [14, ABSENT_WRITE, GONE + 56n],
  },
  { says: 'pop rax', code: '58', registers: { [RSP]: GONE }, faults: [14, ABSENT_READ, GONE] },
  {
    says: 'pop [rbx], the store',
    code: '8f03',
    registers: { [RBX]: READ_ONLY, [RSP]: GOOD },
    faults: [14, PROTECTED_WRITE, READ_ONLY],
  },
  { says: 'call', code: 'e800000000', registers: { [RSP]: GONE + 8n }, faults: [14, ABSENT_WRITE, GONE] },
  {
    says: 'call [rbx], the store',
    code: 'ff13',
    registers: { [RBX]: GOOD, [RSP]: GONE + 8n },
    faults: [14, ABSENT_WRITE, GONE],
  },
  { says: 'ret', code: 'c3', registers: { [RSP]: GONE }, faults: [14, ABSENT_READ, GONE] },
  { says: 'leave', code: 'c9', registers: { [RBP]: GONE, [RSP]: GOOD }, faults: [14, ABSENT_READ, GONE] },
  { says: 'enter', code: 'c8100000', registers: { [RBP]: GOOD, [RSP]: GONE + 8n }, faults: [14, ABSENT_WRITE, GONE] },
  { says: 'add [rbx], eax', code: '0103', registers: { [RBX]: READ_ONLY }, faults: [14, PROTECTED_WRITE, READ_ONLY] },
  {
    says: 'add [rbx], eax across two pages',
    code: '0103',
    registers: { [RBX]: READ_ONLY - 2n },
    faults: [14, PROTECTED_WRITE, READ_ONLY],
  },
  {
    says: 'mov [rbx], rax across two pages',
    code: '488903',
    registers: { [RBX]: READ_ONLY - 5n },
    faults: [14, PROTECTED_WRITE, READ_ONLY],
  },
  {
    says: 'mov eax, [rbx] across two pages',
    code: '8b03',
    registers: { [RBX]: GONE - 1n },
    faults: [14, ABSENT_READ, GONE],
  },
  {
    says: 'xadd [rbx], eax',
    code: '0fc103',
    registers: { [RBX]: READ_ONLY },
    faults: [14, PROTECTED_WRITE, READ_ONLY],
  },
  { says: 'xchg [rbx], eax', code: '8703', registers: { [RBX]: READ_ONLY }, faults: [14, PROTECTED_WRITE, READ_ONLY] },
  {
    says: 'cmpxchg [rbx], ecx that would not write another value',
    code: '0fb10b',
    registers: { [RBX]: READ_ONLY, [RAX]: 1n },
    faults: [14, PROTECTED_WRITE, READ_ONLY],
  },
  { says: 'cmpxchg8b', code: '0fc70b', registers: { [RBX]: READ_ONLY }, faults: [14, PROTECTED_WRITE, READ_ONLY] },
  {
    says: 'shl dword [rbx], cl by 0',
    code: 'd323',
    registers: { [RBX]: READ_ONLY, [RCX]: 0n },
    faults: [14, PROTECTED_WRITE, READ_ONLY],
  },
  {
    says: 'bts [rbx], eax',
    code: '0fab03',
    registers: { [RBX]: READ_ONLY, [RAX]: 5n },
    faults: [14, PROTECTED_WRITE, READ_ONLY],
  },
  { says: 'setc [rbx]', code: '0f9203', registers: { [RBX]: GONE }, faults: [14, ABSENT_WRITE, GONE] },
  { says: 'movsb, the store', code: 'a4', registers: { [RSI]: GOOD, [RDI]: GONE }, faults: [14, ABSENT_WRITE, GONE] },
  { says: 'movsb, the load', code: 'a4', registers: { [RSI]: GONE, [RDI]: GOOD }, faults: [14, ABSENT_READ, GONE] },
  {
    says: 'rep movsd that reaches a read-only page',
    code: 'f3a5',
    registers: { [RSI]: GOOD, [RDI]: READ_ONLY - 12n, [RCX]: 10n },
    faults: [14, PROTECTED_WRITE, READ_ONLY],
    after: { [RSI]: GOOD + 12n, [RDI]: READ_ONLY, [RCX]: 7n },
  },
  {
    says: 'rep stosb that reaches a read-only page',
    code: 'f3aa',
    registers: { [RDI]: READ_ONLY - 3n, [RCX]: 10n },
    faults: [14, PROTECTED_WRITE, READ_ONLY],
    after: { [RDI]: READ_ONLY, [RCX]: 7n },
  },
  {
    says: 'repe cmpsb that reaches an absent page',
    code: 'f3a6',
    registers: { [RSI]: GOOD + 16n, [RDI]: GONE - 2n, [RCX]: 9n },
    faults: [14, ABSENT_READ, GONE],
    after: { [RSI]: GOOD + 18n, [RDI]: GONE, [RCX]: 7n },
  },
  { says: 'div by 0', code: 'f7f1', registers: { [RCX]: 0n }, faults: [0, 0] },
  {
    says: 'mov eax, [rbx] at no canonical address',
    code: '8b03',
    registers: { [RBX]: NOT_CANONICAL },
    faults: [13, 0],
  },
  {
    says: 'mov eax, [rbp] at no canonical address',
    code: '8b4500',
    registers: { [RBP]: NOT_CANONICAL },
    faults: [12, 0],
  },
  { says: 'push at no canonical address', code: '50', registers: { [RSP]: NOT_CANONICAL + 16n }, faults: [12, 0] },
  { says: 'ud2', code: '0f0b', registers: {}, faults: [6, 0] },
  { says: 'hlt in user mode', code: 'f4', registers: {}, faults: [13, 0] },
];

const FLAGS = 0x8d7;

function load(code: string, registers: Registers): Computer {
  const computer = new Computer();
  const all = PTE.present | PTE.writable | PTE.user;
  computer.map(CODE, PHYSICAL, all);
  computer.map(GOOD, PHYSICAL + 0x1000, all);
  computer.map(READ_ONLY, PHYSICAL + 0x2000, PTE.present | PTE.user);
  computer.enterLongMode(64);
  const { cpu, memory } = computer.machine;
  memory.copyIn(PHYSICAL, Buffer.from(code, 'hex'));
  for (let n = 0; n < 16; n++) cpu.setU64(gpr(n), registers[n] ?? 0x1111_0000n + BigInt(n));
  cpu.rflags = FLAGS | 0x202;
  cpu.rip = CODE;
  return computer;
}

const stateOf = (computer: Computer): bigint[] => Array.from({ length: 16 }, (_, n) => computer.register(n));
/** RSP as the exception saved it, the others as they are. */
const stateAt = (computer: Computer, exception: Exception): bigint[] =>
  stateOf(computer).map((value, n) => (n === RSP ? exception.rsp : value));

for (const { says, code, registers, faults, after = {} } of CASES) {
  test(`${says}: nothing is changed`, () => {
    const computer = load(code, registers);
    const { cpu, memory } = computer.machine;
    const before = stateOf(computer).map((value, n) => after[n] ?? value);
    const pages = memory.copyOut(PHYSICAL + 0x1000, 0x2000);
    for (let i = 0; i < 32 && !computer.exception(); i++) computer.machine.run(cpu.tick + 1);
    const exception = computer.exception();
    assert.ok(exception);
    const address = exception.vector === 14 ? [cpu.readControl(2)] : [];
    assert.deepEqual([exception.vector, exception.errorCode, ...address], faults);
    assert.equal(exception.rip, CODE);
    assert.deepEqual(stateAt(computer, exception), before);
    if (!code.startsWith('f3')) {
      assert.equal(exception.rflags & FLAGS, FLAGS);
      assert.deepEqual(memory.copyOut(PHYSICAL + 0x1000, 0x2000), pages);
    }
  });
}

test('a jump to no canonical address faults at its target', () => {
  const computer = load('ffe3', { [RBX]: NOT_CANONICAL });
  computer.machine.run(computer.machine.cpu.tick + 2);
  assert.equal(computer.exception()?.vector, 13);
});

test('real-address mode: 16-bit stack, segment bases and limits', () => {
  const computer = new Computer();
  computer.enterRealMode();
  const { machine } = computer;
  const { cpu, memory } = machine;
  // mov ax, 0x3000; mov ds, ax; mov ss, ax; mov sp, 0x10; push 0x1234; pop bx; mov [0x20], bx; mov al, [0xffff];
  // mov ax, [0xffff] (beyond the limit)
  const code = 'b80030 8ed8 8ed0 bc1000 683412 5b 891e2000 a0ffff a1ffff';
  memory.copyIn(0x2_0000, Buffer.from(code.replaceAll(' ', ''), 'hex'));
  memory.write(13 * 4, 4, 0x2100_0050);
  cpu.setU32(gpr(RSP), 0);
  cpu.rip = 0n;
  cpu.setU64(gpr(RBX), 0n);
  computer.setCodeBase(0x2000);
  machine.run(cpu.tick + 8);
  assert.equal(computer.register(RBX), 0x1234n);
  assert.equal(memory.read(0x3_0020, 2), 0x1234);
  assert.equal(memory.read(0x3_000e, 2), 0x1234);
  machine.run(cpu.tick + 1);
  // #GP through the interrupt vector table: CS:IP 2100:0050, the faulting IP on the stack.
  assert.equal(cpu.rip, 0x50n);
  assert.equal(memory.read(0x3_000a, 2), 21);
});
