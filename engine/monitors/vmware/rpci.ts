/** What the host answers to RPCI commands: `1 ` and data, or `0 ` and why not. Source: open-vm-tools, lib/rpcOut. */

/** Variables of all guests together; a guest cannot make the host keep more. */
const MAX_VARIABLES = 1024;
const MAX_BYTES = 1 << 20;
const PREFIX = 'guestinfo.';

/** Commands that clients send to tell of themselves, and for which there is nothing to do. */
const ACCEPTED: readonly string[] = [
  'SetGuestInfo ',
  'guest.log.',
  'tools.capability.',
  'tools.os.statechange.status',
  'tools.set.version',
  'update.tools.health',
  'vmbackup.eventSet',
  'vmx.capability.',
];

export interface RpciAnswer {
  readonly ok: boolean;
  readonly text: string;
}
const ok = (text = ''): RpciAnswer => ({ ok: true, text });
const no = (text: string): RpciAnswer => ({ ok: false, text });

export class Rpci {
  /** Values by name without its prefix, in the order in which they were first set. */
  variables: Map<string, string>;
  readonly #log: (text: string) => void;

  constructor(variables: ReadonlyMap<string, string>, log: (text: string) => void) {
    this.variables = new Map(variables);
    this.#log = log;
  }

  /** Answers a command as Latin-1 text; what follows a NUL is padding. */
  answer(command: string): RpciAnswer {
    const text = command.split('\0', 1)[0] ?? '';
    const space = text.indexOf(' ');
    const name = space < 0 ? text : text.slice(0, space);
    const rest = space < 0 ? '' : text.slice(space + 1);
    if (name === 'info-get') return this.#get(rest.trim());
    if (name === 'info-set') return this.#set(rest);
    if (name === 'log') {
      this.#log(rest);
      return ok();
    }
    return ACCEPTED.some((prefix) => text.startsWith(prefix)) ? ok() : no('Unknown command');
  }

  #get(name: string): RpciAnswer {
    const value = name.startsWith(PREFIX) ? this.variables.get(name.slice(PREFIX.length)) : undefined;
    return value === undefined ? no('No value found') : ok(value);
  }

  #set(rest: string): RpciAnswer {
    const space = rest.indexOf(' ');
    const name = space < 0 ? rest : rest.slice(0, space);
    const value = space < 0 ? '' : rest.slice(space + 1);
    if (!name.startsWith(PREFIX) || name === PREFIX) return no('Permission denied');
    const key = name.slice(PREFIX.length);
    const others = [...this.variables].filter(([other]) => other !== key);
    const bytes = others.reduce((sum, [other, text]) => sum + other.length + text.length, key.length + value.length);
    if (others.length >= MAX_VARIABLES || bytes > MAX_BYTES) return no('GuestInfo limit exceeded');
    this.variables.set(key, value);
    return ok();
  }
}
