/** Shifts and rotates: Intel SDM Vol. 2B, SAL/SAR/SHL/SHR and RCL/RCR/ROL/ROR; SHLD, SHRD. */
import { type I64, i64, type Local } from '../../wasm/assembler.js';
import { bits, type Context, type Form, k, SIZES, type Size, signExtend, truncate, WORDS } from './context.js';
import { carryFlag, setCarryOverflow } from './flags.js';

/** Computes the shifted value (upper bits arbitrary) and sets flags; `count` is masked and not zero. */
type Shift = (c: Context, size: Size, a: Local<'i64'>, count: Local<'i64'>) => I64;

const top = (size: Size, v: I64): I64 => i64.and(i64.shrU(v, k(bits(size) - 1)), k(1));

/** Flags of SHL, SHR and SAR: result flags, AF clear (undefined), CF and OF as given. */
function setShiftFlags(c: Context, size: Size, r: Local<'i64'>, cf: Local<'i64'>, of: I64): void {
  c.setResult(signExtend(size, r.get));
  const overflow = c.keep(of);
  c.setCarry(i64.or(i64.shl(cf.get, k(63)), i64.shl(i64.and(i64.xor(cf.get, overflow.get), k(1)), k(62))));
}

const shl: Shift = (c, size, a, count) => {
  const r = c.keep(i64.shl(a.get, count.get));
  // The last bit shifted out: bit n of the wide result, or for 64 bits, bit 64 - count of the operand.
  const out = size === 8 ? i64.shrU(a.get, i64.sub(k(64), count.get)) : i64.shrU(r.get, k(bits(size)));
  const cf = c.keep(i64.and(out, k(1)));
  setShiftFlags(c, size, r, cf, i64.xor(top(size, r.get), cf.get));
  return r.get;
};

const shr: Shift = (c, size, a, count) => {
  const r = c.keep(i64.shrU(a.get, count.get));
  const cf = c.keep(i64.and(i64.shrU(a.get, i64.sub(count.get, k(1))), k(1)));
  // OF is the operand's sign for a count of 1 and undefined otherwise.
  setShiftFlags(c, size, r, cf, top(size, a.get));
  return r.get;
};

const sar: Shift = (c, size, a, count) => {
  const wide = c.keep(signExtend(size, a.get));
  const r = c.keep(i64.shrS(wide.get, count.get));
  const cf = c.keep(i64.and(i64.shrS(wide.get, i64.sub(count.get, k(1))), k(1)));
  setShiftFlags(c, size, r, cf, k(0));
  return r.get;
};

/** Rotates a value of `size` left by count modulo its bits. */
const rotateLeft = (size: Size, a: I64, count: I64): I64 => {
  if (size === 8) return i64.rotl(a, count);
  const n = bits(size);
  const by = i64.and(count, k(n - 1));
  return i64.or(i64.shl(a, by), i64.shrU(a, i64.sub(k(n), by)));
};

const rol: Shift = (c, size, a, count) => {
  const r = c.keep(rotateLeft(size, a.get, count.get));
  const cf = c.keep(i64.and(r.get, k(1)));
  setCarryOverflow(c, cf, i64.xor(top(size, r.get), cf.get));
  return r.get;
};

const ror: Shift = (c, size, a, count) => {
  const by = i64.sub(k(bits(size)), i64.and(count.get, k(bits(size) - 1)));
  const r = c.keep(rotateLeft(size, a.get, by));
  const cf = c.keep(top(size, r.get));
  const second = i64.and(i64.shrU(r.get, k(bits(size) - 2)), k(1));
  setCarryOverflow(c, cf, i64.xor(cf.get, second));
  return r.get;
};

/** One bit at a time: the rotation is over n + 1 bits, and it is rare. */
const throughCarry =
  (left: boolean): Shift =>
  (c, size, a, count) => {
    const n = bits(size);
    const r = c.keep(a.get);
    const cf = c.keep(carryFlag(c));
    const left_ = c.keep(size < 4 ? i64.remU(count.get, k(n + 1)) : count.get);
    c.f.block((done) => {
      c.f.loop((again) => {
        c.f.brIf(done, i64.eqz(left_.get));
        const out = c.temp();
        if (left) {
          c.f.emit(out.set(top(size, r.get)), r.set(truncate(size, i64.or(i64.shl(r.get, k(1)), cf.get))));
        } else {
          c.f.emit(out.set(i64.and(r.get, k(1))));
          c.f.emit(r.set(i64.or(i64.shrU(r.get, k(1)), i64.shl(cf.get, k(n - 1)))));
        }
        c.f.emit(cf.set(out.get), left_.set(i64.sub(left_.get, k(1))));
        c.f.br(again);
      });
    });
    const second = i64.and(i64.shrU(r.get, k(n - 2)), k(1));
    setCarryOverflow(c, cf, i64.xor(top(size, r.get), left ? cf.get : second));
    return r.get;
  };

