/**
 * Which exit an event serves. Between an exit and the entry that answers it, the code of the handler's level works for
 * that exit; where a hypervisor reflects an exit of its guest's guest, the guest's own code works for it from then on,
 * with exits of its own. So the events of a run form trees, and each event carries its parent.
 */
import { EVENT_KINDS } from '../observer.js';
import type { Cpu } from './cpu.js';
import { S } from './layout.js';

/** Levels that have a slot. */
const LEVELS = 4;
/** A slot holds seq + 1 of the exit, plus its level times this; 0: the level serves no exit. */
const LEVEL_UNIT = 2 ** 44;

const slot = (level: number): number => S.SERVES + 8 * level;

/** Counts the event in `cpu.record`, names its parent, and follows exits and entries. */
export function linkToExit(cpu: Cpu): void {
  const { record } = cpu;
  const seq = cpu.number(S.EVENTS);
  cpu.setNumber(S.EVENTS, seq + 1);
  const { fromLevel, toLevel } = record;
  const serves = fromLevel < LEVELS ? cpu.number(slot(fromLevel)) : 0;
  if (serves !== 0) record.setNumber('parent', (serves % LEVEL_UNIT) - 1);
  if (record.kind === EVENT_KINDS.exit) {
    if (toLevel < LEVELS) cpu.setNumber(slot(toLevel), seq + 1 + fromLevel * LEVEL_UNIT);
  } else if (record.kind === EVENT_KINDS.entry) {
    for (let level = 0; level < Math.min(toLevel, LEVELS); level++) cpu.setNumber(slot(level), 0);
    const reflected = serves !== 0 && toLevel < Math.floor(serves / LEVEL_UNIT);
    if (reflected) cpu.setNumber(slot(toLevel), serves);
  }
}
