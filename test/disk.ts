/** A small file system, for tests of what happens when it is full. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

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
