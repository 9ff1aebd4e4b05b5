/** The kernels' checksums as a real CPU computed them: `vectors/native.txt`. */
import { readFileSync } from 'node:fs';
import { inPackage } from '../../../traces/guests/guest.js';

const VECTORS = inPackage('test', 'bench', 'kernels', 'vectors', 'native.txt');

/** Checksum (16 hexadecimal digits) by number of iterations, for the kernel of that name. */
export function checksums(kernel: string): ReadonlyMap<number, string> {
  const lines = readFileSync(VECTORS, 'utf8').split('\n');
  const words = lines.map((line) => line.split(' ')).filter(([name]) => name === kernel);
  return new Map(words.map(([, n = '', checksum = '']) => [Number(n), checksum]));
}
