/** Code that changes: every fetch sees what the last store wrote, whatever was decoded before. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { GPR, gpr } from '../../../engine/cpu/layout.js';
import { Computer, FREE, PTE } from './computer.js';

const CODE = 0x40_0000n;
const PHYSICAL = FREE + 0x1_0000;
const ALL = PTE.present | PTE.writable | PTE.user;

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

/** User code in two pages at CODE, which are also mapped at ALIAS. */
const ALIAS = 0x50_0000n;
function load(hex: string, offset = 0): Computer {
  const computer = new Computer();
  for (const page of [0, 1]) {
    computer.map(CODE + BigInt(page * 4096), PHYSICAL + page * 4096, ALL);
    computer.map(ALIAS + BigInt(page * 4096), PHYSICAL + page * 4096, ALL);
  }
  computer.enterLongMode(64);
  computer.machine.memory.copyIn(PHYSICAL + offset, bytes(hex));
  const { cpu } = computer.machine;
  cpu.rip = CODE + BigInt(offset);
  cpu.rsp = CODE + 0x1f00n;
  return computer;
}

const steps = (computer: Computer, n: number): void => {
  const { machine } = computer;
  machine.run(machine.cpu.tick + n);
};

test('a store into the next instruction', () => {
  // mov byte [rip+1], 0x7f; mov eax, 0x44332211
  const computer = load('c605010000007f b811223344');
  steps(computer, 2);
  assert.equal(computer.register(0), 0x4433_227fn);
});

test('a store that gives the next instruction another length', () => {
  // mov [rip], rcx; eight NOPs become mov rax, 5 and one NOP
  const computer = load('48890d00000000 9090909090909090 ffc3');
  computer.machine.cpu.setU64(GPR.RCX, 0x9000_0000_05c0_c748n);
  steps(computer, 4);
  assert.equal(computer.register(0), 5n);
  assert.equal(computer.register(3), 1n);
});

test('the second time, code that has run already', () => {
  // again: add eax, 1 (with an immediate of 32 bits); add dword [again + 1], 1; jmp again
  const computer = load('0501000000 8305f5ffffff01 ebf2');
  steps(computer, 9);
  assert.equal(computer.register(0), 1n + 2n + 3n);
});

test('data in the line of the code', () => {
  // again: inc dword [rip+2]; jmp again; the counter
  const computer = load('ff0502000000 ebf8 00000000');
  steps(computer, 2001);
  assert.equal(computer.machine.memory.read(PHYSICAL + 8, 4), 1001);
});

test('REP STOSB over the instructions behind it', () => {
  // rep stosb; three INT3 that become NOPs; inc ebx
  const computer = load('f3aa cccccc ffc3');
  const { cpu } = computer.machine;
  cpu.setU64(GPR.RAX, 0x90n);
  cpu.setU64(GPR.RCX, 3n);
  cpu.setU64(GPR.RDI, CODE + 2n);
  cpu.setU64(GPR.RBX, 0n);
  steps(computer, 4 + 4);
  assert.equal(computer.exception(), null);
  assert.equal(computer.register(3), 1n);
});

test('a store through another mapping of the page', () => {
  const computer = load('b801000000 ebf9');
  steps(computer, 3);
  assert.equal(computer.register(0), 1n);
  // mov byte [rbx+1], 9 in the second page, whose target is the alias of the first.
  computer.machine.memory.copyIn(PHYSICAL + 4096, bytes('c6430109'));
  computer.machine.cpu.setU64(GPR.RBX, ALIAS);
  const { cpu } = computer.machine;
  cpu.rip = CODE + 4096n;
  steps(computer, 1);
  cpu.rip = CODE;
  steps(computer, 1);
  assert.equal(computer.register(0), 9n);
});

test('a write of a device or a monitor', () => {
  const computer = load('b801000000 ebf9');
  steps(computer, 3);
  computer.machine.memory.copyIn(PHYSICAL, bytes('b807000000'));
  steps(computer, 2);
  assert.equal(computer.register(0), 7n);
});

/** mov eax, 0x44332211 with its last two bytes in the second page, then jmp to it. */
const CROSSING = 'b811223344 ebf9';

test('an instruction across pages whose second page changes', () => {
  const computer = load(CROSSING, 4093);
  steps(computer, 3);
  assert.equal(computer.register(0), 0x4433_2211n);
  computer.machine.memory.copyIn(PHYSICAL + 4096, bytes('aabb'));
  steps(computer, 2);
  assert.equal(computer.register(0), 0xbbaa_2211n);
});

test('an instruction across pages whose second page is another one now', () => {
  const computer = load(CROSSING, 4093);
  steps(computer, 3);
  computer.machine.memory.copyIn(PHYSICAL + 0x4000, bytes('5566 ebf9'));
  computer.map(CODE + 4096n, PHYSICAL + 0x4000, ALL);
  computer.machine.cpu.translations.flushPage(CODE + 4096n);
  steps(computer, 2);
  assert.equal(computer.register(0), 0x6655_2211n);
});

