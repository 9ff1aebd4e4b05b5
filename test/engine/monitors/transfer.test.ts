/**
 * The high-bandwidth port of the monitor `vmware`: whole messages in one REP string instruction. Expectations:
 * open-vm-tools (lib/message, lib/backdoor), and for the addresses the Intel SDM: Vol. 2B, "INS" and "OUTS"; Vol. 1,
 * 3.4.1.1, results of 32-bit operands are zero-extended; Vol. 1, 3.4.2.1, segments in 64-bit mode.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Code, RESULT } from './code.js';
import { endedIn, endedWell, faultOf, MAGIC, PORT, result, run } from './vmware-guest.js';

const TEXT = 'info-get guestinfo.long';
const AT = 0xa000;
const BUFFER = 0xb000;

/** Opens RPCI and sends the size of TEXT, which lies at AT. */
const begin = (code: Code): Code => {
  for (let i = 0; i < TEXT.length; i += 4) {
    const piece = [3, 2, 1, 0].reduce((sum, j) => sum * 256 + (TEXT.charCodeAt(i + j) || 0), 0);
    code.storeValue(AT + i, piece);
  }
  code.mov('eax', MAGIC).mov('ebx', 0xc943_5052).mov('ecx', 30).mov('edx', PORT).in32();
  code
    .store('esi', RESULT)
    .store('edi', RESULT + 4)
    .store('edx', RESULT + 8);
  return code.mov('eax', MAGIC).mov('ebx', TEXT.length).mov('ecx', 0x1_001e).in32();
};
/** Loads a register from memory. */
const load = (code: Code, modrm: number, address: number): Code => code.raw(0x8b, modrm, 0x25).word(address);
const [EDX, EBP, ESI, EDI] = [0x14, 0x2c, 0x34, 0x3c] as const;

/** REP OUTSB of TEXT; the channel's number is 0. */
const send = (code: Code, source = AT, length = TEXT.length): Code => {
  load(code, EBP, RESULT);
  load(code, EDI, RESULT + 4);
  load(code, EDX, RESULT + 8);
  code.mov('eax', MAGIC).mov('ebx', 0x1_0000).mov('ecx', length).mov('esi', source);
  return code.raw(0x83, 0xc2, 0x01, 0xfc, 0xf3, 0x6e); // ADD EDX, 1; CLD; REP OUTSB
};
/** RECVSIZE, whose length is left at RESULT + 12, then REP INSB to `target`; `upper` is the upper half of RDI. */
const receive = (code: Code, target: number, prefix: number | null = null, upper = 0): Code => {
  load(code, ESI, RESULT);
  load(code, EDI, RESULT + 4);
  load(code, EDX, RESULT + 8);
  code
    .mov('eax', MAGIC)
    .mov('ecx', 0x3_001e)
    .in32()
    .store('ebx', RESULT + 12);
  load(code, ESI, RESULT);
  load(code, EBP, RESULT + 4);
  load(code, EDX, RESULT + 8);
  code.raw(0x89, 0xd9); // MOV ECX, EBX
  code.mov('eax', MAGIC).mov('ebx', 0x1_0000);
  code.raw(0x48, 0xbf).word(target).word(upper); // MOV RDI, imm64
  return code.raw(0x83, 0xc2, 0x01, 0xfc, ...(prefix === null ? [] : [prefix]), 0xf3, 0x6c);
};

