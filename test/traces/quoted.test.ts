/** Quoted-printable as RFC 2045, section 6.7, has it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeQuoted, endOfQuoted } from '../../traces/quoted.js';

function decoded(line: string): { readonly text: string; readonly goesOn: boolean } {
  const bytes = Buffer.from(line);
  const end = endOfQuoted(bytes, 0, bytes.length);
  const target = new Uint8Array(bytes.length);
  const length = decodeQuoted(bytes, 0, end, target, 0);
  return { text: Buffer.from(target.subarray(0, length)).toString(), goesOn: end < bytes.length };
}

test('the examples of the RFC', () => {
  // the paragraph of rule 5, encoded there as three lines
  const lines = ["Now's the time =", 'for all folk to come=', ' to the aid of their country.'].map(decoded);
  assert.equal(
    lines.map(({ text }) => text).join(''),
    "Now's the time for all folk to come to the aid of their country.",
  );
  assert.deepEqual(
    lines.map(({ goesOn }) => goesOn),
    [true, true, false],
  );
  assert.equal(decoded('=3D').text, '=');
  assert.equal(decoded('=0C').text, '\f');
});

test('blanks behind a soft break are of the way, not of the text', () => {
  assert.deepEqual(decoded('reason CPUID= \t'), { text: 'reason CPUID', goesOn: true });
});

test('letters beyond ASCII are the bytes of their encoding', () => {
  assert.equal(decoded('caf=C3=A9 =E2=86=90').text, 'café ←');
});

test('a = that begins no escape stays', () => {
  assert.deepEqual(decoded('a=b =G0 =4'), { text: 'a=b =G0 =4', goesOn: false });
});

test('any text comes back from its encoding', () => {
  const encode = (text: string): string =>
    [...Buffer.from(text)].map((byte) => `=${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) =>
      assert.deepEqual(decoded(encode(text)), { text, goesOn: false }),
    ),
  );
});
