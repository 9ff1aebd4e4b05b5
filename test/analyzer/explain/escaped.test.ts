/** Dumps in JSON and HTML give what the plain text gives. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findDumps } from '../../../analyzer/explain/find.js';
import { linesOf } from '../../../analyzer/explain/lines.js';
import { fixture, healthy, only } from './helpers.js';

const NAMES = ['vmx-two-faults', 'svm-cs'] as const;

const values = (text: string): [string, bigint][] => {
  const [dump, ...others] = findDumps(text);
  assert.equal(others.length, 0);
  assert.deepEqual(dump?.damage, []);
  return [...(dump?.values ?? [])].map(([name, { value }]) => [name, value]);
};

const FORMS: { readonly [name: string]: (lines: readonly string[]) => string } = {
  'journalctl -o json, of bytes': (lines) =>
    lines
      .map((line) => JSON.stringify({ MESSAGE: [...Buffer.from(`\u001b[31m${line}`)], SYSLOG_IDENTIFIER: 'kernel' }))
      .join('\n'),
  'a string of JSON': (lines) => JSON.stringify({ dmesg: lines.join('\n') }),
  'one with the ends of lines of Windows': (lines) => `{"log": ${JSON.stringify(`${lines.join('\r\n')}\r\n`)}}\n`,
  'a string within a string': (lines) => JSON.stringify({ log: JSON.stringify({ message: lines.join('\n') }) }),
  'a list of strings': (lines) =>
    JSON.stringify(
      lines.map((line) => `${line}\n`),
      null,
      1,
    ),
  'tabs of JSON': (lines) => lines.map((line) => JSON.stringify({ log: `\t${line}\n` })).join('\n'),
  HTML: (lines) => lines.map((line) => `${line.replaceAll(' ', '&nbsp;')}<br />`).join('\n'),
};

describe('escaped dumps', () => {
  for (const name of NAMES) {
    const plain = fixture(name);
    for (const [form, spell] of Object.entries(FORMS))
      it(`${name}: ${form}`, () => assert.deepEqual(values(spell(plain.trimEnd().split('\n'))), values(plain)));
  }
  it('a string may be as long as any, and end where a part of the log does', () => {
    const expected = values(fixture(NAMES[0]));
    for (const noise of [65_500, 65_530, 131_000]) {
      for (let more = 0; more < 8; more++) {
        const text = JSON.stringify({ log: `${'x'.repeat(noise + more)}\n${fixture(NAMES[0])}` });
        assert.deepEqual(values(text), expected);
      }
    }
  });
  it('a record of one line is one line, whatever its string ends with', () => {
    const text = fixture(NAMES[0])
      .trimEnd()
      .split('\n')
      .map((line) => JSON.stringify({ log: `${line}\n`, stream: 'stderr' }))
      .join('\n');
    assert.deepEqual([...linesOf(text, true)], [...linesOf(text)]);
    assert.equal(findDumps(text)[0]?.values.get('GUEST_CR3')?.line, 5);
  });
  describe('line numbers', () => {
    const plain = fixture(NAMES[0]).trimEnd();
    const failed = findDumps(plain)[0];
    const quoted = JSON.stringify({ text: plain });
    const lineOf = (text: string, part: string): number =>
      text.split('\n').findIndex((line) => line.includes(part)) + 1;

    it('are those of the file, behind a string that spells dumps and in it', () => {
      const text = `first\n${quoted}\nthird\n${plain}\nlast`;
      const [inString, dump] = findDumps(text);
      assert.deepEqual([inString?.first, inString?.last, failed?.first !== failed?.last], [2, 2, true]);
      for (const { line } of inString?.values.values() ?? []) assert.equal(line, 2);
      assert.deepEqual([dump?.first, dump?.last], [3 + (failed?.first ?? 0), 3 + (failed?.last ?? 0)]);
      for (const [name, { line }] of dump?.values ?? [])
        assert.equal(line, 3 + (failed?.values.get(name)?.line ?? 0), name);
      assert.equal(dump?.values.get('GUEST_CR4')?.line, lineOf(text.replace(quoted, ''), 'CR4: actual'));
    });
    it('of what is wrong with a dump too', () => {
      const broken = plain.replace(/^.*CR4: actual.*\n/m, '');
      const last = lineOf(broken, 'CR0: actual') + 1;
      assert.deepEqual(
        findDumps(`${JSON.stringify({ text: broken })}\n${broken}`).map(({ damage }) => damage),
        [
          [{ kind: 'missing', line: 1, what: 'guest: CR4 (in line 1)' }],
          [{ kind: 'missing', line: last, what: `guest: CR4 (between lines ${last} and ${last + 1})` }],
        ],
      );
    });
    it('of a dump that is one string are one, and it is told', () => {
      const valid = healthy.trimEnd();
      assert.equal(only(JSON.stringify(valid)).verdict, 'valid');
      assert.equal(only(valid).verdict, 'valid');
    });
    it('of a serial console are those that other tools count', () => {
      const [dump] = findDumps(plain.replaceAll('\n', '\r\r\n'));
      assert.deepEqual([dump?.first, dump?.last, dump?.damage], [failed?.first, failed?.last, []]);
      assert.equal(dump?.values.get('GUEST_CR4')?.line, failed?.values.get('GUEST_CR4')?.line);
      const [returns] = findDumps(plain.replaceAll('\n', '\r'));
      assert.deepEqual([returns?.first, returns?.last], [failed?.first, failed?.last]);
    });
    it('of many dumps in a string are one as well', () => {
      const text = `${`${JSON.stringify(plain).slice(0, -1)}\\n`.repeat(30)}\n${plain}`;
      const dumps = findDumps(text);
      assert.deepEqual([dumps.length, new Set(dumps.slice(0, 30).map(({ last }) => last)).size], [31, 1]);
    });
  });
});
