/**
 * Which I/O instruction a #GP stopped: only those that the Backdoor may allow are told apart, as KVM's
 * enable_vmware_backdoor does. Intel SDM Vol. 2, "Instruction Format" and the opcode map.
 */

export interface IoInstruction {
  readonly kind: 'in' | 'out' | 'ins' | 'outs' | 'rdpmc';
  /** Bytes of the access; 0 for RDPMC. */
  readonly size: 0 | 1 | 2 | 4;
  /** The port where it is an immediate operand; null: it is in DX. */
  readonly port: number | null;
  readonly rep: boolean;
  /** Bytes of an address: 2, 4 or 8. */
  readonly addressSize: 2 | 4 | 8;
  /** Segment override: the number of the segment register (ES 0 ... GS 5), or null. */
  readonly segment: number | null;
  /** Bytes of the whole instruction. */
  readonly length: number;
}

const SEGMENT_PREFIXES: ReadonlyMap<number, number> = new Map([
  [0x26, 0],
  [0x2e, 1],
  [0x36, 2],
  [0x3e, 3],
  [0x64, 4],
  [0x65, 5],
]);
const OPERAND_SIZE = 0x66;
const ADDRESS_SIZE = 0x67;
const REPNE = 0xf2;
const REP = 0xf3;
const LOCK = 0xf0;
const REX = 0x40;
const REX_W = 8;
const PREFIXES: ReadonlySet<number> = new Set([...SEGMENT_PREFIXES.keys(), OPERAND_SIZE, ADDRESS_SIZE, REPNE, REP]);
const LONGEST = 15;

interface Form {
  readonly kind: 'in' | 'out' | 'ins' | 'outs';
  /** The access is a byte, whatever the operand size. */
  readonly byte: boolean;
  readonly immediate: boolean;
}
const form = (kind: Form['kind'], byte: boolean, immediate: boolean): Form => ({ kind, byte, immediate });

const FORMS: ReadonlyMap<number, Form> = new Map([
  [0x6c, form('ins', true, false)],
  [0x6d, form('ins', false, false)],
  [0x6e, form('outs', true, false)],
  [0x6f, form('outs', false, false)],
  [0xe4, form('in', true, true)],
  [0xe5, form('in', false, true)],
  [0xe6, form('out', true, true)],
  [0xe7, form('out', false, true)],
  [0xec, form('in', true, false)],
  [0xed, form('in', false, false)],
  [0xee, form('out', true, false)],
  [0xef, form('out', false, false)],
]);

interface Prefixes {
  readonly operandSize: boolean;
  readonly addressSize: boolean;
  readonly rep: boolean;
  readonly segment: number | null;
  readonly rexW: boolean;
  readonly length: number;
}

/** Null: the bytes end before the opcode, or LOCK makes it #UD. */
function readPrefixes(bytes: Uint8Array, bits: 16 | 32 | 64): Prefixes | null {
  const seen = new Set<number>();
  let segment: number | null = null;
  let rexW = false;
  for (let at = 0; at < LONGEST; at++) {
    const prefix = bytes[at];
    if (prefix === undefined || prefix === LOCK) return null;
    const isRex = bits === 64 && (prefix & 0xf0) === REX;
    if (!isRex && !PREFIXES.has(prefix)) {
      const rep = seen.has(REP) || seen.has(REPNE);
      return {
        operandSize: seen.has(OPERAND_SIZE),
        addressSize: seen.has(ADDRESS_SIZE),
        rep,
        segment,
        rexW,
        length: at,
      };
    }
    // A REX prefix counts only where the opcode follows it.
    rexW = isRex && (prefix & REX_W) !== 0;
    segment = SEGMENT_PREFIXES.get(prefix) ?? segment;
    seen.add(prefix);
  }
  return null;
}

/** The instruction at the start of `bytes` in code of `bits`; null: it is no I/O instruction, or not all of it is here. */
export function decodeIo(bytes: Uint8Array, bits: 16 | 32 | 64): IoInstruction | null {
  const prefixes = readPrefixes(bytes, bits);
  if (prefixes === null) return null;
  const { rep, segment } = prefixes;
  const natural = bits === 64 ? 8 : (bits === 32) !== prefixes.addressSize ? 4 : 2;
  const addressSize = natural === 8 && prefixes.addressSize ? 4 : natural;
  let at = prefixes.length;
  const opcode = bytes[at++];
  if (opcode === 0x0f) {
    if (bytes[at++] !== 0x33 || at > LONGEST) return null;
    return { kind: 'rdpmc', size: 0, port: null, rep, addressSize, segment, length: at };
  }
  const found = opcode === undefined ? undefined : FORMS.get(opcode);
  if (found === undefined) return null;
  // There is no 64-bit I/O: REX.W overrides 66h, and means 32 bits.
  const wide = prefixes.rexW || (bits === 16) === prefixes.operandSize ? 4 : 2;
  const port = found.immediate ? bytes[at++] : null;
  if (port === undefined || at > LONGEST) return null;
  return { kind: found.kind, size: found.byte ? 1 : wide, port, rep, addressSize, segment, length: at };
}
