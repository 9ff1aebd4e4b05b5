/** Operands in NASM's words: every way to address memory, registers of every size, immediates at their limits. */
import { PLACE } from './cases.js';

/** An instruction in NASM's words, before it is assembled and run. */
export interface Template {
  readonly bits: 32 | 64;
  readonly text: string;
  readonly pins: readonly string[];
  readonly cases: number;
}

const CASES = 16;
export const hex = (n: number): string => n.toString(16);
/** Memory operands stand in the middle of the window. */
export const AT = PLACE.data + 0x40;

export type Size = 1 | 2 | 4 | 8;
export const SIZES: readonly Size[] = [1, 2, 4, 8];
export const WORDS: readonly Size[] = [2, 4, 8];
export const SIZE_WORD = { 1: 'byte', 2: 'word', 4: 'dword', 8: 'qword' } as const;

interface Address {
  readonly text: string;
  readonly pins: readonly string[];
  /** Needs a REX prefix, so that AH and its like cannot be named with it. */
  readonly rex?: boolean;
}

export const ADDRESSES_64: readonly Address[] = [
  { text: '[rbx]', pins: [`rbx=${hex(AT)}`] },
  { text: '[rbx+0x12]', pins: [`rbx=${hex(AT)}`] },
  { text: '[rsi-0x123456]', pins: [`rsi=${hex(AT + 0x12_3456)}`] },
  { text: '[rbp+rdi*8-0x13]', pins: [`rbp=${hex(AT)}`, 'rdi=5'] },
  { text: '[rsp+rbx*2]', pins: [`rbx=fffffffffffffff0`] },
  { text: '[rsi+rbx]', pins: [`rsi=${hex(AT + 5)}`, 'rbx&1f'] },
  { text: '[rdi*4+0x10000000]', pins: ['rdi=13'] },
  { text: `[abs ${AT + 1}]`, pins: [] },
  { text: `[rel $-${PLACE.entry - AT}]`, pins: [] },
  { text: '[ebx+0x10]', pins: [`rbx=deadbeef${hex(AT)}`] },
  { text: '[ebp+esi*4]', pins: [`rbp=12345678${hex(AT)}`, 'rsi=ffffffff00000003'] },
  { text: '[ebx+edi-0x10]', pins: [`rbx=fffffffff0000000`, 'rdi=20000060'] },
  { text: '[r13]', pins: [`r13=${hex(AT + 8)}`], rex: true },
  { text: '[r12+r9*2+7]', pins: [`r12=${hex(AT)}`, 'r9=fffffffffffffffc'], rex: true },
  { text: '[r14d+r11d*8]', pins: [`r14=77777777${hex(AT)}`, 'r11=2'], rex: true },
  { text: '[gs:rbx]', pins: [`rbx=${hex(AT - PLACE.gsBase)}`] },
  { text: '[gs:ebx+8]', pins: [`rbx=10${hex(AT - PLACE.gsBase)}`] },
];
export const ADDRESSES_32: readonly Address[] = [
  { text: '[ebx]', pins: [`rbx=${hex(AT)}`] },
  { text: '[esi-0x20]', pins: [`rsi=${hex(AT + 0x30)}`] },
  { text: '[ebp+edi*4+5]', pins: [`rbp=${hex(AT)}`, 'rdi=fffffffe'] },
  { text: '[esp+4]', pins: [] },
  { text: `[${AT + 3}]`, pins: [] },
  { text: '[ebx+esi-0x70000000]', pins: [`rbx=fffffff0`, `rsi=${hex(AT + 0x7000_0000)}`] },
];
export const PLAIN: Address = { text: '[rbx]', pins: [`rbx=${hex(AT)}`] };

export const NAMES = {
  1: ['al', 'cl', 'dl', 'ah', 'ch', 'dh', 'r8b', 'r10b', 'r15b'],
  2: ['ax', 'cx', 'dx', 'r8w', 'r10w', 'r15w'],
  4: ['eax', 'ecx', 'edx', 'r8d', 'r10d', 'r15d'],
  8: ['rax', 'rcx', 'rdx', 'r8', 'r10', 'r15'],
} as const;
/** Pairs for register forms: low, high, new and equal registers. */
export const PAIRS = {
  1: ['al,bl', 'ah,dl', 'cl,bh', 'dh,ch', 'r9b,sil', 'bpl,r14b', 'dl,dl'],
  2: ['ax,bx', 'cx,r9w', 'r13w,di', 'dx,dx'],
  4: ['eax,ebx', 'ecx,r9d', 'r13d,edi', 'edx,edx'],
  8: ['rax,rbx', 'rcx,r9', 'r13,rdi', 'rdx,rdx'],
} as const;
export const SINGLES = {
  1: ['al', 'bh', 'sil', 'r11b'],
  2: ['ax', 'bp', 'r11w'],
  4: ['eax', 'ebp', 'r11d'],
  8: ['rax', 'rbp', 'r11'],
} as const;
export const IMMEDIATES = {
  1: ['0x7f', '0x80'],
  2: ['5', '-1', '0x1234'],
  4: ['1', '-128', '0x7fffffff', '-0x80000000'],
  8: ['1', '-128', '0x7fffffff', '-0x80000000'],
} as const;

/** Takes addresses and registers in turn, so that each meets many instructions. */
export class Turns {
  #address = 0;
  #register = 0;
  address(rexAllowed = true): Address {
    for (;;) {
      const address = ADDRESSES_64[this.#address++ % ADDRESSES_64.length];
      if (address && (rexAllowed || !address.rex)) return address;
    }
  }
  register(size: Size, address: Address): string {
    for (;;) {
      const name = NAMES[size][this.#register++ % NAMES[size].length] ?? 'al';
      if (!/^[acd]h$/.test(name) || !address.rex) return name;
    }
  }
}

export const one = (text: string, pins: readonly string[] = [], cases = CASES): Template => ({
  bits: 64,
  text,
  pins,
  cases,
});
export const narrow = (text: string, pins: readonly string[] = [], cases = CASES): Template => ({
  bits: 32,
  text,
  pins,
  cases,
});

export const CONDITIONS = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'];
/** Where the stack begins, and what string instructions go over: inside the window too. */
export const STACK_AT = PLACE.data + 0xc0;
export const STRING_PINS = [`rsi=${hex(PLACE.data + 0x40)}`, `rdi=${hex(PLACE.data + 0x80)}`];
