/** Machine code for small guests of tests, written down instruction by instruction. 64-bit mode unless told. */
const REGISTERS = ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi'] as const;
export type Register = (typeof REGISTERS)[number];

const word = (value: number): number[] => [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];

export class Code {
  readonly bytes: number[] = [];
  /** Where the code will lie. */
  readonly origin: number;

  constructor(origin: number) {
    this.origin = origin;
  }

  get here(): number {
    return this.origin + this.bytes.length;
  }

  raw(...bytes: readonly number[]): this {
    for (const each of bytes) this.bytes.push(each);
    return this;
  }
  word(value: number): this {
    return this.raw(...word(value));
  }
  mov(register: Register, value: number): this {
    return this.raw(0xb8 + REGISTERS.indexOf(register)).word(value);
  }
  /** MOV [address], register (32 bits, absolute address). */
  store(register: Register, address: number): this {
    return this.raw(0x89, 0x04 | (REGISTERS.indexOf(register) << 3), 0x25).word(address);
  }
  /** MOV dword [address], value. */
  storeValue(address: number, value: number): this {
    return this.raw(0xc7, 0x04, 0x25).word(address).word(value);
  }
  /** Stores EAX, EBX, ECX, EDX, ESI, EDI from `address` on. */
  storeSix(address: number): this {
    for (const [i, register] of (['eax', 'ebx', 'ecx', 'edx', 'esi', 'edi'] as const).entries()) {
      this.store(register, address + 4 * i);
    }
    return this;
  }
  in32(): this {
    return this.raw(0xed);
  }
  /** OUT port, AL with an immediate port. */
  out8(port: number, value: number): this {
    return this.raw(0xb0, value, 0xe6, port);
  }
  /** OUT F4h, EAX: the end of the run. */
  exit(code: number): this {
    return this.mov('eax', code).raw(0xe7, 0xf4);
  }
  lidt(address: number): this {
    return this.raw(0x0f, 0x01, 0x1c, 0x25).word(address);
  }
  /** MOV CRn, RAX. */
  movToCr(n: number): this {
    return this.raw(0x0f, 0x22, 0xc0 | (n << 3));
  }
  /** MOV RAX, CRn. */
  movFromCr(n: number): this {
    return this.raw(0x0f, 0x20, 0xc0 | (n << 3));
  }
}

export const ORIGIN = 0x10_0000;
/** Where guests leave what the test reads. */
export const RESULT = 0x9000;
/** Vector and error code of an exception that nobody expected, and CR2. */
export const FAULT = { vector: 0x8000, errorCode: 0x8004, rip: 0x8008, address: 0x8010 } as const;
const HAS_ERROR_CODE: ReadonlySet<number> = new Set([8, 10, 11, 12, 13, 14, 17, 21]);
const IDT_BYTES = 256 * 16;
const TABLE = ORIGIN + 0x800;
const BODY = TABLE + IDT_BYTES;

/**
 * A 64-bit flat image: an IDT whose handlers leave the exception at FAULT and end the run with code 99, then the guest's
 * own code. The TSS of the boot state lies at 0: ring 3 has a stack for its faults and no port.
 */
export function guest64(body: (code: Code) => void): Uint8Array {
  const code = new Code(ORIGIN);
  const STUBS = ORIGIN + 0x20;
  const POINTER = ORIGIN + 0x10;
  // JMP body
  code.raw(0xe9).word(BODY - (ORIGIN + 5));
  while (code.here < POINTER) code.raw(0);
  code
    .raw((IDT_BYTES - 1) & 0xff, (IDT_BYTES - 1) >> 8)
    .word(TABLE)
    .word(0);
  while (code.here < STUBS) code.raw(0);
  const stubs: number[] = [];
  for (let vector = 0; vector < 32; vector++) {
    stubs.push(code.here);
    if (HAS_ERROR_CODE.has(vector)) code.raw(0x58).store('eax', FAULT.errorCode); // POP RAX
    code.raw(0x58).store('eax', FAULT.rip);
    code.mov('eax', vector).store('eax', FAULT.vector);
    code.movFromCr(2).store('eax', FAULT.address).exit(99);
  }
  while (code.here < TABLE) code.raw(0);
  if (code.here > TABLE) throw new RangeError('handlers are too long');
  for (const stub of stubs) {
    code
      .raw(stub & 0xff, (stub >> 8) & 0xff, 0x08, 0, 0, 0x8e, (stub >> 16) & 0xff, stub >>> 24)
      .word(0)
      .word(0);
  }
  while (code.here < BODY) code.raw(0);
  // RSP0 of the TSS at 0, and its I/O map base past its limit: every port is denied.
  code.storeValue(4, ORIGIN).storeValue(100, 0xffff_0000);
  code.lidt(POINTER);
  body(code);
  return Uint8Array.from(code.bytes);
}

/** An interrupt handler for `vector`, put in place by the code before it: registers as they were, then IRETQ. */
export function handle(code: Code, vector: number, body: (code: Code) => void): void {
  // JMP over the handler; its length is known once it is written.
  code.raw(0xe9).word(0);
  const start = code.here;
  code.raw(0x50, 0x52); // PUSH RAX; PUSH RDX
  body(code);
  code.raw(0x5a, 0x58, 0x48, 0xcf); // POP RDX; POP RAX; IRETQ
  const length = code.here - start;
  code.bytes.splice(start - 4 - code.origin, 4, ...word(length));
  const gate = TABLE + 16 * vector;
  code
    .storeValue(gate, ((start & 0xffff) | 0x8_0000) >>> 0)
    .storeValue(gate + 4, ((start & 0xffff_0000) | 0x8e00) >>> 0);
}

/** SYSRET to ring 3 right behind it, interrupts off, IOPL 0. */
export function enterRing3(code: Code): void {
  // EFER.SCE, STAR: SYSRET CS 1Bh | 16 and SS 1Bh | 8 need no descriptors.
  code.mov('ecx', 0xc000_0080).raw(0x0f, 0x32, 0x83, 0xc8, 0x01, 0x0f, 0x30);
  code.mov('ecx', 0xc000_0081).mov('eax', 0).mov('edx', 0x001b_0008).raw(0x0f, 0x30);
  const target = code.here + 5 + 6 + 3;
  code.mov('ecx', target);
  code.raw(0x41, 0xbb).word(2); // MOV R11D, 2
  code.raw(0x48, 0x0f, 0x07); // SYSRETQ
}
