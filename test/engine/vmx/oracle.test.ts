/**
 * VM entries tried by images on this machine and on Bochs, which is another implementation of the manual:
 * vectors/entries.txt and pairs.txt hold what Debian's Bochs 2.7 (model corei7_skylake_x) printed. Where Bochs is known
 * to be wrong, corrections.ts quotes the manual (Vol. 3C, "VM Entries"). `npm run oracle` asks Bochs again.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { bochsMissing, runUnderBochs } from '../../bench/bochs.js';
import { missing } from '../../nasm.js';
import { consoleHere } from '../console.js';
import { CORRECTIONS, corrected, correctionOf } from './corrections.js';
import { baseInclude, includeOf, SUITES } from './oracle.js';
import { assembled, imageOf, ORACLE_FOLDER, vectorsPath } from './oracle-run.js';

it('the base state of the images is the bench’s', () => {
  assert.equal(readFileSync(join(ORACLE_FOLDER, 'base.inc'), 'utf8'), baseInclude());
});

for (const suite of SUITES) {
  const { name } = suite;
  const vectors = (): string[] => readFileSync(vectorsPath(suite), 'latin1').trimEnd().split('\n');

  describe(name, () => {
    it('the table of the image is made from the cases of the checks', () => {
      assert.equal(readFileSync(join(ORACLE_FOLDER, suite.include), 'utf8'), includeOf(suite));
    });

    it('the committed image is what its source assembles to', { skip: missing('nasm') }, () => {
      assert.deepEqual(Buffer.from(assembled(suite)), Buffer.from(imageOf(suite)));
    });

    it('this machine ends every entry as the manual says, and as Bochs does but for the corrections', () => {
      const here = consoleHere(imageOf(suite), name).trimEnd().split('\n');
      const bochs = vectors();
      const cases = suite.cases();
      assert.equal(here.length, cases.length);
      assert.equal(bochs.length, cases.length);
      assert.ok(cases.length > 200);
      for (const [i, { name: what, permits }] of cases.entries()) {
        const allowed = permits.map((answer) => `${what} ${answer}`);
        assert.ok(allowed.includes(here[i] ?? ''), `here: ${here[i]}`);
        assert.ok(allowed.includes(corrected(bochs[i] ?? '')), `Bochs: ${bochs[i]}`);
      }
    });

    it('Bochs still answers what is committed', { skip: bochsMissing() ?? false }, async () => {
      const run = await runUnderBochs(imageOf(suite), name);
      assert.deepEqual(run.console.trimEnd().split('\n'), vectors());
    });
  });
}

it('no correction corrects nothing', () => {
  const lines = SUITES.flatMap((suite) => readFileSync(vectorsPath(suite), 'latin1').split('\n'));
  const used = new Set(lines.map(correctionOf));
  assert.deepEqual(
    CORRECTIONS.filter((correction) => !used.has(correction)),
    [],
  );
});
