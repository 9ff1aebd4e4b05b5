/** Numbers that were broken in cells of tables. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { findDumps } from '../../../analyzer/explain/find.js';
import { REGISTERS } from './helpers.js';
import { blank, divided, piecesOf, psqlWrapped, type Row, rowsOf } from './table-rows.js';

/** As programs print a row whose text is wider than its column. */
const STYLES: { readonly [name: string]: (row: Row, width: number) => string[] } = {
  markdown: (row, width) => divided(row, width, '|'),
  box: (row, width) => divided(row, width, '│'),
  column: ([time, text, host], width) =>
    piecesOf(text, width).map((piece, i) =>
      i === 0 ? `${time}  ${piece}  ${host}` : `${blank(time)}  ${piece}  ${blank(host)}`,
    ),
  'psql, wrapped': psqlWrapped,
  'the text last': ([time, text], width) =>
    piecesOf(text, width).map((piece, i) => `${i === 0 ? time : blank(time)} | ${piece}`.trimEnd()),
};

const printed = (style: (row: Row, width: number) => string[], text: string, width: number): string =>
  rowsOf(text)
    .flatMap((row) => style(row, width))
    .join('\n');

const errorsIn = (text: string): (bigint | undefined)[] =>
  findDumps(text).map(({ values }) => (values.get('error.hardware') ?? values.get('error.vm'))?.value);

const error = 'KVM: entry failed, hardware error 0x80000021';

describe('a number that was broken in a cell', () => {
  for (const [name, style] of Object.entries(STYLES)) {
    it(`of QEMU, with registers: ${name}`, () => {
      for (const prefix of ['', 'qemu-system-x86_64[1]: ']) {
        const text = `${error}\n${REGISTERS}`.replace(/^(?=.)/gm, prefix);
        const end = prefix.length + error.length;
        for (let width = end - '0000021'.length; width <= end + 8; width++)
          for (const by of ['', '> '])
            assert.deepEqual(
              errorsIn(printed(style, text, width).replace(/^/gm, by)),
              [0x8000_0021n],
              `${prefix}${width} columns`,
            );
      }
    });
    // qemu-kvm until 1.2; Firecracker; KVM on an instruction, arch/x86/kvm/vmx/vmx.c.
    it(`of others: ${name}`, () => {
      for (const [front, number, value] of [
        ['kvm: vm entry failed with error 0x', '80000021', 0x8000_0021n],
        ['Received KVM_EXIT_FAIL_ENTRY signal: ', '2147483681', 0x8000_0021n],
        ['Received KVM_EXIT_FAIL_ENTRY signal: ', '26', 26n],
        ['kvm: vmwrite failed: field=2032 val=1000 err=', '12', 12n],
      ] as const)
        for (let at = 1; at < number.length; at++) {
          const text = printed(style, `boot\n${front}${number}\nbye\n`, front.length + at);
          assert.deepEqual(errorsIn(text), [value], text);
        }
    });
    it(`which is whole keeps what is below it: ${name}`, () => {
      for (const [number, below] of [
        ['80000021', '12345'],
        ['7', '12'],
        ['7', 'f'],
        ['7', 'face the facts'],
        ['1a', '0'],
      ] as const) {
        const line = error.replace('80000021', number);
        const text = printed(style, `${line}${below}\n${REGISTERS}`, line.length);
        assert.deepEqual(errorsIn(text), [BigInt(`0x${number}`)], text);
      }
    });
  }
  it('of sqlite3, as it prints them itself', (t) => {
    const rows = rowsOf(`${error}\n${REGISTERS}`).map((row) => `(${row.map((cell) => `'${cell}'`).join(',')})`);
    const asked = `create table l(t, msg, host); insert into l values ${rows.join(',')};`;
    for (const mode of ['box', 'table', 'markdown', 'column', 'qbox'])
      for (let width = error.length - 7; width <= error.length + 3; width++) {
        const input = `${asked}\n.mode ${mode} --wrap ${width}\nselect * from l;\n`;
        const { status, stdout } = spawnSync('sqlite3', [], { input, encoding: 'utf8' });
        if (status !== 0 || !stdout.includes(' host')) return t.skip('sqlite3 is not here, or does not wrap');
        assert.deepEqual(errorsIn(stdout), [0x8000_0021n], stdout);
      }
  });
  it('is a part of one, and no error, where the cell below is not there', () => {
    for (const part of ['80', '8000', '8000002', 'ffff'])
      for (const column of [' | host1 |', ' │ host1', '  host1', '\thost1']) {
        const line = error.replace('80000021', part);
        assert.deepEqual(errorsIn(`${line}${column}\n`), [], line);
        assert.deepEqual(errorsIn(`${line}${column}\n${REGISTERS}`), [undefined], line);
      }
  });
});

