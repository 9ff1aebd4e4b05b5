/**
 * Every tracepoint of kvm and kvmmmu that a kernel describes: a record made of its format file, whose fields all differ,
 * has a kind, its values in the columns that stand here, and loses nothing; what the kernel prints of the same record
 * says the same.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { EVENT_FLAGS, EVENT_KINDS } from '../../engine/observer.js';
import { bytesInMemory } from '../../recorder/import/binary/scanner.js';
import { TraceDat } from '../../recorder/import/binary/tracedat.js';
import type { StreamWriter } from '../../recorder/import/stream.js';
import type { Row } from '../../traces/store.js';
import { importRecords, type Made, type Round, textOf } from './format-records.js';
import { fixturePath, importText, sharedPath } from './import-helpers.js';
import type { Values } from './kernel-print.js';
import { OLDER_FORMATS } from './older-formats.js';
import { COLUMNS_OF } from './tracepoint-columns.js';
import { type Description, exitRecord, recordOf } from './tracepoint-values.js';

/** Columns that are about the row, not what the event says. */
const META = new Set([
  'seq',
  'tick',
  'vcpu',
  'step',
  'time_ns',
  'kind',
  'tracepoint',
  'from_level',
  'to_level',
  'parent',
]);
const KINDS = new Map<number, string>(Object.entries(EVENT_KINDS).map(([name, number]) => [number, name]));

/** What is in the columns, without nulls. */
const said = (row: Row): { [column: string]: unknown } =>
  Object.fromEntries(
    Object.entries(row).flatMap(([name, cell]): [string, unknown][] =>
      cell === null || META.has(name) || name === 'text'
        ? []
        : [[name, typeof cell === 'number' ? BigInt(cell) : cell]],
    ),
  );

const as = (value: Values[string] | undefined): bigint =>
  typeof value === 'bigint' ? value : assert.fail('no number');
const flag = (name: keyof typeof EVENT_FLAGS, value: bigint): bigint => (value === 0n ? 0n : BigInt(EVENT_FLAGS[name]));

/** What a column holds of a field, by how the table of expectations writes it. */
const FORMS: { readonly [form: string]: (value: bigint) => bigint } = {
  page: (value) => value << 12n,
  vector: (value) => value & 0xffn,
  destination: (value) => value >> 56n,
  msi: (value) => ((value >> 12n) & 0xffn) | ((value >> 32n) & 0xffff_ff00n),
  level: (value) => value & 15n,
  write: (value) => flag('write', value),
  on: (value) => flag('on', value),
  refused: (value) => flag('refused', value),
  access: (value) => (value === 2n ? flag('write', 1n) : value === 0n ? flag('refused', 1n) : 0n),
};

/** Columns that the table of expectations names for an event, with the values that the record has. */
function expected(columns: string, values: Values): { [column: string]: unknown } {
  const row: { [column: string]: unknown } = {};
  for (const part of columns.split(' ').filter((word) => word !== '')) {
    const [, column = '', field = '', form] = /^(\w+)=(\w+)(?::(\w+))?$/.exec(part) ?? assert.fail(part);
    if (field !== 'always' && values[field] === undefined) continue; // of another version of the kernel
    if (field === 'always') row[column] = flag('write', 1n) | ((row[column] as bigint | undefined) ?? 0n);
    else if (values[field] instanceof Uint8Array) row[column] = values[field].subarray(0, Number(values.len));
    else {
      const value = BigInt.asUintN(64, FORMS[form ?? '']?.(as(values[field])) ?? as(values[field]));
      if (form === 'some' && value === 0n) continue;
      row[column] = column === 'flags' ? value | ((row[column] as bigint | undefined) ?? 0n) : value;
    }
  }
  return row;
}

/** Columns that depend on other fields than their own. */
const OTHERWISE: { readonly [tracepoint: string]: (values: Values) => { [column: string]: bigint } } = {
  kvm_inj_exception: ({ has_error, error_code }) => (has_error === 0n ? {} : { error_code: as(error_code) }),
  kvm_userspace_exit: ({ reason, errno }) => (as(errno) < 0n ? { value: -as(errno) } : { code: as(reason) }),
};

