/** Records every guest and prints its digest: started by identity.test.ts under other flags of V8. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GUESTS } from '../../../traces/guests/catalogue.js';
import { brief, record } from '../../recorder/run/scene.js';

const folder = mkdtempSync(join(tmpdir(), 'trapline-digests-'));
const digests: { [guest: string]: string } = {};
try {
  for (const guest of GUESTS.keys()) digests[guest] = (await record(join(folder, 'run.arrow'), brief(guest))).digest;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.stdout.write(JSON.stringify(digests));
