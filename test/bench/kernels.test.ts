import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { inPackage } from '../../traces/guests/guest.js';
import { assemble, missing } from '../nasm.js';
import { KERNELS, kernelPath } from './kernels/catalogue.js';
import { checksums } from './kernels/checksums.js';

const INCLUDE = ['-I', `${inPackage('traces', 'guests')}/`];
const withoutNasm = missing('nasm');
const isLinux = process.arch === 'x64' && process.platform === 'linux';
const withoutHost = withoutNasm || missing('ld') || (isLinux ? false : 'the host is not Linux on x86-64');

for (const kernel of KERNELS) {
  const folder = dirname(kernelPath(kernel));

  test(`kernel ${kernel.name}: the committed image is what its source assembles to`, { skip: withoutNasm }, () => {
    const rebuilt = assemble(folder, `${kernel.name}.asm`, ['-f', 'bin', ...INCLUDE]);
    assert.deepEqual(Buffer.from(rebuilt), readFileSync(kernelPath(kernel)));
  });

  test(`kernel ${kernel.name}: the default number of iterations is its source's`, () => {
    const source = readFileSync(join(folder, `${kernel.name}.asm`), 'utf8');
    assert.match(source, new RegExp(`^KERNEL ${kernel.n}$`, 'm'));
  });

  test(`kernel ${kernel.name}: this host's CPU computes the committed checksums`, { skip: withoutHost }, () => {
    const output = mkdtempSync(join(tmpdir(), 'trapline-kernel-'));
    try {
      const object = join(output, 'kernel.o');
      writeFileSync(object, assemble(folder, `${kernel.name}.asm`, ['-f', 'elf64', '-dNATIVE', ...INCLUDE]));
      execFileSync('ld', ['-z', 'noexecstack', '--no-warn-rwx-segments', object, '-o', join(output, 'kernel')]);
      const committed = checksums(kernel.name);
      assert.ok(committed.has(kernel.n));
      for (const [n, checksum] of committed) {
        assert.equal(execFileSync(join(output, 'kernel'), [`${n}`], { encoding: 'latin1' }), `${checksum}\n`);
      }
    } finally {
      rmSync(output, { recursive: true });
    }
  });
}

test('checksums that mathematics gives: primes below a million, Fibonacci numbers', () => {
  assert.equal(BigInt(`0x${checksums('sieve').get(1)}`), 78_498n);
  assert.equal(BigInt(`0x${checksums('sieve').get(10)}`), 784_980n);
  assert.equal(BigInt(`0x${checksums('fib').get(10)}`), 55n);
  assert.equal(BigInt(`0x${checksums('fib').get(20)}`), 6765n);
  assert.equal(BigInt(`0x${checksums('fib').get(30)}`), 832_040n);
});