/** A field is in a column or in the text. */
function checkKept({ format, values }: Made, row: Row, columns: string): void {
  const text = String(row.text ?? '');
  for (const name of Object.keys(values)) {
    const inColumn = new RegExp(`=${name}(?!\\w)(?!:(?:level|vector|destination|msi))`).test(columns);
    const rare = values[name] === 0n || ['count', 'vcpu', 'vcpu_id'].includes(name);
    assert.ok(
      inColumn || rare || text.includes(`${name}=`) || SPECIAL.has(`${format.name}.${name}`),
      `${name}: ${text}`,
    );
  }
}
/** Every number that is printed is in a column, or still in the text. */
function checkPrintedKept(print: string, row: Row, columns: string, values: Values): void {
  const truths = [...columns.matchAll(/flags=(\w+)/g)].map(([, field = '']) => field);
  const elsewhere = new Set(['vcpu', 'vcpu_id', ...truths].map((field) => values[field]));
  const cells = new Set(Object.values(said(row)).flatMap((cell) => (typeof cell === 'bigint' ? [cell] : [])));
  for (const number of print.match(/(?<![\w.#|])(?!a\d )-?(?:0x)?[0-9a-f]*\d[0-9a-f]*(?!\w)/g) ?? []) {
    const [digits, sign] = number.startsWith('-') ? [number.slice(1), -1n] : [number, 1n];
    const readings = [digits, `0x${digits}`]
      .filter((text) => /^(?:\d+|0x[0-9a-f]+)$/.test(text))
      .map((text) => sign * BigInt(text));
    const isKept = readings.some((value) => [value, value << 12n].some((each) => cells.has(BigInt.asUintN(64, each))));
    const isElsewhere = readings.some((value) => elsewhere.has(value));
    assert.ok(isKept || isElsewhere || String(row.text ?? '').includes(number), `${number}: ${print}`);
  }
}

/** Fields that have a form of their own in the text, or say only how to read others. */
const SPECIAL = new Set([
  ...['csbase', 'len', 'flags', 'failed'].map((name) => `kvm_emulate_insn.${name}`),
  ...['kvm_inj_virq.soft', 'kvm_inj_virq.reinjected', 'kvm_inj_exception.has_error', 'kvm_inj_exception.reinjected'],
  ...['kvm_inj_exception.error_code', 'kvm_userspace_exit.reason', 'kvm_userspace_exit.errno'],
]);

const named = (writer: Pick<StreamWriter, 'dictionary'>, row: Row): string | null =>
  row.tracepoint === null ? null : (writer.dictionary('event').get(BigInt(Number(row.tracepoint)))?.name ?? null);

function check(description: Description, exit: Made, round: Round): void {
  const made = recordOf(description, round);
  const { name } = made.format;
  const [kind = '', ...rest] = (COLUMNS_OF[name] ?? assert.fail(`what ${name} should be is not written`)).split(' ');
  const columns = rest.join(' ');
  const { rows, writer } = importRecords([exit, made]);
  const row = rows[1] ?? assert.fail();
  assert.equal(KINDS.get(Number(row.kind)), kind);
  assert.deepEqual(said(row), { ...expected(columns, made.values), ...OTHERWISE[name]?.(made.values) });
  checkKept(made, row, columns);

  const line = `t-1 [000] 1.000001: ${name}: ${textOf(made)}\n`;
  const text = importText(`t-1 [000] 1.000000: kvm_exit: ${textOf(exit)}\n${line}`);
  assert.equal(text.result.counts.damaged, 0, line);
  const printedRow = text.rows[1] ?? assert.fail();
  assert.equal(printedRow.kind, row.kind, line);
  assert.equal(named(text.writer, printedRow), named(writer, row));
  assert.deepEqual(said(printedRow), said(row), line);
  if (row.tracepoint !== null) checkPrintedKept(textOf(made), printedRow, columns, made.values);
}

function checkAll(descriptions: readonly Description[]): void {
  const exit = exitRecord(descriptions);
  for (const description of descriptions) {
    const name = /^name: (\S+)$/m.exec(description.source)?.[1] ?? '';
    for (const round of ['high', 'low'] as const) {
      it(`${name}, ${round} values`, () => check(description, exit, round));
    }
  }
}

it('the dictionary names the fields in the columns, as the records have them', () => {
  const exit = exitRecord(OLDER_FORMATS);
  const said = (name: string): unknown => {
    const described = OLDER_FORMATS.find(({ source }) => source.startsWith(`name: ${name}\n`)) ?? assert.fail(name);
    const { writer } = importRecords([exit, recordOf(described, 'low')]);
    return JSON.parse([...writer.dictionary('event').values()].find((event) => event.name === name)?.says ?? 'null');
  };
  assert.deepEqual(said('kvm_set_spte_hva'), { code: 'hva' });
  assert.deepEqual(said('kvm_async_pf_doublefault'), { gva: 'gva' });
  assert.deepEqual(said('kvm_apicv_update_request'), { on: 'activate', code: 'bit' });
  assert.equal(said('kvm_page_fault'), null);
  assert.deepEqual(said('fast_page_fault'), {
    gva: 'gva',
    gpa: 'gva',
    error_code: 'error_code',
    old: 'old_spte',
    value: 'new_spte',
  });
});

const folder = sharedPath('tracefs-6.18');
describe('tracepoints of Linux 6.18', {
  skip: folder === null && 'the shared collection of real data is not here',
}, () => {
  const files = folder === null ? [] : readdirSync(folder).filter((name) => name.startsWith('kvm'));
  const descriptions = files.map((file) => ({
    system: file.split('.')[0] ?? '',
    source: readFileSync(join(folder ?? '', file), 'utf8'),
  }));
  it('are all there', () => assert.ok(descriptions.length >= 106));
  checkAll(descriptions);
});

describe('tracepoints of Linux 6.1, as a recording describes them', () => {
  const { formats } = new TraceDat(bytesInMemory(readFileSync(fixturePath('svm-nested.trace.dat')), 'fixture'));
  const descriptions = [...formats.all()].filter(({ system }) => system.startsWith('kvm'));
  it('are all there', () => assert.ok(descriptions.length > 50));
  checkAll(descriptions.map(({ system, text }) => ({ system, source: text })));
});

describe('tracepoints of older kernels, which have other fields', () => checkAll(OLDER_FORMATS));