const SHIFTS: readonly { readonly name: string; readonly shift: Shift }[] = [
  { name: 'rol', shift: rol },
  { name: 'ror', shift: ror },
  { name: 'rcl', shift: throughCarry(true) },
  { name: 'rcr', shift: throughCarry(false) },
  { name: 'shl', shift: shl },
  { name: 'shr', shift: shr },
  { name: 'sar', shift: sar },
];

const RCX = 8;
/** The count is masked to 5 bits, or 6 for 64-bit operands. */
const countOf = (c: Context, size: Size, from: 'i' | 'c'): Local<'i64'> =>
  c.keep(i64.and(from === 'i' ? c.immediate() : c.readRegister(RCX, 1), k(size === 8 ? 63 : 31)));

/** ri, rc, mi, mc: destination, and count from an immediate or CL. A count of 0 changes nothing but may fault. */
function shiftForms(name: string, shift: Shift, size: Size): Form[] {
  return (['i', 'c'] as const).flatMap((from) => [
    {
      name: `${name}.r${from}.${size}`,
      emit: (c: Context) => {
        const count = countOf(c, size, from);
        const a = c.keep(c.readDst(size));
        c.f.when(
          i64.eqz(count.get),
          // A 32-bit destination is zero-extended even where nothing is shifted.
          () => {
            if (size === 4) c.writeDst(size, a.get);
          },
          () => c.writeDst(size, shift(c, size, a, count)),
        );
        c.next();
      },
    },
    {
      name: `${name}.m${from}.${size}`,
      emit: (c: Context) => {
        const count = countOf(c, size, from);
        c.update(size, c.address(size, true).get, (a) => {
          const r = c.keep(a.get);
          c.f.when(i64.ne(count.get, k(0)), () => c.f.emit(r.set(shift(c, size, a, count))));
          return r.get;
        });
        c.next();
      },
    },
  ]);
}

/** SHLD and SHRD. Counts above the operand's size (16-bit operands only) are undefined; taken modulo 32 bits of a:b:a. */
function doubleShift(c: Context, size: Size, left: boolean, a: Local<'i64'>, count: Local<'i64'>): I64 {
  const n = bits(size);
  const b = c.keep(c.readSrc(size));
  const r = c.temp();
  const cf = c.temp();
  const rest = i64.sub(k(n), count.get);
  if (left) {
    c.f.emit(r.set(i64.or(i64.shl(a.get, count.get), i64.shrU(b.get, rest))));
    c.f.emit(cf.set(i64.and(i64.shrU(a.get, rest), k(1))));
  } else {
    c.f.emit(r.set(i64.or(i64.shrU(a.get, count.get), i64.shl(b.get, rest))));
    c.f.emit(cf.set(i64.and(i64.shrU(a.get, i64.sub(count.get, k(1))), k(1))));
  }
  c.f.emit(r.set(truncate(size, r.get)));
  setShiftFlags(c, size, r, cf, i64.xor(top(size, r.get), top(size, a.get)));
  return r.get;
}

function doubleForms(name: string, left: boolean, size: Size): Form[] {
  return (['i', 'c'] as const).flatMap((from) => [
    {
      name: `${name}.r${from}.${size}`,
      emit: (c: Context) => {
        const count = countOf(c, size, from);
        const a = c.keep(c.readDst(size));
        c.f.when(i64.ne(count.get, k(0)), () => c.f.emit(a.set(doubleShift(c, size, left, a, count))));
        c.writeDst(size, a.get);
        c.next();
      },
    },
    {
      name: `${name}.m${from}.${size}`,
      emit: (c: Context) => {
        const count = countOf(c, size, from);
        c.update(size, c.address(size, true).get, (a) => {
          const r = c.keep(a.get);
          c.f.when(i64.ne(count.get, k(0)), () => c.f.emit(r.set(doubleShift(c, size, left, a, count))));
          return r.get;
        });
        c.next();
      },
    },
  ]);
}

export const shifts: readonly Form[] = [
  ...SIZES.flatMap((size) => SHIFTS.flatMap(({ name, shift }) => shiftForms(name, shift, size))),
  ...WORDS.flatMap((size) => [...doubleForms('shld', true, size), ...doubleForms('shrd', false, size)]),
];
