/** What perf.data says was recorded and never came: known to be none, where everything of it was to be recorded. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fixturePath, importBytes, sharedPath } from './import-helpers.js';
import { asPipe, asPlain, withCommand } from './perf-files.js';

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
  const WRITE_BACKWARD = 1 << 27;

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

  // perf-record(1), --overwrite: "the oldest data is overwritten"; perf sets write_backward of each event then (evsel.c)
  it('are not known where newer events take the place of older ones, of which an unknown number is missing', () => {
    const overwritten = withAttributes(one, (attribute) =>
      attribute.writeUInt32LE(attribute.readUInt32LE(FLAGS) | WRITE_BACKWARD, FLAGS),
    );
    for (const file of [overwritten, asPipe(overwritten)]) {
      assert.equal(silentIn(file), null);
      const { events, result } = importBytes(file);
      assert.deepEqual(
        events.map(({ kind, value }) => (kind === 'lost' ? (value ?? null) : 'event')),
        [null, 'event'],
      );
      assert.deepEqual([result.counts.gaps, result.counts.lost], [1, 0]);
      assert.ok(result.notes.some(({ says }) => says.includes('--overwrite')));
    }
  });

  it('are known of commands that record all of what they ask for', () => {
    const known = [
      '/usr/bin/perf record -e kvm:* -a -o perf.out -- sh -c {date;}',
      '/usr/lib/linux-tools/5.15.0-91-generic/perf record -C 3 -D 500 --call-graph dwarf -e kvm:kvm_exit',
      '/usr/bin/perf_6.1 record -g -p 1 --switch-output=1G',
      '/usr/bin/perf kvm --host stat record -p 1',
    ];
    for (const words of known) assert.equal(silentIn(withCommand(one, words.split(' ')))?.length, 1, words);
  });

  /**
   * perf writes the command that wrote a file, and `perf inject` writes it anew (write_cmdline of header.c); `perf trace
   * record` and others add filters. perf-record(1): --control enables events by name, --cgroup takes one for each event.
   */
  it('are not known of other commands, nor where some of the events may have been left out', () => {
    const unknown = [
      '/usr/bin/perf inject -b -i a.data -o b.data',
      '/usr/bin/perf inject record',
      '/usr/bin/perf trace record',
      '/usr/bin/perf',
      '/usr/bin/simpleperf record -a',
      '/usr/bin/perf record -D -1 --control fifo:ctl -e kvm:*',
      '/usr/bin/perf record --contr=fd:3 -e kvm:*',
      '/usr/bin/perf record -e kvm:kvm_exit -e kvm:kvm_entry -G a,b',
      '/usr/bin/perf record -aGa -e kvm:*',
      '/usr/bin/perf record --cgroup=a,b -e kvm:*',
      '/usr/bin/perf record -e kvm:* --exclude-perf',
      '/usr/bin/perf record -e {cycles,kvm:kvm_exit}',
      '/usr/bin/perf record -e prog.o,kvm:*',
      '/usr/bin/perf record -e prog.c/a=b/,kvm:*',
      '/usr/bin/perf kvm stat record --filter a==b',
    ];
    for (const words of unknown) {
      const file = withCommand(one, words.split(' '));
      assert.equal(silentIn(file), null, words);
      assert.equal(silentIn(asPipe(file)), null, words);
    }
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
