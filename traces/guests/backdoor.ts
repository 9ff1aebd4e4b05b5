/** What the guest `backdoor` must print when the monitor does everything right. */
import type { Values } from './guest.js';

const COMMANDS = [
  'GETVERSION is 6',
  'GETVERSION gives the magic',
  'unknown command is refused',
  'unknown command changes nothing else',
  'wrong magic is refused',
  'wrong magic changes nothing else',
  'any other port is #GP',
];
const SET_AND_GET = ['info-set', 'info-set answers 1', 'info-get', 'info-get answers the value'];
const CHANNELS = [
  'info-get of nothing answers 0',
  'unknown RPCI command',
  'RPCI opens again',
  'wrong cookie is refused',
  'RPCI closes',
  'closed channel is refused',
  'RFLAGS and RBP are kept',
];

/** Its console, given the value of every parameter, when the host sends `reset` and then `ping`. */
export function backdoorConsole(values: Values): string {
  const ok = (checks: readonly string[]): string[] => checks.map((check) => `${check}: ok`);
  const asked = ['TCLO: reset', 'TCLO: ping'].slice(0, Number(values.tclo ?? 0));
  const messages = asked.length > 0 ? ['TCLO opens: ok', ...asked, 'TCLO closes: ok'] : [];
  const lines = [...ok(COMMANDS), ...ok(SET_AND_GET), `info-get: 1 ${values.value}`, ...ok(CHANNELS), ...messages];
  return lines.map((line) => `${line}\n`).join('');
}
