/** Two- and one-operand integer arithmetic. Operand order as in Intel syntax: destination first. */
import { type I64, i64, type Local } from '../../wasm/assembler.js';
import { type Context, type Form, k, SIZES, type Size, signExtend, truncate } from './context.js';
import { borrowsOf, carriesOfSum, carryFlag, setCarries, setKeepingCarry, setLogic } from './flags.js';

type Operands = readonly [a: Local<'i64'>, b: Local<'i64'>];
/** Computes from two kept operands, sets flags, answers the result (upper bits arbitrary). */
type Operation = (c: Context, size: Size, operands: Operands) => I64;

const sum =
  (withCarry: boolean): Operation =>
  (c, size, [a, b]) => {
    const plain = i64.add(a.get, b.get);
    const r = c.keep(withCarry ? i64.add(plain, carryFlag(c)) : plain);
    setCarries(c, size, carriesOfSum(a.get, b.get, r.get));
    c.setResult(signExtend(size, r.get));
    return r.get;
  };

const difference =
  (withBorrow: boolean): Operation =>
  (c, size, [a, b]) => {
    const plain = i64.sub(a.get, b.get);
    const r = c.keep(withBorrow ? i64.sub(plain, carryFlag(c)) : plain);
    setCarries(c, size, borrowsOf(a.get, b.get, r.get));
    c.setResult(signExtend(size, r.get));
    return r.get;
  };

const logic =
  (operation: (a: I64, b: I64) => I64): Operation =>
  (c, size, [a, b]) => {
    const r = c.keep(operation(a.get, b.get));
    setLogic(c, size, r.get);
    return r.get;
  };

const OPERATIONS: readonly { readonly name: string; readonly operation: Operation; readonly writes: boolean }[] = [
  { name: 'add', operation: sum(false), writes: true },
  { name: 'or', operation: logic(i64.or), writes: true },
  { name: 'adc', operation: sum(true), writes: true },
  { name: 'sbb', operation: difference(true), writes: true },
  { name: 'and', operation: logic(i64.and), writes: true },
  { name: 'sub', operation: difference(false), writes: true },
  { name: 'xor', operation: logic(i64.xor), writes: true },
  { name: 'cmp', operation: difference(false), writes: false },
  { name: 'test', operation: logic(i64.and), writes: false },
];

const immediate = (c: Context, size: Size): Local<'i64'> => c.keep(truncate(size, c.immediate()));

/** rr, rm, mr, ri, mi: register, memory and immediate operands, destination first. */
function binaryForms(name: string, operation: Operation, writes: boolean, size: Size): Form[] {
  const toRegister = (source: (c: Context) => Local<'i64'>) => (c: Context) => {
    const b = source(c);
    const a = c.keep(c.readDst(size));
    const r = operation(c, size, [a, b]);
    if (writes) c.writeDst(size, r);
    c.next();
  };
  const toMemory = (source: (c: Context) => Local<'i64'>) => (c: Context) => {
    const address = c.address(size, writes);
    const b = source(c);
    if (writes) c.update(size, address.get, (a) => operation(c, size, [a, b]));
    else operation(c, size, [c.load(size, address.get), b]);
    c.next();
  };
  const register = (c: Context): Local<'i64'> => c.keep(c.readSrc(size));
  const memory = (c: Context): Local<'i64'> => c.load(size, c.address(size, false).get);
  const literal = (c: Context): Local<'i64'> => immediate(c, size);
  return [
    { name: `${name}.rr.${size}`, emit: toRegister(register) },
    // TEST has no opcode with memory as its second operand.
    ...(name === 'test' ? [] : [{ name: `${name}.rm.${size}`, emit: toRegister(memory) }]),
    { name: `${name}.ri.${size}`, emit: toRegister(literal) },
    { name: `${name}.mr.${size}`, emit: toMemory(register) },
    { name: `${name}.mi.${size}`, emit: toMemory(literal) },
  ];
}

type UnaryOperation = (c: Context, size: Size, a: Local<'i64'>) => I64;

const step =
  (by: 1 | -1): UnaryOperation =>
  (c, size, a) => {
    const r = c.keep(i64.add(a.get, k(by)));
    const one = k(1);
    setKeepingCarry(c, size, by === 1 ? carriesOfSum(a.get, one, r.get) : borrowsOf(a.get, one, r.get));
    c.setResult(signExtend(size, r.get));
    return r.get;
  };

