/** `trapline guests`: the guest programs that come with Trapline, and what can be set. */
import { nearest } from '../analyzer/nearest.js';
import { GUESTS } from '../traces/guests/catalogue.js';
import type { Guest } from '../traces/guests/guest.js';
import { type Command, EXIT, JSON_OPTION } from './command.js';
import { CliError } from './errors.js';
import type { Output } from './output.js';
import { WIDTH, wrap } from './wrap.js';

/** A guest by name; throws CliError UNKNOWN_GUEST. */
export function findGuest(name: string): Guest {
  const guest = GUESTS.get(name);
  if (guest !== undefined) return guest;
  const close = nearest(name, [...GUESTS.keys()]);
  throw new CliError('UNKNOWN_GUEST', name, null, close === null ? null : `did you mean ${close}?`);
}

function list(out: Output, rows: readonly (readonly [name: string, says: string])[]): void {
  const indent = Math.max(...rows.map(([name]) => name.length)) + 2;
  for (const [name, says] of rows) {
    for (const [i, line] of wrap(says, WIDTH - indent - 2).entries()) {
      const head = (i === 0 ? name : '').padEnd(indent);
      out.line(`  ${i === 0 ? out.paint('cyan', head) : head}${line}`);
    }
  }
}

function describe(out: Output, guest: Guest): void {
  for (const line of wrap(`${guest.name}: ${guest.summary}`, WIDTH)) out.title(line);
  out.line(`monitor ${guest.monitor}, ${guest.memory} MiB of RAM, ends by ${guest.ending.kind}`);
  const parameters = Object.entries(guest.parameters);
  if (parameters.length > 0) {
    out.line();
    out.title('Parameters (--set name=value)');
    list(
      out,
      parameters.map(([name, { value, says }]) => [`${name}=${value}`, says]),
    );
  }
  if (guest.inputs.length > 0) {
    out.line();
    out.title('Inputs');
    list(
      out,
      guest.inputs.map(({ tick, port, text }) => [`tick ${tick}`, `${port} ${JSON.stringify(text)}`]),
    );
  }
}

const plain = ({ name, summary, monitor, memory, parameters, inputs, ending }: Guest) => ({
  name,
  summary,
  monitor,
  memory,
  parameters,
  inputs,
  ending,
});

export const command: Command = {
  arguments: [{ name: 'GUEST', says: 'one of them, to see its parameters', optional: true }],
  options: [JSON_OPTION],
  json: {
    name: 'of the guest; without GUEST the document is an array of all',
    summary: 'what it does',
    monitor: 'the monitor it is made for',
    memory: 'RAM in MiB',
    parameters: 'by name: { value, says }',
    inputs: 'what arrives while it runs: { tick, port, text }',
    ending: 'how its run ends',
  },
  run({ args: [name], flag, out }) {
    if (name !== undefined) {
      const guest = findGuest(name);
      if (flag('json')) out.json(plain(guest));
      else describe(out, guest);
    } else if (flag('json')) {
      out.json([...GUESTS.values()].map(plain));
    } else {
      list(
        out,
        [...GUESTS.values()].map(({ name, summary }) => [name, summary]),
      );
    }
    return EXIT.holds;
  },
};
