/**
 * Which instructions are compared with a real CPU: every mnemonic of integer code, at every size, with register, memory
 * and immediate operands, and every way to address memory.
 */
import { PLACE } from './cases.js';
import { narrowTemplates } from './narrow-templates.js';
import {
  ADDRESSES_64,
  AT,
  CONDITIONS,
  hex,
  IMMEDIATES,
  NAMES,
  one,
  PAIRS,
  PLAIN,
  SINGLES,
  SIZE_WORD,
  SIZES,
  type Size,
  STACK_AT,
  STRING_PINS,
  type Template,
  Turns,
  WORDS,
} from './operands.js';

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
