/** File systems for tests of what happens when they are full, or may not be written. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { scratch } from './traces/rows.js';

/** A folder on a file system of so many MiB, unmounted when the test ends; null where none can be mounted. */
export function smallDisk(t: TestContext, mebibytes: number): string | null {
  const disk = mkdtempSync(join(tmpdir(), 'trapline-disk-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', disk]).status === 0;
  t.after(() => {
    if (mounted) execFileSync('umount', [disk]);
    rmdirSync(disk);
  });
  return mounted ? disk : null;
}

/** A folder that nobody may write to once it is sealed; null where root, who may write anywhere, can mount nothing. */
export function sealable(t: TestContext): { readonly folder: string; seal(): void } | null {
  if (process.getuid?.() === 0) {
    const folder = smallDisk(t, 8);
    return folder === null
      ? null
      : { folder, seal: () => execFileSync('mount', ['-o', 'remount,ro', folder], { stdio: 'pipe' }) };
  }
  const folder = scratch(t);
  const seal = (): void => {
    for (const name of readdirSync(folder)) chmodSync(join(folder, name), 0o444);
    chmodSync(folder, 0o555);
    t.after(() => chmodSync(folder, 0o755));
  };
  return { folder, seal };
}
