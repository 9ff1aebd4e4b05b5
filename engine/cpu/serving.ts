/**
 * Which exit an event serves. Between an exit and the entry that answers it, the code of the handler's level works for
 * that exit; where a hypervisor reflects an exit of its guest's guest, the guest's own code works for it from then on,
 * with exits of its own. So the events of a run form trees, and each event carries its parent.
 */
import { EVENT_KINDS, FIELD_INDEX } from '../observer.js';
import type { Cpu } from './cpu.js';
import { S } from './layout.js';

/** Levels that have a slot. */
const LEVELS = 4;
/**
 * A slot holds seq + 1 of the exit in its low 44 bits, and its level above; 0: the level serves no exit. Both halves of
 * a slot are taken by themselves: events come by the million.
 */
const LEVEL_SHIFT = 12;
const HIGH_SEQ = (1 << LEVEL_SHIFT) - 1;

const slot = (level: number): number => S.SERVES + 8 * level;

/** Counts the event in `cpu.record`, names its parent, and follows exits and entries. */
export function linkToExit(cpu: Cpu): void {
  const { record, state } = cpu;
  const nextLow = (state.getUint32(S.EVENTS, true) + 1) >>> 0;
  const nextHigh = state.getUint32(S.EVENTS + 4, true) + (nextLow === 0 ? 1 : 0);
  state.setUint32(S.EVENTS, nextLow, true);
  state.setUint32(S.EVENTS + 4, nextHigh, true);
  const { fromLevel, toLevel } = record;
  const from = slot(fromLevel);
  const low = fromLevel < LEVELS ? state.getUint32(from, true) : 0;
  const high = fromLevel < LEVELS ? state.getUint32(from + 4, true) : 0;
  if ((low | high) !== 0) record.setAt(FIELD_INDEX.parent, low - 1, (high & HIGH_SEQ) - (low === 0 ? 1 : 0));
  if (record.kind === EVENT_KINDS.exit) {
    if (toLevel >= LEVELS) return;
    state.setUint32(slot(toLevel), nextLow, true);
    state.setUint32(slot(toLevel) + 4, nextHigh | (fromLevel << LEVEL_SHIFT), true);
  } else if (record.kind === EVENT_KINDS.entry) {
    for (let level = 0; level < Math.min(toLevel, LEVELS); level++) cpu.setU32(slot(level), 0);
    if (toLevel >= high >>> LEVEL_SHIFT) return;
    state.setUint32(slot(toLevel), low, true);
    state.setUint32(slot(toLevel) + 4, high, true);
  }
}
