/** Failed entries of a recorded run: explained from the VMCS as of the event, and printed as hypervisors print it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { findDumps } from '../../../analyzer/explain/find.js';
import { explain } from '../../../analyzer/explain/log.js';
import { PRINTED_AS, printVmcs } from '../../../analyzer/explain/print.js';
import { PROCESSORS } from '../../../analyzer/explain/processors.js';
import { explainRecorded, type RecordedExplanation, vmcsOfEvents } from '../../../analyzer/explain/recorded.js';
import { EVENT_KINDS } from '../../../engine/observer.js';
import { fieldByEncoding } from '../../../engine/vmx/fields.js';
import { openTrace } from '../../../traces/open.js';
import type { Row, TraceReader } from '../../../traces/store.js';
import { brief, record } from '../../recorder/run/scene.js';

/**
 * What the guest `hypervisor` does wrong in each entry that must fail, and the rule of the Intel SDM, Vol. 3C, chapter
 * "VM Entries", that forbids it, in the guest's order. The guest itself prints error or exit reason as it read them.
 */
const FAULTS: readonly (readonly [name: string, field: string, ...rules: readonly string[]])[] = [
  ['ctl', 'PIN_BASED_VM_EXEC_CONTROL', 'controls.pin.reserved'],
  ['ept', 'EPT_POINTER', 'controls.eptp.walk'],
  ['inject', 'VM_ENTRY_INTR_INFO_FIELD', 'controls.injection.type'],
  ['hostcr0', 'HOST_CR0', 'host.cr0.fixed'],
  ['hosttr', 'HOST_TR_SELECTOR', 'host.tr.null'],
  ['gdtr', 'GUEST_GDTR_BASE', 'guest.gdtr.base'],
  // PG is 1 and all else is 0.
  ['cr0', 'GUEST_CR0', 'guest.cr0.fixed', 'guest.cr0.paging_needs_protection'],
  ['rflags', 'GUEST_RFLAGS', 'guest.rflags.bit1'],
  ['activity', 'GUEST_ACTIVITY_STATE', 'guest.activity.supported'],
  // Blocking by STI and by MOV SS at once, with RFLAGS.IF 0.
  [
    'blocking',
    'GUEST_INTERRUPTIBILITY_INFO',
    'guest.interruptibility.sti_and_mov_ss',
    'guest.interruptibility.sti_needs_if',
  ],
  ['link', 'VMCS_LINK_POINTER', 'guest.link.aligned'],
  // FS_BASE in the VM-entry MSR-load area.
  ['msrload', '', 'msr_load.segment_base'],
];

let folder = '';
let path = '';
let said: string[] = [];
let explanation: RecordedExplanation;

function reading<T>(of: string, ask: (reader: TraceReader) => T): T {
  const reader = openTrace(of);
  try {
    return ask(reader);
  } finally {
    reader.close();
  }
}

const eventAt = (seq: number): Row =>
  reading(path, (reader) => {
    for (const chunk of reader.chunks('event', { from: seq, to: seq + 1 })) return chunk.row(seq - chunk.first);
    throw new RangeError(`no event ${seq}`);
  });

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'trapline-explain-'));
  path = join(folder, 'run.sqlite');
  const scene = brief('hypervisor');
  const settings = { ...scene.settings, fail: 'all', timer: 0, window: 0 };
  const { text } = await record(path, { ...scene, settings });
  // An entry that was not launched fails before any check of state: it is none of these.
  said = text.split('\n').filter((line) => line.startsWith('fail ') && !line.startsWith('fail resume'));
  explanation = reading(path, (reader) => explainRecorded(reader, null));
});
after(() => rmSync(folder, { recursive: true, force: true }));

