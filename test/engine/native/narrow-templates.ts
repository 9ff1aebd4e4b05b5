/** Instructions of 32-bit mode: what has other opcodes or another stack there, and a sample of the rest. */
import { PLACE } from './cases.js';
import { ADDRESSES_32, AT, CONDITIONS, hex, narrow, STACK_AT, STRING_PINS, type Template } from './operands.js';

export const narrowTemplates = (): Template[] => [
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
