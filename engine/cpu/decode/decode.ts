/** From bytes to records: iced-x86 decodes, this file writes what generated code and slow paths read. */
import { Code, Decoder, DecoderOptions, Instruction, MemorySizeExt, Mnemonic, OpKind, Register } from 'iced-x86';
import { PAGE_BYTES } from '../../memory/physical.js';
import { PREFIX, R, RECORD_BYTES } from '../insn.js';
import { EA } from '../interpreter/protocol.js';
import { S, SEG, segSelector } from '../layout.js';
import { bitness, MODE } from '../mode.js';
import type { CpuModel } from '../model.js';
import { formEnds, formNumber, PSEUDO } from '../semantics/forms.js';
import { kindsOf, nameOf, type Shape, specialName } from './names.js';
import { addressSlot, generalRegister, numbered, segmentNumber } from './registers.js';
import { operandSizeOfCode, SIZE_OF, STRING_ADDRESS } from './sizes.js';
import type { ImmediatePlace } from './variants.js';

/** Numbers of slow instructions by name; `unsupported` must be among them. */
export type SlowNumbers = ReadonlyMap<string, number>;

/** Slow instructions behind which execution does not go on: nothing is decoded after them in a straight line. */
const ENDING = new Set([
  'call',
  'ret',
  'jmp',
  'call_far',
  'ret_far',
  'jmp_far',
  'iret',
  'int_n',
  'int1',
  'int3',
  'syscall',
  'sysret',
  'sysenter',
  'sysexit',
  'vmlaunch',
  'vmresume',
  'hlt',
  'ud',
  'loop',
  'loope',
  'loopne',
]);

const MNEMONICS = new Map<number, string>();
/** SSE2 has other instructions of the name MOVSD and CMPSD. */
const NAMESAKES = new Set<Mnemonic>([Mnemonic.Movsd, Mnemonic.Cmpsd]);
const nameFor = (instruction: Instruction): string => {
  const { mnemonic } = instruction;
  const name = mnemonicName(mnemonic);
  return NAMESAKES.has(mnemonic) && !instruction.isStringInstruction ? `${name} of SSE2` : name;
};
const mnemonicName = (mnemonic: Mnemonic): string => {
  let name = MNEMONICS.get(mnemonic);
  if (name === undefined) {
    name = (Mnemonic[mnemonic] as string).toLowerCase();
    MNEMONICS.set(mnemonic, name);
  }
  return name;
};

const ADDRESS_MASK = { 2: 0xffffn, 4: 0xffff_ffffn, 8: 0xffff_ffff_ffff_ffffn } as const;
const isNearBranch = (kind: OpKind): boolean =>
  kind === OpKind.NearBranch16 || kind === OpKind.NearBranch32 || kind === OpKind.NearBranch64;
const isFarBranch = (kind: OpKind): boolean => kind === OpKind.FarBranch16 || kind === OpKind.FarBranch32;

/** Renames of iced's mnemonics to the names of slow instructions. */
const RENAMED: { readonly [mnemonic: string]: string } = {
  iretd: 'iret',
  iretq: 'iret',
  iretw: 'iret',
  pushfd: 'pushf',
  pushfq: 'pushf',
  pushfw: 'pushf',
  popfd: 'popf',
  popfq: 'popf',
  popfw: 'popf',
  pushad: 'pusha',
  pushaw: 'pusha',
  popad: 'popa',
  popaw: 'popa',
  int: 'int_n',
  retf: 'ret_far',
  sysretq: 'sysret',
  sysexitq: 'sysexit',
  insb: 'ins',
  insw: 'ins',
  insd: 'ins',
  outsb: 'outs',
  outsw: 'outs',
  outsd: 'outs',
  ud0: 'ud',
  ud1: 'ud',
  ud2: 'ud',
  wbnoinvd: 'wbinvd',
  sal: 'shl',
};
/** TZCNT and LZCNT are BSF and BSR with a prefix that older processors ignore: Intel SDM Vol. 2, "TZCNT", "LZCNT". */
function optionsOf(model: CpuModel): number {
  const bmi1 = model.cpuid.some((leaf) => leaf.leaf === 7 && (leaf.subleaf ?? 0) === 0 && (leaf.ebx & 8) !== 0);
  const lzcnt = model.cpuid.some((leaf) => leaf.leaf === 0x8000_0001 && (leaf.ecx & 0x20) !== 0);
  return (bmi1 ? 0 : DecoderOptions.NoMPFX_0FBC) | (lzcnt ? 0 : DecoderOptions.NoMPFX_0FBD);
}

