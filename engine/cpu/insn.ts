/**
 * A decoded instruction: one record of the decode cache, 64 bytes in linear memory. Generated code reads the same
 * bytes; slow paths in TypeScript read them through `Insn`.
 */
export const RECORD_BYTES = 64;

/** Byte offsets in a record. Register fields hold byte offsets into the vCPU's state (cpu/layout.ts). */
export const R = {
  /** u16: which handler executes it. */
  handler: 0,
  /** u8: length in bytes. */
  length: 2,
  /** u8: PREFIX bits. */
  prefixes: 3,
  /** u16: offset of the instruction in its page. */
  offset: 4,
  /** u16: instructions from this one to the end of the straight line, this one included. */
  remaining: 6,
  /** u16: destination register (or the register operand of ModRM.reg). */
  dst: 8,
  /** u16: source register. */
  src: 10,
  /** u16: base and index of the memory operand; S.ZERO where absent. */
  base: 12,
  index: 14,
  /** u8: left shift of the index. */
  scale: 16,
  /** u8: EA kind (interpreter/protocol.ts). */
  eaKind: 17,
  /** u8: segment register of the memory operand (SEG). */
  segment: 18,
  /** u8: 1 where ModRM names memory. */
  isMemory: 19,
  /** u16: which slow handler (slow instructions only). */
  slow: 20,
  /** u8: operand size in bytes (1, 2, 4, 8). */
  size: 22,
  /** u8: address size in bytes (2, 4, 8). */
  addressSize: 23,
  /** i64: displacement, sign-extended; that of a RIP-relative operand is relative to its page. */
  displacement: 24,
  /** u32, branches and ends of lines only: the record that they lead to; 0: not known yet; 1: never to be set. */
  link: 24,
  /** i64: immediate, sign-extended; branch displacement; second operand of ENTER in bits 63:32; far selector too. */
  immediate: 32,
  /** u64: mask of the address size. */
  addressMask: 40,
  /** the instruction's bytes, 15 at the most. */
  bytes: 48,
} as const;

/** Bits of R.prefixes. */
export const PREFIX = { lock: 1, rep: 2, repne: 4, repMask: 6 } as const;

/** A window on one record; `at` moves it. Allocated once. */
export class Insn {
  readonly #view: DataView;
  /** Address of the record in linear memory. */
  record = 0;

  constructor(buffer: ArrayBuffer) {
    this.#view = new DataView(buffer);
  }

  at(record: number): this {
    this.record = record;
    return this;
  }

  get handler(): number {
    return this.#view.getUint16(this.record + R.handler, true);
  }
  get length(): number {
    return this.#view.getUint8(this.record + R.length);
  }
  get prefixes(): number {
    return this.#view.getUint8(this.record + R.prefixes);
  }
  get dst(): number {
    return this.#view.getUint16(this.record + R.dst, true);
  }
  get src(): number {
    return this.#view.getUint16(this.record + R.src, true);
  }
  get base(): number {
    return this.#view.getUint16(this.record + R.base, true);
  }
  get index(): number {
    return this.#view.getUint16(this.record + R.index, true);
  }
  get scale(): number {
    return this.#view.getUint8(this.record + R.scale);
  }
  get segment(): number {
    return this.#view.getUint8(this.record + R.segment);
  }
  get isMemory(): boolean {
    return this.#view.getUint8(this.record + R.isMemory) !== 0;
  }
  get slow(): number {
    return this.#view.getUint16(this.record + R.slow, true);
  }
  /** Operand size in bytes. */
  get size(): number {
    return this.#view.getUint8(this.record + R.size);
  }
  get addressSize(): number {
    return this.#view.getUint8(this.record + R.addressSize);
  }
  get displacement(): bigint {
    return this.#view.getBigInt64(this.record + R.displacement, true);
  }
  get immediate(): bigint {
    return this.#view.getBigInt64(this.record + R.immediate, true);
  }
  /** Low 32 bits of the immediate, unsigned. */
  get immediate32(): number {
    return this.#view.getUint32(this.record + R.immediate, true);
  }
  byte(i: number): number {
    return this.#view.getUint8(this.record + R.bytes + i);
  }
}
