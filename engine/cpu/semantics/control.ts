/** Near branches, calls and the stack, for flat segments with a 32- or 64-bit stack; other modes take slow paths. */
import { type I32, type I64, i32, i64, type Local } from '../../wasm/assembler.js';
import { GPR } from '../layout.js';
import { type Context, type Form, k, type Size, truncate } from './context.js';
import { CONDITIONS, zeroFlag } from './flags.js';

/** Stack width of the mode: 8 in 64-bit mode, 4 in flat 32-bit mode. */
type Width = 4 | 8;

const stackPointer = (c: Context, width: Width): I64 => c.readRegister(GPR.RSP, width);

/** Stores `value` below the stack pointer; RSP moves only after the store has succeeded. */
function push(c: Context, width: Width, size: Size, value: I64): void {
  const pushed = c.keep(value);
  const address = c.keep(truncate(width, i64.sub(stackPointer(c, width), k(size))));
  c.store(size, address.get, pushed.get);
  c.writeRegister(GPR.RSP, width, address.get);
}

/** Loads from the top of the stack; the caller moves RSP with `drop`. */
const peek = (c: Context, width: Width, size: Size): Local<'i64'> => c.load(size, stackPointer(c, width));

const drop = (c: Context, width: Width, bytes: I64): void =>
  c.writeRegister(GPR.RSP, width, truncate(width, i64.add(stackPointer(c, width), bytes)));

const forWidth = (width: Width): Form[] => [
  {
    name: `call.i.${width}`,
    ends: true,
    emit: (c) => {
      push(c, width, width, c.nextRip());
      c.jump();
    },
  },
  {
    name: `call.r.${width}`,
    ends: true,
    emit: (c) => {
      const to = c.keep(c.readDst(width));
      push(c, width, width, c.nextRip());
      c.branch(to.get);
    },
  },
  {
    name: `call.m.${width}`,
    ends: true,
    emit: (c) => {
      const to = c.load(width, c.address(width, false).get);
      push(c, width, width, c.nextRip());
      c.branch(to.get);
    },
  },
  {
    name: `ret.${width}`,
    ends: true,
    emit: (c) => {
      const to = peek(c, width, width);
      drop(c, width, k(width));
      c.branch(to.get);
    },
  },
  {
    name: `ret.i.${width}`,
    ends: true,
    emit: (c) => {
      const to = peek(c, width, width);
      drop(c, width, i64.add(k(width), i64.and(c.immediate(), k(0xffff))));
      c.branch(to.get);
    },
  },
  { name: `jmp.r.${width}`, ends: true, emit: (c) => c.branch(c.readDst(width)) },
  { name: `jmp.m.${width}`, ends: true, emit: (c) => c.branch(c.load(width, c.address(width, false).get).get) },
  {
    name: `push.r.${width}`,
    emit: (c) => {
      push(c, width, width, c.readDst(width));
      c.next();
    },
  },
  {
    name: `push.m.${width}`,
    emit: (c) => {
      push(c, width, width, c.load(width, c.address(width, false).get).get);
      c.next();
    },
  },
  {
    name: `push.i.${width}`,
    emit: (c) => {
      push(c, width, width, truncate(width, c.immediate()));
      c.next();
    },
  },
  {
    name: `pop.r.${width}`,
    emit: (c) => {
      const value = peek(c, width, width);
      drop(c, width, k(width));
      // After the pointer has moved: POP rSP leaves the popped value.
      c.writeDst(width, value.get);
      c.next();
    },
  },
  {
    name: `leave.${width}`,
    emit: (c) => {
      const frame = c.keep(c.readRegister(GPR.RBP, width));
      const value = c.load(width, frame.get);
      c.writeRegister(GPR.RBP, width, value.get);
      c.writeRegister(GPR.RSP, width, truncate(width, i64.add(frame.get, k(width))));
      c.next();
    },
  },
];

function jumpIf(c: Context, taken: I32): void {
  c.f.when(taken, () => c.jump());
  c.next();
}

const conditionalJumps: readonly Form[] = CONDITIONS.map(({ name, holds }) => ({
  name: `j${name}`,
  emit: (c: Context) => jumpIf(c, holds(c)),
}));

/** LOOP, LOOPE, LOOPNE and JCXZ by address size. */
const counted = (size: 2 | 4 | 8): Form[] => {
  const decremented = (c: Context): I64 => {
    const count = c.keep(truncate(size, i64.sub(c.readRegister(GPR.RCX, size), k(1))));
    c.writeRegister(GPR.RCX, size, count.get);
    return count.get;
  };
  const loop = (name: string, also: ((c: Context) => ReturnType<typeof zeroFlag>) | null): Form => ({
    name: `${name}.${size}`,
    emit: (c) => {
      const more = i64.ne(decremented(c), k(0));
      jumpIf(c, also ? i32.and(more, also(c)) : more);
    },
  });
  return [
    loop('loop', null),
    loop('loope', zeroFlag),
    loop('loopne', (c) => i32.eqz(zeroFlag(c))),
    { name: `jcxz.${size}`, emit: (c) => jumpIf(c, i64.eqz(c.readRegister(GPR.RCX, size))) },
  ];
};

export const control: readonly Form[] = [
  ...([4, 8] as const).flatMap(forWidth),
  { name: 'jmp.i', ends: true, emit: (c) => c.jump() },
  ...conditionalJumps,
  ...([2, 4, 8] as const).flatMap(counted),
];
