/**
 * From a decoded instruction to the name of its meaning: a form of generated code (semantics/) or a slow instruction
 * (system/, vmx/, svm/). Most names are the mnemonic, the kinds of its operands and a size; the tables here say where
 * it is otherwise.
 */
import { type Instruction, Mnemonic, OpKind, Register } from 'iced-x86';
import { MODE } from '../mode.js';
import { numbered, segmentNumber } from './registers.js';

export interface Named {
  /** Form of generated code, where there is one in this mode. */
  readonly fast: string | null;
  /** Slow instruction that does the same, or all that there is. */
  readonly slow: string;
}

/** Kinds of operands as the forms' names spell them. */
const KIND: { readonly [kind: number]: string } = {
  [OpKind.Register]: 'r',
  [OpKind.Memory]: 'm',
  [OpKind.NearBranch16]: 'i',
  [OpKind.NearBranch32]: 'i',
  [OpKind.NearBranch64]: 'i',
  [OpKind.Immediate8]: 'i',
  [OpKind.Immediate16]: 'i',
  [OpKind.Immediate32]: 'i',
  [OpKind.Immediate64]: 'i',
  [OpKind.Immediate8to16]: 'i',
  [OpKind.Immediate8to32]: 'i',
  [OpKind.Immediate8to64]: 'i',
  [OpKind.Immediate32to64]: 'i',
};

export interface Shape {
  readonly mnemonic: string;
  /** For example `rm`: destination register, source memory. */
  readonly kinds: string;
  /** Operand size in bytes, and that of the second operand where it differs (MOVZX). */
  readonly size: number;
  readonly sourceSize: number;
  readonly addressSize: number;
  readonly mode: number;
  readonly repeat: 'none' | 'rep' | 'repne';
}

const SHIFTS = new Set(['rol', 'ror', 'rcl', 'rcr', 'shl', 'shr', 'sar', 'shld', 'shrd']);
const STRINGS = /^(movs|stos|lods|cmps|scas)([bwdq])$/;
const STRING_SIZE: { readonly [suffix: string]: number } = { b: 1, w: 2, d: 4, q: 8 };

/** The stack forms serve flat segments with a stack pointer of the operand's width. */
function stackForm(shape: Shape, name: string, operandSize: number): string | null {
  const width = shape.mode & 2 ? 8 : 4;
  const flat = shape.mode & 2 || (shape.mode & MODE.flat && shape.mode & MODE.stack32);
  return flat && operandSize === width ? `${name}.${width}` : null;
}

type Rule = (shape: Shape) => Named;

const fixed =
  (fast: string): Rule =>
  ({ mnemonic }) => ({ fast, slow: mnemonic });

/** Widening conversions: name and destination size. */
const CONVERSIONS: { readonly [mnemonic: string]: string } = {
  cbw: 'cbw.2',
  cwde: 'cbw.4',
  cdqe: 'cbw.8',
  cwd: 'cwd.2',
  cdq: 'cwd.4',
  cqo: 'cwd.8',
};

const COUNTERS: { readonly [mnemonic: string]: string } = {
  jcxz: 'jcxz.2',
  jecxz: 'jcxz.4',
  jrcxz: 'jcxz.8',
};

/** Hints and fences, which do nothing that the machine can see. */
const NOPS = [
  'nop',
  'endbr64',
  'endbr32',
  'prefetchnta',
  'prefetcht0',
  'prefetcht1',
  'prefetcht2',
  'prefetchw',
  'lfence',
  'mfence',
  'sfence',
  'clflush',
  'prefetch',
  'prefetchwt1',
  'rdsspd',
  'rdsspq',
  'reservednop',
  // There is no x87 unit to wait for.
  'wait',
];

