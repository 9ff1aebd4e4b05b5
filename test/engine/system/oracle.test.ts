/**
 * The same images on this machine and on Bochs, which is another implementation of the manual: `vectors/` holds what
 * Debian's Bochs 2.7 (model corei7_skylake_x) printed. Where Bochs is known to be wrong, `CORRECTIONS` says why.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { inPackage } from '../../../traces/guests/guest.js';
import { runUnderBochs } from '../../bench/bochs.js';
import { bochsOtherwise } from '../../bench/bochs-found.js';
import { assemble, missing } from '../../nasm.js';
import { consoleHere } from '../console.js';

const FOLDER = inPackage('test', 'engine', 'system');
const SOURCES = [
  { name: 'protection32', source: 'protection.asm', options: [] },
  { name: 'protection64', source: 'protection.asm', options: ['-dLONG_MODE'] },
  { name: 'privilege32', source: 'privilege.asm', options: [] },
  { name: 'privilege64', source: 'privilege.asm', options: ['-dLONG_MODE'] },
  { name: 'paging64', source: 'paging.asm', options: ['-dLONG_MODE'] },
] as const;

const INCLUDE = ['-I', `${inPackage('traces', 'guests')}/`];

const imageOf = (name: string): Uint8Array => new Uint8Array(readFileSync(join(FOLDER, 'oracle', `${name}.img`)));
const vectorsOf = (name: string): string => readFileSync(join(FOLDER, 'vectors', `${name}.txt`), 'latin1');

/** What a processor answers where Bochs does not. */
const CORRECTIONS: readonly {
  readonly why: string;
  readonly line: RegExp;
  readonly bochs: RegExp;
  readonly right: string;
}[] = [
  {
    why:
      'IRET to a stack segment that is not present raises #SS (Intel SDM Vol. 2, "IRET", operation; on real processors ' +
      'Linux tools/testing/selftests/x86/sigreturn.c expects it), where Bochs 2.7 raises #NP',
    line: /^ring \d iret_ss /,
    bochs: /=0b/g,
    right: '=0c',
  },
];

const corrected = (line: string): string =>
  CORRECTIONS.reduce(
    (text, { line: matches, bochs, right }) => (matches.test(text) ? text.replace(bochs, right) : text),
    line,
  );

for (const { name, source, options } of SOURCES) {
  test(`${name}: the committed image is what its source assembles to`, { skip: missing('nasm') }, () => {
    const rebuilt = assemble(join(FOLDER, 'oracle'), source, ['-f', 'bin', ...options, ...INCLUDE]);
    assert.deepEqual(Buffer.from(rebuilt), Buffer.from(imageOf(name)));
  });

  test(`${name}: this machine answers as Bochs does, but for the corrections`, () => {
    const expected = vectorsOf(name).split('\n').map(corrected);
    const answered = consoleHere(imageOf(name), name).split('\n');
    for (const [i, line] of expected.entries()) assert.equal(answered[i], line);
    assert.equal(answered.length, expected.length);
  });

  test(`${name}: Bochs still answers what is committed`, { skip: bochsOtherwise() ?? false }, async () => {
    const run = await runUnderBochs(imageOf(name), name);
    assert.equal(run.console, vectorsOf(name));
  });
}
