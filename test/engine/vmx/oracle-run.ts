/** The images of the oracle: where they are, how they are assembled, and what they print on this machine. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inPackage } from '../../../traces/guests/guest.js';
import { assemble } from '../../nasm.js';
import type { Suite } from './oracle.js';

export const ORACLE_FOLDER = inPackage('test', 'engine', 'vmx', 'oracle');
const INCLUDE = ['-f', 'bin', '-I', `${inPackage('traces', 'guests')}/`];

export const imagePath = ({ name }: Suite): string => join(ORACLE_FOLDER, `${name}.img`);
export const vectorsPath = ({ name }: Suite): string => inPackage('test', 'engine', 'vmx', 'vectors', `${name}.txt`);

export const imageOf = (suite: Suite): Uint8Array => new Uint8Array(readFileSync(imagePath(suite)));

/** The image that the committed tables make. */
export const assembled = ({ options }: Suite): Uint8Array =>
  assemble(ORACLE_FOLDER, 'entries.asm', [...INCLUDE, ...options]);