describe('failed entries of a recorded run', () => {
  it('are all found, with the error or exit reason that the guest read', () => {
    assert.equal(explanation.dumps.length, FAULTS.length);
    assert.equal(said.length, FAULTS.length);
    for (const [i, { outcome }] of explanation.dumps.entries()) {
      const words = (said[i] ?? '').split(' ');
      assert.equal(words[1], FAULTS[i]?.[0]);
      if (words.includes('VM-instruction')) assert.equal(outcome.error, Number(words.at(-1)));
      else {
        assert.equal(outcome.reason, BigInt(`0x${words[4]}`));
        assert.equal(outcome.qualification, BigInt(words.at(-1) ?? ''));
      }
    }
  });

  it('name the rules that the guest broke, and nothing else', () => {
    for (const [i, { violated, verdict }] of explanation.dumps.entries()) {
      const [name, field, ...rules] = FAULTS[i] ?? [];
      assert.equal(verdict, 'violated', name);
      assert.deepEqual(
        violated.map(({ id }) => id),
        rules,
      );
      assert.ok(field === '' || violated[0]?.values.some((value) => value.field === field), name);
    }
  });

  it('leave nothing undecided but what WRMSR takes: processor, memory and every field are there', () => {
    for (const { undecidable, suspects } of explanation.dumps) {
      const open = undecidable.filter(({ stage }) => stage !== 'msr').map(({ id }) => id);
      assert.deepEqual([open, suspects.length], [[], 0]);
    }
  });

  it('name the last VMWRITE of each field, which is that event of the trace', () => {
    for (const { writes, event, violated } of explanation.dumps) {
      for (const { field, seq, value, rip } of writes) {
        const row = eventAt(seq);
        assert.equal(row.kind, EVENT_KINDS.vmwrite);
        assert.equal(fieldByEncoding(Number(row.code))?.name, field);
        assert.deepEqual([row.value, row.rip], [value, rip]);
        assert.ok(seq < event);
        const read = violated.flatMap(({ values }) => values).find((one) => one.field === field);
        assert.equal(value, read?.value);
      }
    }
    for (const [i, { writes }] of explanation.dumps.entries()) {
      const field = FAULTS[i]?.[1] ?? '';
      assert.ok(field === '' || writes.some((write) => write.field === field), field);
    }
  });
});

describe('the VMCS as of an event', () => {
  it('of an exit is valid, and its exit reason is that of the event', () => {
    const exits = reading(path, (reader) => {
      const found: number[] = [];
      for (const chunk of reader.chunks('event')) {
        for (let i = 0; i < chunk.rows; i++) if (chunk.row(i).kind === EVENT_KINDS.exit) found.push(chunk.first + i);
      }
      return found;
    });
    for (const seq of [exits[0] ?? 0, exits.at(-1) ?? 0]) {
      const { dumps } = reading(path, (reader) => explainRecorded(reader, seq));
      assert.equal(dumps[0]?.outcome.reason, eventAt(seq).reason);
      assert.equal(dumps[0]?.verdict, 'valid');
    }
  });

  it('is refused where there is none, or no such event', () => {
    reading(path, (reader) => {
      assert.throws(() => explainRecorded(reader, 10_000_000), { code: 'NO_VMCS' });
      assert.throws(() => explainRecorded(reader, 0), { code: 'NO_VMCS' });
    });
  });

  it('a run without a failed entry says so', async () => {
    const fine = join(folder, 'fine.sqlite');
    await record(fine, brief('cpuid'));
    reading(fine, (reader) => assert.throws(() => explainRecorded(reader, null), { code: 'NO_FAILURE' }));
  });
});

describe('printed dumps', () => {
  for (const as of PRINTED_AS) {
    it(`${as}: what is printed is read back, value by value`, () => {
      const found = reading(path, (reader) => vmcsOfEvents(reader, null));
      assert.equal(found.length, FAULTS.length);
      for (const { vmcs, error } of found) {
        const [dump, ...others] = findDumps(printVmcs(as, vmcs, error).join('\n'));
        assert.ok(dump);
        assert.deepEqual([others.length, dump.damage], [0, []]);
        // Linux and Xen print some 80 to 100 fields of a guest with EPT.
        const fields = [...dump.values].filter(([name]) => vmcs.fields.has(name));
        assert.ok(fields.length > 75, String(fields.length));
        for (const [name, { value }] of fields) assert.equal(value, vmcs.fields.get(name), name);
        const efer = dump.values.get('efer.list')?.value;
        if (efer !== undefined) assert.equal(efer, vmcs.efer);
      }
    });

    it(`${as}: a printed dump gets the answer of the run, as far as it holds the fields`, () => {
      const cpu = PROCESSORS.get('trapline-skylake');
      const found = reading(path, (reader) => vmcsOfEvents(reader, null));
      for (const [i, { vmcs, error }] of found.entries()) {
        const [name, , ...rules] = FAULTS[i] ?? [];
        // No program prints the VMCS link pointer, or the MSR-load area as a field.
        if (name === 'link' || name === 'msrload') continue;
        const { dumps } = explain(printVmcs(as, vmcs, error).join('\n'), as, { processor: cpu });
        const ids = dumps[0]?.violated.map((finding) => finding.id);
        assert.deepEqual(ids, rules, name);
      }
    });
  }
});
