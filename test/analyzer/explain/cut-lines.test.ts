/** Logs of which every line is cut at one column claim nothing that the whole log does not. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { findDumps } from '../../../analyzer/explain/find.js';
import { broken, explained, fixture, hard, healthy, only, REGISTERS, SKIP, shared } from './helpers.js';

/** As `cut -c1-N` cuts lines, and as `less -S` and journalctl do, which say so in the last column. */
const cutAt = (text: string, width: number, sign = ''): string =>
  text
    .split('\n')
    .map((line) => (line.length > width ? line.slice(0, width - sign.length) + sign : line))
    .join('\n');

const valuesOf = (text: string): string[] =>
  findDumps(text).flatMap(({ values }) => [...values].map(([name, { value }]) => `${name} ${value}`));

/** Nothing is known of a cut log that is not known of the whole one. */
function check(whole: string, widths: readonly number[]): void {
  const values = new Set(valuesOf(whole));
  const reports = explained(whole).dumps;
  const causes = new Set(reports.flatMap(broken));
  const isValid = reports.some(({ verdict }) => verdict === 'valid');
  for (const width of widths)
    for (const sign of ['', '>', '…']) {
      const text = cutAt(whole, width, sign);
      if (text === whole) continue;
      const given = valuesOf(text);
      assert.deepEqual(
        given.filter((value) => !values.has(value)),
        [],
        `${width}${sign}`,
      );
      for (const report of given.length === 0 ? [] : explainedOrNone(text)) {
        assert.deepEqual(
          broken(report).filter((id) => !causes.has(id)),
          [],
          `${width}${sign}`,
        );
        assert.ok(report.verdict !== 'valid' || isValid, `${width}${sign}`);
        const edges = report.damage.filter(({ kind }) => kind === 'edge').map(({ what }) => what);
        assert.ok(edges.length <= 1 && edges.every((what) => what === `column ${width}`), `${width}${sign}: ${edges}`);
      }
    }
}

function explainedOrNone(text: string): readonly ReturnType<typeof only>[] {
  try {
    return explained(text).dumps;
  } catch (error) {
    assert.equal((error as { code?: unknown }).code, 'NO_DUMP');
    return [];
  }
}

const WIDTHS = Array.from({ length: 101 }, (_, i) => 20 + i);

describe('a log that is cut at a column', () => {
  for (const name of ['svm-cs', 'vmx-injection', 'vmx-pdpte', 'vmx-two-faults'])
    it(name, () =>
      check(
        fixture(name),
        WIDTHS.filter((width) => width % 3 === 0),
      ),
    );

  const folders = SKIP ? [] : ['dumps', join('kvm', 'dumps-vmx')].map((name) => shared(name) ?? '');
  // A file of fragments is no log: most have no other line that is cut.
  const files = folders.flatMap((folder) =>
    readdirSync(folder)
      .filter((file) => file.endsWith('.txt') && !file.includes('fragments'))
      .map((file) => join(folder, file)),
  );
  it('real ones', { skip: SKIP }, () => {
    for (const [i, file] of files.entries())
      check(
        readFileSync(file, 'utf8'),
        WIDTHS.filter((width) => width % 25 === i % 25),
      );
  });
});

// The error of accel/kvm/kvm-all.c is printed with "0x%" PRIx64, so that its beginning is a number, too.
describe('an error that may go on', () => {
  const text = `KVM: entry failed, hardware error 0x80000021\n${REGISTERS}`;
  const errorOf = (log: string): bigint | undefined =>
    findDumps(log).flatMap(({ values }) => values.get('error.hardware')?.value ?? [])[0];

  for (const sign of ['', '>', '…'])
    it(`is not known where lines are cut${sign === '' ? '' : ` with ${sign}`}`, () => {
      for (let width = 38; width < 44; width++) {
        const log = cutAt(text, width, sign);
        assert.equal(errorOf(log), undefined, log);
        const { damage, next } = only(log);
        const edges = damage.filter(({ kind }) => kind === 'edge');
        assert.deepEqual(
          edges.map(({ line, what }) => [line, what]),
          [[1, `column ${width}`]],
        );
        assert.equal(next.filter((line) => line.includes('journalctl -k --no-pager -l')).length, 1);
      }
    });
  it('is known where they are not', () => {
    assert.equal(errorOf(text), 0x80000021n);
    for (let width = 36; width < 44; width++) assert.equal(errorOf(hard(text, width)), 0x80000021n, String(width));
  });
});

it('a log that is not cut has no edge, as it is and as a terminal wraps it', () => {
  for (const text of [healthy, ...['svm-cs', 'vmx-injection', 'vmx-two-faults'].map(fixture)])
    for (const log of [text, ...[80, 100, 120].map((width) => hard(text, width))])
      for (const { damage } of findDumps(log)) assert.ok(!damage.some(({ kind }) => kind === 'edge'));
});
