/** The commands of the README, and of the guide to real hosts, run in their order as they are printed. */
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
  'failed.dat': inPackage('test', 'recorder', 'fixtures', 'vmx-failed-entry.trace.dat'),
  vmlinux: process.execPath,
  'xen.trace': inPackage('test', 'recorder', 'fixtures', 'xen-svm-pvh.xentrace'),
};
/** Commands that say that something does not hold, as the README wants to show. */
const DIFFERS = /^trapline explain /;
/** Commands that go on until they are stopped. */
const SERVES = /^trapline (?:serve|demo)\b/;

const words = (line: string): string[] =>
  [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, single, double, bare]) => single ?? double ?? bare ?? '');

for (const [name, least] of [
  ['README.md', 15],
  ['docs/hosts.md', 10],
] as const) {
  test(`every command of ${name} works, in order`, async (t) => {
    const folder = scratch(t);
    const text = readFileSync(inPackage(name), 'utf8');
    const lines = text
      .split('\n')
      .filter((line) => line.startsWith('trapline ') && !SERVES.test(line))
      .map((line) => line.replace(/\s+#.*$/, ''));
    assert.ok(lines.length >= least, `${lines.length} commands`);
    for (const [file, path] of Object.entries(FILES)) copyFileSync(path, join(folder, file));
    for (const line of lines) {
      const { code, err } = await trapline(words(line).slice(1), folder);
      assert.equal(code, DIFFERS.test(line) ? 1 : 0, `${line}\n${err}`);
    }
  });
}
