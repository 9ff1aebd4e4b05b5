/** `--help`, made from the tables of commands and options. */
import { type Argument, type Command, type CommandEntry, GROUPS, HELP_OPTION, type Option } from './command.js';
import type { Output } from './output.js';
import { WIDTH, wrap } from './wrap.js';

/** Names with what they say beside them, `indent` columns from the left. */
function list(
  out: Output,
  rows: readonly (readonly [string, string])[],
  indent = Math.min(30, Math.max(...rows.map(([name]) => name.length)) + 4),
): void {
  for (const [name, says] of rows) {
    const [first = '', ...rest] = wrap(says, WIDTH - indent);
    const head = `  ${name}`;
    if (head.length + 2 > indent) {
      out.line(head);
      out.line(' '.repeat(indent) + first);
    } else {
      out.line(head.padEnd(indent) + first);
    }
    for (const line of rest) out.line(' '.repeat(indent) + line);
  }
}

const spellArgument = ({ name, optional, repeats }: Argument): string => {
  const text = repeats === true ? `${name}...` : name;
  return optional === true ? `[${text}]` : text;
};

const spellOption = ({ name, short, value }: Option): string =>
  `${short === undefined ? '    ' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`;

export function printCommandHelp(out: Output, entry: CommandEntry, command: Command): void {
  const usage = ['trapline', entry.name, ...command.arguments.map(spellArgument), '[options]'].join(' ');
  out.line(`${out.paint('bold', 'Usage:')} ${usage}`);
  out.line();
  for (const line of wrap(entry.summary, WIDTH)) out.line(line);
  for (const paragraph of command.details ?? []) {
    out.line();
    for (const line of wrap(paragraph, WIDTH)) out.line(line);
  }
  if (command.arguments.length > 0) {
    out.line();
    out.title('Arguments');
    list(
      out,
      command.arguments.map((argument) => [argument.name, argument.says]),
    );
  }
  out.line();
  out.title('Options');
  list(
    out,
    [...command.options, HELP_OPTION].map((option) => [spellOption(option), option.says]),
  );
  if (command.json !== undefined) {
    out.line();
    out.title('JSON');
    list(out, Object.entries(command.json));
  }
  for (const [i, example] of (command.examples ?? []).entries()) {
    if (i === 0) {
      out.line();
      out.title('Examples');
    }
    out.line(`  ${example.line}`);
    for (const line of wrap(example.says, WIDTH - 6)) out.line(`      ${out.paint('dim', line)}`);
  }
}

/** The way from a recording to answers. */
const FROM_A_HOST = [
  "perf record -e 'kvm:*' -a -- sleep 10     (or trace-cmd record -e kvm)",
  'trapline import perf.data -o kvm.arrow    (or trace.dat)',
  'trapline profile kvm.arrow',
  'trapline serve kvm.arrow',
] as const;
const ENDING =
  'trapline COMMAND --help says more of each. Exit codes: 0 it holds, 1 it does not (a difference, a budget exceeded), ' +
  '2 the input or the call is wrong.';

export function printHelp(out: Output, entries: readonly CommandEntry[]): void {
  out.line(`${out.paint('bold', 'trapline')}: rr for hypervisors, and perf for VM exits`);
  out.line();
  out.line(`${out.paint('bold', 'Usage:')} trapline COMMAND [arguments] [options]`);
  out.line();
  const indent = Math.max(...entries.map(({ name }) => name.length)) + 4;
  for (const [group, title] of Object.entries(GROUPS)) {
    const rows = entries
      .filter((entry) => (entry.group ?? 'other') === group)
      .map(({ name, summary }) => [name, summary] as const);
    if (rows.length === 0) continue;
    out.title(title);
    list(out, rows, indent);
    out.line();
  }
  out.title('From a real host');
  for (const line of FROM_A_HOST) out.line(`  ${line}`);
  out.line();
  for (const line of wrap(ENDING, WIDTH)) out.line(line);
}
