/** Forms as tests: every seed is read, and so many mutations of each, from a fixed seed, leave whole what must be. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkSeeds, type Form, runForm } from './run.js';

/** Mutations a form in `npm test`; `npm run fuzz` runs as many as one likes. */
const RUNS = 10_000;
const SEED = 20_260;

/** Declares the tests of forms. */
export function testForms(title: string, forms: readonly Form[]): void {
  describe(`${title}: ${RUNS} mutations of each`, () => {
    for (const form of forms) {
      it(form.name, async () => {
        try {
          await checkSeeds(form);
          const { whole, stopped, refused } = await runForm(form, RUNS, SEED);
          assert.ok(whole + stopped > 0 && refused > 0, 'some are read and some are not');
        } finally {
          await form.close?.();
        }
      });
    }
  });
}
