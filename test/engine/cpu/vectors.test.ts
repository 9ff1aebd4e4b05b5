/** Our machine against a real CPU: the outcomes in test/engine/vectors, and live ones where the host can make them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { RecordDecoder } from '../../../engine/cpu/decode/decode.js';
import { R } from '../../../engine/cpu/insn.js';
import { MODE } from '../../../engine/cpu/mode.js';
import { FORMS, formNumber } from '../../../engine/cpu/semantics/forms.js';
import { SLOW_NUMBERS } from '../../../engine/cpu/slow.js';
import { inPackage } from '../../../traces/guests/guest.js';
import { Digest, fillInputs, newState, type Outcome, parseVector, type Vector } from '../native/cases.js';
import { isUndefined, maskOutcome } from '../native/undefined.js';
import { Subject, withBmi1 } from './subject.js';

const readVectors = (file: string): Vector[] =>
  readFileSync(inPackage('test', 'engine', 'vectors', file), 'utf8')
    .split('\n')
    .filter((line) => line && !line.startsWith('#'))
    .map(parseVector);

for (const bits of [64, 32] as const) {
  const vectors = readVectors(`integer${bits}.txt`);

  test(`every instruction in ${bits}-bit mode does what a real CPU does`, () => {
    const subject = new Subject();
    const input = newState();
    const outcome: Outcome = { ...newState(), ended: 0, vector: 0 };
    const wrong: string[] = [];
    for (const vector of vectors) {
      const digest = new Digest();
      for (let i = 0; i < vector.cases; i++) {
        fillInputs(vector, i, input);
        subject.run(vector, i, input, outcome);
        if (isUndefined(vector, input, i)) continue;
        maskOutcome(vector, input, i, outcome);
        digest.outcome(outcome, bits);
      }
      if (`${digest}` !== vector.digest) wrong.push(`${vector.text} (${Buffer.from(vector.code).toString('hex')})`);
    }
    assert.deepEqual(wrong, []);
  });
}

test('the vectors use every form of generated code', () => {
  const buffer = new ArrayBuffer(4096);
  const decoder = new RecordDecoder(buffer, SLOW_NUMBERS, withBmi1);
  const used = new Set<number>();
  for (const bits of [64, 32] as const) {
    const mode = bits === 64 ? 2 | MODE.flat : 1 | MODE.flat | MODE.stack32;
    for (const vector of readVectors(`integer${bits}.txt`)) {
      const code = new Uint8Array(32);
      code.set(vector.code);
      const iced = decoder.open(code, mode);
      decoder.decode(iced, code, 0, 0, mode, 0);
      iced.free();
      used.add(new DataView(buffer).getUint16(R.handler, true));
    }
  }
  const missing = FORMS.map((form) => form.name).filter((name) => !used.has(formNumber(name) ?? -1));
  assert.deepEqual(missing, []);
});
