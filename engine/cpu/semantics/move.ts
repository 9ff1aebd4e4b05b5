/** Data movement: MOV and its extensions, LEA, CMOVcc, SETcc, BSWAP, sign conversions, flag instructions. */
import { type I64, i32, i64 } from '../../wasm/assembler.js';
import { GPR } from '../layout.js';
import { type Context, type Form, flag, k, SIZES, type Size, signExtend, truncate, WORDS } from './context.js';
import { adjustFlag, CONDITIONS, carryFlag, parityFlag, setCarryOnly, signFlag, zeroFlag } from './flags.js';

const mov = (size: Size): Form[] => {
  const literal = (c: Context): I64 => truncate(size, c.immediate());
  return [
    { name: `mov.rr.${size}`, emit: (c) => finish(c, () => c.writeDst(size, c.readSrc(size))) },
    {
      name: `mov.rm.${size}`,
      emit: (c) => finish(c, () => c.writeDst(size, c.load(size, c.address(size, false).get).get)),
    },
    { name: `mov.ri.${size}`, emit: (c) => finish(c, () => c.writeDst(size, literal(c))) },
    {
      name: `mov.mr.${size}`,
      emit: (c) => finish(c, () => c.store(size, c.address(size, true).get, c.readSrc(size))),
    },
    { name: `mov.mi.${size}`, emit: (c) => finish(c, () => c.store(size, c.address(size, true).get, literal(c))) },
  ];
};

function finish(c: Context, body: () => void): void {
  body();
  c.next();
}

/** MOVZX, MOVSX and MOVSXD: name.source form.destination size.source size. */
const extensions = (from: Size, to: Size): Form[] => {
  const extend = (name: string, value: (v: I64) => I64): Form[] => [
    {
      name: `${name}.rr.${to}.${from}`,
      emit: (c) => finish(c, () => c.writeDst(to, truncate(to, value(c.readSrc(from))))),
    },
    {
      name: `${name}.rm.${to}.${from}`,
      emit: (c) => finish(c, () => c.writeDst(to, truncate(to, value(c.load(from, c.address(from, false).get).get)))),
    },
  ];
  const signed = extend('movsx', (v) => signExtend(from, v));
  return from === 4 ? signed : [...extend('movzx', (v) => v), ...signed];
};

const conditional = (size: Size): Form[] =>
  CONDITIONS.flatMap(({ name, holds }) => {
    const choose = (c: Context, source: I64): void => {
      const chosen = c.keep(source);
      // The memory operand is read, and a 32-bit destination zero-extended, whether or not the condition holds.
      c.f.when(i32.eqz(holds(c)), () => c.f.emit(chosen.set(c.readDst(size))));
      c.writeDst(size, chosen.get);
      c.next();
    };
    return [
      { name: `cmov${name}.rr.${size}`, emit: (c: Context) => choose(c, c.readSrc(size)) },
      { name: `cmov${name}.rm.${size}`, emit: (c: Context) => choose(c, c.load(size, c.address(size, false).get).get) },
    ];
  });

const setcc: readonly Form[] = CONDITIONS.flatMap(({ name, holds }) => [
  { name: `set${name}.r.1`, emit: (c: Context) => finish(c, () => c.writeDst(1, flag(holds(c)))) },
  { name: `set${name}.m.1`, emit: (c: Context) => finish(c, () => c.store(1, c.address(1, true).get, flag(holds(c)))) },
]);

const lea = (size: Size): Form => ({
  name: `lea.rm.${size}`,
  emit: (c) => finish(c, () => c.writeDst(size, truncate(size, c.offset()))),
});

const byteOf = (v: I64, from: number, to: number): I64 =>
  i64.shl(i64.and(i64.shrU(v, k(8 * from)), k(0xff)), k(8 * to));

const bswap = (size: 4 | 8): Form => ({
  name: `bswap.r.${size}`,
  emit: (c) => {
    const v = c.keep(c.readDst(size));
    const swapped = Array.from({ length: size }, (_, i) => byteOf(v.get, i, size - 1 - i)).reduce((a, b) =>
      i64.or(a, b),
    );
    c.writeDst(size, swapped);
    c.next();
  },
});

/** CBW, CWDE, CDQE by their destination size; CWD, CDQ, CQO by their operand size. */
const widen = (size: 2 | 4 | 8): Form[] => [
  {
    name: `cbw.${size}`,
    emit: (c) => {
      const half = (size / 2) as Size;
      finish(c, () => c.writeRegister(GPR.RAX, size, truncate(size, signExtend(half, c.readRegister(GPR.RAX, half)))));
    },
  },
  {
    name: `cwd.${size}`,
    emit: (c) => {
      const sign = i64.shrS(signExtend(size, c.readRegister(GPR.RAX, size)), k(63));
      finish(c, () => c.writeRegister(GPR.RDX, size, truncate(size, sign)));
    },
  },
];

const shiftedFlag = (value: I64, bit: number): I64 => i64.shl(value, k(bit));

const flags: readonly Form[] = [
  { name: 'clc', emit: (c) => finish(c, () => setCarryOnly(c, k(0))) },
  { name: 'stc', emit: (c) => finish(c, () => setCarryOnly(c, k(1))) },
  { name: 'cmc', emit: (c) => finish(c, () => setCarryOnly(c, i64.xor(carryFlag(c), k(1)))) },
  {
    name: 'lahf',
    emit: (c) => {
      const value = [
        carryFlag(c),
        k(2),
        shiftedFlag(flag(parityFlag(c)), 2),
        shiftedFlag(adjustFlag(c), 4),
        shiftedFlag(flag(zeroFlag(c)), 6),
        shiftedFlag(flag(signFlag(c)), 7),
      ].reduce((a, b) => i64.or(a, b));
      finish(c, () => c.writeRegister(GPR.RAX + 1, 1, value));
    },
  },
  // AL = CF ? 0xff : 0. Not in Intel's manual, but in every processor.
  {
    name: 'salc',
    emit: (c) => finish(c, () => c.writeRegister(GPR.RAX, 1, i64.and(i64.sub(k(0), carryFlag(c)), k(0xff)))),
  },
  { name: 'nop', emit: (c) => c.next() },
];

export const moves: readonly Form[] = [
  ...SIZES.flatMap(mov),
  ...WORDS.flatMap((to) => SIZES.filter((from) => from <= to && from < 8).flatMap((from) => extensions(from, to))),
  ...WORDS.flatMap(conditional),
  ...setcc,
  ...WORDS.map(lea),
  // Undefined in the manual; processors clear the register.
  { name: 'bswap.r.2', emit: (c) => finish(c, () => c.writeDst(2, k(0))) },
  bswap(4),
  bswap(8),
  ...([2, 4, 8] as const).flatMap(widen),
  ...flags,
];
