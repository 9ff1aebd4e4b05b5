/** MUL, IMUL, DIV, IDIV: Intel SDM Vol. 2. SF, ZF, AF, PF are undefined after them; here they stand for the result. */
import { type I32, type I64, i32, i64, type Local } from '../../wasm/assembler.js';
import { GPR } from '../layout.js';
import { bits, type Context, type Form, flag, k, SIZES, type Size, signExtend, truncate, WORDS } from './context.js';

/** CF = OF = overflow; the result's sign and zero. */
function setProductFlags(c: Context, size: Size, low: I64, overflow: I32): void {
  c.setResult(signExtend(size, low));
  // CF is bit 63 and OF is bit 63 ^ bit 62, so both set is bit 63 alone.
  c.setCarry(i64.shl(flag(overflow), k(63)));
}

/** High 64 bits of the unsigned product, from four partial products. */
function highProduct(c: Context, a: Local<'i64'>, b: Local<'i64'>): Local<'i64'> {
  const low = (v: Local<'i64'>): I64 => i64.and(v.get, k(0xffff_ffffn));
  const high = (v: Local<'i64'>): I64 => i64.shrU(v.get, k(32));
  const ll = c.keep(i64.mul(low(a), low(b)));
  const hl = c.keep(i64.mul(high(a), low(b)));
  const middle = c.keep(i64.add(i64.mul(low(a), high(b)), i64.add(low(hl), high(ll))));
  return c.keep(i64.add(i64.mul(high(a), high(b)), i64.add(high(hl), high(middle))));
}

/** Signed correction of an unsigned high product: minus b where a < 0, minus a where b < 0. */
const signedHigh = (c: Context, a: Local<'i64'>, b: Local<'i64'>): Local<'i64'> => {
  const high = highProduct(c, a, b);
  const correction = i64.add(i64.and(i64.shrS(a.get, k(63)), b.get), i64.and(i64.shrS(b.get, k(63)), a.get));
  return c.keep(i64.sub(high.get, correction));
};

/** One-operand MUL and IMUL: rDX:rAX (or AX) = rAX * operand. */
function wide(c: Context, size: Size, signed: boolean, operand: I64): void {
  const a = c.keep(signed ? signExtend(size, c.readRegister(GPR.RAX, size)) : c.readRegister(GPR.RAX, size));
  const b = c.keep(signed ? signExtend(size, operand) : operand);
  const low = c.keep(i64.mul(a.get, b.get));
  const high =
    size === 8 ? (signed ? signedHigh(c, a, b) : highProduct(c, a, b)) : c.keep(i64.shrU(low.get, k(bits(size))));
  const half = c.keep(truncate(size, high.get));
  const overflow = signed
    ? i64.ne(signExtend(size, half.get), i64.shrS(signExtend(size, low.get), k(63)))
    : i64.ne(half.get, k(0));
  setProductFlags(c, size, low.get, overflow);
  if (size === 1) {
    c.writeRegister(GPR.RAX, 2, i64.and(low.get, k(0xffff)));
  } else {
    c.writeRegister(GPR.RAX, size, truncate(size, low.get));
    c.writeRegister(GPR.RDX, size, half.get);
  }
  c.next();
}

/** Two- and three-operand IMUL: destination = a * b, truncated. */
function narrow(c: Context, size: Size, first: I64, second: I64): void {
  const a = c.keep(signExtend(size, first));
  const b = c.keep(signExtend(size, second));
  const low = c.keep(i64.mul(a.get, b.get));
  const overflow =
    size === 8 ? i64.ne(signedHigh(c, a, b).get, i64.shrS(low.get, k(63))) : i64.ne(signExtend(size, low.get), low.get);
  setProductFlags(c, size, low.get, overflow);
  c.writeDst(size, truncate(size, low.get));
  c.next();
}

/** DIV and IDIV. A 128-bit dividend whose high half is no extension of the low one goes the slow way. */
function divide(c: Context, size: Size, signed: boolean, operand: I64): void {
  const divisor = c.keep(signed ? signExtend(size, operand) : operand);
  const dividend = c.temp();
  if (size === 1) {
    const ax = c.readRegister(GPR.RAX, 2);
    c.f.emit(dividend.set(signed ? signExtend(2, ax) : ax));
  } else if (size === 8) {
    c.f.emit(dividend.set(c.readRegister(GPR.RAX, 8)));
    const extension = signed ? i64.shrS(dividend.get, k(63)) : k(0);
    c.f.when(i64.ne(c.readRegister(GPR.RDX, 8), extension), () => c.slow());
  } else {
    const both = i64.or(i64.shl(c.readRegister(GPR.RDX, size), k(bits(size))), c.readRegister(GPR.RAX, size));
    c.f.emit(dividend.set(signed && size === 2 ? i64.extend32s(both) : both));
  }
  c.f.when(i64.eqz(divisor.get), () => c.divideError());
  if (signed) {
    // The one quotient that wraps in WebAssembly (and traps): -2^63 / -1, always an overflow here too.
    const wraps = i32.and(i64.eq(dividend.get, k(1n << 63n)), i64.eq(divisor.get, k(-1)));
    c.f.when(wraps, () => c.divideError());
  }
  const quotient = c.keep(signed ? i64.divS(dividend.get, divisor.get) : i64.divU(dividend.get, divisor.get));
  if (size !== 8) {
    const fits = signed
      ? i64.eq(signExtend(size, quotient.get), quotient.get)
      : i64.eq(truncate(size, quotient.get), quotient.get);
    c.f.when(i32.eqz(fits), () => c.divideError());
  }
  const remainder = c.keep(signed ? i64.remS(dividend.get, divisor.get) : i64.remU(dividend.get, divisor.get));
  if (size === 1) {
    c.writeRegister(GPR.RAX, 1, i64.and(quotient.get, k(0xff)));
    c.writeRegister(GPR.RAX + 1, 1, i64.and(remainder.get, k(0xff)));
  } else {
    c.writeRegister(GPR.RAX, size, truncate(size, quotient.get));
    c.writeRegister(GPR.RDX, size, truncate(size, remainder.get));
  }
  c.next();
}

type OneOperand = (c: Context, operand: I64) => void;
const oneOperand = (name: string, size: Size, body: OneOperand): Form[] => [
  { name: `${name}.r.${size}`, emit: (c) => body(c, c.readDst(size)) },
  { name: `${name}.m.${size}`, emit: (c) => body(c, c.load(size, c.address(size, false).get).get) },
];

export const multiplications: readonly Form[] = [
  ...SIZES.flatMap((size) => [
    ...oneOperand('mul', size, (c, operand) => wide(c, size, false, operand)),
    ...oneOperand('imul', size, (c, operand) => wide(c, size, true, operand)),
    ...oneOperand('div', size, (c, operand) => divide(c, size, false, operand)),
    ...oneOperand('idiv', size, (c, operand) => divide(c, size, true, operand)),
  ]),
  ...WORDS.flatMap((size): Form[] => [
    { name: `imul.rr.${size}`, emit: (c) => narrow(c, size, c.readDst(size), c.readSrc(size)) },
    {
      name: `imul.rm.${size}`,
      emit: (c) => {
        const b = c.load(size, c.address(size, false).get);
        narrow(c, size, c.readDst(size), b.get);
      },
    },
    { name: `imul.rri.${size}`, emit: (c) => narrow(c, size, c.readSrc(size), c.immediate()) },
    {
      name: `imul.rmi.${size}`,
      emit: (c) => narrow(c, size, c.load(size, c.address(size, false).get).get, c.immediate()),
    },
  ]),
];
