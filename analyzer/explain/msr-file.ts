/** A host's capability MSRs from a file: lines of a number and a value, as rdmsr and shell loops print them. */
import { AnalysisError } from '../errors.js';
import { ANY_WITH_VMX } from './makers.js';
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

/** What ECX holds. */
const LAST = 0xffff_ffff;

/** The number of a register; null where it is none. */
function numberOf(text: string): number | null {
  if (BARE.test(text)) return Number(`0x${text}`);
  const number = DECIMAL.test(text) || /^0x/i.test(text) ? Number(text) : Number.NaN;
  return number <= LAST ? number : null;
}

const hex = (msr: number): string => `${msr.toString(16).toUpperCase()}H`;

/** Throws AnalysisError BAD_MSRS with the line. */
export function readMsrs(text: string, where: string): Processor {
  const values = new Map<number, { readonly value: bigint; readonly line: number }>();
  const lines = text.split(/\r\n|\n|\r/);
  if (lines.length > MOST_LINES) throw new AnalysisError('BAD_MSRS', where, 'too many lines');
  for (const [i, line] of lines.entries()) {
    const trimmed = line.trim();
    if (COMMENT.test(line) || numberOf(ABSENT.exec(trimmed)?.[1] ?? '') !== null) continue;
    const [, number = '', digits = ''] = LINE.exec(trimmed) ?? [];
    const msr = numberOf(number);
    if (msr === null) throw new AnalysisError('BAD_MSRS', `${where}, line ${i + 1}`);
    const value = BigInt(`0x${digits}`);
    const known = values.get(msr);
    // Others, as the TSC, go on; the capabilities of a host are what they are.
    if (known !== undefined && known.value !== value && msr in MSR_NAMES)
      throw new AnalysisError(
        'BAD_MSRS',
        `${where}, line ${i + 1}`,
        `MSR ${hex(msr)} has another value in line ${known.line}`,
      );
    values.set(msr, { value, line: i + 1 });
  }
  if (values.size === 0) throw new AnalysisError('BAD_MSRS', where, 'no MSR in it');
  if (![...values.keys()].some((msr) => msr in MSR_NAMES))
    throw new AnalysisError('BAD_MSRS', where, 'none of its MSRs is one of 0x480 to 0x493');
  return { ...UNKNOWN, name: where, isFile: true, maker: ANY_WITH_VMX, msr: (msr) => values.get(msr)?.value ?? null };
}