export class RecordDecoder {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #slow: SlowNumbers;
  readonly #unsupported: number;
  readonly #options: number;
  readonly #instruction = new Instruction();

  constructor(buffer: ArrayBuffer, slow: SlowNumbers, model: CpuModel) {
    this.#options = optionsOf(model);
    this.#view = new DataView(buffer);
    this.#bytes = new Uint8Array(buffer);
    this.#slow = slow;
    const unsupported = slow.get('unsupported');
    if (unsupported === undefined) throw new Error('the slow table lacks `unsupported`');
    this.#unsupported = unsupported;
  }

  /** An iced decoder over bytes of code of the given mode; `free` it. */
  open(code: Uint8Array, mode: number): Decoder {
    return new Decoder(bitness(mode), code, this.#options);
  }

  /**
   * Decodes one instruction at `offset` of its page and writes its record.
   * Answers its length; 0 where the bytes end before the instruction does.
   * Sets `endsLine` to whether nothing may follow it in a straight line, `linked` to whether its record has a link.
   */
  decode(decoder: Decoder, code: Uint8Array, position: number, offset: number, mode: number, record: number): number {
    const instruction = this.#instruction;
    decoder.position = position;
    decoder.ip = BigInt(offset);
    decoder.decodeOut(instruction);
    const length = instruction.length;
    if (instruction.code === Code.INVALID && decoder.position >= code.length && code.length - position < 15) return 0;
    this.#bytes.fill(0, record, record + RECORD_BYTES);
    this.#bytes.set(code.subarray(position, position + Math.min(length, 15)), record + R.bytes);
    this.#view.setUint8(record + R.length, length);
    this.#view.setUint16(record + R.offset, offset, true);
    this.linked = false;
    this.endsLine = this.#write(instruction, offset, mode, record);
    return length;
  }
  endsLine = false;
  linked = false;

  /** Where the immediate of the instruction just decoded stands in its bytes; size 0 where it may not change alone. */
  immediateOf(decoder: Decoder): ImmediatePlace {
    const offsets = decoder.getConstantOffsets(this.#instruction);
    const alone = offsets.hasImmediate && !offsets.hasImmediate2 && !this.linked;
    const place = { offset: offsets.immediateOffset, size: alone ? offsets.immediateSize : 0 };
    offsets.free();
    return place;
  }

  #write(instruction: Instruction, offset: number, mode: number, record: number): boolean {
    if (instruction.code === Code.INVALID) {
      this.#setSlow(record, 'ud');
      return true;
    }
    const shape = this.#shape(instruction, mode);
    this.#operands(instruction, shape, offset, mode, record);
    const special = specialName(instruction);
    const named = special === null ? nameOf(shape) : { fast: null, slow: special };
    const form = named.fast === null ? undefined : formNumber(named.fast);
    const slowName = this.#slowName(instruction, named.slow);
    this.#view.setUint16(record + R.slow, this.#slow.get(slowName) ?? this.#unsupported, true);
    if (form !== undefined) {
      this.#view.setUint16(record + R.handler, form, true);
      return formEnds(form);
    }
    return this.#setSlow(record, slowName);
  }

  #slowName(instruction: Instruction, name: string): string {
    if (instruction.isJmpFar || instruction.isJmpFarIndirect) return 'jmp_far';
    if (instruction.isCallFar || instruction.isCallFarIndirect) return 'call_far';
    return RENAMED[name] ?? name;
  }

