/** Dumps in JSON and HTML give what the plain text gives. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findDumps } from '../../../analyzer/explain/find.js';
import { linesOf } from '../../../analyzer/explain/lines.js';
import { fixture } from './helpers.js';

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
});
