/**
 * VM entries tried by images on this machine and on Bochs, which is another implementation of the manual: the vectors of
 * each table hold what its Bochs printed, Debian's 2.7 (model corei7_skylake_x) or, for newer features, that of August
 * 2026 (model wildcat_lake, newer.ts). Where Bochs is known to be wrong, corrections.ts quotes the manual (Vol. 3C, "VM
 * Entries"). `npm run oracle` asks Bochs again.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { runUnderBochs } from '../../bench/bochs.js';
import { bochsOtherwise } from '../../bench/bochs-found.js';
import { missing } from '../../nasm.js';
import { CORRECTIONS, corrected, correctionOf } from './corrections.js';
import { processorOf } from './newer.js';
import { baseInclude, includeOf, SUITES } from './oracle.js';
import { answersHere, answersIn, assembled, imageOf, ORACLE_FOLDER, vectorsOf } from './oracle-run.js';

it('the base state of the images is the bench’s', () => {
  assert.equal(readFileSync(join(ORACLE_FOLDER, 'base.inc'), 'utf8'), baseInclude());
});

for (const suite of SUITES) {
  const { name } = suite;
  describe(name, () => {
    it('the table of the image is made from the cases of the checks', () => {
      assert.equal(readFileSync(join(ORACLE_FOLDER, suite.include), 'utf8'), includeOf(suite));
    });

    it('the committed image is what its source assembles to', { skip: missing('nasm') }, () => {
      assert.deepEqual(Buffer.from(assembled(suite)), Buffer.from(imageOf(suite)));
    });

    it('this machine ends every entry as the manual says, and as Bochs does but for the corrections', () => {
      const here = answersHere(suite);
      const { processor, answers: bochs } = answersIn(vectorsOf(suite));
      const cases = suite.cases();
      if (!suite.isMachine) assert.deepEqual(processorOf(processor ?? ''), suite.processor);
      assert.equal(here.length, cases.length);
      assert.equal(bochs.length, cases.length);
      assert.ok(cases.length > 30);
      for (const [i, { name: what, permits }] of cases.entries()) {
        const allowed = permits.map((answer) => `${what} ${answer}`);
        assert.ok(allowed.includes(here[i] ?? ''), `here: ${here[i]}`);
        assert.ok(allowed.includes(corrected(bochs[i] ?? '')), `Bochs: ${bochs[i]}`);
      }
    });

    it('Bochs still answers what is committed', {
      skip: bochsOtherwise(suite.version, suite.model) ?? false,
    }, async (t) => {
      const [now, then] = [await runUnderBochs(imageOf(suite), name, suite), vectorsOf(suite)].map((run) =>
        answersIn(typeof run === 'string' ? run : run.console),
      );
      if (now?.processor !== then?.processor) t.skip('this build of Bochs offers other controls');
      else assert.deepEqual(now?.answers, then?.answers);
    });
  });
}

it('no correction corrects nothing', () => {
  const lines = SUITES.flatMap((suite) => answersIn(vectorsOf(suite)).answers);
  const used = new Set(lines.map(correctionOf));
  assert.deepEqual(
    CORRECTIONS.filter((correction) => !used.has(correction)),
    [],
  );
});
