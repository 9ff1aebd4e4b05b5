/** Operand and address sizes that an instruction tells by its name or by its implicit operands. */
import { Code, CodeSize, type Instruction, OpKind } from 'iced-x86';

/** Operand sizes that a mnemonic alone tells. */
export const SIZE_OF: { readonly [mnemonic: string]: number } = {
  iretd: 4,
  iretq: 8,
  iretw: 2,
  iret: 2,
  pushfd: 4,
  pushfq: 8,
  pushf: 2,
  popfd: 4,
  popfq: 8,
  popf: 2,
  pushad: 4,
  pusha: 2,
  popad: 4,
  popa: 2,
  insb: 1,
  insw: 2,
  insd: 4,
  outsb: 1,
  outsw: 2,
  outsd: 4,
  sysretq: 8,
  sysexitq: 8,
  sysret: 4,
  sysexit: 4,
};

/** Address size that an implicit string operand names. */
export const STRING_ADDRESS: { readonly [kind: number]: number } = {
  [OpKind.MemorySegSI]: 2,
  [OpKind.MemorySegESI]: 4,
  [OpKind.MemorySegRSI]: 8,
  [OpKind.MemorySegDI]: 2,
  [OpKind.MemorySegEDI]: 4,
  [OpKind.MemorySegRDI]: 8,
  [OpKind.MemoryESDI]: 2,
  [OpKind.MemoryESEDI]: 4,
  [OpKind.MemoryESRDI]: 8,
};

const CODE_SIZE = new Map<number, number>();
/** Operand size that the name of iced's code tells: its `w`, `d` or `q` (Retnq, Pushd_imm32, Call_rel32_64 ...). */
export function operandSizeOfCode(instruction: Instruction): number {
  const code = instruction.code;
  let size = CODE_SIZE.get(code);
  if (size === undefined) {
    size = parseCodeSize(Code[code] as string, instruction.codeSize);
    CODE_SIZE.set(code, size);
  }
  return size;
}

function parseCodeSize(name: string, codeSize: CodeSize): number {
  const branch = /_rel(?:\d+_)?(16|32|64)(?:_[ER]?CX)?$/.exec(name);
  if (branch) return Number(branch[1]) / 8;
  if (name === 'Push_imm16') return 2;
  const suffix = /^(?:Retn|Retf|Push|Pop|Leave|Enter)(w|d|q)/.exec(name) ?? /([wdq])$/.exec(name.replace(/_.*/, ''));
  if (suffix) return { w: 2, d: 4, q: 8 }[suffix[1] as 'w' | 'd' | 'q'];
  if (/m1616|ptr1616/.test(name)) return 2;
  if (/m1632|ptr1632/.test(name)) return 4;
  if (/m1664/.test(name)) return 8;
  return codeSize === CodeSize.Code64 ? 8 : codeSize === CodeSize.Code32 ? 4 : 2;
}