describe('lines below others that are no cells', () => {
  it('of a table that names its host once, each with a number of its own', () => {
    const lines = `${error}\n${REGISTERS}`.trimEnd().split('\n');
    const numbered = lines.map((line, i) => `${String(i + 1).padStart(2)}: ${line.trimEnd()}`);
    const valuesOf = (text: string): unknown[] =>
      findDumps(text).map(({ values }) => [...values].map(([name, { value }]) => [name, value]));
    for (const [first, others, last] of [
      ['| host1 | ', '|       | ', ''],
      ['| host1 | ', '|       | ', ' |'],
      ['host1  ', '       ', ''],
    ] as const) {
      const text = numbered.map((line, i) => (i === 0 ? first : others) + line + last).join('\n');
      assert.deepEqual(valuesOf(text), valuesOf(lines.join('\n')), text);
    }
  });
  it('of a list', () => {
    const line = 'host1  hv: vm_instruction_error=2';
    for (const list of ['5 rip=0xfff0\n6 rip=0x1000', '0 rip=0xfff0', '5:\n6:'])
      assert.deepEqual(errorsIn(`${line}\n${list.replace(/^/gm, '       ')}`), [2n], list);
  });
  it('of a list of numbers, and of one in a column whose width is not known', () => {
    for (const [line, empty] of [
      [' h | hv: VM-instruction error 2', '   | '],
      ['│ vm1  │ hv: vm_instruction_error=2', '│      │ '],
      ['VM    ERROR\nvm1   hv: VM-instruction error 2', '      '],
      ['vcpu  error\n0  hv: VM-instruction error 2', '   '],
    ] as const)
      for (const list of ['5\n6', '5\n6\n7', '5'])
        assert.deepEqual(errorsIn(`${line}\n${list.replace(/^/gm, empty)}`), [2n], line + list);
  });
  it('below an error of QEMU that is none, which has no zero in front', () => {
    for (const line of [
      'host1  KVM: entry failed, hardware error 0x0',
      '| host1 | KVM: entry failed, hardware error 0x0 |',
    ])
      for (const below of ['7', '8'])
        assert.deepEqual(
          errorsIn(`${line}\n${line.replace(/[^|]/g, ' ').replace(/(?<=^(?:\| {7}\| | {7}(?! *\|))) /, below)}`),
          errorsIn(line),
          line,
        );
  });
  it('of hexadecimal numbers', () => {
    for (const [line, next] of [
      ['07:18:00  KVM: entry failed, hardware error 0x7  host1', '          f00 bar'],
      ['KVM: entry failed, hardware error 0x1', '  a'],
      ['| 07:18:00 | KVM: entry failed, hardware error 0x1 |', '| 07:18:01 | a                                     |'],
      [
        '| 07:18:00 | KVM: entry failed, hardware error 0x1      |',
        '|          | a                                          |',
      ],
    ] as const)
      assert.deepEqual(
        errorsIn(`${line}\n${next}\n${REGISTERS}`),
        errorsIn(`${line}\nbye\n${REGISTERS}`),
        `${line}\n${next}`,
      );
  });
});
