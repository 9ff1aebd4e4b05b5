/** Rebuilds images from their NASM sources, for the tests that compare them with the committed ones. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Why a program cannot be used here, or false where it can: what node:test's `skip` takes. */
export function missing(program: string, versionOption = '-v'): string | false {
  try {
    execFileSync(program, [versionOption], { stdio: 'ignore' });
    return false;
  } catch {
    return `${program} is not installed`;
  }
}

/** Assembles `source` (a file of `folder`) and returns the bytes; `options` go to NASM as they are. */
export function assemble(folder: string, source: string, options: readonly string[]): Uint8Array {
  const output = mkdtempSync(join(tmpdir(), 'trapline-nasm-'));
  try {
    execFileSync('nasm', [...options, source, '-o', join(output, 'image')], { cwd: folder });
    return readFileSync(join(output, 'image'));
  } finally {
    rmSync(output, { recursive: true });
  }
}
