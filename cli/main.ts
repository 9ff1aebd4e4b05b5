#!/usr/bin/env node
/** The `trapline` program. */
import { COMMANDS } from './commands.js';
import { Output } from './output.js';
import { stdoutReader } from './pipe.js';
import { EXIT_DEFECT, runProgram } from './program.js';

/** What a shell reports for a program that SIGPIPE ended: the reader went away before the answer was whole. */
const EXIT_SIGPIPE = 141;

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE' && stdoutReader.optional) return;
  process.exit(error.code === 'EPIPE' ? EXIT_SIGPIPE : EXIT_DEFECT);
});
process.stderr.on('error', () => {
  // nobody reads the remarks: the result still matters
});
process.exitCode = await runProgram(
  process.argv.slice(2),
  new Output(process.stdout, process.stderr, process.env),
  COMMANDS,
);
