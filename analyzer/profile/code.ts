/** One instruction as text. */
import { createRequire } from 'node:module';

type Iced = typeof import('iced-x86');

let iced: Iced | null = null;

/** Loaded with the first instruction: that takes longer than most of what does without. */
function disassembler(): Iced {
  iced ??= createRequire(import.meta.url)('iced-x86') as Iced;
  return iced;
}

/** Intel syntax of the instruction at `rip`; null where the bytes are none. */
export function disassemble(bytes: Uint8Array, rip: bigint, bits: 16 | 32 | 64): string | null {
  const { Decoder, DecoderOptions, Formatter, FormatterSyntax } = disassembler();
  const decoder = new Decoder(bits, bytes, DecoderOptions.None);
  const formatter = new Formatter(FormatterSyntax.Intel);
  decoder.ip = rip;
  const instruction = decoder.decode();
  try {
    return instruction.isInvalid ? null : formatter.format(instruction);
  } finally {
    instruction.free();
    formatter.free();
    decoder.free();
  }
}

/** Width of code by how KVM's emulator names its mode; 64 bits where nothing is said. */
export function codeWidth(text: string | null): 16 | 32 | 64 {
  if (text === null) return 64;
  if (/\((real|vm16|prot16)\)/.test(text)) return 16;
  return text.includes('(prot32)') ? 32 : 64;
}
