/** Dumps in cells of tables, which programs break at the width of a column: sqlite3, psql. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { findDumps } from '../../../analyzer/explain/find.js';
import { fixture, REGISTERS, SKIP, shared } from './helpers.js';
import { blank, divided, piecesOf, psqlWrapped, type Row, rowsOf } from './table-rows.js';

/** As programs print rows whose text is wider than its column. */
const STYLES: { readonly [name: string]: (row: Row, width: number) => string[] } = {
  'sqlite3, markdown': (row, width) => divided(row, width, '|'),
  'sqlite3, box': (row, width) => {
    const [time, , host] = row;
    const ruler = `├${'─'.repeat(time.length + 2)}┼${'─'.repeat(width + 2)}┼${'─'.repeat(host.length + 2)}┤`;
    return [ruler, ...divided(row, width, '│')];
  },
  'psql, wrapped': psqlWrapped,
  'the text first': ([, text, host], width) =>
    piecesOf(text, width).map((piece, i) => `| ${piece} | ${i === 0 ? host : blank(host)} |`),
  'psql, the text last': ([time, text], width) => {
    const pieces = piecesOf(text, width);
    return pieces.map(
      (piece, i) =>
        ` ${i === 0 ? `${time} | ` : `${blank(time)} |.`}${i < pieces.length - 1 ? `${piece}.` : piece.trimEnd()}`,
    );
  },
};

const valuesOf = (text: string): string[] =>
  findDumps(text).flatMap(({ values }, i) => [...values].map(([name, { value }]) => `${i} ${name} ${value}`));

/** Every value that any dump of a text gives a field. */
function givenBy(text: string): ReadonlySet<string> {
  return new Set(findDumps(text).flatMap(({ values }) => [...values].map(([name, { value }]) => `${name} ${value}`)));
}

/** No field is told with a value that the whole dump does not give it: a part of a number, or what is another's. */
function assertNoOther(text: string, whole: ReadonlySet<string>, what: string): void {
  for (const told of givenBy(text)) assert.ok(whole.has(told), `${what}: ${told}`);
}

const FOLDER = shared('dumps') ?? '';
const FILES = SKIP ? [] : readdirSync(FOLDER).filter((name) => name.endsWith('.txt'));
const textOf = (file: string): string => readFileSync(join(FOLDER, file), 'utf8');
const [NARROWEST, WIDEST] = [24, 100];

describe('a dump in a table', () => {
  const dumps: { readonly [name: string]: string } = {
    'of KVM': fixture('vmx-two-faults'),
    'of KVM on AMD': fixture('svm-cs'),
    'of QEMU': `KVM: entry failed, hardware error 0x80000021\n\n${REGISTERS}`,
  };
  for (const [style, print] of Object.entries(STYLES))
    for (const [name, text] of Object.entries(dumps))
      it(`is as it was before it was printed so: ${name}, ${style}`, () => {
        const whole = valuesOf(text);
        assert.ok(whole.length > 20);
        for (let width = 40; width <= WIDEST; width++) {
          const table = rowsOf(text).flatMap((row) => print(row, width));
          assert.deepEqual(valuesOf(table.join('\n')), whole, `${width} columns`);
        }
      });
});

it('a line of KVM on AMD that is broken between two names is one line, in columns of any width', () => {
  const text = fixture('svm-cs');
  const whole = valuesOf(text);
  for (let width = 27; width < 40; width++)
    for (const by of ['|', '│']) {
      const table = rowsOf(text).flatMap((row) => divided(row, width, by));
      assert.deepEqual(valuesOf(table.join('\n')), whole, `${width} columns, ${by}`);
    }
});

describe('a table that names once what its rows have in common', () => {
  it('has a row in each line', () => {
    const whole = valuesOf(fixture('vmx-two-faults'));
    const lines = fixture('vmx-two-faults').trimEnd().split('\n');
    const width = Math.max(...lines.map(({ length }) => length));
    for (const rows of [2, 3, 7, lines.length]) {
      const text = lines.map((line, i) => `| ${i % rows === 0 ? 'host1' : '     '} | ${line.padEnd(width)} |`);
      assert.deepEqual(valuesOf(text.join('\n')), whole, `${rows} rows`);
    }
  });
});

/** A line of a text in a table that has no other column, as editors, programs and people put it there. */
const ONE_COLUMN: { readonly [name: string]: (line: string, width: number) => string } = {
  'without padding': (line) => `| ${line} |`,
  'without a blank': (line) => `|${line}|`,
  padded: (line, width) => `| ${line.padEnd(width)} |`,
  'a box': (line, width) => `│ ${line.padEnd(width)} │`,
  'a box without a blank': (line, width) => `│${line.padEnd(width)}│`,
};

/** A mail reader broke a line of the first; the other is of single lines, which tables of what errors mean have too. */
const NOT_IN_LINES = /^(?:A16|P09)_/;

const toldOf = (text: string): string[] => [
  ...valuesOf(text),
  ...findDumps(text).flatMap(({ damage }) => damage.map(({ kind, line, what }) => `${kind} ${line} ${what}`)),
];

