/**
 * What trace-cmd prints of every tracepoint, by its libtraceevent, says what the binary file says: the columns that the
 * text fills are those of the record. A file is made of the format files of Linux 6.18.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import type { Row } from '../../traces/store.js';
import { traceDatOf } from './format-records.js';
import { importBytes, importText, sharedPath } from './import-helpers.js';
import { exitRecord, recordOf } from './tracepoint-values.js';

const folder = sharedPath('tracefs-6.18');
const installed = spawnSync('trace-cmd', ['report', '-h']).error === undefined;

/** Columns that libtraceevent 1.7 leaves out of its own prints, by tracepoint. */
const UNPRINTED: { readonly [tracepoint: string]: readonly string[] } = {
  kvm_entry: ['intr_info', 'error_code'],
  kvm_exit: ['intr_info', 'error_code'],
  kvm_mmu_get_page: ['info2'],
  kvm_mmu_sync_page: ['info2', 'gpa'],
  kvm_mmu_unsync_page: ['info2', 'gpa'],
  kvm_mmu_prepare_zap_page: ['info2', 'gpa'],
};
/** Columns that differ in form: times are rounded, lanes and texts are their own. */
const APART = new Set(['text', 'time_ns', 'vcpu', 'tracepoint']);

/** It takes a negative errno for a positive one, and prints a reason instead. */
const MISREAD = new Set(['kvm_userspace_exit']);

function filled(row: Row): Map<string, unknown> {
  return new Map(Object.entries(row).filter(([name, cell]) => cell !== null && !APART.has(name)));
}

const SKIP = folder === null ? 'the shared collection of real data is not here' : !installed && 'no trace-cmd';

it('libtraceevent prints what the file says', { skip: SKIP }, () => {
  const files = folder === null ? [] : readdirSync(folder).filter((name) => name.startsWith('kvm'));
  const descriptions = files.map((file) => ({
    system: file.split('.')[0] ?? '',
    source: readFileSync(join(folder ?? '', file), 'utf8'),
  }));
  const exit = exitRecord(descriptions);
  const records = descriptions.flatMap((description) =>
    (['high', 'low'] as const).flatMap((round) => [exit, recordOf(description, round)]),
  );
  const bytes = traceDatOf(records);
  const scratch = mkdtempSync(join(tmpdir(), 'trapline-report-'));
  try {
    writeFileSync(join(scratch, 'made.dat'), bytes);
    const printed = execFileSync('trace-cmd', ['report', join(scratch, 'made.dat')], {
      encoding: 'utf8',
      stdio: 'pipe',
    });
    const [binary, text] = [importBytes(bytes), importText(printed)];
    assert.equal(binary.rows.length, records.length);
    assert.equal(text.rows.length, records.length);
    const differing = records.flatMap(({ format: { name } }, i) => {
      const [expected, actual] = [filled(binary.rows[i] ?? {}), filled(text.rows[i] ?? {})];
      for (const column of UNPRINTED[name] ?? []) if (!actual.has(column)) expected.delete(column);
      const line = printed.split('\n').find((each) => each.includes(`${name}:`));
      const columns = [...new Set([...expected.keys(), ...actual.keys()])];
      return columns.flatMap((column) =>
        expected.get(column) === actual.get(column) || String(expected.get(column)) === String(actual.get(column))
          ? []
          : [`${name}.${column}: ${expected.get(column)} in the file, ${actual.get(column)} of "${line}"`],
      );
    });
    assert.deepEqual(
      differing.filter((each) => !MISREAD.has(each.split('.')[0] ?? '')),
      [],
    );
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
});
