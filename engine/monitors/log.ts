/** The log of Ymir: its line format, on the host's COM1, between the lines of the guest's console. */
import type { Cpu } from '../cpu/cpu.js';
import type { Level, Tick } from '../types.js';
import { COST } from './monitor.js';

const LEVELS = { debug: '[DEBUG]', info: '[INFO ]', warn: '[WARN ]', error: '[ERROR]' } as const;
export type LogLevel = keyof typeof LEVELS;

const SCOPE_WIDTH = 7;

/** `[LEVEL] scope   | text`; a scope of more than 7 characters loses its rest and is followed by `-| `. */
export function logLine(level: LogLevel, scope: string, text: string): string {
  const fits = scope.length <= SCOPE_WIDTH;
  const place = fits ? `${scope.padEnd(SCOPE_WIDTH)} | ` : `${scope.slice(0, SCOPE_WIDTH)}-| `;
  return `${LEVELS[level]} ${place}${text}\n`;
}

/** Text as bytes, one a character. */
export const latin1 = (text: string): Uint8Array =>
  Uint8Array.from(text, (character) => character.charCodeAt(0) & 0xff);

const COM1 = 0x3f8;

/** Writes a line to COM1 as the monitor's own OUT instructions would, and tells the observer. */
export function log(cpu: Cpu, level: LogLevel, scope: string, text: string): void {
  const line = logLine(level, scope, text);
  const body = latin1(line);
  for (const byte of body) {
    cpu.spend(COST.character);
    cpu.ports.out(COM1, 1, byte);
  }
  cpu.observer.message({
    tick: cpu.tick as Tick,
    vcpu: cpu.index,
    level: cpu.level as Level,
    protocol: 'log',
    channel: 0,
    direction: 1,
    body,
  });
}
