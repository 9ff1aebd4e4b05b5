/**
 * VMRUN tried by an image on Bochs 2.7 (model ryzen): vectors/vmrun.txt holds what it printed. Our table of checks must
 * give the same verdict over the same VMCB, but where the manual (APM Vol. 2, 15.5.1 and 15.20) says otherwise.
 * `npm run oracle` asks Bochs again.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { bochsOtherwise } from '../../bench/bochs-found.js';
import { missing } from '../../nasm.js';
import {
  SVM_IMAGE,
  SVM_ORACLE_FOLDER,
  SVM_VECTORS,
  svmAnswers,
  svmAssembled,
  svmBaseInclude,
  svmCasesInclude,
  svmConsole,
  svmCorrection,
  svmOracleCases,
} from './oracle.js';

const vectors = readFileSync(SVM_VECTORS, 'latin1');

describe('VMRUN under Bochs', () => {
  it('the tables of the image are made from the cases', () => {
    assert.equal(readFileSync(join(SVM_ORACLE_FOLDER, 'base.inc'), 'utf8'), svmBaseInclude());
    assert.equal(readFileSync(join(SVM_ORACLE_FOLDER, 'cases.inc'), 'utf8'), svmCasesInclude());
  });

  it('the committed image is what its source assembles to', { skip: missing('nasm') }, () => {
    assert.deepEqual(Buffer.from(svmAssembled()), readFileSync(SVM_IMAGE));
  });

  it('the table says of every VMCB what Bochs says, but for what the manual says against Bochs', () => {
    const lines = vectors.trimEnd().split('\n');
    const cases = svmOracleCases();
    assert.equal(lines.length, cases.length);
    assert.ok(cases.length > 100);
    for (const [i, each] of cases.entries()) {
      const line = lines[i] ?? '';
      assert.ok(line.startsWith(`${each.name} `), line);
      const bochs = line.slice(each.name.length + 1);
      const wrong = svmCorrection(each, bochs) !== undefined;
      assert.equal(
        svmAnswers(each).some((answer) => answer === bochs),
        !wrong,
        `${line}; our table: ${each.broken.join(', ') || 'nothing'}`,
      );
    }
  });

  it('Bochs still answers what is committed', { skip: bochsOtherwise() ?? false }, async () =>
    assert.equal(await svmConsole(readFileSync(SVM_IMAGE)), vectors),
  );
});
