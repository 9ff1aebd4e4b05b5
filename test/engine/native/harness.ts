/** Builds and runs harness.c: instructions on this host's CPU. Needs gcc and NASM on Linux, x86-64. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inPackage } from '../../../traces/guests/guest.js';
import { assemble } from '../../nasm.js';
import { codeOf, fillInputs, newState, type Outcome, PLACE, type Vector } from './cases.js';

const INPUT_BYTES = 8 + 32 + 17 * 8 + PLACE.window;
const OUTPUT_BYTES = 17 * 8 + 8 + PLACE.window;
/** Room for an instruction in what NASM assembles. */
const SLOT = 32;

export class Harness {
  readonly #folder = mkdtempSync(join(tmpdir(), 'trapline-native-'));
  readonly #program = join(this.#folder, 'harness');

  constructor() {
    const source = inPackage('test', 'engine', 'native', 'harness.c');
    const options = ['-O1', '-fno-stack-protector', '-no-pie', '-static'];
    execFileSync('gcc', [...options, source, '-o', this.#program]);
  }

  close(): void {
    rmSync(this.#folder, { recursive: true });
  }

  /** The bytes of instructions, as NASM assembles them; `$` is the place of the instruction. */
  assemble(bits: 32 | 64, texts: readonly string[]): Uint8Array[] {
    const lines = texts.flatMap((text, i) => [
      `begin${i}: ${text}`,
      `end${i}: times ${SLOT} - (end${i} - begin${i}) db 0x90`,
    ]);
    const lengths = texts.map((_, i) => `db end${i} - begin${i}`);
    const source = [`bits ${bits}`, `org ${PLACE.entry}`, ...lines, ...lengths].join('\n');
    writeFileSync(join(this.#folder, 'code.asm'), `${source}\n`);
    const bytes = assemble(this.#folder, 'code.asm', ['-f', 'bin', '-w-all']);
    return texts.map((_, i) => bytes.slice(i * SLOT, i * SLOT + (bytes[texts.length * SLOT + i] ?? 0)));
  }

  /** Runs every case of every vector; `see` gets the outcomes in order. The outcome is valid during the call only. */
  run(vectors: readonly Vector[], see: (vector: Vector, number: number, outcome: Outcome) => void): void {
    const total = vectors.reduce((sum, vector) => sum + vector.cases, 0);
    const input = new Uint8Array(total * INPUT_BYTES);
    const state = newState();
    let at = 0;
    for (const vector of vectors) {
      for (let i = 0; i < vector.cases; i++, at += INPUT_BYTES) {
        fillInputs(vector, i, state);
        const code = codeOf(vector, i);
        const view = new DataView(input.buffer, at);
        view.setUint32(0, vector.bits, true);
        view.setUint32(4, code.length, true);
        input.set(code, at + 8);
        state.regs.forEach((value, n) => {
          view.setBigUint64(40 + 8 * n, value, true);
        });
        view.setUint32(168, state.flags, true);
        input.set(state.memory, at + 176);
      }
    }
    writeFileSync(join(this.#folder, 'input'), input);
    const command = `"${this.#program}" < "${this.#folder}/input" > "${this.#folder}/output"`;
    execFileSync('sh', ['-c', command]);
    const output = readFileSync(join(this.#folder, 'output'));
    if (output.length !== total * OUTPUT_BYTES) throw new Error('the harness stopped early');
    at = 0;
    for (const vector of vectors) {
      for (let i = 0; i < vector.cases; i++, at += OUTPUT_BYTES) see(vector, i, outcomeAt(output, at));
    }
  }
}

function outcomeAt(output: Uint8Array, at: number): Outcome {
  const bytes = Uint8Array.from(output.subarray(at, at + OUTPUT_BYTES));
  const view = new DataView(bytes.buffer);
  return {
    regs: new BigUint64Array(bytes.buffer, 0, 16),
    flags: view.getUint32(128, true),
    ended: view.getUint32(136, true),
    vector: view.getUint32(140, true),
    memory: bytes.subarray(144),
  };
}
