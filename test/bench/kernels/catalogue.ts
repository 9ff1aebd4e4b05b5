/** The benchmark kernels: small loops of integer code, each with a checksum that another implementation can confirm. */
import { inPackage } from '../../../traces/guests/guest.js';

export interface Kernel {
  readonly name: string;
  readonly says: string;
  /** Iterations of a benchmark run: some hundred million instructions at the most. */
  readonly n: number;
  /** RAM that it needs, MiB. */
  readonly memory: number;
}

const MEMORY = 16;

export const KERNELS: readonly Kernel[] = [
  { name: 'alu', says: 'xorshift and carries in 32-bit registers', n: 10_000_000, memory: MEMORY },
  { name: 'alu64', says: 'splitmix64 with its multiplications', n: 10_000_000, memory: MEMORY },
  { name: 'mem', says: 'pseudo-random accesses of three sizes to 64 KiB', n: 10_000_000, memory: MEMORY },
  { name: 'sieve', says: 'the primes below a million', n: 10, memory: MEMORY },
  { name: 'crc', says: 'CRC-32 by table and bit by bit', n: 15_000, memory: MEMORY },
  { name: 'fib', says: 'recursive Fibonacci number', n: 30, memory: MEMORY },
  { name: 'tlb', says: 'pseudo-random pages out of 8192', n: 5_000_000, memory: 64 },
  { name: 'rep-string', says: 'REP string instructions over 4 KiB', n: 5000, memory: MEMORY },
  { name: 'smc', says: 'self-modifying code', n: 300_000, memory: MEMORY },
];

/** The multiboot command line for `n` iterations (at least 1). */
export function kernelCommandLine(kernel: Kernel, n = kernel.n): string {
  return `${kernel.name} n=${n}`;
}

/** Absolute path of the kernel's image. */
export function kernelPath(kernel: Kernel): string {
  return inPackage('test', 'bench', 'kernels', `${kernel.name}.img`);
}
