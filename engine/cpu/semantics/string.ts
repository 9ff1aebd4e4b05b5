/** String instructions: Intel SDM Vol. 2, MOVS, STOS, LODS, CMPS, SCAS, and REP. */
import { i32, i64 } from '../../wasm/assembler.js';
import { GPR, SEG } from '../layout.js';
import { type Context, type Form, SIZES, type Size, signExtend } from './context.js';
import { borrowsOf, setCarries, zeroFlag } from './flags.js';

/** One iteration. Registers move only after the last access that could fault. */
type Iteration = (c: Context, size: Size) => void;

const compare = (c: Context, size: Size, a: ReturnType<Context['keep']>, b: ReturnType<Context['keep']>): void => {
  const r = c.keep(i64.sub(a.get, b.get));
  setCarries(c, size, borrowsOf(a.get, b.get, r.get));
  c.setResult(signExtend(size, r.get));
};

const source = (c: Context, size: Size): ReturnType<Context['keep']> =>
  c.load(size, c.stringAddress(GPR.RSI, 'operand', size, false).get);
const destination = (c: Context, size: Size, write: boolean): ReturnType<Context['keep']> =>
  c.stringAddress(GPR.RDI, SEG.ES, size, write);

const ITERATIONS: readonly { readonly name: string; readonly compares: boolean; readonly iterate: Iteration }[] = [
  {
    name: 'movs',
    compares: false,
    iterate: (c, size) => {
      const value = source(c, size);
      c.store(size, destination(c, size, true).get, value.get);
      c.advance(GPR.RSI, size);
      c.advance(GPR.RDI, size);
    },
  },
  {
    name: 'stos',
    compares: false,
    iterate: (c, size) => {
      c.store(size, destination(c, size, true).get, c.readRegister(GPR.RAX, size));
      c.advance(GPR.RDI, size);
    },
  },
  {
    name: 'lods',
    compares: false,
    iterate: (c, size) => {
      c.writeRegister(GPR.RAX, size, source(c, size).get);
      c.advance(GPR.RSI, size);
    },
  },
  {
    name: 'cmps',
    compares: true,
    iterate: (c, size) => {
      const a = source(c, size);
      const b = c.load(size, destination(c, size, false).get);
      compare(c, size, a, b);
      c.advance(GPR.RSI, size);
      c.advance(GPR.RDI, size);
    },
  },
  {
    name: 'scas',
    compares: true,
    iterate: (c, size) => {
      const b = c.load(size, destination(c, size, false).get);
      compare(c, size, c.keep(c.readRegister(GPR.RAX, size)), b);
      c.advance(GPR.RDI, size);
    },
  },
];

export const strings: readonly Form[] = SIZES.flatMap((size) =>
  ITERATIONS.flatMap(({ name, compares, iterate }): Form[] => {
    const once: Form = {
      name: `${name}.${size}`,
      emit: (c) => {
        iterate(c, size);
        c.next();
      },
    };
    const repeated = (prefix: string, stop: ((c: Context) => ReturnType<typeof zeroFlag>) | null): Form => ({
      name: `${prefix}.${name}.${size}`,
      ends: true,
      emit: (c) => c.repeat(() => iterate(c, size), stop ? () => stop(c) : null),
    });
    return compares
      ? [once, repeated('repe', (c) => i32.eqz(zeroFlag(c))), repeated('repne', zeroFlag)]
      : [once, repeated('rep', null)];
  }),
);
