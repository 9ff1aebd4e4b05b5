/**
 * Inputs from a file: one a line, `TICK PORT "TEXT"`, with the text as a JSON string; blank lines and lines that begin
 * with # are passed over. Ticks never fall.
 */
import type { ScheduledInput } from './recording.js';

const LINE = /^(\d+)\s+([a-z][a-z0-9]*)\s+(".*")$/;

export class InputFileError extends Error {
  readonly code = 'BAD_INPUTS';
  readonly what = 'input file cannot be read';
  readonly where: string;
  readonly why: string;
  readonly advice = 'write lines of the form: 20000 com1 "text\\n"';
  constructor(where: string, why: string) {
    super(`input file cannot be read: ${where}: ${why}`);
    this.where = where;
    this.why = why;
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
    if (!match) throw new InputFileError(where, `"${trimmed.slice(0, 60)}" is not of the form TICK PORT "TEXT"`);
    const tick = Number(match[1]);
    if (!Number.isSafeInteger(tick)) throw new InputFileError(where, `tick ${match[1]} is too large`);
    if (tick < last) throw new InputFileError(where, `tick ${tick} comes after ${last}`);
    last = tick;
    inputs.push({ tick, port: match[2] ?? '', bytes: bytesOf(match[3] ?? '', where) });
  }
  return inputs;
}

function bytesOf(json: string, where: string): Uint8Array {
  try {
    // Bytes, not text: \u00ff is the byte 0xff.
    return Uint8Array.from(JSON.parse(json) as string, (letter) => letter.charCodeAt(0) & 0xff);
  } catch {
    throw new InputFileError(where, `${json.slice(0, 60)} is no JSON string`);
  }
}
