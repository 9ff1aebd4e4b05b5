/** Traces for the tests of exports, written through the store. */
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { TextSink } from '../../../analyzer/export/document.js';
import { EVENT_KINDS } from '../../../engine/observer.js';
import { createTrace, openTrace } from '../../../traces/open.js';
import type { Row, TraceReader } from '../../../traces/store.js';
import { scratch } from '../../traces/rows.js';
import type { EventDraft } from '../profile-helpers.js';

/** A trace of these events, closed when the test ends. */
export function traceOf(test: TestContext, events: readonly EventDraft[]): TraceReader {
  return rowsTrace(
    test,
    events.map(({ kind, ...cells }, seq) => ({ seq, vcpu: 0, kind: EVENT_KINDS[kind], ...cells })),
  );
}

/** A trace of these rows of the event table as they are. */
export function rowsTrace(test: TestContext, rows: readonly Row[]): TraceReader {
  const path = join(scratch(test), 't.arrow');
  const writer = createTrace(path);
  const table = writer.table('event');
  for (const row of rows) table.row(row);
  writer.finish();
  const reader = openTrace(path);
  test.after(() => reader.close());
  return reader;
}

/** Text that an export wrote. */
export class Paper implements TextSink {
  text = '';
  write(text: string): void {
    this.text += text;
  }
}
