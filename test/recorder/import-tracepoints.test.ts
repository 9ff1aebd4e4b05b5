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
import { parseFormat } from '../../recorder/import/binary/formats.js';
import { bytesInMemory } from '../../recorder/import/binary/scanner.js';
import { TraceDat } from '../../recorder/import/binary/tracedat.js';
import type { StreamWriter } from '../../recorder/import/stream.js';
import type { Row } from '../../traces/store.js';
import { importRecords, type Made, makeRecord, type Round, textOf } from './format-records.js';
import { fixturePath, importText, sharedPath } from './import-helpers.js';
import type { Values } from './kernel-print.js';
import { OLDER_FORMATS } from './older-formats.js';
import { COLUMNS_OF } from './tracepoint-columns.js';

/** Values of fields that cannot be any number. */
const GIVEN: { readonly [tracepoint: string]: { readonly [round in Round]: Values } } = {
  kvm_exit: { high: { exit_reason: 10n, isa: 1n }, low: { exit_reason: 12n, isa: 1n } },
  kvm_nested_vmexit: {
    high: { exit_reason: 10n, exit_code: 10n, isa: 1n },
    low: { exit_reason: 12n, exit_code: 12n, isa: 1n },
  },
  kvm_nested_vmexit_inject: { high: { exit_code: 10n, isa: 1n }, low: { exit_code: 12n, isa: 1n } },
  kvm_nested_vmenter: { high: { isa: 1n }, low: { isa: 2n } },
  kvm_nested_vmenter_failed: {
    high: { msg: 'early hardware check VM-instruction error: ', err: 7n },
    low: { msg: '!nested_cpu_has_vid(vmcs12)', err: 0n },
  },
  kvm_ioapic_set_irq: { high: { pin: 23n, e: 0xab00_0000_0001_e9c3n }, low: { pin: 2n } },
  kvm_ioapic_delayed_eoi_inj: { high: { e: 0xab00_0000_0001_e9c3n }, low: {} },
  kvm_msi_set_irq: { high: { address: 0x1234_5600_fee7_800cn, data: 0x49c3n }, low: { address: 0xfee0_1000n } },
  kvm_apicv_inhibit_changed: { high: { reason: 3n }, low: {} },
  kvm_pio: { high: { rw: 1n, size: 4n, count: 1n }, low: { rw: 0n, size: 1n, count: 1n } },
  kvm_mmio: { high: { type: 2n, len: 8n }, low: { type: 0n, len: 4n } },
  kvm_msr: { high: { write: 1n, exception: 1n }, low: { write: 0n, exception: 0n } },
  kvm_cr: { high: { rw: 1n }, low: { rw: 0n } },
  kvm_apic: { high: { rw: 1n, reg: 0x80n }, low: { rw: 0n, reg: 0x830n } },
  kvm_emulate_insn: { high: { len: 3n, flags: 9n, failed: 1n }, low: { len: 2n, flags: 1n, failed: 0n } },
  kvm_inj_virq: { high: { vector: 0x30n, irq: 0x30n }, low: { vector: 0xffn } },
  kvm_inj_exception: { high: { exception: 14n, has_error: 1n }, low: { exception: 6n, has_error: 0n } },
  kvm_userspace_exit: { high: { reason: 6n, errno: 0n }, low: { reason: 0n, errno: -4n } },
  kvm_set_irq: { high: { level: 1n }, low: { level: 0n } },
  kvm_ack_irq: { high: { irqchip: 1n }, low: { irqchip: 2n } },
  kvm_fpu: { high: { load: 1n }, low: { load: 0n } },
  kvm_track_tsc: { high: { host_clock: 1n }, low: { host_clock: 0n } },
  kvm_update_master_clock: { high: { host_clock: 1n }, low: { host_clock: 2n } },
  kvm_hv_timer_state: { high: { hv_timer_in_use: 1n }, low: { hv_timer_in_use: 0n } },
  kvm_hv_stimer_expiration: { high: { direct: 1n }, low: { direct: 0n } },
  fast_page_fault: { high: { error_code: 0x8017n }, low: { error_code: 0n } },
  kvm_age_page: { high: { referenced: 1n }, low: { referenced: 0n } },
};
const SHADOW_PAGES = ['get_page', 'sync_page', 'unsync_page', 'prepare_zap_page'].map((name) => `kvm_mmu_${name}`);
/** Page table levels of x86. */
const LEVELS = { high: { role: 0xc2a5n }, low: { role: 0x1n } } as const;

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

interface Description {
  readonly system: string;
  readonly source: string;
}

/** An exit whose faults have physical addresses, as its format file has it. */
function exitRecord(descriptions: readonly Description[]): Made {
  const { system, source } = descriptions.find(({ source: text }) => /^name: kvm_exit$/m.test(text)) ?? assert.fail();
  const format = parseFormat(system, source) ?? assert.fail();
  return makeRecord(format, source, 'low', { exit_reason: 49n, isa: 1n });
}

function record({ system, source }: Description, round: Round): Made {
  const format = parseFormat(system, source) ?? assert.fail(source.slice(0, 80));
  const given = SHADOW_PAGES.includes(format.name) ? LEVELS[round] : (GIVEN[format.name]?.[round] ?? {});
  return makeRecord(format, source, round, given);
}

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
    const inColumn = columns.includes(`=${name}`) && !/:(level|vector|destination|msi)/.test(columns);
    const rare = values[name] === 0n || name === 'count' || name === 'vcpu_id';
    assert.ok(
      inColumn || rare || text.includes(`${name}=`) || SPECIAL.has(`${format.name}.${name}`),
      `${name}: ${text}`,
    );
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
  const made = record(description, round);
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
  assert.deepEqual({ ...said(printedRow), ...unprinted(name, row) }, said(row), line);
  if (row.tracepoint !== null) assert.ok(String(printedRow.text).includes(textOf(made).trim()), line);
}

/** Columns of fields that the kernel does not print. */
function unprinted(name: string, row: Row): { [column: string]: unknown } {
  return name === 'kvm_nested_vmenter' ? { isa: BigInt(Number(row.isa)) } : {};
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

const folder = sharedPath('tracefs-6.18');
describe('tracepoints of Linux 6.18', { skip: folder === null && 'not here' }, () => {
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
