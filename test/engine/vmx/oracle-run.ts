/** The images of the oracle: where they are, how they are assembled, and what they print on this machine. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { nullObserver } from '../../../engine/observer.js';
import { start } from '../../../engine/start.js';
import { inPackage } from '../../../traces/guests/guest.js';
import { assemble } from '../../nasm.js';
import type { Suite } from './oracle.js';

export const ORACLE_FOLDER = inPackage('test', 'engine', 'vmx', 'oracle');
const INCLUDE = ['-f', 'bin', '-I', `${inPackage('traces', 'guests')}/`];
/** Far more than an image needs. */
const BUDGET = 100_000_000;

export const imagePath = ({ name }: Suite): string => join(ORACLE_FOLDER, `${name}.img`);
export const vectorsPath = ({ name }: Suite): string => inPackage('test', 'engine', 'vmx', 'vectors', `${name}.txt`);

export const imageOf = (suite: Suite): Uint8Array => new Uint8Array(readFileSync(imagePath(suite)));

/** The image that the committed tables make. */
export const assembled = ({ options }: Suite): Uint8Array =>
  assemble(ORACLE_FOLDER, 'entries.asm', [...INCLUDE, ...options]);

/** What an image prints on COM1 of this machine; throws where it does not end. */
export function consoleHere(image: Uint8Array, name: string): string {
  const chunks: Uint8Array[] = [];
  const observer = { ...nullObserver, output: (_port: string, bytes: Uint8Array) => chunks.push(bytes.slice()) };
  const configuration = {
    cpu: 'skylake',
    monitor: 'none',
    memoryBytes: 16 << 20,
    commandLine: name,
    flat: null,
    epoch: 0,
    checkpointEvery: BUDGET,
    guestinfo: {},
  };
  const machine = start(configuration, image, `${name}.img`, observer);
  const end = machine.run(BUDGET);
  if (end !== 'exit') throw new Error(`${name} ended with ${end}`);
  return Buffer.concat(chunks).toString('latin1');
}