function inOneColumn(text: string, print: (line: string, width: number) => string): string {
  const lines = text.trimEnd().split('\n');
  const width = Math.max(...lines.map(({ length }) => length));
  return lines.map((line) => print(line, width)).join('\n');
}

describe('a table of one column', () => {
  // target/i386/kvm/kvm.c, kvm_handle_exit: an empty line stands between the error and the advice.
  const advice = [
    "If you're running a guest on an Intel machine without unrestricted mode",
    'support, the failure can be most likely due to the guest entering an invalid',
    'state for Intel VT. For example, the guest maybe running in big real mode',
    'which is not supported on less recent Intel processors.',
  ];
  const error = 'KVM: entry failed, hardware error 0x80000021\n';
  const texts: { readonly [name: string]: string } = {
    'a dump of KVM': fixture('vmx-two-faults'),
    'the same without times': fixture('vmx-two-faults').replace(/^\[[^\]]*\] /gm, ''),
    'a dump of KVM on AMD': fixture('svm-cs').replace(/^\[[^\]]*\] /gm, ''),
    'an error, advice and registers of QEMU': [error, ...advice, '', REGISTERS].join('\n'),
    'an error and registers of QEMU': `${error}\n${REGISTERS}`,
  };
  const alone = { 'an error above an empty row': `\n${error}\nx` };
  for (const [style, print] of Object.entries(ONE_COLUMN)) {
    const isAligned = print('', 9).length > 9;
    for (const [name, text] of Object.entries(isAligned ? { ...texts, ...alone } : texts))
      it(`has a row in each line: ${name}, ${style}`, () => {
        assert.ok(valuesOf(text).length > 0);
        assert.deepEqual(toldOf(inOneColumn(text, print)), toldOf(text));
      });
    it(`so has each real dump, with times and without: ${style}`, { skip: SKIP }, () => {
      for (const file of FILES.filter((name) => isAligned || !NOT_IN_LINES.test(name)))
        for (const text of [textOf(file), textOf(file).replace(/^\[ *[\d.]+\] /gm, '')])
          assert.deepEqual(toldOf(inOneColumn(text, print)), toldOf(text), file);
    });
  }
});

describe('real dumps on a narrow terminal', { skip: SKIP }, () => {
  it('give no field a value that is not its own', () => {
    for (const file of FILES) {
      const [text, whole] = [textOf(file), givenBy(textOf(file))];
      for (let width = 30; width <= WIDEST; width++) {
        const lines = rowsOf(text).flatMap(([, line]) => piecesOf(line, width).map((piece) => piece.trimEnd()));
        assertNoOther(lines.join('\n'), whole, `${file}, ${width} columns`);
      }
    }
  });
});

describe('real dumps in tables', { skip: SKIP }, () => {
  for (const [style, print] of Object.entries(STYLES))
    it(`give no field a value that is not its own: ${style}`, () => {
      for (const file of FILES) {
        const [text, whole] = [textOf(file), givenBy(textOf(file))];
        for (let width = NARROWEST; width <= WIDEST; width++) {
          const table = rowsOf(text).flatMap((row) => print(row, width));
          assertNoOther(table.join('\n'), whole, `${file}, ${width} columns`);
        }
      }
    });

  // Both printers have the guest's CR3 with a 0x, and the host's without one.
  it("give the guest no CR3 of the host's where the ruler of the columns is lost", () => {
    for (const file of FILES) {
      const [text, whole] = [textOf(file), givenBy(textOf(file))];
      for (const width of [24, 29, 30, 31, 33, 36]) {
        const table = rowsOf(text).flatMap(([time, line, host]) =>
          piecesOf(line, width).map((piece, i) => `${i === 0 ? time : blank(time)}  ${piece}  ${i === 0 ? host : ''}`),
        );
        for (const told of givenBy(table.join('\n')))
          if (told.startsWith('GUEST_CR3 ')) assert.ok(whole.has(told), `${file}, ${width} columns: ${told}`);
      }
    }
  });

  const quoted = (cell: string): string => `'${cell.replaceAll("'", "''")}'`;
  for (const mode of ['box', 'table', 'markdown', 'column', 'qbox'])
    for (const columns of ['t, msg, host', 'msg'])
      it(`nor as sqlite3 prints them itself: ${mode}, ${columns}`, (t) => {
        for (const file of FILES) {
          const text = textOf(file);
          const rows = rowsOf(text).map((row) => `(${row.map(quoted).join(',')})`);
          const asked = `create table l(t, msg, host); insert into l values ${rows.join(',')};`;
          const widths = [24, 33, 42, 51, 60, 79];
          const selects = widths.flatMap((width) =>
            ['', ' --wordwrap on'].map(
              (by) => `.mode ${mode} --wrap ${width}${by}\nselect ${columns} from l;\n.print ~~~`,
            ),
          );
          const input = `${asked}\n${selects.join('\n')}\n`;
          const { status, stdout } = spawnSync('sqlite3', [], { input, encoding: 'utf8', maxBuffer: 1 << 26 });
          if (status !== 0 || !stdout.includes('msg')) return t.skip('sqlite3 is not here, or does not wrap');
          for (const table of stdout.split('~~~')) assertNoOther(table, givenBy(text), `${file}\n${table}`);
        }
      });
});
