/** What a command is: data, from which parsing and `--help` are made, and one function that runs it. */
import type { Output } from './output.js';

/** Exit codes of every command; SIGPIPE and defects of Trapline itself have codes of their own in program.ts. */
export const EXIT = { holds: 0, differs: 1, wrong: 2 } as const;

export interface Option {
  /** Long name without dashes. */
  readonly name: string;
  /** One letter, without dash. */
  readonly short?: string;
  /** Placeholder of its value in the help; absent: the option is a flag. */
  readonly value?: string;
  readonly repeats?: boolean;
  readonly says: string;
}

export interface Argument {
  readonly name: string;
  readonly says: string;
  readonly optional?: boolean;
  readonly repeats?: boolean;
}

/** A parsed call: strict, so that every name a command asks for is one of its table. */
export interface Call {
  /** Name of the command, for messages. */
  readonly command: string;
  readonly args: readonly string[];
  readonly out: Output;
  flag(name: string): boolean;
  /** Value of an option, or null where it was not given. */
  value(name: string): string | null;
  /** Value of an option that must be there; throws CliError MISSING_OPTION. */
  needed(name: string): string;
  values(name: string): readonly string[];
  /** Value as an integer in [min, max], decimal or 0x-hexadecimal; throws CliError BAD_VALUE. */
  integer(name: string, min: number, max: number): number | null;
}

export interface Command {
  readonly arguments: readonly Argument[];
  readonly options: readonly Option[];
  /** Options that ask for one thing in different forms: of each list one at the most may be given. */
  readonly alternatives?: readonly (readonly string[])[];
  /** Paragraphs below the summary. */
  readonly details?: readonly string[];
  /** Keys of the document that `--json` prints, and what each says. Stable: keys are added, never changed. */
  readonly json?: { readonly [key: string]: string };
  /** Command lines that work, with what they do. */
  readonly examples?: readonly { readonly line: string; readonly says: string }[];
  /** Returns one of EXIT; throws coded errors for bad input. */
  run(call: Call): number | Promise<number>;
}

/** What commands are for, in the order in which `trapline --help` lists them. */
export const GROUPS = {
  ask: 'Questions to a trace',
  host: 'Recordings of real hosts',
  machine: 'Runs of the deterministic machine',
  file: 'Traces as files',
  start: 'To begin with',
  other: 'Commands',
} as const;

/** A row of the table of commands: what `trapline --help` needs without loading the command's rooms. */
export interface CommandEntry {
  readonly name: string;
  /** Absent: it stands among others of no group. */
  readonly group?: keyof typeof GROUPS;
  readonly summary: string;
  load(): Promise<{ readonly command: Command }>;
}

/** The option that every command which prints for a person has. */
export const JSON_OPTION: Option = {
  name: 'json',
  says: 'print one JSON document instead (64-bit values as hex strings)',
};

export const HELP_OPTION: Option = { name: 'help', short: 'h', says: 'print this help' };

/** Where a command writes a trace; the store is chosen by the name's end. */
export const OUTPUT_OPTION: Option = {
  name: 'output',
  short: 'o',
  value: 'NAME',
  says: 'trace to write: NAME.sqlite (one file) or NAME.arrow (a folder, smaller and faster)',
};

export const REPLACE_OPTION: Option = {
  name: 'replace',
  says: 'replace a trace of that name, once the new one is whole',
};
