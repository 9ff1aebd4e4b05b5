/** The README's commands run in its order as they are printed. */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { inPackage } from '../../traces/guests/guest.js';
import { scratch } from '../traces/rows.js';
import { trapline } from './process.js';

/** What a reader has and the README names: a recording, a log, the guest's kernel. */
const FILES: { readonly [name: string]: string } = {
  'trace.dat': inPackage('traces', 'samples', 'kvm-vmx-basic.txt'),
  'dmesg.txt': inPackage('test', 'analyzer', 'explain', 'fixtures', 'vmx-two-faults.txt'),
  vmlinux: process.execPath,
};
/** Commands that say that something does not hold, as the README wants to show. */
const DIFFERS = /^trapline explain /;

const words = (line: string): string[] =>
  [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '');

test('every command of the README works, in order', async (t) => {
  const folder = scratch(t);
  const readme = readFileSync(inPackage('README.md'), 'utf8');
  const lines = readme
    .split('\n')
    .filter((line) => line.startsWith('trapline ') && !line.startsWith('trapline serve '))
    .map((line) => line.replace(/\s+#.*$/, ''));
  assert.ok(lines.length > 10);
  for (const [name, path] of Object.entries(FILES)) copyFileSync(path, join(folder, name));
  for (const line of lines) {
    const { code, err } = await trapline(words(line).slice(1), folder);
    assert.equal(code, DIFFERS.test(line) ? 1 : 0, `${line}\n${err}`);
  }
});
