/** The option that says how fast the TSC of a recording counted. */
import type { Call, Option } from './command.js';
import { CliError } from './errors.js';

export const TSC_OPTION: Option = {
  name: 'tsc-hz',
  value: 'HZ',
  says: 'frequency of the TSC, as 2.4G or 2400M, of a recording whose times are cycles (xentrace, or clock x86-tsc, also as text)',
};

const FACTORS: { readonly [suffix: string]: number } = { '': 1, K: 1e3, M: 1e6, G: 1e9 };
const [LEAST, MOST] = [1e6, 1e11];

/** Cycles a second, or null without the option. */
export function readTscHz(call: Call): number | null {
  const text = call.value(TSC_OPTION.name);
  if (text === null) return null;
  const [, digits, suffix = ''] = /^(\d+(?:\.\d+)?)([kKmMgG]?)(?:[hH][zZ])?$/.exec(text) ?? [];
  const hz = Math.round(Number(digits) * (FACTORS[suffix.toUpperCase()] ?? Number.NaN));
  if (hz >= LEAST && hz <= MOST) return hz;
  throw new CliError('BAD_VALUE', `import --${TSC_OPTION.name} ${text}`, 'from 1M to 100G is meant, as 2.4G');
}
