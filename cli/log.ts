/** Files that are taken for a recording and are a log: `trapline explain` reads those. */
import { readFileSync, statSync } from 'node:fs';
import { hasDump } from '../analyzer/explain/find.js';
import { ImportError } from '../recorder/import/errors.js';
import { ofFile } from './errors.js';

/** Larger files are not looked through for what they are instead. */
const LARGEST = 16 << 20;

/** The error of an import: with the file where the system names none, with better advice where it is a log with a dump. */
export function withAdvice(error: unknown, file: string): unknown {
  if (!(error instanceof ImportError)) return ofFile(error, file);
  if (error.code !== 'NOT_A_TRACE' || !holdsDump(file)) return error;
  const advice = `it holds a dump of a VMCS or VMCB, or a VMX error: trapline explain ${file}`;
  return new ImportError(error.code, error.where, error.why, advice);
}

function holdsDump(file: string): boolean {
  if (file === '-') return false;
  const stat = statSync(file);
  return stat.isFile() && stat.size <= LARGEST && hasDump(readFileSync(file));
}
