/**
 * What the manual leaves undefined: flags, and for a few instructions the destination. Intel SDM Vol. 2, "Flags Affected"
 * of each instruction; Vol. 1, Appendix A, "EFLAGS Cross-Reference".
 */
import type { Outcome, State, Vector } from './cases.js';

const F = { CF: 1, PF: 4, AF: 0x10, ZF: 0x40, SF: 0x80, OF: 0x800 } as const;
const ALL = F.CF | F.PF | F.AF | F.ZF | F.SF | F.OF;

/** The operand size in bits, from the first register or size word of the text. */
function sizeOf(text: string): number {
  const named = /\b(byte|word|dword|qword)\b/.exec(text)?.[1];
  if (named) return { byte: 8, word: 16, dword: 32, qword: 64 }[named] ?? 64;
  const register = /^[a-z0-9 ]+? ([a-z0-9]+)/.exec(text)?.[1] ?? '';
  if (/^([abcd][lh]|(sp|bp|si|di)l|r\d+b)$/.test(register)) return 8;
  if (/^([abcd]x|[sb]p|[sd]i|r\d+w)$/.test(register)) return 16;
  return /^(e|r\d+d)/.test(register) ? 32 : 64;
}

/** The shift count that an instruction uses: masked to 5 bits, or 6 for 64-bit operands. */
function countOf(vector: Vector, state: State, number: number, size: number): number {
  const operands = vector.text.split(',');
  const last = operands.at(-1)?.trim() ?? '';
  const raw =
    last === 'cl' ? Number((state.regs[1] ?? 0n) & 0xffn) : vector.pins.includes('imm=case') ? number : Number(last);
  return raw & (size === 64 ? 63 : 31);
}

type Rule = (vector: Vector, state: State, number: number) => number;
const always =
  (flags: number): Rule =>
  () =>
    flags;

const shift: Rule = (vector, state, number) => {
  const size = sizeOf(vector.text);
  const count = countOf(vector, state, number, size);
  if (count === 0) return 0;
  const arithmetic = vector.text.startsWith('sar');
  return F.AF | (count > 1 ? F.OF : 0) | (count >= size && !arithmetic ? F.CF : 0);
};

const rotate: Rule = (vector, state, number) => {
  const count = countOf(vector, state, number, sizeOf(vector.text));
  return count > 1 ? F.OF : 0;
};

const doubleShift: Rule = (vector, state, number) => {
  const size = sizeOf(vector.text);
  const count = countOf(vector, state, number, size);
  if (count === 0) return 0;
  return count > size ? ALL : F.AF | (count > 1 ? F.OF : 0);
};

/** Undefined flags by mnemonic. */
const RULES: { readonly [mnemonic: string]: Rule } = {
  ...Object.fromEntries(['and', 'or', 'xor', 'test'].map((name) => [name, always(F.AF)])),
  ...Object.fromEntries(['shl', 'shr', 'sar', 'sal'].map((name) => [name, shift])),
  ...Object.fromEntries(['rol', 'ror', 'rcl', 'rcr'].map((name) => [name, rotate])),
  ...Object.fromEntries(['shld', 'shrd'].map((name) => [name, doubleShift])),
  ...Object.fromEntries(['mul', 'imul'].map((name) => [name, always(F.SF | F.ZF | F.AF | F.PF)])),
  ...Object.fromEntries(['div', 'idiv'].map((name) => [name, always(ALL)])),
  ...Object.fromEntries(['bt', 'bts', 'btr', 'btc'].map((name) => [name, always(F.OF | F.SF | F.AF | F.PF)])),
  ...Object.fromEntries(['bsf', 'bsr'].map((name) => [name, always(ALL & ~F.ZF)])),
  ...Object.fromEntries(['tzcnt', 'lzcnt'].map((name) => [name, always(F.OF | F.SF | F.AF | F.PF)])),
  ...Object.fromEntries(['daa', 'das'].map((name) => [name, always(F.OF)])),
  ...Object.fromEntries(['aaa', 'aas'].map((name) => [name, always(F.OF | F.SF | F.ZF | F.PF)])),
  ...Object.fromEntries(['aam', 'aad'].map((name) => [name, always(F.OF | F.AF | F.CF)])),
};

const mnemonicOf = (text: string): string =>
  text.replace(/^(lock|rep|repe|repne|repz|a32|o16) /, '').split(' ')[0] ?? '';

/** SHLD and SHRD by more than the operand's size leave the destination undefined as well. */
export function isUndefined(vector: Vector, input: State, number: number): boolean {
  const mnemonic = mnemonicOf(vector.text);
  if (mnemonic !== 'shld' && mnemonic !== 'shrd') return false;
  const size = sizeOf(vector.text);
  return countOf(vector, input, number, size) > size;
}

/** Clears what cannot be compared. */
export function maskOutcome(vector: Vector, input: State, number: number, outcome: Outcome): void {
  const mnemonic = mnemonicOf(vector.text);
  const undefinedFlags = RULES[mnemonic]?.(vector, input, number) ?? 0;
  outcome.flags &= 0xcd5 & ~undefinedFlags;
}
