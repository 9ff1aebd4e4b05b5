/**
 * Digest of a machine's whole state: of CPU and devices as they are, and of RAM as a sum over its pages, so that it
 * can be kept up to date page by page.
 */
import { createHash } from 'node:crypto';

const MODULUS = (1n << 256n) - 1n;

/** SHA-256 of a page's content in hex; empty for a page of zeros. */
export function pageHash(content: Uint8Array): string {
  return content.every((byte) => byte === 0) ? '' : createHash('sha256').update(content).digest('hex');
}

/** The pages of RAM that are not all zero, by their hashes. */
export class RamDigest {
  readonly #hashes = new Map<number, string>();
  #sum = 0n;

  /** Contribution of a page: SHA-256 over its number and hash, as an integer. */
  #term(number: number, hash: string): bigint {
    return BigInt(`0x${createHash('sha256').update(`${number} ${hash}`).digest('hex')}`);
  }

  set(number: number, hash: string): void {
    const old = this.#hashes.get(number) ?? '';
    if (old === hash) return;
    if (old !== '') this.#sum -= this.#term(number, old);
    if (hash !== '') this.#sum += this.#term(number, hash);
    this.#sum &= MODULUS;
    if (hash === '') this.#hashes.delete(number);
    else this.#hashes.set(number, hash);
  }

  get(number: number): string {
    return this.#hashes.get(number) ?? '';
  }

  hex(): string {
    return this.#sum.toString(16).padStart(64, '0');
  }
}

/** Digest of a state: `cpu` as saved, `devices` as JSON, and RAM. */
export function stateDigest(cpu: Uint8Array, devices: string, ram: RamDigest): string {
  return createHash('sha256').update(cpu).update('\0').update(devices).update('\0').update(ram.hex()).digest('hex');
}
