/** Binary files that no importer reads: what is said of them helps. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { ImportError } from '../../recorder/import/errors.js';
import { fixturePath, importBytes } from './import-helpers.js';
import { asVersion6 } from './trace-dat-files.js';

const PAGE = 4096;

function errorOf(bytes: Uint8Array): string {
  try {
    importBytes(bytes);
  } catch (error) {
    if (error instanceof ImportError) return `${error.code} ${error.advice}`;
  }
  return 'no error';
}

describe('binary files of an unknown form', () => {
  // trace-cmd.dat.v6(5): the data of the CPUs, page by page, is the end of the file, as it was in trace.dat.cpuN
  for (const name of ['vmx-basic', 'svm-two-vcpus']) {
    it(`the pages of ${name}, each as the first of a file: trace-cmd restore`, () => {
      const file = asVersion6(readFileSync(fixturePath(`${name}.trace.dat`)));
      for (let at = file.length - PAGE; at > file.length - 3 * PAGE && file[at + 12] === 0; at -= PAGE)
        assert.match(errorOf(file.subarray(at)), /^BINARY_TRACE .*trace-cmd restore trace\.dat\.cpu/, `at ${at}`);
      assert.match(errorOf(file.subarray(-PAGE)), /trace-cmd restore/);
    });
  }

  for (const [what, bytes] of [
    ['NULs', Buffer.alloc(5000)],
    ['a PNG', Buffer.from('89504e470d0a1a0a0000000d49484452000001f4000001f4', 'hex')],
    ['random bytes', Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7919) & 0xff))],
  ] as const) {
    it(`${what}: no copy would help`, () => {
      assert.match(errorOf(bytes), /^BINARY_INPUT (?!.*copy it again)(?!.*could be read).*name a recording/);
    });
  }
});
