/** Reading ahead changes nothing of what is read. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { bytesInMemory, readAhead } from '../../recorder/import/binary/scanner.js';

const place = fc.record({ offset: fc.nat(120), length: fc.nat(40) });

it('reads what is there, in any order, also beyond the end', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 100 }),
      fc.integer({ min: 1, max: 64 }),
      fc.array(place),
      (bytes, block, all) => {
        const plain = bytesInMemory(bytes, 'bytes');
        let asked = 0;
        const ahead = readAhead(
          { ...plain, readAt: (target, offset) => ++asked && plain.readAt(target, offset) },
          block,
        );
        for (const { offset, length } of all) {
          const [expected, read] = [new Uint8Array(length), new Uint8Array(length)];
          assert.equal(ahead.readAt(read, offset), plain.readAt(expected, offset));
          assert.deepEqual(read, expected);
        }
        assert.ok(asked <= all.length);
      },
    ),
    { seed: 7, numRuns: 500 },
  );
});
