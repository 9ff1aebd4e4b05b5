/** Texts that mail or a terminal broke at a width read as they were before. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { isAlone } from '../../recorder/import/between.js';
import { memorySource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { importText } from '../../recorder/import/text.js';
import { stylesOf, Unwrapper } from '../../recorder/import/wraps.js';
import { inPackage } from '../../traces/guests/guest.js';

type Wrap = (line: string, width: number) => string[];

/** At a column, as a terminal and `fold -w` do. */
const atColumn: Wrap = (line, width) =>
  Array.from({ length: Math.max(1, Math.ceil(line.length / width)) }, (_, i) => line.slice(i * width, (i + 1) * width));

/** At the last blank that fits, as mail does; `kept`: it stays at the end of the line, as with `fold -s`. */
const atBlank =
  (kept: boolean): Wrap =>
  (line, width) => {
    const pieces: string[] = [];
    let rest = line;
    while (rest.length > width) {
      const blank = rest.lastIndexOf(' ', kept ? width - 1 : width);
      if (blank <= 0 || rest.slice(0, blank).trim() === '') break;
      pieces.push(kept ? rest.slice(0, blank + 1) : rest.slice(0, blank).trimEnd());
      rest = kept ? rest.slice(blank + 1) : rest.slice(blank + 1).trimStart();
    }
    return [...pieces, rest];
  };

const quoted =
  (wrap: Wrap): Wrap =>
  (line, width) =>
    wrap(line, width).map((piece) => `> ${piece}`);

const WRAPS: { readonly [name: string]: Wrap } = {
  'at a column': atColumn,
  'at a column, then quoted': quoted(atColumn),
  'quoted, then at a column': (line, width) => atColumn(`> ${line}`, width),
  'at a blank, which is kept': atBlank(true),
  'at a blank, which is lost': atBlank(false),
  'at a blank, then quoted': quoted(atBlank(false)),
};

/** Rows of a text as they compare: runs of blanks in what is kept as text are not told apart. */
function rowsOf(text: string): { rows: string[]; damaged: number } {
  const rows: string[] = [];
  const writer = new StreamWriter((chunk) => {
    for (let i = 0; i < chunk.rows; i++) rows.push(shown(chunk.row(i)));
  });
  const { counts } = importText(memorySource(Buffer.from(text, 'latin1')), () => writer);
  return { rows: rows.filter((row) => row.includes('"seq"')), damaged: counts.damaged };
}

const shown = (row: object): string =>
  JSON.stringify(row, (key, value: unknown) => {
    if (typeof value === 'bigint') return String(value);
    return key === 'text' && typeof value === 'string' ? value.replace(/\s+/g, ' ').trim() : value;
  });

const wrapped = (text: string, wrap: Wrap, width: number): string =>
  text
    .split('\n')
    .flatMap((line) => wrap(line, width))
    .join('\n');

const fixture = (name: string): string =>
  readFileSync(join(inPackage('test', 'recorder', 'fixtures'), name), 'latin1').trimEnd();

/** trace-cmd report of VMX and of SVM, perf script, and tracefs `trace`. */
const TEXTS = ['vmx-basic.report.txt', 'vmx-nested.report.txt', 'svm-basic.script.txt', 'svm-ring-too-small.trace.txt'];
const WIDTHS = [64, 66, 70, 72, 74, 76, 78, 79, 80, 100];

for (const name of TEXTS) {
  describe(name, () => {
    const text = fixture(name);
    const whole = rowsOf(text);
    for (const [how, wrap] of Object.entries(WRAPS)) {
      it(`broken ${how} reads as before`, () => {
        for (const width of WIDTHS) {
          const { rows, damaged } = rowsOf(wrapped(text, wrap, width));
          assert.equal(rows.length, whole.rows.length, `width ${width}`);
          for (const [i, row] of rows.entries()) assert.equal(row, whole.rows[i], `width ${width}, row ${i}`);
          assert.ok(damaged <= whole.damaged + 1, `width ${width}: ${damaged} damaged lines`);
        }
      });
    }
  });
}

it('a head longer than the lines that were broken keeps all of itself', () => {
  const style = { kind: 'hard', stripped: false, width: 40, beginning: 'task', indent: 0 } as const;
  const lines = ['a task with a name as long as names of tasks are-4321 [003] 1234.567890:', 'kvm_entry: vcpu 0'];
  const unwrapper = new Unwrapper(style, () => false);
  for (const [i, line] of lines.entries()) unwrapper.take(Buffer.from(line), 0, line.length, i + 1);
  assert.equal(unwrapper.end(), true);
  assert.equal(Buffer.from(unwrapper.bytes.subarray(0, unwrapper.length)).toString(), lines.join(''));
});

