/** A host's capability MSRs from a file: lines of a number and a value, as rdmsr and shell loops print them. */
import { AnalysisError } from '../errors.js';
import { type Processor, UNKNOWN } from './processor.js';
import { MSR_NAMES } from './vmx-msrs.js';

const NUMBER = '(0x[0-9a-f]+|[0-9a-f]+)';
const LINE = new RegExp(String.raw`^${NUMBER}[\s:=]+(?:0x)?([0-9a-f]{1,16})$`, 'i');
const COMMENT = /^\s*(#.*)?$/;
/** What a loop over rdmsr prints of a register that the host does not have. */
const ABSENT = new RegExp(String.raw`^${NUMBER}[\s:=]*$`, 'i');
const MOST_LINES = 10_000;

/** As rdmsr takes them and manuals write them, in hexadecimal; in decimal they have four digits. */
const BARE = /^4[89][0-9a-f]$/i;
const DECIMAL = /^\d+$/;

/** The number of a register; NaN where it is none. */
function numberOf(text: string): number {
  if (BARE.test(text)) return Number(`0x${text}`);
  return DECIMAL.test(text) || /^0x/i.test(text) ? Number(text) : Number.NaN;
}

/** Throws AnalysisError BAD_MSRS with the line. */
export function readMsrs(text: string, where: string): Processor {
  const values = new Map<number, bigint>();
  const lines = text.split(/\r\n|\n|\r/);
  if (lines.length > MOST_LINES) throw new AnalysisError('BAD_MSRS', where, 'too many lines');
  for (const [i, line] of lines.entries()) {
    const trimmed = line.trim();
    if (COMMENT.test(line) || !Number.isNaN(numberOf(ABSENT.exec(trimmed)?.[1] ?? ''))) continue;
    const [, number = '', value = ''] = LINE.exec(trimmed) ?? [];
    if (Number.isNaN(numberOf(number))) throw new AnalysisError('BAD_MSRS', `${where}, line ${i + 1}`);
    values.set(numberOf(number), BigInt(`0x${value}`));
  }
  if (values.size === 0) throw new AnalysisError('BAD_MSRS', where, 'no MSR in it');
  if (![...values.keys()].some((msr) => msr in MSR_NAMES))
    throw new AnalysisError('BAD_MSRS', where, 'none of its MSRs is one of 0x480 to 0x493');
  return { ...UNKNOWN, name: where, isFile: true, msr: (msr) => values.get(msr) ?? null };
}
