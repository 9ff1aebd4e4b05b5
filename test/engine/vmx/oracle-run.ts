/** The images of the oracle: where they are, how they are assembled, and what they print on this machine. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inPackage } from '../../../traces/guests/guest.js';
import { assemble } from '../../nasm.js';
import { consoleHere } from '../console.js';
import { answerOf, type Suite } from './oracle.js';

export const ORACLE_FOLDER = inPackage('test', 'engine', 'vmx', 'oracle');
const INCLUDE = ['-f', 'bin', '-I', `${inPackage('traces', 'guests')}/`];

export const imagePath = ({ name }: Suite): string => join(ORACLE_FOLDER, `${name}.img`);
export const vectorsPath = ({ name }: Suite): string => inPackage('test', 'engine', 'vmx', 'vectors', `${name}.txt`);

export const imageOf = (suite: Suite): Uint8Array => new Uint8Array(readFileSync(imagePath(suite)));

/** The image that the committed tables make. */
export const assembled = ({ options }: Suite): Uint8Array =>
  assemble(ORACLE_FOLDER, 'entries.asm', [...INCLUDE, ...options]);

const PROCESSOR = 'processor ';

/** Lines of a console or of committed vectors, and apart from them the processor's, where the image says it. */
export function answersIn(text: string): { readonly processor: string | null; readonly answers: readonly string[] } {
  const lines = text === '' ? [] : text.trimEnd().split('\n');
  const says = lines[0]?.startsWith(PROCESSOR) === true;
  return { processor: says ? (lines[0] ?? null) : null, answers: says ? lines.slice(1) : lines };
}

/** What is committed of Bochs's answers. */
export const vectorsOf = (suite: Suite): string => readFileSync(vectorsPath(suite), 'latin1');

/** How each case ends here: on this machine where it has the processor, else by the engine's VM entry alone. */
export const answersHere = (suite: Suite): readonly string[] =>
  suite.isMachine
    ? answersIn(consoleHere(imageOf(suite), suite.name)).answers
    : suite.cases().map(({ name, words }) => `${name} ${answerOf(words, suite.processor)}`);