const RULES: { readonly [mnemonic: string]: Rule } = {
  ...Object.fromEntries(Object.entries(CONVERSIONS).map(([mnemonic, form]) => [mnemonic, fixed(form)])),
  ...Object.fromEntries(Object.entries(COUNTERS).map(([mnemonic, form]) => [mnemonic, fixed(form)])),
  ...Object.fromEntries(NOPS.map((mnemonic) => [mnemonic, fixed('nop')])),
  movsxd: (s) => ({ fast: `movsx.${s.kinds}.${s.size}.${s.sourceSize}`, slow: 'movsx' }),
  movsx: (s) => ({ fast: `movsx.${s.kinds}.${s.size}.${s.sourceSize}`, slow: 'movsx' }),
  movzx: (s) => ({ fast: `movzx.${s.kinds}.${s.size}.${s.sourceSize}`, slow: 'movzx' }),
  call: (s) => ({ fast: stackForm(s, `call.${s.kinds}`, s.size), slow: 'call' }),
  ret: (s) => ({ fast: stackForm(s, s.kinds === '' ? 'ret' : 'ret.i', s.size), slow: 'ret' }),
  jmp: (s) =>
    s.kinds === 'i' ? { fast: 'jmp.i', slow: 'jmp' } : { fast: stackForm(s, `jmp.${s.kinds}`, s.size), slow: 'jmp' },
  push: (s) => ({ fast: stackForm(s, `push.${s.kinds}`, s.size), slow: 'push' }),
  pop: (s) => ({ fast: s.kinds === 'r' ? stackForm(s, 'pop.r', s.size) : null, slow: 'pop' }),
  leave: (s) => ({ fast: stackForm(s, 'leave', s.size), slow: 'leave' }),
  loop: (s) => ({ fast: `loop.${s.addressSize}`, slow: 'loop' }),
  loope: (s) => ({ fast: `loope.${s.addressSize}`, slow: 'loope' }),
  loopne: (s) => ({ fast: `loopne.${s.addressSize}`, slow: 'loopne' }),
};

function stringName(shape: Shape, family: string, suffix: string): Named {
  const size = STRING_SIZE[suffix] ?? 1;
  const compares = family === 'cmps' || family === 'scas';
  const prefix =
    shape.repeat === 'none' ? '' : compares && shape.repeat === 'rep' ? 'repe.' : compares ? 'repne.' : 'rep.';
  return { fast: `${prefix}${family}.${size}`, slow: family };
}

/** Name of an instruction of the given shape, as generated code or slow tables know it. */
export function nameOf(shape: Shape): Named {
  const { mnemonic, kinds, size } = shape;
  const rule = RULES[mnemonic];
  if (rule) return rule(shape);
  const string = STRINGS.exec(mnemonic);
  if (string?.[1] && string[2]) return stringName(shape, string[1], string[2]);
  if (kinds === '') return { fast: mnemonic, slow: mnemonic };
  if (mnemonic.startsWith('j') && kinds === 'i') return { fast: mnemonic, slow: mnemonic };
  // Shift counts are an immediate or CL; SHLD and SHRD have a register between.
  if (SHIFTS.has(mnemonic)) {
    const count = kinds.at(-1) === 'r' ? 'c' : 'i';
    return { fast: `${mnemonic}.${kinds[0]}${count}.${size}`, slow: mnemonic };
  }
  return { fast: `${mnemonic}.${kinds}.${size}`, slow: mnemonic };
}

/** MOV, PUSH and POP of segment, control and debug registers are instructions of their own. */
export function specialName(instruction: Instruction): string | null {
  const mnemonic = instruction.mnemonic;
  const of = (kind: OpKind, register: Register): Register => (kind === OpKind.Register ? register : Register.None);
  const first = of(instruction.op0Kind, instruction.op0Register);
  if (mnemonic === Mnemonic.Push || mnemonic === Mnemonic.Pop) {
    if (segmentNumber(first) < 0) return null;
    return mnemonic === Mnemonic.Push ? 'push_segment' : 'pop_segment';
  }
  if (mnemonic !== Mnemonic.Mov) return null;
  const second = of(instruction.op1Kind, instruction.op1Register);
  if (segmentNumber(first) >= 0) return 'mov_to_segment';
  if (segmentNumber(second) >= 0) return 'mov_from_segment';
  if (numbered(first, 'CR') >= 0) return 'mov_to_cr';
  if (numbered(second, 'CR') >= 0) return 'mov_from_cr';
  if (numbered(first, 'DR') >= 0) return 'mov_to_dr';
  return numbered(second, 'DR') >= 0 ? 'mov_from_dr' : null;
}

/** Operand kinds as letters; kinds that the forms do not know are left out. */
export function kindsOf(instruction: Instruction): string {
  const all = [instruction.op0Kind, instruction.op1Kind, instruction.op2Kind].slice(0, instruction.opCount);
  return all.map((kind) => KIND[kind] ?? '').join('');
}