test('an instruction across pages whose second page is gone: #PF at the first byte that lacks', () => {
  const computer = load(CROSSING, 4093);
  steps(computer, 4);
  computer.map(CODE + 4096n, 0, 0);
  computer.machine.cpu.translations.flushPage(CODE + 4096n);
  steps(computer, 1);
  const exception = computer.exception();
  assert.deepEqual([exception?.vector, exception?.rip], [14, CODE + 4093n]);
  assert.equal(computer.machine.cpu.readControl(2), CODE + 4096n);
});

test('another page under the same address', () => {
  const computer = load('b801000000 ebf9');
  steps(computer, 4);
  computer.machine.memory.copyIn(PHYSICAL + 0x4000, bytes('b802000000 ebf9'));
  computer.map(CODE, PHYSICAL + 0x4000, ALL);
  computer.machine.cpu.translations.flushPage(CODE);
  steps(computer, 2);
  assert.equal(computer.register(0), 2n);
});

/** Random programs of five instructions that overwrite each other, run by a model that fetches every byte anew. */
const AREA = 160;
class Model {
  readonly code: Uint8Array;
  readonly #view: DataView;
  rip = 0;
  eax = 0;

  constructor(code: Uint8Array) {
    this.code = code.slice();
    this.#view = new DataView(this.code.buffer);
  }

  /** False where it meets what it does not know. */
  step(): boolean {
    const { code } = this;
    const at = this.rip;
    if (at < 0 || at > AREA - 10) return false;
    const opcode = code[at];
    if (opcode === 0x90) this.rip = at + 1;
    else if (opcode === 0x05 || opcode === 0x35) {
      const immediate = this.#view.getInt32(at + 1, true);
      this.eax = (opcode === 0x05 ? this.eax + immediate : this.eax ^ immediate) >>> 0;
      this.rip = at + 5;
    } else if (opcode === 0xeb) this.rip = at + 2 + this.#view.getInt8(at + 1);
    else if (opcode === 0xc7 && code[at + 1] === 0x05) {
      const to = at + 10 + this.#view.getInt32(at + 2, true);
      if (to < 0 || to > AREA - 4) return false;
      this.#view.setInt32(to, this.#view.getInt32(at + 6, true), true);
      this.rip = at + 10;
    } else return false;
    return true;
  }
}

function randomProgram(next: () => number): Uint8Array {
  const code = new Uint8Array(AREA).fill(0x90);
  const view = new DataView(code.buffer);
  let at = 0;
  while (at < AREA - 12) {
    const kind = next() % 6;
    if (kind < 2) {
      code[at] = kind === 0 ? 0x05 : 0x35;
      view.setUint32(at + 1, next(), true);
      at += 5;
    } else if (kind < 4) {
      const target = next() % (AREA - 4);
      code.set([0xc7, 0x05], at);
      view.setInt32(at + 2, target - at - 10, true);
      // What is written: NOPs, the start of an ADD, or anything.
      const written = [0x9090_9090, 0x9090_0505, 0xeb90_9005, next()][next() % 4] ?? 0;
      view.setUint32(at + 6, written, true);
      at += 10;
    } else if (kind === 4) {
      code.set([0xeb, (next() % 60) - 40], at);
      at += 2;
    } else at += 1;
  }
  return code;
}

test('random programs that overwrite themselves', () => {
  let state = 12_345;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return state >>> 7;
  };
  const computer = load('90');
  const { machine } = computer;
  let executed = 0;
  for (let round = 0; round < 400; round++) {
    // Sometimes across the end of the page.
    const base = round % 3 === 0 ? 4096 - (round % 150) : 64 * (round % 40);
    const model = new Model(randomProgram(next));
    machine.memory.copyIn(PHYSICAL + base, model.code);
    machine.cpu.rip = CODE + BigInt(base);
    machine.cpu.setU64(gpr(0), 0n);
    let count = 0;
    for (; count < 200; count++) if (!model.step()) break;
    // In two slices, so that some stop is inside a line.
    steps(computer, count >> 1);
    if (count > count >> 1) steps(computer, count - (count >> 1));
    executed += count;
    const rip = machine.cpu.rip - CODE - BigInt(base);
    assert.deepEqual([rip, computer.register(0)], [BigInt(model.rip), BigInt(model.eax)], `round ${round}`);
    const now = machine.memory.copyOut(PHYSICAL + base, AREA);
    assert.deepEqual(Buffer.from(now).toString('hex'), Buffer.from(model.code).toString('hex'), `round ${round}`);
  }
  assert.ok(executed > 4000, `${executed} instructions`);
});