const UNARY: readonly { readonly name: string; readonly operation: UnaryOperation }[] = [
  { name: 'inc', operation: step(1) },
  { name: 'dec', operation: step(-1) },
  { name: 'not', operation: (_c, _size, a) => i64.xor(a.get, k(-1)) },
  {
    name: 'neg',
    operation: (c, size, a) => {
      const r = c.keep(i64.sub(k(0), a.get));
      setCarries(c, size, borrowsOf(k(0), a.get, r.get));
      c.setResult(signExtend(size, r.get));
      return r.get;
    },
  },
];

const unaryForms = (name: string, operation: UnaryOperation, size: Size): Form[] => [
  {
    name: `${name}.r.${size}`,
    emit: (c) => {
      c.writeDst(size, operation(c, size, c.keep(c.readDst(size))));
      c.next();
    },
  },
  {
    name: `${name}.m.${size}`,
    emit: (c) => {
      c.update(size, c.address(size, true).get, (a) => operation(c, size, a));
      c.next();
    },
  },
];

/** XADD, CMPXCHG and XCHG: destination register or memory, source register. */
const exchangeForms = (size: Size): Form[] => {
  const add = sum(false);
  const subtract = difference(false);
  // CMPXCHG writes its destination in every case: Intel SDM Vol. 2A, CMPXCHG, "the destination is written back".
  const compareExchange = (c: Context, old: Local<'i64'>): I64 => {
    const accumulator = c.keep(c.readRegister(0, size));
    subtract(c, size, [accumulator, old]);
    const chosen = c.temp();
    c.f.when(
      i64.eq(accumulator.get, old.get),
      () => c.f.emit(chosen.set(c.readSrc(size))),
      () => c.f.emit(chosen.set(old.get)),
    );
    return chosen.get;
  };
  const afterCompare = (c: Context, old: Local<'i64'>): void => {
    c.f.when(i64.ne(c.readRegister(0, size), old.get), () => c.writeRegister(0, size, old.get));
  };
  return [
    {
      name: `xadd.rr.${size}`,
      emit: (c) => {
        const a = c.keep(c.readDst(size));
        const b = c.keep(c.readSrc(size));
        const r = c.keep(add(c, size, [a, b]));
        c.writeSrc(size, a.get);
        c.writeDst(size, r.get);
        c.next();
      },
    },
    {
      name: `xadd.mr.${size}`,
      emit: (c) => {
        const b = c.keep(c.readSrc(size));
        const old = c.temp();
        c.update(size, c.address(size, true).get, (a) => {
          c.f.emit(old.set(a.get));
          return add(c, size, [a, b]);
        });
        c.writeSrc(size, old.get);
        c.next();
      },
    },
    {
      name: `cmpxchg.rr.${size}`,
      emit: (c) => {
        const old = c.keep(c.readDst(size));
        const accumulator = c.keep(c.readRegister(0, size));
        subtract(c, size, [accumulator, old]);
        // Of a 32-bit operation only the register that is written loses its high half.
        c.f.when(
          i64.eq(accumulator.get, old.get),
          () => c.writeDst(size, c.readSrc(size)),
          () => c.writeRegister(0, size, old.get),
        );
        c.next();
      },
    },
    {
      name: `cmpxchg.mr.${size}`,
      emit: (c) => {
        const old = c.temp();
        c.update(size, c.address(size, true).get, (a) => {
          c.f.emit(old.set(a.get));
          return compareExchange(c, a);
        });
        afterCompare(c, old);
        c.next();
      },
    },
    {
      name: `xchg.rr.${size}`,
      emit: (c) => {
        const a = c.keep(c.readDst(size));
        const b = c.keep(c.readSrc(size));
        c.writeDst(size, b.get);
        c.writeSrc(size, a.get);
        c.next();
      },
    },
    {
      name: `xchg.mr.${size}`,
      emit: (c) => {
        const b = c.keep(c.readSrc(size));
        const old = c.temp();
        c.update(size, c.address(size, true).get, (a) => {
          c.f.emit(old.set(a.get));
          return b.get;
        });
        c.writeSrc(size, old.get);
        c.next();
      },
    },
  ];
};

export const arithmetic: readonly Form[] = SIZES.flatMap((size) => [
  ...OPERATIONS.flatMap(({ name, operation, writes }) => binaryForms(name, operation, writes, size)),
  ...UNARY.flatMap(({ name, operation }) => unaryForms(name, operation, size)),
  ...exchangeForms(size),
]);
