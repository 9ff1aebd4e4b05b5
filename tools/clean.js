// Removes compiled output, so that no stale test or module can run.
import { rmSync } from 'node:fs';

rmSync('dist', { recursive: true, force: true });
