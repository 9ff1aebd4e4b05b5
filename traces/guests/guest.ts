/** What a guest program says of itself, and how it is started. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A parameter's value: a number below 2^64, or text of up to eight characters that does not start with a digit. */
export type Value = number | bigint | string;
export type Values = Readonly<Record<string, Value>>;

export interface Parameter {
  readonly value: Value;
  /** A word may stand in place of a number. */
  readonly words?: true;
  readonly says: string;
}

/** Something that arrives from outside the machine: the same columns as the trace's `input` table. */
export interface GuestInput {
  readonly tick: number;
  readonly port: 'com1' | 'tclo';
  /** ASCII. */
  readonly text: string;
}

/**
 * How a run ends: the guest writes its code to port F4h, halts with interrupts off, shuts down by a triple fault, or goes
 * on until a budget of ticks is used up.
 */
export type Ending =
  | { readonly kind: 'exit'; readonly code: number }
  | { readonly kind: 'halt' | 'shutdown' | 'budget' };

export interface Guest {
  readonly name: string;
  readonly summary: string;
  readonly monitor: 'none' | 'ymir' | 'vmware';
  /** RAM that it needs, MiB. */
  readonly memory: number;
  /** Defaults: the same as in the source's PARAM lines. */
  readonly parameters: Readonly<Record<string, Parameter>>;
  readonly inputs: readonly GuestInput[];
  readonly ending: Ending;
  /** All that the guest prints on COM1, given the value of every parameter. A monitor may add lines of its own. */
  readonly console: (values: Values) => string;
  /** VM exits by reason that it must cause as a hypervisor, given the value of every parameter. */
  readonly exits?: (values: Values) => Readonly<Record<string, number>>;
}

/** The value of every parameter of `guest`, with `settings` in place of defaults. */
export function valuesOf(guest: Guest, settings: Values = {}): Values {
  const defaults = Object.entries(guest.parameters).map(([name, { value }]) => [name, value]);
  return { ...Object.fromEntries(defaults), ...settings };
}

/** The multiboot command line: the guest's name, then every parameter as a word `name=value`. */
export function commandLine(guest: Guest, settings: Values = {}): string {
  const words = Object.entries(valuesOf(guest, settings)).map(([name, value]) => `${name}=${value}`);
  return [guest.name, ...words].join(' ');
}

/** Reads a setting `name=value` for `guest`. What is wrong with it comes back as a sentence. */
export function readSetting(guest: Guest, word: string): { name: string; value: Value } | { fault: string } {
  const [name = '', text, ...more] = word.split('=');
  if (text === undefined || more.length > 0) return { fault: `"${word}" is not of the form name=value` };
  if (!Object.hasOwn(guest.parameters, name)) {
    const known = Object.keys(guest.parameters).join(', ') || 'none';
    return { fault: `guest ${guest.name} has no parameter "${name}"; it has: ${known}` };
  }
  const parameter = guest.parameters[name];
  const wantsNumber = typeof parameter?.value !== 'string' && !parameter?.words;
  if (wantsNumber || /^\d/.test(text)) {
    if (!/^\d+$/.test(text) || BigInt(text) >= 1n << 64n)
      return { fault: `${name}: "${text}" is no number below 2^64` };
    const number = BigInt(text);
    return { name, value: number <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(number) : number };
  }
  if (!/^[!-~]{1,8}$/.test(text))
    return { fault: `${name}: "${text}" is neither a number nor one to eight characters` };
  return { name, value: text };
}

/** Absolute path of the image of `guest`. */
export function imagePath(guest: Guest): string {
  return inPackage('traces', 'guests', `${guest.name}.img`);
}

/** Absolute path of a file of the source tree, which compiled modules lie deeper than. */
export function inPackage(...path: readonly string[]): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json')) && folder !== dirname(folder)) folder = dirname(folder);
  return join(folder, ...path);
}
