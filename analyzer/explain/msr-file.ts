/** A host's capability MSRs from a file: lines of a number and a value, as rdmsr and shell loops print them. */
import { AnalysisError } from '../errors.js';
import { type Processor, UNKNOWN } from './processor.js';

const LINE = /^(0x[0-9a-f]+|\d+)[\s:=]+(?:0x)?([0-9a-f]{1,16})$/i;
const COMMENT = /^\s*(#.*)?$/;
/** What a loop over rdmsr prints of a register that the host does not have. */
const ABSENT = /^(0x[0-9a-f]+|\d+)[\s:=]*$/i;
const MOST_LINES = 10_000;

/** Throws AnalysisError BAD_MSRS with the line. */
export function readMsrs(text: string, where: string): Processor {
  const values = new Map<number, bigint>();
  const lines = text.split(/\r\n|\n|\r/);
  if (lines.length > MOST_LINES) throw new AnalysisError('BAD_MSRS', where, 'too many lines');
  for (const [i, line] of lines.entries()) {
    if (COMMENT.test(line) || ABSENT.test(line.trim())) continue;
    const [, number, value] = LINE.exec(line.trim()) ?? [];
    if (number === undefined || value === undefined) throw new AnalysisError('BAD_MSRS', `${where}, line ${i + 1}`);
    values.set(Number(number), BigInt(`0x${value}`));
  }
  if (values.size === 0) throw new AnalysisError('BAD_MSRS', where, 'no MSR in it');
  return { ...UNKNOWN, name: where, isFile: true, msr: (msr) => values.get(msr) ?? null };
}
