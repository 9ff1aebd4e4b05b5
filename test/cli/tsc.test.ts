/** `trapline import --tsc-hz`: frequencies as people write them. */
import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fixturePath } from '../recorder/import-helpers.js';
import { scratch } from '../traces/rows.js';
import { trapline } from './process.js';

describe('import --tsc-hz', () => {
  it('makes the cycles of xentrace nanoseconds, the same for each way to write a frequency', async (t) => {
    const folder = scratch(t);
    copyFileSync(fixturePath('xen-svm-lost.xentrace'), join(folder, 'xen.trace'));
    const digests = new Set<string>();
    for (const [i, hz] of ['2500000000', '2.5G', '2500M', '2500000kHz', '2.5GHz'].entries()) {
      const { code, out } = await trapline(
        ['import', 'xen.trace', '-o', `${i}.arrow`, '--tsc-hz', hz, '--json'],
        folder,
      );
      assert.equal(code, 0);
      digests.add(JSON.parse(out).digest);
    }
    assert.equal(digests.size, 1);
    const { out } = await trapline(['profile', '0.arrow', '--json'], folder);
    assert.equal(JSON.parse(out).unit, 'ns');
  });

  for (const name of [
    'svm-basic.script.txt',
    'svm-two-vcpus.report.txt',
    'svm-two-vcpus.trace.dat',
    'svm-kvm-stat.perf.data',
  ])
    it(`says that it has no use where times are nanoseconds: ${name}`, async (t) => {
      const folder = scratch(t);
      const note = /frequency of the TSC .*has no use here/;
      const [plain, given] = [
        await trapline(['import', fixturePath(name), '-o', 'plain.arrow'], folder),
        await trapline(['import', fixturePath(name), '-o', 'given.arrow', '--tsc-hz', '2.4G'], folder),
      ];
      assert.deepEqual([plain.code, given.code], [0, 0]);
      assert.doesNotMatch(plain.err, note);
      assert.equal(given.err.split('\n').filter((line) => note.test(line)).length, 1);
    });
  it('says nothing of the kind where it has', async (t) => {
    const folder = scratch(t);
    const text = 'qemu-1 [000] 5000: kvm_entry: vcpu 0\nqemu-1 [000] 7500: kvm_exit: reason HLT rip 0x1 info 0 0\n';
    writeFileSync(join(folder, 'cycles.txt'), text.repeat(20));
    for (const file of ['cycles.txt', fixturePath('xen-svm-lost.xentrace')]) {
      const { code, err } = await trapline(['import', file, '-o', 'a.arrow', '--replace', '--tsc-hz', '2.5G'], folder);
      assert.equal(code, 0);
      assert.doesNotMatch(err, /no use/);
    }
  });

  for (const hz of ['0', '3', '-1', '2.5T', 'fast', '1e9', '200G', '']) {
    it(`refuses ${hz === '' ? 'nothing' : hz}`, async (t) => {
      const folder = scratch(t);
      copyFileSync(fixturePath('xen-svm-lost.xentrace'), join(folder, 'xen.trace'));
      const { code, err } = await trapline(['import', 'xen.trace', '-o', 'a.arrow', '--tsc-hz', hz], folder);
      assert.equal(code, 2);
      assert.match(err, /BAD_VALUE|MISSING/);
    });
  }
});