  #setSlow(record: number, name: string): boolean {
    const ends = ENDING.has(name);
    this.#view.setUint16(record + R.slow, this.#slow.get(name) ?? this.#unsupported, true);
    this.#view.setUint16(record + R.handler, ends ? PSEUDO.slowEnd : PSEUDO.slow, true);
    return ends;
  }

  #shape(instruction: Instruction, mode: number): Shape {
    const mnemonic = nameFor(instruction);
    const memory = MemorySizeExt.size(instruction.memorySize);
    const operand = (kind: OpKind, register: Register): number =>
      kind === OpKind.Register ? (generalRegister[register]?.size ?? 0) : kind === OpKind.Memory ? memory : 0;
    const first = operand(instruction.op0Kind, instruction.op0Register);
    const second = instruction.opCount > 1 ? operand(instruction.op1Kind, instruction.op1Register) : 0;
    return {
      mnemonic: mnemonic === 'sal' ? 'shl' : mnemonic,
      kinds: kindsOf(instruction),
      size: this.#operandSize(instruction, mnemonic, first || second),
      sourceSize: second,
      addressSize: this.#addressSize(instruction, mode),
      mode,
      repeat: instruction.hasRepnePrefix ? 'repne' : instruction.hasRepPrefix ? 'rep' : 'none',
    };
  }

  #operandSize(instruction: Instruction, mnemonic: string, found: number): number {
    const told = SIZE_OF[mnemonic];
    if (told !== undefined) return told;
    if (mnemonic === 'in') return generalRegister[instruction.op0Register]?.size ?? 1;
    if (mnemonic === 'out') return generalRegister[instruction.op1Register]?.size ?? 1;
    if (found) return found;
    // Branches, returns, PUSH of immediates and far transfers: the opcode's own operand size.
    return operandSizeOfCode(instruction);
  }

  #addressSize(instruction: Instruction, mode: number): number {
    const mnemonic = instruction.mnemonic;
    if (mnemonic === Mnemonic.Loop || mnemonic === Mnemonic.Loope || mnemonic === Mnemonic.Loopne) {
      const name = Code[instruction.code] as string;
      return name.includes('RCX') ? 8 : name.includes('ECX') ? 4 : 2;
    }
    for (const kind of [instruction.op0Kind, instruction.op1Kind]) {
      const size = STRING_ADDRESS[kind];
      if (size) return size;
    }
    const named = generalRegister[instruction.memoryBase] ?? generalRegister[instruction.memoryIndex];
    if (named) return named.size === 1 ? 8 : named.size;
    if (instruction.memoryBase === Register.RIP) return 8;
    if (instruction.memoryBase === Register.EIP) return 4;
    const displacement = instruction.memoryDisplSize;
    if (displacement === 2 || displacement === 4 || displacement === 8) return displacement;
    return bitness(mode) / 8;
  }

  #operands(instruction: Instruction, shape: Shape, offset: number, mode: number, record: number): void {
    const view = this.#view;
    const prefixes =
      (instruction.hasLockPrefix ? PREFIX.lock : 0) |
      (instruction.hasRepPrefix ? PREFIX.rep : 0) |
      (instruction.hasRepnePrefix ? PREFIX.repne : 0);
    view.setUint8(record + R.prefixes, prefixes);
    view.setUint8(record + R.size, shape.size);
    view.setUint8(record + R.addressSize, shape.addressSize);
    view.setBigUint64(record + R.addressMask, ADDRESS_MASK[shape.addressSize as 2 | 4 | 8], true);
    view.setUint16(record + R.base, S.ZERO, true);
    view.setUint16(record + R.index, S.ZERO, true);
    view.setUint16(record + R.dst, S.ZERO, true);
    view.setUint16(record + R.src, S.ZERO, true);
    view.setUint8(record + R.segment, SEG.DS);
    this.#segment(instruction, shape, mode, record);
    this.#registers(instruction, record);
    for (let i = 0; i < instruction.opCount; i++) this.#immediate(instruction, i, offset, mode, record);
    const kinds = [instruction.op0Kind, instruction.op1Kind];
    if (kinds.includes(OpKind.Memory)) this.#memory(instruction, record);
  }

  /** Destination is the first register operand that is written, source the other one. */
  #registers(instruction: Instruction, record: number): void {
    const slotOf = (kind: OpKind, register: Register): number | null => {
      if (kind !== OpKind.Register) return null;
      const general = generalRegister[register];
      if (general) return general.slot;
      const segment = segmentNumber(register);
      return segment >= 0 ? segSelector(segment) : null;
    };
    const first = slotOf(instruction.op0Kind, instruction.op0Register);
    const second = instruction.opCount > 1 ? slotOf(instruction.op1Kind, instruction.op1Register) : null;
    if (first !== null) this.#view.setUint16(record + R.dst, first, true);
    // OUT names its port first; slow I/O expects the port's register as source.
    const source = instruction.mnemonic === Mnemonic.Out ? (first ?? S.ZERO) : second;
    if (source !== null) this.#view.setUint16(record + R.src, source, true);
    for (const [register, other] of [
      [instruction.op0Register, second],
      [instruction.op1Register, first],
    ] as const) {
      const number = Math.max(numbered(register, 'CR'), numbered(register, 'DR'));
      if (number < 0) continue;
      this.#view.setBigInt64(record + R.immediate, BigInt(number), true);
      if (other !== null) this.#view.setUint16(record + R.dst, other, true);
    }
  }

  #segment(instruction: Instruction, shape: Shape, mode: number, record: number): void {
    const number = Math.max(0, segmentNumber(instruction.memorySegment));
    this.#view.setUint8(record + R.segment, number);
    const override = number === SEG.FS || number === SEG.GS;
    let kind: number = EA.plain;
    if (mode & 2) kind = override || shape.addressSize !== 8 ? EA.based : EA.plain;
    else kind = mode & MODE.flat && !override ? EA.based : EA.checked;
    this.#view.setUint8(record + R.eaKind, kind);
  }

  #memory(instruction: Instruction, record: number): void {
    const view = this.#view;
    view.setUint8(record + R.isMemory, 1);
    view.setUint16(record + R.base, addressSlot(instruction.memoryBase), true);
    view.setUint16(record + R.index, addressSlot(instruction.memoryIndex), true);
    view.setUint8(record + R.scale, Math.log2(instruction.memoryIndexScale));
    // iced gives the address for RIP-relative operands; decoding at ip = offset makes it relative to the page.
    const displacement = instruction.isIpRelMemoryOperand
      ? instruction.ipRelMemoryAddress
      : instruction.memoryDisplacement;
    view.setBigUint64(record + R.displacement, BigInt.asUintN(64, displacement), true);
  }

  #immediate(instruction: Instruction, operand: number, offset: number, mode: number, record: number): void {
    const kind = [instruction.op0Kind, instruction.op1Kind, instruction.op2Kind][operand];
    if (kind === undefined) return;
    const view = this.#view;
    if (isNearBranch(kind)) {
      // The target relative to the page of the instruction: iced masks it to the code size, so take the difference
      // to this instruction modulo that size, signed.
      const bits = bitness(mode);
      const distance = BigInt.asIntN(bits, instruction.nearBranchTarget - BigInt(offset));
      view.setBigInt64(record + R.immediate, BigInt(offset) + distance, true);
      const wide = kind === OpKind.NearBranch64 ? 8 : kind === OpKind.NearBranch32 ? 4 : 2;
      // A link holds for every linear address of the page: where the code segment has a base, the target may wrap.
      const to = offset + Number(distance);
      const linkable = wide > 2 && (mode & (2 | MODE.flat)) !== 0 && to >= 0 && to < PAGE_BYTES;
      view.setUint32(record + R.link, linkable ? 0 : 1, true);
      this.linked = true;
      view.setBigUint64(record + R.addressMask, ADDRESS_MASK[wide], true);
    } else if (isFarBranch(kind)) {
      const address = kind === OpKind.FarBranch16 ? instruction.farBranch16 : instruction.farBranch32;
      view.setUint32(record + R.immediate, address, true);
      view.setUint32(record + R.immediate + 4, instruction.farBranchSelector, true);
    } else if (kind === OpKind.Immediate8_2nd) {
      view.setUint32(record + R.immediate + 4, instruction.immediate8_2nd, true);
    } else if (kind >= OpKind.Immediate8 && kind <= OpKind.Immediate32to64) {
      view.setBigInt64(record + R.immediate, signedImmediate(instruction, kind), true);
    }
  }
}

const signedImmediate = (instruction: Instruction, kind: OpKind): bigint => {
  const value = BigInt.asUintN(64, instruction.immediate(operandOf(instruction, kind)));
  const width = IMMEDIATE_BITS[kind] ?? 64;
  return BigInt.asIntN(width, value);
};
const operandOf = (instruction: Instruction, kind: OpKind): number =>
  [instruction.op0Kind, instruction.op1Kind, instruction.op2Kind].indexOf(kind);

const IMMEDIATE_BITS: { readonly [kind: number]: number } = {
  [OpKind.Immediate8]: 8,
  [OpKind.Immediate16]: 16,
  [OpKind.Immediate32]: 32,
};