describe('high bandwidth', () => {
  const value = `${'x'.repeat(9000)}end`;

  it('moves whole bodies in one instruction, across pages', () => {
    const bench = run(
      (code) => {
        send(begin(code))
          .store('ebx', RESULT + 16)
          .store('ecx', RESULT + 20)
          .store('esi', RESULT + 24);
        receive(code, BUFFER + 0xff0)
          .store('ebx', RESULT + 28)
          .store('ecx', RESULT + 32)
          .store('edi', RESULT + 36);
        code.exit(0);
      },
      { long: value },
    );
    endedWell(bench);
    assert.equal(result(bench, 3), value.length + 2);
    assert.deepEqual([result(bench, 4) >>> 16, result(bench, 5), result(bench, 6)], [1, 0, AT + TEXT.length]);
    assert.deepEqual([result(bench, 7) >>> 16, result(bench, 8)], [1, 0]);
    assert.equal(result(bench, 9), BUFFER + 0xff0 + value.length + 2);
    const body = bench.machine.memory.copyOut(BUFFER + 0xff0, value.length + 2);
    assert.equal(String.fromCharCode(...body), `1 ${value}`);
  });

  it('a buffer that is not mapped is a page fault of the guest, with its address and error code', () => {
    const bench = run((code) => send(begin(code), 0xffff_fff0).exit(0));
    // 4 GiB are mapped, and there is no RAM up there: nothing is transferred.
    endedWell(bench);
    const far = run((code) => {
      begin(code);
      load(code, EBP, RESULT);
      load(code, EDI, RESULT + 4);
      load(code, EDX, RESULT + 8);
      code.mov('eax', MAGIC).mov('ebx', 0x1_0000).mov('ecx', TEXT.length);
      code.raw(0x48, 0xbe).word(0x10).word(1); // MOV RSI, 1_0000_0010h
      code.raw(0x83, 0xc2, 0x01, 0xf3, 0x6e).exit(0);
    });
    endedIn(far, 14, 0);
    assert.equal(faultOf(far).address, 0x10, 'the low half of CR2');
    assert.equal(far.messages.length, 0);
  });

  it('a wrong length, a wrong cookie or DF moves nothing and says so', () => {
    const failing: readonly ((code: Code) => Code)[] = [
      (code) => send(code, AT, TEXT.length - 1),
      (code) => send(code, AT, 0x7fff_ffff),
      (code) => send(code.raw(0xff, 0x04, 0x25).word(RESULT)), // INC dword [RESULT]
      (code) => {
        send(code);
        // STD in place of CLD
        code.bytes[code.bytes.length - 3] = 0xfd;
        return code;
      },
    ];
    for (const attempt of failing) {
      const bench = run((code) =>
        attempt(begin(code))
          .store('ebx', RESULT + 16)
          .exit(0),
      );
      endedWell(bench);
      assert.equal(result(bench, 4) >>> 16, 0);
      assert.equal(bench.messages.length, 0);
    }
  });
});

/** Bytes of a 64-bit register that nobody may look at with 32-bit addresses. */
const NOISE = 0xdead_beef;
type Wide = 'rcx' | 'rsi' | 'rdi';
const NUMBER: { readonly [name in Wide]: number } = { rcx: 1, rsi: 6, rdi: 7 };
/** MOV r64, NOISE:low. */
const noisy = (code: Code, name: Wide, low: number): Code =>
  code
    .raw(0x48, 0xb8 | NUMBER[name])
    .word(low)
    .word(NOISE);
/** MOV [address], r64. */
const storeWide = (code: Code, name: Wide, address: number): Code =>
  code.raw(0x48, 0x89, 0x04 | (NUMBER[name] << 3), 0x25).word(address);

/** REP OUTSB of TEXT with these prefixes, with noise in the upper halves of RCX and RSI, which are stored then. */
const sendNoisy = (code: Code, ...prefixes: readonly number[]): Code => {
  load(code, EBP, RESULT);
  load(code, EDI, RESULT + 4);
  load(code, EDX, RESULT + 8);
  code.mov('eax', MAGIC).mov('ebx', 0x1_0000);
  noisy(noisy(code, 'rcx', TEXT.length), 'rsi', AT);
  code.raw(0x83, 0xc2, 0x01, 0xfc, ...prefixes, 0xf3, 0x6e).store('ebx', RESULT + 16);
  return storeWide(storeWide(code, 'rcx', RESULT + 24), 'rsi', RESULT + 32);
};
/** Rebuilds the GDT with a data segment of base 1000h, and loads DS and ES with it. */
function giveSegmentsABase(code: Code): Code {
  const GDT = 0xa800;
  const POINTER = 0xa840;
  const descriptors = [
    [0, 0],
    [0x0000_ffff, 0x00af_9b00],
    [0x1000_ffff, 0x00cf_9300],
  ] as const;
  for (const [i, [low, high]] of descriptors.entries())
    code.storeValue(GDT + 8 * i, low).storeValue(GDT + 8 * i + 4, high);
  code.storeValue(POINTER, ((GDT & 0xffff) << 16) | (8 * descriptors.length - 1)).storeValue(POINTER + 4, 0);
  code.storeValue(POINTER + 8, 0);
  code.raw(0x0f, 0x01, 0x14, 0x25).word(POINTER); // LGDT
  return code.mov('eax', 0x10).raw(0x8e, 0xd8, 0x8e, 0xc0); // MOV DS, AX; MOV ES, AX
}

