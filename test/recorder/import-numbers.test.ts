/** Numbers and times of a text, read from bytes in 32-bit halves, against those that BigInt reads. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ascii, Cursor, NameTable } from '../../recorder/import/cursor.js';
import { Prefix } from '../../recorder/import/prefix.js';
import { halvesOf, timeOf } from '../../recorder/import/time.js';

const cursorOver = (text: string): Cursor => new Cursor().over(ascii(text), 0, text.length);
const whole = ({ low, high }: { readonly low: number; readonly high: number }): bigint => timeOf(high, low);

describe('hexadecimal numbers', () => {
  it('of up to 64 bits, with 0x and zeros before them or without', () => {
    const blank = fc.constantFrom('', ' ', ')', ':');
    fc.assert(
      fc.property(fc.bigInt(0n, (1n << 64n) - 1n), fc.boolean(), fc.nat(20), blank, (value, marked, zeros, behind) => {
        const text = `${marked ? '0x' : ''}${'0'.repeat(zeros)}${value.toString(16)}`;
        const cursor = cursorOver(text + behind);
        assert.ok(cursor.hex());
        assert.equal(whole(cursor), value);
        assert.deepEqual([cursor.high, cursor.low], halvesOf(value));
        assert.equal(cursor.at, text.length);
      }),
    );
  });

  it('of more bits, or that are none, leave the cursor where it is', () => {
    for (const text of ['10000000000000000', '0x1ffffffffffffffff', '12g', '0x', 'x', '', '1_']) {
      const cursor = cursorOver(text);
      assert.equal(cursor.hex(), false, text);
      assert.equal(cursor.at, 0);
    }
  });
});

describe('decimal numbers', () => {
  const blank = fc.constantFrom('', ' ', ')', ':');

  it('of up to 64 bits, with a sign and zeros before them or without', () => {
    const any = fc.bigInt(-(1n << 63n), (1n << 64n) - 1n);
    fc.assert(
      fc.property(fc.oneof(any, fc.maxSafeInteger().map(BigInt)), fc.nat(20), blank, (value, zeros, behind) => {
        const digits = '0'.repeat(zeros) + String(value < 0n ? -value : value);
        const text = (value < 0n ? '-' : '') + digits;
        const cursor = cursorOver(text + behind);
        assert.ok(cursor.integer());
        assert.equal(whole(cursor), BigInt.asUintN(64, value));
        assert.deepEqual([cursor.high, cursor.low], halvesOf(BigInt.asUintN(64, value)));
        assert.equal(cursor.at, text.length);
      }),
    );
  });

  it('of more bits, or that are none, leave the cursor where it is', () => {
    for (const text of ['18446744073709551616', '99999999999999999999', '9'.repeat(40), '123456789012345678a', '-', ''])
      for (const behind of ['', ' 1']) {
        const cursor = cursorOver(text + behind);
        assert.equal(cursor.integer(), false, text);
        assert.equal(cursor.at, 0);
      }
  });
});

it('times are nanoseconds, exactly, line after line', () => {
  const prefix = new Prefix();
  fc.assert(
    fc.property(fc.nat(9_999_999_999), fc.integer({ min: 1, max: 9 }), fc.nat(999_999_999), (seconds, digits, part) => {
      const fraction = String(part).padStart(9, '0').slice(0, digits);
      const line = ascii(`task-7 [001] ${seconds}.${fraction}: kvm_entry: vcpu 0`);
      for (const again of [1, 2]) {
        assert.ok(prefix.parse(line, 0, line.length), String(again));
        assert.equal(
          timeOf(prefix.timeHigh, prefix.timeLow),
          BigInt(seconds) * 1_000_000_000n + BigInt(fraction.padEnd(9, '0')),
        );
      }
    }),
  );
});

it('names are told apart wherever they differ', () => {
  const names = fc.uniqueArray(fc.stringMatching(/^[a-z_0-9]{1,24}$/), { maxLength: 300 });
  fc.assert(
    fc.property(names, (all) => {
      const table = new NameTable(all.map((name, i) => [name, i] as const));
      all.forEach((name, i) => {
        assert.equal(table.get(ascii(name), 0, name.length), i);
      });
      assert.equal(table.get(ascii('A'), 0, 1), undefined);
    }),
  );
});
