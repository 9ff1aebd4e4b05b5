/**
 * Writes test/engine/vectors: what this host's CPU does. Run it after the build, with a folder to write to:
 *   node dist/test/engine/native/generate.js test/engine/vectors
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Digest, fillInputs, formatVector, newState, type Vector } from './cases.js';
import { Harness } from './harness.js';
import type { Template } from './operands.js';
import { templates } from './templates.js';
import { isUndefined, maskOutcome } from './undefined.js';

/** Assembles templates and gives their digests by running them natively. */
export function measure(harness: Harness, list: readonly Template[]): Vector[] {
  const vectors: Vector[] = [];
  for (const bits of [64, 32] as const) {
    const own = list.filter((template) => template.bits === bits);
    const codes = harness.assemble(
      bits,
      own.map((template) => template.text),
    );
    own.forEach((template, i) => {
      vectors.push({ ...template, code: codes[i] ?? new Uint8Array(), digest: '' });
    });
  }
  const digests = new Map(vectors.map((vector) => [vector, new Digest()]));
  const input = newState();
  harness.run(vectors, (vector, number, outcome) => {
    fillInputs(vector, number, input);
    if (isUndefined(vector, input, number)) return;
    maskOutcome(vector, input, number, outcome);
    digests.get(vector)?.outcome(outcome, vector.bits);
  });
  return vectors.map((vector) => ({ ...vector, digest: `${digests.get(vector)}` }));
}

const HEADER = `# Instructions on a real CPU (Intel, Cascade Lake generation): code bits, bytes, pinned inputs, cases, digest of all
# outcomes, NASM's text. test/engine/native says how inputs follow from the text and what is left out as undefined.
`;

function main(folder: string): void {
  const harness = new Harness();
  try {
    const vectors = measure(harness, templates());
    for (const bits of [64, 32]) {
      const lines = vectors.filter((vector) => vector.bits === bits).map(formatVector);
      writeFileSync(join(folder, `integer${bits}.txt`), `${HEADER}${lines.join('\n')}\n`);
    }
  } finally {
    harness.close();
  }
}

const folder = process.argv[2];
if (folder && process.argv[1]?.endsWith('generate.js')) main(folder);