describe('high bandwidth with 32-bit addresses in 64-bit mode', () => {
  it('counts with ECX, points with ESI, and clears their upper halves', () => {
    const bench = run((code) => sendNoisy(begin(code), 0x67).exit(0));
    endedWell(bench);
    assert.equal(result(bench, 4) >>> 16, 1);
    assert.deepEqual([result(bench, 6), result(bench, 7)], [0, 0], 'RCX');
    assert.deepEqual([result(bench, 8), result(bench, 9)], [AT + TEXT.length, 0], 'RSI');
    assert.deepEqual(bench.messages.map(({ body }) => String.fromCharCode(...body)).slice(0, 1), [TEXT]);
  });

  it('leaves them as they are where nothing is moved', () => {
    const bench = run((code) => sendNoisy(begin(code).raw(0xff, 0x04, 0x25).word(RESULT), 0x67).exit(0));
    endedWell(bench);
    assert.equal(result(bench, 4) >>> 16, 0, 'the cookie is wrong');
    assert.deepEqual([result(bench, 6), result(bench, 7)], [TEXT.length, NOISE], 'RCX');
    assert.deepEqual([result(bench, 8), result(bench, 9)], [AT, NOISE], 'RSI');
  });

  it('takes all of RCX and RSI without the prefix', () => {
    const bench = run((code) => sendNoisy(begin(code)).exit(0));
    endedWell(bench);
    assert.equal(result(bench, 4) >>> 16, 0, 'no message is that long');
    assert.equal(bench.messages.length, 0);
  });

  it('receives to EDI, and clears the upper half of RDI', () => {
    const bench = run(
      (code) => {
        receive(send(begin(code)), BUFFER, 0x67, NOISE).store('ebx', RESULT + 28);
        storeWide(storeWide(code, 'rcx', RESULT + 32), 'rdi', RESULT + 40).exit(0);
      },
      { long: 'short' },
    );
    endedWell(bench);
    const answer = '1 short';
    assert.equal(result(bench, 7) >>> 16, 1);
    assert.deepEqual([result(bench, 8), result(bench, 9)], [0, 0], 'RCX');
    assert.deepEqual([result(bench, 10), result(bench, 11)], [BUFFER + answer.length, 0], 'RDI');
    assert.equal(String.fromCharCode(...bench.machine.memory.copyOut(BUFFER, answer.length)), answer);
  });

  it('adds no base of DS and ES, which have none in this mode', () => {
    const bench = run(
      (code) => {
        sendNoisy(giveSegmentsABase(begin(code)), 0x67);
        receive(code, BUFFER, 0x67).exit(0);
      },
      { long: 'short' },
    );
    endedWell(bench);
    assert.equal(result(bench, 4) >>> 16, 1);
    assert.equal(String.fromCharCode(...bench.machine.memory.copyOut(BUFFER, 7)), '1 short');
  });

  it('adds the base of FS, in 64 bits', () => {
    const bench = run((code) => {
      code.mov('ecx', 0xc000_0100).mov('eax', 0).mov('edx', 1).raw(0x0f, 0x30); // WRMSR FS_BASE, 1_0000_0000h
      sendNoisy(begin(code), 0x64, 0x67).exit(0);
    });
    // 4 GiB are mapped: 1_0000_A000h is not
    endedIn(bench, 14, 0);
    assert.equal(faultOf(bench).address, AT, 'the low half of CR2');
    assert.equal(bench.messages.length, 0);
  });
});
