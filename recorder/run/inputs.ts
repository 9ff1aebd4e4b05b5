/**
 * Inputs from a file: one a line, `TICK PORT "TEXT"`, with the text as a JSON string; blank lines and lines that begin
 * with # are passed over. Ticks never fall.
 */
import { CodedError } from '../../engine/errors.js';
import type { ScheduledInput } from './recording.js';

const LINE = /^(\d+)\s+([a-z][a-z0-9]*)\s+(".*")$/;
/** Characters of a bad line that an error quotes. */
const QUOTED = 60;

const BAD_INPUTS = {
  what: 'input file cannot be read',
  advice: 'write lines of the form: 20000 com1 "text\\n"',
};

export class InputFileError extends CodedError<'BAD_INPUTS'> {
  constructor(where: string, why: string) {
    super(BAD_INPUTS, 'BAD_INPUTS', where, why);
  }
}

/** @throws InputFileError with file and line */
export function parseInputs(text: string, file: string): ScheduledInput[] {
  const inputs: ScheduledInput[] = [];
  let last = 0;
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#')) continue;
    const where = `${file}:${i + 1}`;
    const match = LINE.exec(trimmed);
    if (!match) throw new InputFileError(where, `"${trimmed.slice(0, QUOTED)}" is not of the form TICK PORT "TEXT"`);
    const [, digits = '', port = '', json = ''] = match;
    const tick = Number(digits);
    if (!Number.isSafeInteger(tick)) throw new InputFileError(where, `tick ${digits.slice(0, QUOTED)} is too large`);
    if (tick < last) throw new InputFileError(where, `tick ${tick} comes after ${last}`);
    last = tick;
    inputs.push({ tick, port, bytes: bytesOf(json, where) });
  }
  return inputs;
}

/** Bytes, not text: \u00ff is the byte 0xff, and a character beyond it is none. */
function bytesOf(json: string, where: string): Uint8Array {
  let text: string;
  try {
    text = JSON.parse(json) as string;
  } catch {
    throw new InputFileError(where, `${json.slice(0, QUOTED)} is no JSON string`);
  }
  if (!/^[\0-\xff]*$/.test(text))
    throw new InputFileError(where, `${json.slice(0, QUOTED)} has a character above \\u00ff`);
  return Buffer.from(text, 'latin1');
}
