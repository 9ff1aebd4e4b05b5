/** What an import came to, in words. */
import type { ImportResult } from '../recorder/import/result.js';
import type { Output } from './output.js';
import { formatNumber } from './table.js';

const count = (n: number, one: string, many = `${one}s`): string => `${formatNumber(n)} ${n === 1 ? one : many}`;

/** A recorder may say that events are missing and not how many. */
const lostEvents = (lost: number): string => (lost === 0 ? 'events' : count(lost, 'event'));

/** What came in, in words; counts of zero are left out but for the exits, to which a failed entry is added. */
export function describeCounts({ counts }: Pick<ImportResult, 'counts'>): string {
  const { exits, failedEntries: failed } = counts;
  const endings = [
    exits === 0 && failed > 0 ? '' : count(exits, 'exit'),
    failed === 0 ? '' : count(failed, 'failed entry', 'failed entries'),
  ];
  const parts = [
    count(counts.events - counts.gaps, 'event'),
    endings.filter((part) => part !== '').join(' and '),
    counts.nestedExits === 0 ? '' : count(counts.nestedExits, 'nested exit'),
    counts.threads === 0 ? '' : count(counts.threads, 'thread'),
    counts.gaps === 0 ? '' : `${lostEvents(counts.lost)} lost in ${count(counts.gaps, 'gap')}`,
    counts.damaged === 0 ? '' : count(counts.damaged, counts.lines === 0 ? 'damaged place' : 'damaged line'),
    counts.frames === 0 ? '' : `${count(counts.frames, 'call-chain line')} left out`,
  ];
  return parts.filter((part) => part !== '').join(', ');
}

/** Remarks on the input, each on a line of its own. */
export function printNotes(out: Output, result: Pick<ImportResult, 'notes'>): void {
  for (const { line, says } of result.notes) out.note(line === null ? says : `line ${line}: ${says}`);
}
