/** Bit tests and scans: Intel SDM Vol. 2A, BT/BTS/BTR/BTC, BSF, BSR, POPCNT, TZCNT, LZCNT. */
import { type I64, i64, type Local } from '../../wasm/assembler.js';
import { bits, type Context, type Form, k, type Size, signExtend, WORDS } from './context.js';
import { setCarryOnly } from './flags.js';

const CHANGES: readonly { readonly name: string; readonly change: ((value: I64, bit: I64) => I64) | null }[] = [
  { name: 'bt', change: null },
  { name: 'bts', change: (value, bit) => i64.or(value, bit) },
  { name: 'btr', change: (value, bit) => i64.and(value, i64.xor(bit, k(-1))) },
  { name: 'btc', change: (value, bit) => i64.xor(value, bit) },
];

const log2 = { 2: 1, 4: 2, 8: 3, 1: 0 } as const;

function testForms(name: string, change: ((value: I64, bit: I64) => I64) | null, size: Size): Form[] {
  const apply = (c: Context, value: Local<'i64'>, index: Local<'i64'>): I64 => {
    setCarryOnly(c, i64.shrU(value.get, index.get));
    return change ? change(value.get, i64.shl(k(1), index.get)) : value.get;
  };
  const low = (c: Context, v: I64): Local<'i64'> => c.keep(i64.and(v, k(bits(size) - 1)));
  const inRegister = (c: Context, index: Local<'i64'>): void => {
    const value = c.keep(c.readDst(size));
    const r = apply(c, value, index);
    if (change) c.writeDst(size, r);
    c.next();
  };
  const inMemory = (c: Context, address: I64, index: Local<'i64'>): void => {
    if (change) c.update(size, address, (value) => apply(c, value, index));
    else apply(c, c.load(size, address), index);
    c.next();
  };
  return [
    { name: `${name}.rr.${size}`, emit: (c) => inRegister(c, low(c, c.readSrc(size))) },
    { name: `${name}.ri.${size}`, emit: (c) => inRegister(c, low(c, c.immediate())) },
    {
      // A bit offset in a register reaches beyond the operand, signed.
      name: `${name}.mr.${size}`,
      emit: (c) => {
        const offset = c.keep(signExtend(size, c.readSrc(size)));
        const distance = i64.shl(i64.shrS(offset.get, k(3 + log2[size])), k(log2[size]));
        const address = c.keep(i64.add(c.address(size, change !== null).get, distance));
        inMemory(c, address.get, low(c, offset.get));
      },
    },
    {
      name: `${name}.mi.${size}`,
      emit: (c) => {
        const address = c.address(size, change !== null);
        inMemory(c, address.get, low(c, c.immediate()));
      },
    },
  ];
}

/** ZF is the only defined flag of BSF and BSR; a zero source leaves the whole destination as it was. */
function scan(c: Context, size: Size, value: Local<'i64'>, index: I64): void {
  c.setResult(value.get);
  c.setCarry(k(0));
  c.f.when(i64.ne(value.get, k(0)), () => c.writeDst(size, index));
  c.next();
}

/** CF: source was zero. ZF: result is zero. */
function count(c: Context, size: Size, value: Local<'i64'>, result: I64): void {
  const r = c.keep(result);
  c.setResult(r.get);
  c.setCarry(i64.shl(i64.extendU(i64.eqz(value.get)), k(63)));
  // CF alone: OF is bit 63 ^ bit 62.
  c.setCarry(i64.or(c.carry, i64.shrU(c.carry, k(1))));
  c.writeDst(size, r.get);
  c.next();
}

type Scan = (c: Context, size: Size, value: Local<'i64'>) => void;
const SCANS: readonly { readonly name: string; readonly scan: Scan }[] = [
  { name: 'bsf', scan: (c, size, v) => scan(c, size, v, i64.ctz(v.get)) },
  { name: 'bsr', scan: (c, size, v) => scan(c, size, v, i64.sub(k(63), i64.clz(v.get))) },
  {
    name: 'popcnt',
    scan: (c, size, v) => {
      c.setResult(v.get);
      // ZF by the source; every other flag is cleared, PF and SF by the deltas of cpu/flags.ts.
      const odd = i64.and(i64.popcnt(i64.and(v.get, k(0xff))), k(1));
      const delta = i64.or(i64.shl(i64.xor(odd, k(1)), k(8)), i64.shl(i64.shrU(v.get, k(63)), k(4)));
      c.setCarry(delta);
      c.writeDst(size, i64.popcnt(v.get));
      c.next();
    },
  },
  {
    name: 'tzcnt',
    scan: (c, size, v) =>
      count(c, size, v, size === 8 ? i64.ctz(v.get) : i64.ctz(i64.or(v.get, k(1n << BigInt(bits(size)))))),
  },
  { name: 'lzcnt', scan: (c, size, v) => count(c, size, v, i64.sub(i64.clz(v.get), k(64 - bits(size)))) },
];

export const bitForms: readonly Form[] = WORDS.flatMap((size) => [
  ...CHANGES.flatMap(({ name, change }) => testForms(name, change, size)),
  ...SCANS.flatMap((entry): Form[] => [
    { name: `${entry.name}.rr.${size}`, emit: (c) => entry.scan(c, size, c.keep(c.readSrc(size))) },
    { name: `${entry.name}.rm.${size}`, emit: (c) => entry.scan(c, size, c.load(size, c.address(size, false).get)) },
  ]),
]);
