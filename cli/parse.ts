/** Strict parsing of a command line by a command's table of options. */
import { nearest } from '../analyzer/nearest.js';
import { type Argument, type Call, type Command, HELP_OPTION, type Option } from './command.js';
import { CliError } from './errors.js';
import type { Output } from './output.js';

const spell = (option: Option): string => `--${option.name}`;

function find(options: readonly Option[], word: string, command: string): Option {
  const option = word.startsWith('--')
    ? options.find((candidate) => spell(candidate) === word)
    : options.find((candidate) => candidate.short !== undefined && `-${candidate.short}` === word);
  if (option !== undefined) return option;
  const close = nearest(
    word.replace(/^--?/, ''),
    options.map(({ name }) => name),
  );
  const meant = options.find(({ name }) => name === close);
  const advice = meant === undefined ? null : `did you mean ${spell(meant)}?`;
  throw new CliError('UNKNOWN_OPTION', `${command} ${word}`, null, advice);
}

function checkArguments(args: readonly string[], table: readonly Argument[], command: string): void {
  const missing = table[args.length];
  if (
    missing !== undefined &&
    missing.optional !== true &&
    !(missing.repeats === true && args.length >= table.length)
  ) {
    throw new CliError('MISSING_ARGUMENT', `${command} ${missing.name}`, missing.says);
  }
  const extra = args[table.length];
  if (extra !== undefined && table.at(-1)?.repeats !== true)
    throw new CliError('UNEXPECTED_ARGUMENT', `${command} ${extra}`);
}

/** What is silently left out would be taken for the answer. */
function checkAlternatives(given: ReadonlyMap<string, unknown>, { alternatives = [] }: Parsing, command: string): void {
  for (const names of alternatives) {
    const asked = names.filter((name) => given.has(name)).map((name) => `--${name}`);
    if (asked.length > 1) {
      throw new CliError('BAD_VALUE', `${command} ${asked.join(' ')}`, 'one excludes the other', 'give one of them');
    }
  }
}

/** What of a command says how its words are read. */
type Parsing = Pick<Command, 'arguments' | 'options' | 'alternatives'>;

export interface Parsed {
  readonly args: readonly string[];
  readonly given: ReadonlyMap<string, readonly string[]>;
}

/** Splits words into options and arguments; throws CliError. `--help` wins over missing arguments. */
export function parse(words: readonly string[], command: string, spec: Parsing): Parsed {
  const options = [...spec.options, HELP_OPTION];
  const args: string[] = [];
  const given = new Map<string, string[]>();
  let plain = false;
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? '';
    if (plain || word === '-' || !word.startsWith('-')) {
      args.push(word);
    } else if (word === '--') {
      plain = true;
    } else {
      const equals = word.indexOf('=');
      const name = equals < 0 ? word : word.slice(0, equals);
      const option = find(options, name, command);
      let value = equals < 0 ? null : word.slice(equals + 1);
      if (option.value === undefined) {
        if (value !== null) throw new CliError('UNEXPECTED_VALUE', `${command} ${word}`);
      } else if (value === null) {
        i += 1;
        value = words[i] ?? null;
        if (value === null)
          throw new CliError('MISSING_VALUE', `${command} ${name}`, null, `write ${name} ${option.value}`);
      }
      const values = given.get(option.name) ?? [];
      if (values.length > 0 && option.repeats !== true && option.value !== undefined) {
        throw new CliError('REPEATED_OPTION', `${command} ${name}`);
      }
      given.set(option.name, [...values, value ?? '']);
    }
  }
  if (!given.has(HELP_OPTION.name)) {
    checkArguments(args, spec.arguments, command);
    checkAlternatives(given, spec, command);
  }
  return { args, given };
}

/** Reads an integer as a person writes it; null where it is none. */
export function readInteger(text: string): number | null {
  if (!/^(0x[0-9a-f]+|[0-9][0-9_,]*)$/i.test(text)) return null;
  const value = Number(text.replace(/[_,]/g, ''));
  return Number.isSafeInteger(value) ? value : null;
}

export function makeCall(command: string, spec: Command, parsed: Parsed, out: Output): Call {
  const values = (name: string): readonly string[] => {
    if (!spec.options.some((option) => option.name === name))
      throw new Error(`command ${command} has no option ${name}`);
    return parsed.given.get(name) ?? [];
  };
  return {
    command,
    args: parsed.args,
    out,
    flag: (name) => values(name).length > 0,
    value: (name) => values(name)[0] ?? null,
    needed(name) {
      const value = values(name)[0];
      if (value !== undefined) return value;
      const option = spec.options.find((candidate) => candidate.name === name);
      const advice = `write --${name} ${option?.value ?? ''}`.trimEnd();
      throw new CliError('MISSING_OPTION', `${command} --${name}`, option?.says ?? null, advice);
    },
    values,
    integer(name, min, max) {
      const text = values(name)[0];
      if (text === undefined) return null;
      const value = readInteger(text);
      if (value === null || value < min || value > max) {
        throw new CliError('BAD_VALUE', `${command} --${name} ${text}`, `an integer from ${min} to ${max} is meant`);
      }
      return value;
    },
  };
}
