/**
 * Which instructions are compared with a real CPU: every mnemonic of integer code, at every size, with register, memory
 * and immediate operands, and every way to address memory.
 */
import { PLACE } from './cases.js';

/** An instruction in NASM's words, before it is assembled and run. */
export interface Template {
  readonly bits: 32 | 64;
  readonly text: string;
  readonly pins: readonly string[];
  readonly cases: number;
}

const CASES = 16;
const hex = (n: number): string => n.toString(16);
/** Memory operands stand in the middle of the window. */
const AT = PLACE.data + 0x40;

type Size = 1 | 2 | 4 | 8;
const SIZES: readonly Size[] = [1, 2, 4, 8];
const WORDS: readonly Size[] = [2, 4, 8];
const SIZE_WORD = { 1: 'byte', 2: 'word', 4: 'dword', 8: 'qword' } as const;

interface Address {
  readonly text: string;
  readonly pins: readonly string[];
  /** Needs a REX prefix, so that AH and its like cannot be named with it. */
  readonly rex?: boolean;
}

const ADDRESSES_64: readonly Address[] = [
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
const ADDRESSES_32: readonly Address[] = [
  { text: '[ebx]', pins: [`rbx=${hex(AT)}`] },
  { text: '[esi-0x20]', pins: [`rsi=${hex(AT + 0x30)}`] },
  { text: '[ebp+edi*4+5]', pins: [`rbp=${hex(AT)}`, 'rdi=fffffffe'] },
  { text: '[esp+4]', pins: [] },
  { text: `[${AT + 3}]`, pins: [] },
  { text: '[ebx+esi-0x70000000]', pins: [`rbx=fffffff0`, `rsi=${hex(AT + 0x7000_0000)}`] },
];
const PLAIN: Address = { text: '[rbx]', pins: [`rbx=${hex(AT)}`] };

const NAMES = {
  1: ['al', 'cl', 'dl', 'ah', 'ch', 'dh', 'r8b', 'r10b', 'r15b'],
  2: ['ax', 'cx', 'dx', 'r8w', 'r10w', 'r15w'],
  4: ['eax', 'ecx', 'edx', 'r8d', 'r10d', 'r15d'],
  8: ['rax', 'rcx', 'rdx', 'r8', 'r10', 'r15'],
} as const;
/** Pairs for register forms: low, high, new and equal registers. */
const PAIRS = {
  1: ['al,bl', 'ah,dl', 'cl,bh', 'dh,ch', 'r9b,sil', 'bpl,r14b', 'dl,dl'],
  2: ['ax,bx', 'cx,r9w', 'r13w,di', 'dx,dx'],
  4: ['eax,ebx', 'ecx,r9d', 'r13d,edi', 'edx,edx'],
  8: ['rax,rbx', 'rcx,r9', 'r13,rdi', 'rdx,rdx'],
} as const;
const SINGLES = {
  1: ['al', 'bh', 'sil', 'r11b'],
  2: ['ax', 'bp', 'r11w'],
  4: ['eax', 'ebp', 'r11d'],
  8: ['rax', 'rbp', 'r11'],
} as const;
const IMMEDIATES = {
  1: ['0x7f', '0x80'],
  2: ['5', '-1', '0x1234'],
  4: ['1', '-128', '0x7fffffff', '-0x80000000'],
  8: ['1', '-128', '0x7fffffff', '-0x80000000'],
} as const;

/** Takes addresses and registers in turn, so that each meets many instructions. */
class Turns {
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

const one = (text: string, pins: readonly string[] = [], cases = CASES): Template => ({ bits: 64, text, pins, cases });
const narrow = (text: string, pins: readonly string[] = [], cases = CASES): Template => ({
  bits: 32,
  text,
  pins,
  cases,
});

const CONDITIONS = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'];

/** Two operands, as ADD has them. */
function binary(turns: Turns, name: string, locks: boolean): Template[] {
  return SIZES.flatMap((size) => {
    const word = SIZE_WORD[size];
    const [first, second] = [turns.address(), turns.address()];
    return [
      ...PAIRS[size].map((pair) => one(`${name} ${pair}`)),
      ...IMMEDIATES[size].flatMap((imm) => [
        one(`${name} ${NAMES[size][0]},${imm}`),
        one(`${name} ${SINGLES[size].at(-1)},${imm}`),
      ]),
      ...[first, second].flatMap((a) => {
        const register = turns.register(size, a);
        return [
          ...(name === 'test' ? [] : [one(`${name} ${register},${a.text}`, a.pins)]),
          one(`${name} ${a.text},${register}`, a.pins),
          one(`${name} ${word} ${a.text},${IMMEDIATES[size].at(-1)}`, a.pins),
          one(`${name} ${word} ${a.text},${IMMEDIATES[size][0]}`, a.pins),
        ];
      }),
      ...(locks ? [one(`lock ${name} ${first.text},${turns.register(size, first)}`, first.pins)] : []),
    ];
  });
}

function unary(turns: Turns, name: string, pins: readonly string[] = []): Template[] {
  return SIZES.flatMap((size) => {
    const a = turns.address();
    return [
      ...SINGLES[size].map((register) => one(`${name} ${register}`, pins, 24)),
      one(`${name} ${SIZE_WORD[size]} ${a.text}`, [...pins, ...a.pins], 24),
    ];
  });
}

const SHIFT_COUNTS = 66;
function shifts(turns: Turns, name: string): Template[] {
  return SIZES.flatMap((size) => {
    const a = turns.address();
    const [first, second] = [SINGLES[size][0], SINGLES[size].at(-1)];
    const word = SIZE_WORD[size];
    return [
      one(`${name} ${second},1`),
      one(`${name} ${word} ${a.text},1`, a.pins),
      one(`${name} ${first},3`, ['imm=case'], SHIFT_COUNTS),
      one(`${name} ${word} ${a.text},3`, [...a.pins, 'imm=case'], SHIFT_COUNTS),
      one(`${name} ${second},cl`, ['rcx=case'], SHIFT_COUNTS),
      one(`${name} ${SINGLES[size][1]},cl`, ['rcx=case'], SHIFT_COUNTS),
      one(`${name} ${word} ${a.text},cl`, [...a.pins, 'rcx=case'], SHIFT_COUNTS),
    ];
  });
}

function doubleShifts(turns: Turns, name: string): Template[] {
  return WORDS.flatMap((size) => {
    const a = turns.address();
    const register = turns.register(size, a).replace(/^([er]?)cx$/, '$1dx');
    return [
      ...PAIRS[size]
        .slice(0, 3)
        .flatMap((pair) => [
          one(`${name} ${pair},3`, ['imm=case'], SHIFT_COUNTS),
          ...(/\b[er]?cx\b/.test(pair) ? [] : [one(`${name} ${pair},cl`, ['rcx=case'], SHIFT_COUNTS)]),
        ]),
      one(`${name} ${SIZE_WORD[size]} ${a.text},${register},3`, [...a.pins, 'imm=case'], SHIFT_COUNTS),
      one(`${name} ${SIZE_WORD[size]} ${a.text},${register},cl`, [...a.pins, 'rcx=case'], SHIFT_COUNTS),
    ];
  });
}

function bitTests(turns: Turns, name: string): Template[] {
  return WORDS.flatMap((size) => {
    const a = turns.address();
    const wide = NAMES[size][5];
    return [
      ...PAIRS[size].map((pair) => one(`${name} ${pair}`)),
      one(`${name} ${SINGLES[size][2]},3`, ['imm=case'], SHIFT_COUNTS),
      one(`${name} ${SIZE_WORD[size]} ${a.text},3`, [...a.pins, 'imm=case'], SHIFT_COUNTS),
      // The bit may lie up to 64 bytes away on either side.
      one(`${name} ${PLAIN.text},${wide}`, [...PLAIN.pins, 'r15%1c0'], 40),
      one(`${name} [ebx],${wide}`, [...PLAIN.pins, 'r15%1c0'], 40),
    ];
  });
}

const scans = (turns: Turns, name: string): Template[] =>
  WORDS.flatMap((size) => {
    const a = turns.address();
    return [
      ...PAIRS[size].map((pair) => one(`${name} ${pair}`, [], 24)),
      one(`${name} ${turns.register(size, a)},${a.text}`, a.pins, 24),
    ];
  });

const moves = (turns: Turns): Template[] => [
  ...binary(turns, 'mov', false),
  ...SIZES.flatMap((size) => SINGLES[size].map((register) => one(`mov ${register},${IMMEDIATES[size].at(-1)}`))),
  one('mov rax,0x123456789abcdef0'),
  one('mov r9,strict qword -1'),
  ...['al', 'ax', 'eax', 'rax'].flatMap((name) => [
    one(`mov ${name},[qword ${AT}]`),
    one(`mov [qword ${AT + 1}],${name}`),
  ]),
  ...['movzx', 'movsx'].flatMap((name) =>
    [
      [1, 2],
      [1, 4],
      [1, 8],
      [2, 4],
      [2, 8],
    ].flatMap(([from, to]) => {
      const a = turns.address();
      const [source, target] = [from as Size, to as Size];
      return [
        one(`${name} ${NAMES[target][1]},${SINGLES[source][0]}`),
        ...(source === 1 && target < 8 ? [one(`${name} ${NAMES[target][2]},bh`)] : []),
        one(`${name} ${NAMES[target][4]},${SINGLES[source].at(-1)}`),
        one(`${name} ${turns.register(target, a)},${SIZE_WORD[source]} ${a.text}`, a.pins),
      ];
    }),
  ),
  one('movsxd rcx,eax'),
  one('db 0x63,0xc8'),
  one('db 0x66,0x63,0xc8'),
  one('db 0x63,0x0b', PLAIN.pins),
  one('db 0x66,0x63,0x0b', PLAIN.pins),
  // MOVZX and MOVSX of 16 bits to 16.
  ...['0xb7', '0xbf'].flatMap((opcode) => [
    one(`db 0x66,0x0f,${opcode},0xc8`),
    one(`db 0x66,0x0f,${opcode},0x0b`, PLAIN.pins),
  ]),
  one('movsxd r9,dword [rbx]', PLAIN.pins),
  ...['cbw', 'cwde', 'cdqe', 'cwd', 'cdq', 'cqo', 'lahf', 'sahf', 'clc', 'stc', 'cmc', 'cld', 'std', 'nop'].map(
    (name) => one(name, [], 24),
  ),
  one('xchg eax,eax'),
  one('db 0x87,0xc0'),
  one('xchg r8,rax'),
  one('xchg ecx,eax'),
  one('xchg ax,si'),
  one('db 0x0f,0x1f,0x44,0,0'),
  one('endbr64'),
  one('pause'),
  one('rdsspq rax'),
  one('prefetchw [rbx]', PLAIN.pins),
  one('xlatb', [`rbx=${hex(AT)}`, 'rax&3f']),
  one('a32 xlatb', [`rbx=7${hex(AT)}`, 'rax&3f']),
  ...['eax', 'r11d', 'rbp', 'r12'].map((name) => one(`bswap ${name}`)),
  one('db 0x66,0x0f,0xc8'),
  one('db 0x66,0x41,0x0f,0xcb'),
];

const leas = (): Template[] =>
  ADDRESSES_64.filter((a) => !a.text.includes('abs')).flatMap((a) =>
    ['cx', 'eax', 'r15'].map((name) => one(`lea ${name},${a.text.replace('gs:', '')}`, [], 4)),
  );

const conditionals = (turns: Turns): Template[] =>
  CONDITIONS.flatMap((cc) => {
    const a = turns.address();
    return [
      ...WORDS.flatMap((size) => [
        one(`cmov${cc} ${PAIRS[size][1]}`, [], 20),
        one(`cmov${cc} ${turns.register(size, a)},${a.text}`, a.pins, 20),
      ]),
      one(`set${cc} ${NAMES[1][CONDITIONS.indexOf(cc) % 9]}`, [], 32),
      one(`set${cc} ${a.text}`, a.pins, 32),
      one(`j${cc} short $+0x80`, [], 32),
      one(`j${cc} near $+0x80`, [], 32),
    ];
  });

const exchanges = (turns: Turns): Template[] => [
  ...['xadd', 'xchg', 'cmpxchg'].flatMap((name) =>
    SIZES.flatMap((size) => {
      const a = turns.address();
      const register = turns.register(size, a);
      return [
        ...PAIRS[size].map((pair) => one(`${name} ${pair}`, [], 24)),
        one(`${name} ${a.text},${register}`, a.pins, 24),
        one(`lock ${name} ${a.text},${register}`, a.pins),
      ];
    }),
  ),
  ...SIZES.map((size) =>
    one(`cmpxchg ${PLAIN.text},${NAMES[size].at(-1)}`, [...PLAIN.pins, 'rax&1', `[${hex(AT)}]&1`], 24),
  ),
  ...['cmpxchg8b', 'lock cmpxchg8b', 'cmpxchg16b', 'lock cmpxchg16b'].flatMap((name) => [
    one(`${name} [rsi]`, [`rsi=${hex(AT)}`]),
    one(`${name} [rsi]`, [`rsi=${hex(AT)}`, 'rax&1', 'rdx=0', `[${hex(AT)}]&1`, `[${hex(AT + 8)}]=0`], 24),
  ]),
];

const STACK_AT = PLACE.data + 0xc0;
const jumps = (): Template[] => [
  one('jmp short $+0x80'),
  one('jmp near $+0x80'),
  one('jmp rbx', [`rbx=${hex(PLACE.taken)}`]),
  one('jmp r9', [`r9=${hex(PLACE.taken)}`]),
  one('jmp [rbx]', [`rbx=${hex(AT)}`, `[${hex(AT)}]=${hex(PLACE.taken)}`]),
  one('call $+0x80'),
  one('call rsi', [`rsi=${hex(PLACE.taken)}`]),
  one('call [rbx+8]', [`rbx=${hex(AT)}`, `[${hex(AT + 8)}]=${hex(PLACE.taken)}`]),
  one('call [rsp]', [`[${hex(STACK_AT)}]=${hex(PLACE.taken)}`]),
  ...['ret', 'ret 0x10', 'rep ret'].map((name) => one(name, [`[${hex(STACK_AT)}]=${hex(PLACE.taken)}`])),
  ...['loop', 'loope', 'loopne', 'jrcxz'].map((name) => one(`${name} $+0x80`, ['rcx&3'], 32)),
  ...['a32 loop', 'a32 loope', 'a32 loopne', 'jecxz'].map((name) =>
    one(`${name} $+0x80`, ['rcx&ffffffff00000003'], 32),
  ),
  ...['jrcxz', 'loop'].map((name) => one(`${name} $+0x80`)),
];

const stack = (turns: Turns): Template[] => [
  ...['rax', 'rsp', 'r12', 'bx', 'r9w', '5', '-1', '0x12345678', 'word 0x1234'].map((name) => one(`push ${name}`)),
  ...['rax', 'rsp', 'r12', 'bx', 'r9w', 'sp'].map((name) => one(`pop ${name}`)),
  ...Array.from({ length: 4 }, () => turns.address()).flatMap((a) => [
    one(`push qword ${a.text}`, a.pins),
    one(`pop qword ${a.text}`, a.pins),
    one(`push word ${a.text}`, a.pins),
    one(`pop word ${a.text}`, a.pins),
  ]),
  one('pop qword [rsp+8]'),
  one('push qword [rsp-8]'),
  one('leave', [`rbp=${hex(PLACE.data + 0x50)}`]),
  one('enter 0x10,0'),
  one('enter 0x10,1', [`rbp=${hex(PLACE.data + 0x60)}`]),
  one('enter 8,3', [`rbp=${hex(PLACE.data + 0x60)}`]),
  one('pushfq', [], 40),
  one('pushf', [], 40),
  one('o16 pushf', [], 40),
  // No TF, NT, RF or AC: they would stop the harness itself.
  one('popfq', [`[${hex(STACK_AT)}]&cd5`], 64),
  one('o16 popf', [`[${hex(STACK_AT)}]&cd5`], 40),
];

const STRING_PINS = [`rsi=${hex(PLACE.data + 0x40)}`, `rdi=${hex(PLACE.data + 0x80)}`];
const strings = (): Template[] =>
  ['movs', 'stos', 'lods', 'cmps', 'scas'].flatMap((name) =>
    ['b', 'w', 'd', 'q'].flatMap((suffix) => {
      const repeats = name === 'cmps' || name === 'scas' ? ['repe', 'repne'] : ['rep'];
      const text = name + suffix;
      return [
        one(text, STRING_PINS, 12),
        one(`a32 ${text}`, [`rsi=ffffffff${hex(PLACE.data + 0x40)}`, `rdi=1${hex(PLACE.data + 0x80)}`], 6),
        ...repeats.flatMap((prefix) => [
          one(`${prefix} ${text}`, [...STRING_PINS, 'rcx&7'], 24),
          one(`${prefix} a32 ${text}`, [...STRING_PINS, 'rcx&ffff000000000007'], 8),
        ]),
        ...(name === 'cmps' || name === 'scas'
          ? [
              // Alike in both operands for a while.
              one(`repe ${text}`, [...STRING_PINS, 'rcx&7', 'rax=0', '[10000040]=0', '[10000080]=0'], 24),
              one(`repne ${text}`, [...STRING_PINS, 'rcx&7', 'rax=0', '[10000048]=0', '[10000088]=0'], 24),
            ]
          : []),
      ];
    }),
  );

const divisions = (turns: Turns): Template[] =>
  ['div', 'idiv'].flatMap((name) => [
    ...unary(turns, name),
    ...unary(turns, name, ['rdx=0']),
    ...unary(turns, name, ['rdx=ffffffffffffffff']),
    ...unary(turns, name, ['rdx&f']),
    ...unary(turns, name, ['rax&7ff']),
    // The quotients at the edge: -2^(n-1) and 2^(n-1).
    one(`${name} rbx`, ['rbx=2', 'rdx=0', 'rax=ffffffffffffffff'], 1),
    one(`${name} rbx`, ['rbx=2', 'rdx=1', 'rax=0'], 1),
    one(`${name} rbx`, ['rbx=2', 'rdx=2', 'rax=0'], 1),
    one(`${name} rbx`, ['rbx=2', 'rdx=ffffffffffffffff', 'rax=0'], 1),
    one(`${name} rbx`, ['rbx=2', 'rdx=fffffffffffffffe', 'rax=ffffffffffffffff'], 1),
    one(`${name} rbx`, ['rbx=ffffffffffffffff', 'rdx=0', 'rax=8000000000000000'], 1),
    one(`${name} rbx`, ['rbx=ffffffffffffffff', 'rdx=ffffffffffffffff', 'rax=8000000000000000'], 1),
    one(`${name} ebx`, ['rbx=ffffffff', 'rdx=ffffffff', 'rax=80000000'], 1),
    one(`${name} bx`, ['rbx=ffff', 'rdx=ffff', 'rax=8000'], 1),
    one(`${name} bl`, ['rbx=ff', 'rax=ff80'], 1),
    one(`${name} bl`, ['rbx=ff', 'rax=ff81'], 1),
  ]);

const multiplications = (turns: Turns): Template[] => [
  ...unary(turns, 'mul'),
  ...unary(turns, 'imul'),
  ...WORDS.flatMap((size) => {
    const a = turns.address();
    return [
      ...PAIRS[size].flatMap((pair) => [
        one(`imul ${pair}`, [], 24),
        one(`imul ${pair},-7`),
        one(`imul ${pair},0x3456`),
      ]),
      one(`imul ${turns.register(size, a)},${a.text}`, a.pins, 24),
      one(`imul ${turns.register(size, a)},${a.text},0x1234`, a.pins, 24),
      one(`imul ${turns.register(size, a)},${a.text},-3`, a.pins, 24),
    ];
  }),
];

/** 32-bit mode: what has other opcodes or another stack there, and a sample of the rest. */
const narrowTemplates = (): Template[] => [
  ...['eax', 'ecx', 'esp', 'edi', 'dx', 'sp'].flatMap((name) =>
    ['inc', 'dec', 'push', 'pop'].map((operation) => narrow(`${operation} ${name}`)),
  ),
  ...['add', 'sbb', 'cmp', 'xor', 'mov'].flatMap((name) =>
    ADDRESSES_32.flatMap((a) => [
      narrow(`${name} eax,${a.text}`, a.pins, 8),
      narrow(`${name} ${a.text},dl`, a.pins, 8),
      narrow(`${name} ${a.text},cx`, a.pins, 8),
    ]),
  ),
  ...['[bx+si]', '[bx+di+5]', '[bp+si]', '[bp+di-3]', '[si]', '[di+0x1234]', '[bp+0]', '[bx-2]'].flatMap((text) => [
    narrow(`lea eax,${text}`, [], 8),
    narrow(`lea dx,${text}`, [], 8),
  ]),
  ...ADDRESSES_32.map((a) => narrow(`lea ecx,${a.text}`, [], 4)),
  ...['pushad', 'popad', 'pusha', 'popa', 'o16 pusha', 'o16 popa', 'pushfd', 'o16 pushf'].map((name) => narrow(name)),
  narrow('popfd', [`[${hex(STACK_AT)}]&cd5`], 40),
  narrow('push word 5'),
  narrow('push -3'),
  narrow('push 0x12345678'),
  narrow('push dword [ebx]', [`rbx=${hex(AT)}`]),
  narrow('pop dword [ebx]', [`rbx=${hex(AT)}`]),
  narrow('pop dword [esp+4]'),
  narrow('push word [ebx]', [`rbx=${hex(AT)}`]),
  narrow('pop word [ebx]', [`rbx=${hex(AT)}`]),
  narrow('leave', [`rbp=${hex(PLACE.data + 0x50)}`]),
  narrow('enter 0x10,0'),
  narrow('enter 4,2', [`rbp=${hex(PLACE.data + 0x60)}`]),
  ...['daa', 'das', 'aaa', 'aas', 'salc'].map((name) => narrow(name, [], 64)),
  ...['aam', 'aad', 'aam 7', 'aad 16', 'aam 0'].map((name) => narrow(name, [], 24)),
  narrow('jmp short $+0x80'),
  narrow('jmp near $+0x80'),
  narrow('jmp ebx', [`rbx=${hex(PLACE.taken)}`]),
  narrow('jmp [ebx]', [`rbx=${hex(AT)}`, `[${hex(AT)}]=${hex(PLACE.taken)}`]),
  narrow('call $+0x80'),
  narrow('call ebx', [`rbx=${hex(PLACE.taken)}`]),
  narrow('call [ebx]', [`rbx=${hex(AT)}`, `[${hex(AT)}]=${hex(PLACE.taken)}`]),
  ...['ret', 'ret 8'].map((name) => narrow(name, [`[${hex(STACK_AT)}]=${hex(PLACE.taken)}`])),
  ...['loop', 'loope', 'loopne', 'jecxz'].map((name) => narrow(`${name} $+0x80`, ['rcx&3'], 24)),
  ...['a16 loop', 'a16 loope', 'a16 loopne', 'jcxz'].map((name) => narrow(`${name} $+0x80`, ['rcx&ffff0003'], 24)),
  ...CONDITIONS.map((cc) => narrow(`j${cc} $+0x80`, [], 16)),
  ...['movsb', 'stosd', 'lodsw', 'cmpsb', 'scasd'].flatMap((name) => [
    narrow(name, STRING_PINS, 8),
    narrow(`rep ${name}`, [...STRING_PINS, 'rcx&7'], 16),
  ]),
  narrow('xlatb', [`rbx=${hex(AT)}`]),
  narrow('cmpxchg8b [esi]', [`rsi=${hex(AT)}`]),
  ...['cbw', 'cwde', 'cwd', 'cdq', 'lahf', 'sahf', 'xchg eax,ecx', 'bswap edx', 'mul ebx', 'imul ecx,edx,7'].map(
    (name) => narrow(name),
  ),
  ...['div ecx', 'idiv ecx', 'div cl', 'idiv cx'].map((name) => narrow(name, ['rdx=0'], 16)),
  narrow('mov al,[0x10000040]'),
  narrow('mov [0x10000041],eax'),
];

/** Instructions that must raise #UD. */
const UNDEFINED = ['ud2', 'ud1 eax,eax', 'db 0x06', 'db 0x27', 'db 0x62', 'db 0x9a', 'db 0xea', 'db 0xd6', 'db 0xce'];

export function templates(): Template[] {
  const turns = new Turns();
  return [
    ...['add', 'adc', 'sub', 'sbb', 'and', 'or', 'xor', 'cmp', 'test'].flatMap((name) =>
      binary(turns, name, name !== 'cmp' && name !== 'test'),
    ),
    ...['inc', 'dec', 'not', 'neg'].flatMap((name) => unary(turns, name)),
    ...moves(turns),
    ...leas(),
    ...conditionals(turns),
    ...exchanges(turns),
    ...['rol', 'ror', 'rcl', 'rcr', 'shl', 'shr', 'sar'].flatMap((name) => shifts(turns, name)),
    ...['shld', 'shrd'].flatMap((name) => doubleShifts(turns, name)),
    ...['bt', 'bts', 'btr', 'btc'].flatMap((name) => bitTests(turns, name)),
    ...['bsf', 'bsr', 'popcnt', 'tzcnt', 'lzcnt'].flatMap((name) => scans(turns, name)),
    ...multiplications(turns),
    ...divisions(turns),
    ...jumps(),
    ...stack(turns),
    ...strings(),
    ...UNDEFINED.map((text) => one(text, [], 2)),
    ...narrowTemplates(),
  ];
}
