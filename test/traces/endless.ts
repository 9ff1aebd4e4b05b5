/**
 * Records until it is killed, or as many chunks as the third word says; says so once the first chunks are on their way.
 * Started by writing.test.ts.
 */
import { createTrace } from '../../traces/open.js';
import { CHUNK_ROWS } from '../../traces/schema.js';

const writer = createTrace(process.argv[2] ?? '', { replace: process.argv[3] === 'replace' });
writer.setRun('source', 'endless');
const event = writer.table('event');
const input = writer.table('input');
const end = Number(process.argv[4] ?? Number.POSITIVE_INFINITY) * CHUNK_ROWS.event;
for (let seq = 0; seq < end; seq++) {
  event.row({ seq, tick: seq * 3, vcpu: 0, kind: 1, rip: 0x1000 + (seq % 100) });
  if (seq % 1000 === 0) input.row({ tick: seq * 3, port: 'com1', bytes: Uint8Array.of(seq & 0xff) });
  if (seq % CHUNK_ROWS.event === 0) writer.flush();
  if (seq === 3 * CHUNK_ROWS.event) process.stdout.write('recording\n');
}
writer.finish();