it('a line with a whole head, or behind a whole event, is no part of another', () => {
  const event = '        kvmc-1095    [000] d..1.    61.394846: kvm_entry: vcpu 0, rip 0x10266';
  const graph = ' 61.394850 |   0)   CPU 0/KVM-123    |               |  /* kvm_exit: vcpu 0 reason';
  for (const [beginning, first, second] of [
    ['time', '61.394845: kvm_entry: vcpu 0', event],
    ['time', '61.394845: kvm_entry: vcpu 0', graph],
    ['task', event, graph],
    ['task', event, 'kvm_exit: vcpu 0 reason msr rip 0x10264'],
  ] as const) {
    const width = first.length;
    const unwrapper = new Unwrapper({ kind: 'hard', stripped: false, width, beginning, indent: 0 }, () => false);
    assert.equal(unwrapper.take(Buffer.from(first), 0, width, 1), false);
    assert.equal(unwrapper.take(Buffer.from(second), 0, second.length, 2), true, `${beginning}: ${second}`);
  }
});

describe('a text that is not wrapped', () => {
  const text = fixture('vmx-basic.report.txt');
  const lines = text.split('\n');

  it('keeps its events where lines of something else stand between them', () => {
    const whole = rowsOf(text);
    for (const foreign of [
      'hello',
      'a line of a log that is about as long as those of the events of this text, and no event',
    ]) {
      const mixed = lines.flatMap((line, i) => (i % 7 === 3 ? [line, foreign] : [line])).join('\n');
      const { rows, damaged } = rowsOf(mixed);
      assert.deepEqual(rows, whole.rows);
      assert.equal(damaged, lines.filter((_, i) => i % 7 === 3).length);
    }
  });

  /** What rows say that lines tell alone, without what others decide. */
  const told = (rows: readonly string[]): readonly string[] =>
    rows.map(
      (row) =>
        /"kind":\d+/.exec(row)?.[0] + (/"time_ns":"?\d+/.exec(row)?.[0] ?? '') + (/"rip":"?\d+/.exec(row)?.[0] ?? ''),
    );
  const without = (rows: readonly string[], others: readonly string[]): readonly string[] => {
    const left = [...others];
    return rows.filter((row) => {
      const at = left.indexOf(row);
      if (at >= 0) left.splice(at, 1);
      return at < 0;
    });
  };
  const CUTS: { readonly [where: string]: (line: string, at: number) => string } = {
    end: (line, at) => line.slice(0, at),
    beginning: (line, at) => line.slice(at),
  };
  for (const [where, cut] of Object.entries(CUTS))
    for (const name of TEXTS)
      it(`loses no whole line where a tenth has lost its ${where}: ${name}`, () => {
        const all = fixture(name).split('\n');
        for (let first = 0; first < 10; first++)
          for (const at of [30, 40, 50, 100]) {
            const changed = (change: (line: string) => string): string =>
              all.map((line, i) => (i % 10 === first ? change(line) : line)).join('\n');
            const [whole, damaged] = [changed(() => ''), changed((line) => cut(line, at))].map(
              (each) => rowsOf(each).rows,
            );
            assert.deepEqual(without(told(whole ?? []), told(damaged ?? [])), [], `line ${first} of ten, column ${at}`);
          }
      });

  it('is not wrapped where whole events are longer than its broken lines', () => {
    const long = lines.filter((line) => line.length > 130).slice(0, 20);
    const short = lines.filter((line) => line.includes('kvm_entry:')).slice(0, 20);
    assert.deepEqual([long.length, short.length], [20, 20]);
    const mixed = short.flatMap((line, i) => [line, 'r_code 0x00000000', long[i] ?? '']).join('\n');
    assert.deepEqual(stylesOf(Buffer.from(`${mixed}\n`, 'latin1'), isAlone), []);
  });

  it('reads the same however it arrives', () => {
    const bytes = Buffer.from(wrapped(text, atColumn, 76), 'latin1');
    const digests = [1, 7, 4096, 1 << 20].map((most) => {
      const memory = memorySource(bytes);
      const slow = {
        ...memory,
        read: (target: Uint8Array, at: number) => memory.read(target.subarray(0, at + most), at),
      };
      const rows: string[] = [];
      const writer = new StreamWriter((chunk) => {
        for (let i = 0; i < chunk.rows; i++) rows.push(shown(chunk.row(i)));
      });
      importText(slow, () => writer);
      return rows.join('\n');
    });
    assert.equal(new Set(digests).size, 1);
  });
});
