#!/usr/bin/env node
/** The `trapline` program. */
import { writeSync } from 'node:fs';
import { EXIT } from './command.js';
import { COMMANDS } from './commands.js';
import { describeError, formatError } from './errors.js';
import { Output } from './output.js';
import { stdoutReader } from './pipe.js';
import { EXIT_DEFECT, EXIT_SIGPIPE, runProgram } from './program.js';

const STDERR = 2;

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE' && stdoutReader.optional) return;
  if (error.code === 'EPIPE') process.exit(EXIT_SIGPIPE);
  const described = describeError(error);
  if (described !== null) writeSync(STDERR, `trapline: ${formatError({ ...described, where: 'standard output' })}\n`);
  process.exit(described === null ? EXIT_DEFECT : EXIT.wrong);
});
process.stderr.on('error', () => {
  // nobody reads the remarks: the result still matters
});
// Left alone, Node takes our signal handlers away some time before it ends, and a signal would change the exit code.
process.on('beforeExit', () => process.exit());
process.exitCode = await runProgram(
  process.argv.slice(2),
  new Output(process.stdout, process.stderr, process.env),
  COMMANDS,
);
