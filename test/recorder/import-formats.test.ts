/** Every event of kvm and kvmmmu that a kernel has: each of its fields is in a column or kept with its name. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type EventFormat, Formats, parseFormat } from '../../recorder/import/binary/formats.js';
import { Intake } from '../../recorder/import/binary/intake.js';
import { bytesInMemory } from '../../recorder/import/binary/scanner.js';
import { TraceDat } from '../../recorder/import/binary/tracedat.js';
import { TRACEPOINTS } from '../../recorder/import/kvm/table.js';
import { usesOf } from '../../recorder/import/kvm/tracepoint.js';
import { memorySource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { fixturePath, sharedPath } from './import-helpers.js';

/** Text of the row of a record whose every byte is 1. */
function textOf(format: EventFormat, source: string): string {
  const bytes = new Uint8Array(format.size + 32).fill(1);
  for (const { dynamic, offset } of format.fields)
    if (dynamic !== null) new DataView(bytes.buffer).setUint32(offset, (8 << 16) | format.size, true);
  let text = '';
  const writer = new StreamWriter((chunk) => {
    text = String(chunk.row(0).text ?? '');
  });
  const formats = new Formats();
  formats.add(format.system, source);
  const intake = new Intake(() => writer, true, {});
  const program = intake.program(format.id, formats);
  intake.record(program, new DataView(bytes.buffer), 0, bytes.length, 0, 0, true, 1, -1, 0);
  assert.equal(program.long, program.steps.length); // what lies behind the steps is slow to look at
  intake.finish(memorySource(bytes), 'test');
  return text;
}

/** Uses whose columns hold a part of the field. */
const PARTS: ReadonlySet<string> = new Set(['level', 'vector', 'destination', 'msi_destination']);

function checkKept(system: string, source: string): void {
  const format = parseFormat(system, source);
  assert.ok(format !== null, source.slice(0, 100));
  const text = textOf(format, source);
  const event = TRACEPOINTS[format.name];
  for (const { name } of format.fields) {
    if (name.startsWith('common_')) continue;
    const filled = event?.fields[name];
    if (filled === undefined || usesOf(filled).some(([use]) => use === 'rare' || PARTS.has(use)))
      assert.ok(text.includes(`${name}=`), `${format.name}.${name}: ${text}`);
  }
  if (event === undefined) assert.ok(text.includes(`${format.name}:`), text);
  for (const names of event?.needs ?? [])
    assert.ok(
      names.split('|').some((name) => format.fields.some((field) => field.name === name)),
      `${format.name} has none of ${names}`,
    );
}

describe('events of a kernel', () => {
  const folder = sharedPath('tracefs-6.18');
  const files = folder === null ? [] : readdirSync(folder).filter((name) => name.startsWith('kvm'));
  it('of Linux 6.18: all of them', {
    skip: folder === null && 'the shared collection of real data is not here',
  }, () => {
    assert.ok(files.length > 100);
    for (const file of files) checkKept(file.split('.')[0] ?? '', readFileSync(join(folder ?? '', file), 'utf8'));
  });

  it('of Linux 6.1, as a recording has them', () => {
    const file = readFileSync(fixturePath('svm-nested.trace.dat'));
    const { formats } = new TraceDat(bytesInMemory(file, 'fixture'));
    const all = [...formats.all()];
    assert.ok(all.filter(({ system }) => system === 'kvm').length > 10);
    for (const { system, text } of all) checkKept(system, text);
  });
});
