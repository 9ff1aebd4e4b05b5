/** What perf.data says was recorded and never came: known to be none, where everything of it was to be recorded. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fixturePath, importBytes, sharedPath } from './import-helpers.js';
import { asPipe, asPlain } from './perf-files.js';

const SAMPLE = 9;

const silentIn = (file: Uint8Array): string[] | null =>
  JSON.parse(importBytes(file).writer.run.get('silent') ?? 'null') as string[] | null;

describe('events that were recorded and never came', () => {
  /** Of kvm_exit and kvm_entry, which this recording is of: all, or the first sample alone. */
  const both = asPlain(readFileSync(fixturePath('svm-exit-entry.zstd.perf.data')));
  const one = asPlain(both, (type) => (type === SAMPLE ? 1 : Number.POSITIVE_INFINITY));
  /** Where struct perf_event_attr has its parts (include/uapi/linux/perf_event.h), and which bits its flags have. */
  const [SAMPLE_PERIOD, SAMPLE_TYPE, FLAGS] = [16, 24, 40];
  const [EXCLUDE_KERNEL, FREQ, SAMPLE_RAW] = [1 << 5, 1 << 10, 1 << 10];

  /** The same file with each attribute changed. */
  function withAttributes(file: Buffer, change: (attribute: Buffer) => void): Buffer {
    const [each = 0, from = 0, size = 0] = [16, 24, 32].map((at) => Number(file.readBigUInt64LE(at)));
    const out = Buffer.from(file);
    for (let at = from; at < from + size; at += each) change(out.subarray(at, at + each));
    return out;
  }

  it('are named, in file mode and in pipe mode', () => {
    const kinds = importBytes(one).events.map(({ kind }) => kind);
    assert.equal(kinds.length, 1);
    const missing = kinds[0] === 'exit' ? 'kvm:kvm_entry' : 'kvm:kvm_exit';
    assert.deepEqual(silentIn(one), [missing]);
    assert.deepEqual(silentIn(asPipe(one)), [missing]);
    assert.equal(silentIn(both), null);
  });

  it('are not known of one sample in several, nor of user space alone, nor without what a tracepoint says', () => {
    const changes: { readonly [what: string]: (attribute: Buffer) => void } = {
      period: (attribute) => attribute.writeBigUInt64LE(100n, SAMPLE_PERIOD),
      frequency: (attribute) => attribute.writeUInt32LE(attribute.readUInt32LE(FLAGS) | FREQ, FLAGS),
      exclude: (attribute) => attribute.writeUInt32LE(attribute.readUInt32LE(FLAGS) | EXCLUDE_KERNEL, FLAGS),
      raw: (attribute) => attribute.writeUInt32LE(attribute.readUInt32LE(SAMPLE_TYPE) & ~SAMPLE_RAW, SAMPLE_TYPE),
    };
    for (const [what, change] of Object.entries(changes))
      assert.equal(silentIn(withAttributes(one, change)), null, what);
    assert.equal(silentIn(withAttributes(one, () => {}))?.length, 1);
  });

  // perf sets a filter by PERF_EVENT_IOC_SET_FILTER: the attribute is the same with one and without
  it('are not known where the command that recorded left out events, nor where it is not there', () => {
    const command = 'kvm:kvm_entry';
    const at = one.indexOf(command);
    for (const word of ['--filter=a==b', '--fi=reason>9', '--bpf-filter=x', 'my-filter.bpf']) {
      const filtered = Buffer.from(one);
      filtered.write(word.padEnd(command.length, '\0').slice(0, command.length), at, 'latin1');
      assert.equal(silentIn(filtered), null, word);
      assert.equal(silentIn(asPipe(filtered)), null, word);
    }
    const other = Buffer.from(one);
    other.write('kvm:kvm_enter', at, 'latin1');
    assert.equal(silentIn(other)?.length, 1);
    const without = Buffer.from(one);
    without[72 + 1] = (without[72 + 1] ?? 0) & ~(1 << 3);
    assert.equal(silentIn(without), null);
  });

  const files = ['perf.data', 'script.txt'].map((end) => sharedPath(`kvm/svm/svm_basic_perf.${end}`));
  it('are, of a recording of kvm:*, all that perf script does not print', {
    skip: files.includes(null) && 'the shared collection of real data is not here',
  }, () => {
    const [file = '', script = ''] = files.map((path) => path ?? '');
    const printed = readFileSync(script, 'utf8').matchAll(/ (kvm(?:mmu)?:\w+):/g);
    const seen = new Set([...printed].map(([, name]) => name ?? ''));
    const silent = silentIn(readFileSync(file)) ?? [];
    assert.deepEqual(
      silent.filter((name) => seen.has(name)),
      [],
    );
    assert.ok(seen.has('kvm:kvm_userspace_exit') && silent.includes('kvm:kvm_nested_vmenter_failed'));
    assert.equal(silent.length + seen.size, 91); // the attributes of the file, without one of software
  });

  it('are not known of trace.dat, whose descriptions are not of what was recorded alone', () => {
    assert.equal(silentIn(readFileSync(fixturePath('vmx-basic.trace.dat'))), null);
  });
});
