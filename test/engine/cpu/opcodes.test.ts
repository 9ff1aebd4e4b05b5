/**
 * Every opcode, in user mode: it runs, or it faults as the manual says; #UD comes exactly where the bytes are no
 * instruction or CPUID does not offer it. Which feature an instruction belongs to is iced-x86's word.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Code, CpuidFeature, Decoder, DecoderOptions, Instruction, Mnemonic } from 'iced-x86';
import { gpr } from '../../../engine/cpu/layout.js';
import { Computer, FREE, PTE } from './computer.js';

const CODE = 0x40_0000n;
const DATA = 0x60_0000n;
const PHYSICAL = FREE + 0x1_0000;

/** What the model skylake offers, in the words of iced-x86. */
const OFFERED = new Set(
  (
    'INTEL8086 INTEL8086_ONLY INTEL186 INTEL286 INTEL286_ONLY INTEL386 INTEL386_ONLY INTEL386_A0_ONLY INTEL486 ' +
    'INTEL486_A_ONLY X64 CMOV CPUID CX8 CMPXCHG16B POPCNT LZCNT MSR TSC SYSCALL SEP RDTSCP MONITOR INVPCID FSGSBASE ' +
    'PREFETCHW MULTIBYTENOP PAUSE RDPMC CLFSH SMAP UDBG'
  ).split(' '),
);
/** Hints and fences of SSE are taken for what they are, and hints of later processors are NOPs. */
const HARMLESS = /^(Prefetch|Lfence|Mfence|Sfence|Endbr|Rdssp|Reservednop|Nop|Wbnoinvd)/;
/** #UD for another reason: no such register, only in VMX operation, only for one vendor, only in protected mode. */
const ELSEWHERE =
  /^(Mov_|Vm|Inve|Invv|Getsec|Skinit|Clgi|Stgi|Invlpga|Ud|Rsm|Arpl|Monitor|Mwait|Swapgs|Rdfsbase|Rdgsbase|Wrfsbase|Wrgsbase|Syscall|Sysret)/;

const featuresOf = (instruction: Instruction): string[] =>
  Array.from(instruction.cpuidFeatures(), (feature) => CpuidFeature[feature] as string);

function* encodings(): Generator<number[]> {
  for (const prefix of [[], [0x66], [0xf2], [0xf3], [0x48]]) {
    for (const map of [[], [0x0f]]) {
      for (let opcode = 0; opcode < 256; opcode++) {
        if (map.length === 0 && [0x0f, 0x48, 0x66, 0xf2, 0xf3].includes(opcode)) continue;
        for (let reg = 0; reg < 8; reg++) {
          for (const mode of [0x03, 0xc1]) yield [...prefix, ...map, opcode, mode | (reg << 3)];
        }
      }
    }
  }
}

for (const bits of [64, 32] as const) {
  test(`every opcode in ${bits}-bit mode`, () => {
    const computer = new Computer();
    const all = PTE.present | PTE.writable | PTE.user;
    for (const page of [0, 1]) {
      computer.map(CODE + BigInt(page * 4096), PHYSICAL + page * 4096, all);
      computer.map(DATA + BigInt(page * 4096), PHYSICAL + 0x2000 + page * 4096, all);
    }
    const { machine } = computer;
    const { cpu } = machine;
    const instruction = new Instruction();
    const wrong = new Set<string>();
    let ran = 0;
    for (const encoding of encodings()) {
      const code = Uint8Array.from([...encoding, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]).subarray(0, 15);
      const decoder = new Decoder(bits, code, DecoderOptions.NoMPFX_0FBC);
      decoder.decodeOut(instruction);
      decoder.free();
      computer.enterLongMode(bits);
      machine.memory.copyIn(PHYSICAL, code);
      for (let n = 0; n < 16; n++) cpu.setU64(gpr(n), n === 1 ? 1n : DATA + 0x800n);
      cpu.rflags = 0x202;
      cpu.rip = CODE;
      machine.run(cpu.tick + 1);
      ran++;
      const undefinedOpcode = computer.exception()?.vector === 6;
      const name = Code[instruction.code] as string;
      const valid = instruction.code !== Code.INVALID;
      if (valid && (ELSEWHERE.test(name) || HARMLESS.test(Mnemonic[instruction.mnemonic] as string))) continue;
      const offered = valid && featuresOf(instruction).every((feature) => OFFERED.has(feature));
      if (offered === undefinedOpcode) {
        wrong.add(`${name} (${Buffer.from(encoding).toString('hex')}) ${featuresOf(instruction).join()}`);
      }
    }
    assert.ok(ran > 30_000);
    assert.deepEqual([...wrong], []);
  });
}
