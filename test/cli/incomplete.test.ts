/** Recordings that are not there whole: no gate may take what is left of them for the run. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readTimeline } from '../../analyzer/timeline.js';
import { inPackage } from '../../traces/guests/guest.js';
import { openTrace } from '../../traces/open.js';
import { call } from './process.js';

const fixture = (name: string): string => join(inPackage('test', 'recorder', 'fixtures'), name);
const KVM = fixture('svm-two-vcpus.trace.dat');
const XEN = fixture('xen-svm-pvh.xentrace');
const TEXT = readFileSync(fixture('svm-two-vcpus.report.txt'), 'latin1');

let folder = '';

/** Recordings that lack something, what ends their import, and what a verdict says of it. */
const LACKING: readonly {
  readonly name: string;
  readonly whole: string;
  readonly bytes: () => string | Uint8Array;
  readonly code: number;
  readonly says: RegExp;
}[] = [
  {
    name: 'cut.xentrace',
    whole: XEN,
    bytes: () => readFileSync(XEN).subarray(0, -1001),
    code: 2,
    says: /the recording was cut, so the counts are lower bounds/,
  },
  {
    name: 'no-exits.txt',
    whole: KVM,
    bytes: () =>
      TEXT.split('\n')
        .filter((line) => !line.includes('kvm_exit'))
        .join('\n'),
    code: 0,
    says: /no events of exits: they are unknown, not zero/,
  },
  {
    name: 'damaged.txt',
    whole: KVM,
    bytes: () => TEXT.replace(/kvm_exit: .*/, 'kvm_exi'),
    code: 0,
    says: /1 place of its source could not be read, so the counts are lower bounds/,
  },
  {
    // tracefs/trace_pipe print so where the reader cannot know how many there were
    name: 'lost.txt',
    whole: KVM,
    bytes: () => TEXT.replace('\n', '\nCPU:0 [LOST EVENTS]\n'),
    code: 0,
    says: /events were lost, so the counts are lower bounds/,
  },
];

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'trapline-incomplete-'));
  for (const { name, bytes } of LACKING) writeFileSync(join(folder, name), bytes());
});
after(() => rmSync(folder, { recursive: true, force: true }));

for (const { name, whole, code, says } of LACKING) {
  describe(name, () => {
    const stored = (kind: string): string => join(folder, `${name}.${kind}`);

    it('is imported as far as it goes', async () => {
      for (const kind of ['sqlite', 'arrow']) {
        const { code: ended } = await call('import', join(folder, name), '-o', stored(kind));
        assert.equal(ended, code);
      }
    });

    it('keeps no budget, stored or not', async () => {
      for (const file of [join(folder, name), stored('sqlite'), stored('arrow')]) {
        for (const budget of ['exits.total <= baseline', 'exits.total <= 100000', 'failed.total == 0']) {
          const { code: ended, out } = await call('diff', whole, file, '--fail-on', budget);
          assert.deepEqual([ended, /UNDECIDED/.test(out)], [2, true], `${file} ${budget}`);
          assert.match(out.replace(/\s+/g, ' '), says);
        }
      }
    });

    it('is no baseline', async () => {
      const { code: ended, out } = await call('diff', stored('sqlite'), whole, '--fail-on', 'exits.total <= baseline');
      assert.equal(ended, 2);
      assert.match(out.replace(/\s+/g, ' '), says);
    });

    it('breaks and keeps a budget by what was counted all the same', async () => {
      const gate = async (budget: string) => (await call('diff', whole, stored('arrow'), '--fail-on', budget)).code;
      const unknown = name === 'no-exits.txt';
      assert.equal(await gate('exits.total >= 1'), unknown ? 2 : 0);
      assert.equal(await gate('exits.total <= 1'), unknown ? 2 : 1);
    });

    it('is not the same as itself, for all that is known', async () => {
      const { code: ended, out } = await call('diff', stored('sqlite'), stored('arrow'), '--json');
      assert.equal(ended, 2);
      const { same, undecided } = JSON.parse(out) as { same: boolean; undecided: string | null };
      assert.equal(same, true);
      assert.notEqual(undecided, null);
    });

    it('is undecided without a budget too, and every format says why', async () => {
      for (const format of ['text', 'json', 'markdown', 'junit', 'github']) {
        const { code: ended, out } = await call('diff', whole, stored('arrow'), '--format', format);
        assert.equal(ended, 2, format);
        const why = new RegExp(says.source.replace('so the counts', 'so its counts').replace('exits:', 'exits.*:'));
        assert.match(out.replace(/\\/g, '').replace(/\s+/g, ' '), why);
      }
    });

    it('is an error to JUnit and to GitHub', async () => {
      const gate = ['diff', whole, stored('arrow'), '--fail-on', 'exits.total <= 100000', '--format'];
      assert.match((await call(...gate, 'junit')).out, /errors="1"/);
      assert.match((await call(...gate, 'github')).out, /^::error /m);
      assert.match((await call(...gate, 'markdown')).out, /undecided/);
      if (name !== 'no-exits.txt') return;
      for (const format of ['text', 'markdown']) {
        const { out } = await call('diff', whole, stored('arrow'), '--format', format);
        assert.match(out.replace(/\s+/g, ' '), /no events of exits in .*unknown, not zero/);
        assert.doesNotMatch(out, /[Uu]nrelated|vanished|−|\b0\b/, 'no number of what is unknown');
      }
    });

    it('says on the page what it lacks', async () => {
      const reader = openTrace(stored('sqlite'));
      try {
        const { problems, notes, gaps } = (await readTimeline(reader, name)).overview;
        assert.ok(problems.length + notes.length + gaps > 0);
        if (name === 'cut.xentrace')
          assert.match(problems.join(), /the recording was cut: the file ends before its data does/);
        if (name === 'no-exits.txt') assert.match(notes.join(), /no kvm_exit.*unknown, not zero/);
        if (name === 'damaged.txt') assert.match(notes.join(), /1 place of the source could not be read/);
      } finally {
        reader.close();
      }
    });
  });
}

describe('verify', () => {
  it('says why an import was cut, and accepts it where that is asked for', async () => {
    const trace = join(folder, 'cut.xentrace.arrow');
    const { code, out } = await call('verify', trace);
    assert.equal(code, 1);
    assert.match(
      out.replace(/\s+/g, ' '),
      /INCOMPLETE: the file ends before its data does: .*cut\.xentrace \(offset \d+\)/,
    );
    assert.equal((await call('verify', trace, '--allow-incomplete')).code, 0);
    const copy = join(folder, 'copy.sqlite');
    assert.equal((await call('convert', trace, '-o', copy)).code, 0);
    assert.match((await call('verify', copy)).out, /INCOMPLETE: the\s+file\s+ends/);
  });

  it('says how much of the source could not be read', async () => {
    const { code, out } = await call('verify', join(folder, 'damaged.txt.sqlite'));
    assert.equal(code, 0);
    assert.match(out, /1 place of its source could not be read, and is not in it/);
  });
});
