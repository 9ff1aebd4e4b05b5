/** Finds the command, runs it, and turns whatever is thrown into one line and an exit code. */
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { nearest } from '../analyzer/nearest.js';
import { type CommandEntry, EXIT, HELP_OPTION } from './command.js';
import { CliError, describeError, formatError } from './errors.js';
import { printCommandHelp, printHelp } from './help.js';
import { Interrupted } from './interrupted.js';
import type { Output } from './output.js';
import { makeCall, parse } from './parse.js';

/** EX_SOFTWARE of sysexits(3): a defect of Trapline, never an answer about its input. */
export const EXIT_DEFECT = 70;

/** What a shell reports for a program that a signal ended, beyond the signal's number. */
const BY_SIGNAL = 128;

/** The reader went away before the answer was whole. */
export const EXIT_SIGPIPE = BY_SIGNAL + constants.signals.SIGPIPE;

const isBrokenPipe = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'EPIPE';

/** Version of the package: compiled files are two folders below its package.json. */
function version(): string {
  const found: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  return typeof found === 'object' && found !== null && 'version' in found ? String(found.version) : 'unknown';
}

/** Runs one command line; returns its exit code. Everything goes through `out`. */
export async function runProgram(
  words: readonly string[],
  out: Output,
  entries: readonly CommandEntry[],
): Promise<number> {
  try {
    const [first, ...others] = words;
    const helps = first === 'help' && others.length > 0;
    const name = helps ? others[0] : first;
    const rest = helps ? [`--${HELP_OPTION.name}`] : others;
    if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
      printHelp(out, entries);
      return name === undefined ? EXIT.wrong : EXIT.holds;
    }
    if (name === '--version') {
      out.line(`trapline ${version()}`);
      return EXIT.holds;
    }
    const entry = entries.find((candidate) => candidate.name === name);
    if (entry === undefined) {
      const close = nearest(
        name,
        entries.map((candidate) => candidate.name),
      );
      throw new CliError('UNKNOWN_COMMAND', name, null, close === null ? null : `did you mean ${close}?`);
    }
    const { command } = await entry.load();
    const parsed = parse(rest, name, command);
    if (parsed.given.has(HELP_OPTION.name)) {
      printCommandHelp(out, entry, command);
      return EXIT.holds;
    }
    return await command.run(makeCall(name, command, parsed, out));
  } catch (error) {
    // a file that was written is a pipe, as /dev/stdout may be
    if (isBrokenPipe(error)) return EXIT_SIGPIPE;
    if (error instanceof Interrupted) {
      out.note(error.message);
      process.kill(process.pid, error.signal); // as if nobody had heard it
      return BY_SIGNAL + constants.signals[error.signal];
    }
    const described = describeError(error);
    if (described !== null) {
      out.note(formatError(described));
      return EXIT.wrong;
    }
    out.note(`DEFECT this is a bug of trapline: ${error instanceof Error ? error.stack : String(error)}`);
    return EXIT_DEFECT;
  }
}
