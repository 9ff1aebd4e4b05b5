/** Broken, hostile and foreign input: what can be read is kept, and the rest is said in one line. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { IMPORT_ERRORS, ImportError } from '../../recorder/import/errors.js';
import { importTrace } from '../../recorder/import/import.js';
import { LineReader, MAX_LINE } from '../../recorder/import/lines.js';
import { type ByteSource, memorySource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { fixture, fixturePath, importBytes, importText } from './import-helpers.js';

const EXIT =
  't-1 [000] 1.0: kvm_exit: vcpu 0 reason CPUID rip 0x101b2 info1 0x0000000000000000 info2 0x0000000000000000 intr_info 0x00000000 error_code 0x00000000';
const ENTRY = 't-1 [000] 1.1: kvm_entry: vcpu 0, rip 0x101b4';
const whole = { kind: 'exit', reason: 10, rip: 0x101b2, qualification: 0, info2: 0, intr_info: 0, error_code: 0 };

function assertWhole(text: string): void {
  const { events, result } = importText(text);
  assert.deepEqual(
    events.map(({ kind }) => kind),
    ['exit', 'entry'],
  );
  const exit = Object.fromEntries(Object.keys(whole).map((name) => [name, events[0]?.[name]]));
  assert.deepEqual(exit, whole);
  assert.equal(result.counts.damaged, 0);
}

describe('lines that mail and people broke', () => {
  it('puts a wrapped line together wherever it was broken', () => {
    const words = EXIT.split(' ');
    for (let i = 8; i < words.length; i++) {
      assertWhole(`${words.slice(0, i).join(' ')}\n${words.slice(i).join(' ')}\n${ENTRY}\n`);
      assertWhole(`> ${words.slice(0, i).join(' ')}\n> ${words.slice(i).join(' ')}\n> ${ENTRY}\n`);
    }
  });

  it('puts together a word or a number that was broken in two', () => {
    for (let i = Math.max(50, EXIT.indexOf('reason')); i < EXIT.length; i++) {
      assertWhole(`${EXIT.slice(0, i)}\n${EXIT.slice(i)}\n${ENTRY}\n`);
      assertWhole(`> ${EXIT.slice(0, i)}\n> ${EXIT.slice(i)}\n> ${ENTRY}\n`);
    }
    const entry = '            kvmc-645 [000]    35.980956: kvm_entry: vcpu 0, rip 0x40';
    const { events } = importText(`${entry}\n28b7\n`);
    assert.equal(events[0]?.rip, 0x40_28b7);
    const apart = importText(`${entry}\n28b7 was here\n`);
    assert.deepEqual([apart.events[0]?.rip, apart.result.counts.damaged], [0x40, 1]);
  });

  it('reads quoted-printable with its soft breaks', () => {
    assertWhole(`${EXIT.slice(0, 70)}=\n${EXIT.slice(70)}\n${ENTRY}\n`);
    const { events } = importText('t-1 [000] 1.0: kvm_msr: msr_read ce =3D 0x5\n');
    assert.equal(events[0]?.value, 5);
  });

  it('leaves an = alone where the text is plain', () => {
    const { events } = importText(
      't-1 [000] 1.0: kvm_apicv_inhibit_changed: set reason=2, inhibits=0x4\nt-1 [000] 1.0: x:y: p=3Dq\n',
    );
    assert.equal(events[1]?.text, 'x:y: p=3Dq');
  });

  it('keeps a remark of the writer as text', () => {
    const { events } = importText('t-1 [000] 1.0: kvm_msr: msr_read ce = 0x5    <---- [1]\n');
    assert.equal(events[0]?.value, 5);
    assert.equal(events[0]?.text, '<---- [1]');
  });

  it('keeps letters beyond ASCII, and repairs what is no UTF-8', () => {
    const line = 't-1 [000] 1.0: kvm_msr: msr_read ce = 0x5    ← here\n';
    assert.equal(importText(line).events[0]?.text, '← here');
    const broken = Buffer.from(line);
    broken[broken.indexOf(0xe2)] = 0xff;
    assert.equal(importBytes(broken).events[0]?.text, '\ufffd\ufffd\ufffd here');
  });

  it('takes CRLF and a byte order mark', () => {
    assertWhole(`\ufeff${EXIT}\r\n${ENTRY}\r\n`);
  });

  it('notes a line that says nothing, with its number, and goes on', () => {
    const { result, events } = importText(`${EXIT}\nwhat is this\n${ENTRY}\n`);
    assert.equal(events.length, 2);
    assert.deepEqual(result.notes, [{ line: 2, says: 'no event: what is this' }]);
  });

  it('keeps a known event that it cannot read as text, with a note', () => {
    const { result, events } = importText(`${EXIT}\nt-1 [000] 1.1: kvm_msr: msr_read zz = 0x5\n`);
    assert.deepEqual([events[1]?.kind, events[1]?.text], ['other', 'kvm_msr: msr_read zz = 0x5']);
    assert.equal(result.notes[0]?.line, 2);
  });

  it('invents nothing for a line that was cut', () => {
    const { events, result } = importText(`${ENTRY}\nt-1 [000] 1.1: kvm_exit: vcpu 0 reason CPUID rip\n`);
    assert.equal(events[1]?.kind, 'other');
    assert.equal(result.counts.exits, 0);
  });

  it('refuses values that do not fit their column', () => {
    const { events } = importText('t-1 [000] 1.0: kvm_pio: pio_write at 0x3f8 size 300 count 1 val 0x41\n');
    assert.equal(events[0]?.kind, 'other');
    const wide = importText('t-1 [000] 1.0: kvm_exit: reason HLT rip 0x11112222333344445 info 0 0\n');
    assert.equal(wide.events[0]?.kind, 'other');
  });

  it('tells frames of call chains from the rest of a broken line', () => {
    const frames =
      '\tffffffff8db81dad __x64_sys_ioctl+0x8d ([kernel.kallsyms])\n                0 [unknown] ([unknown])\n' +
      ' => kvm_vcpu_ioctl (ffffffffc05ed1ce)\n';
    const { result } = importText(`${EXIT}\n${frames}${ENTRY}\n  0f a2 (prot64)\n`);
    assert.deepEqual([result.counts.frames, result.counts.damaged], [3, 1]);
  });

  it('bounds its notes', () => {
    const { result } = importText(`${EXIT}\n${'junk\n'.repeat(5000)}`);
    assert.equal(result.counts.damaged, 5000);
    assert.equal(result.notes.length, 201);
    assert.match(result.notes.at(-1)?.says ?? '', /notes left out/);
  });
});

describe('gaps', () => {
  for (const [line, value, cpu] of [
    ['CPU:1 [LOST 707 EVENTS]', 707, 1],
    ['> CPU:3 [LOST 55 EVENTS]', 55, 3],
    ['CPU:0 [78872 EVENTS DROPPED]', 78872, 0],
    ['CPU:0 [EVENTS DROPPED]', undefined, 0],
    ['# entries-in-buffer/entries-written: 10/25   #P:1', 15, null],
    ['swapper 0 [001] 4.5: PERF_RECORD_LOST lost 12', 12, null],
  ] as const) {
    it(line, () => {
      const { events, result, writer } = importText(`${EXIT}\n${line}\n${ENTRY}\n`);
      assert.deepEqual([events[1]?.kind, events[1]?.value], ['lost', value]);
      assert.equal(result.counts.lost, value ?? 0);
      assert.equal(events[2]?.parent, undefined, 'no exit is paired across a gap');
      const lane = JSON.parse(writer.dictionary('vcpu').get(BigInt(Number(events[1]?.vcpu)))?.says ?? '{}');
      assert.equal(lane.cpu, cpu);
    });
  }
});

describe('a page fault behind a gap', () => {
  const fault = 't-1 [000] 3.0: kvm_page_fault: address 1000 error_code 14\n';
  const npf = 't-1 [000] 1.0: kvm_exit: vcpu 0 reason npf rip 0x1000 info 14 1000\n';
  const raw = 't-1 [000] 3.0: kvm_page_fault: vcpu_id=0 guest_rip=0x1 fault_address=0x1000 error_code=0x14\n';

  it('is not typed by the exit before it', () => {
    for (const text of [fault, raw]) {
      const served = importText(npf + text).events.at(-1);
      assert.deepEqual([served?.gpa, served?.text], [0x1000, undefined]);
      const { events } = importText(`${npf}CPU:0 [LOST 7 EVENTS]\n${text}`);
      assert.deepEqual([events[2]?.gpa, events[2]?.gva, events[2]?.parent], [undefined, undefined, undefined]);
      assert.match(String(events[2]?.text), /1000/);
    }
  });
});

describe('an input without an end', () => {
  const endless = (bytes: string): ByteSource => ({
    name: 'endless',
    size: 0,
    read: (target, at) => Buffer.from(target.buffer, target.byteOffset, target.length).fill(bytes, at).length - at,
    readAt: null,
    close() {},
  });

  for (const [name, bytes] of [
    ['NULs', '\0'],
    ['one line', 'a'],
    ['lines', 'no event of a trace\n'],
  ] as const)
    it(`is refused where it is no recording: ${name}`, () => {
      const open = (): never => assert.fail('no trace is opened');
      assert.throws(() => importTrace(endless(bytes), open), { code: 'NOT_A_TRACE', why: 'none in its first 64 MiB' });
    });

  it('is none that has much before a recording', () => {
    const text = `t-1 [000] 1.0: kvm_entry: vcpu 0\n`;
    for (const noise of ['\0', 'noise of a console that says nothing of KVM\n']) {
      const { events } = importBytes(Buffer.concat([Buffer.alloc(20 << 20, noise), Buffer.from(`\n${text}`)]));
      assert.deepEqual(
        events.map(({ kind }) => kind),
        ['entry'],
      );
    }
  });
});

describe('files without exits', () => {
  it('imports what is there and says what the lack of kvm_exit means', () => {
    const { result, events } = importText('t-1 [000] 1.0: kvm_pio: pio_write at 0x3f8 size 1 count 1 val 0x41\n');
    assert.equal(events.length, 1);
    assert.match(result.notes[0]?.says ?? '', /no kvm_exit.*unknown, not zero/);
  });
});

describe('input that is no trace', () => {
  const thrown: readonly (readonly [string, keyof typeof IMPORT_ERRORS, Uint8Array])[] = [
    ['nothing', 'EMPTY_INPUT', Buffer.from('')],
    ['prose', 'NOT_A_TRACE', Buffer.from('To be, or not to be:\nthat is the question.\n')],
    ['NULs', 'BINARY_INPUT', Buffer.alloc(5000)],
    ['random bytes', 'BINARY_INPUT', Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7919) & 0xff))],
    ['one endless line', 'LINE_TOO_LONG', Buffer.alloc(3_000_000, 'a')],
    ['text in UTF-16', 'BINARY_TRACE', Buffer.from(`\ufeff${EXIT}\n`, 'utf16le')],
    ['an ELF program', 'BINARY_TRACE', Buffer.from('\x7fELF\x02\x01\x01', 'latin1')],
    ['the start of a trace.dat', 'TRUNCATED', Buffer.from('\x17\x08\x44tracing6\0', 'latin1')],
    ['the start of a perf.data', 'TRUNCATED', Buffer.from('PERFILE2\0\0', 'latin1')],
    ['trace.dat of version 5', 'UNSUPPORTED', Buffer.from('\x17\x08\x44tracing5\0', 'latin1')],
    ['a long of 3 bytes', 'CORRUPT', Buffer.from('\x17\x08\x44tracing6\0\0\x03\0\x10\0\0', 'latin1')],
    ['a perf pipe without a record', 'NO_EVENTS', Buffer.from('PERFILE2\x10\0\0\0\0\0\0\0', 'latin1')],
  ];
  for (const [name, code, bytes] of thrown) {
    it(`${name}: ${code}`, () => {
      assert.throws(() => importBytes(bytes), { code, name: 'ImportError' });
    });
  }

  it('never opens a trace for it', () => {
    let opened = false;
    const open = (): never => {
      opened = true;
      throw new Error('opened');
    };
    assert.throws(() => importTrace(memorySource(Buffer.from('prose\n')), open), { code: 'NOT_A_TRACE' });
    assert.equal(opened, false);
  });

  const events = `${EXIT}\n${ENTRY}\n`.repeat(50);
  for (const [name, code, junk] of [
    ['a NUL', 'BINARY_INPUT', 'abc\0def\n'],
    ['a block of NULs that a lost write left', 'BINARY_INPUT', '\0'.repeat(700_000)],
    ['an endless line', 'LINE_TOO_LONG', `${'x'.repeat(700_000)}\n`],
  ] as const) {
    it(`passes over ${name}, says where, and keeps what stands around it`, () => {
      const { result, events: rows } = importText(`${events}${junk}${events}`);
      assert.deepEqual(
        [result.counts.exits, result.counts.entries, result.counts.gaps],
        [100, 100, 1],
        'and a gap stands for it',
      );
      assert.equal(rows[100]?.kind, 'lost');
      assert.equal(result.stopped?.code, code);
      assert.match(result.stopped?.where ?? '', new RegExp(`^test.txt:101 \\(offset ${events.length}\\)$`));
    });
  }

  it('reads the same however NULs in a long line arrive', () => {
    for (const before of [MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, MAX_LINE + 500, 300_000]) {
      const junk = `${'x'.repeat(before)}\0\0${'y'.repeat(40)}`;
      const bytes = Buffer.from(`${EXIT}\n${junk}\n${ENTRY}\n`, 'latin1');
      const [whole, ...parts] = [1 << 20, 997, 65_537].map((most) => {
        const memory = memorySource(bytes);
        const read = (target: Uint8Array, at: number): number => memory.read(target.subarray(0, at + most), at);
        const { counts, notes, stopped } = importTrace({ ...memory, read }, () => new StreamWriter(() => {}));
        return { counts, notes, stopped: stopped?.message };
      });
      for (const part of parts) assert.deepEqual(part, whole, `${before} bytes before them`);
      assert.deepEqual([whole?.counts.exits, whole?.counts.entries], [1, 1]);
    }
  });

  it('reads the line behind NULs, and not the one that they end', () => {
    const { result } = importText(`${EXIT}\n${ENTRY.slice(0, 40)}\0\0\0${EXIT}\n${ENTRY}\n`);
    assert.deepEqual([result.counts.exits, result.counts.entries, result.counts.damaged], [2, 1, 1]);
  });

  it('reads no more where much of it is no text', () => {
    const { result } = importText(`${events}${'\x01\0'.repeat(1000)}\n${events}`);
    assert.deepEqual([result.counts.exits, result.counts.damaged], [50, 64]);
  });

  it('bounds the number of threads', () => {
    let text = '';
    for (let i = 0; i < 70_000; i++) text += `t-${i} [000] 1.0: kvm_fpu: load\n`;
    const source = memorySource(Buffer.from(text));
    const result = importTrace(source, () => new StreamWriter(() => {}));
    assert.equal(result.stopped?.code, 'TOO_MANY_THREADS');
    assert.equal(result.counts.events, 65_536);
  });

  it('that somebody ended is kept up to there, and is told to be a part', () => {
    const text = Buffer.from('t-1 [000] 1.000000: kvm_entry: vcpu 0\n'.repeat(10));
    const cut = (): ImportError => new ImportError('INTERRUPTED', 'pipe');
    const writer = new StreamWriter(() => {});
    const { counts, stopped } = importTrace({ ...memorySource(text, 'pipe'), cut }, () => writer);
    assert.deepEqual([counts.events, stopped?.code], [10, 'INTERRUPTED']);
    assert.throws(() => importTrace({ ...memorySource(Buffer.from(''), 'pipe'), cut }, () => writer), {
      code: 'INTERRUPTED',
      advice: 'no event came before: nothing is kept',
    });
    const head = readFileSync(fixturePath('vmx-basic.trace.dat')).subarray(0, 5000);
    assert.throws(() => importTrace({ ...memorySource(head, 'pipe'), cut, readAt: null }, () => writer), {
      code: 'INTERRUPTED',
      advice: 'no event came before: nothing is kept',
    });
  });

  it('that cannot be read to its end is kept up to there', () => {
    const text = Buffer.from('t-1 [000] 1.000000: kvm_entry: vcpu 0\n'.repeat(10));
    const cut = (): ImportError => new ImportError('READ_FAILED', 'pipe', 'Input/output error');
    const { counts, stopped } = importTrace({ ...memorySource(text, 'pipe'), cut }, () => new StreamWriter(() => {}));
    assert.deepEqual([counts.events, stopped?.code], [10, 'READ_FAILED']);
    assert.throws(
      () => importTrace({ ...memorySource(Buffer.from(''), 'pipe'), cut }, () => new StreamWriter(() => {})),
      {
        code: 'READ_FAILED',
        advice: 'no event came before: nothing is kept',
      },
    );
  });

  it('has a test for every error of the table', () => {
    const tested = new Set<string>([
      ...thrown.map(([, code]) => code),
      'TOO_MANY_THREADS',
      'INTERRUPTED',
      'READ_FAILED',
    ]);
    assert.deepEqual([...tested].sort(), Object.keys(IMPORT_ERRORS).sort());
  });
});

describe('line reader', () => {
  it('gives the lines that splitting gives, however the input is cut into reads', () => {
    const line = fc.oneof(fc.string({ maxLength: 30 }), fc.constant('x'.repeat(60_000)));
    const lines = fc.array(
      line.map((text) => text.replace(/[\r\n\0]/g, '')),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(lines, fc.integer({ min: 1, max: 70_000 }), (texts, most) => {
        const bytes = Buffer.from(`a${texts.join('\n')}`);
        const source = memorySource(bytes);
        const reader = new LineReader({
          ...source,
          read: (target, at) => source.read(target.subarray(0, Math.min(target.length, at + most)), at),
        });
        const seen: string[] = [];
        while (reader.next()) seen.push(Buffer.from(reader.bytes.subarray(reader.start, reader.end)).toString());
        const expected = bytes.toString().split('\n');
        if (expected.at(-1) === '') expected.pop();
        assert.deepEqual(seen, expected);
      }),
      { numRuns: 25 },
    );
  });
});

describe('mutations of real traces', () => {
  const seeds = ['svm-basic.script.txt', 'svm-nested.report.txt', 'vmx-nested.report.txt'].map(fixture);

  it('give rows in order or one coded error, never anything else', () => {
    const edit = fc.record({
      at: fc.nat(),
      drop: fc.nat(40),
      put: fc.oneof(
        fc.string({ maxLength: 12 }),
        fc.constantFrom('\n', '=\n', '\0', '[', ']: ', 'kvm_exit: ', '0x', '> '),
      ),
    });
    fc.assert(
      fc.property(fc.constantFrom(...seeds), fc.array(edit, { minLength: 1, maxLength: 12 }), (seed, edits) => {
        let text = seed.slice(0, 6000);
        for (const { at, drop, put } of edits) {
          const from = at % text.length;
          text = text.slice(0, from) + put + text.slice(from + drop);
        }
        try {
          const { rows, result } = importText(text);
          rows.forEach((row, i) => {
            assert.equal(row.seq, BigInt(i));
            assert.ok(row.parent === null || (row.parent as bigint) < BigInt(i));
          });
          assert.equal(result.counts.events, rows.length);
        } catch (error) {
          if (!(error instanceof ImportError)) throw error;
        }
      }),
      { numRuns: 400, seed: 20_260_101 },
    );
  });
});
