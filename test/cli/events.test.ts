/** `trapline events`, held against what trace-cmd itself printed of the same recording. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it, test } from 'node:test';
import { command } from '../../cli/events.js';
import { fixturePath } from '../recorder/import-helpers.js';
import { scratch } from '../traces/rows.js';
import { call, MAIN } from './process.js';

const RECORDING = fixturePath('svm-nested.trace.dat');
const REPORT = fixturePath('svm-nested.report.txt');

/** A line of `trace-cmd report`: time, event, what it says. */
const printed = readFileSync(REPORT, 'utf8')
  .split('\n')
  .flatMap((line) => {
    const [, time, name, says] = /^ +\S+ +\[\d+\] +([\d.]+): (\w+): *(.*)$/.exec(line) ?? [];
    return time === undefined || name === undefined || says === undefined ? [] : [{ time, name, says }];
  });

const linesOf = (out: string): string[] => out.split('\n').slice(0, -1);
const columnsOf = (line: string): string[] => line.trim().split(/ {2,}/);
const named = (text: string, name: string): string | undefined => new RegExp(`(?:^| )${name}=(\\S+)`).exec(text)?.[1];

/** What trace-cmd prints of an event, and the same as Trapline names it. */
const SAID: { readonly [event: string]: readonly (readonly [said: RegExp, name: string])[] } = {
  kvm_exit: [
    [/reason EXIT_(\S+)/, 'reason'],
    [/rip (0x\w+)/, 'rip'],
  ],
  kvm_entry: [[/rip (0x\w+)/, 'rip']],
  kvm_pio: [
    [/at (0x\w+)/, 'port'],
    [/size (\d+)/, 'size'],
    [/val (0x\w+)/, 'value'],
  ],
  kvm_msr: [
    [/msr_(?:read|write) (\w+)/, 'msr'],
    [/ = (0x\w+)/, 'value'],
  ],
  kvm_userspace_exit: [[/reason (\w+)/, 'kvm_exit']],
  kvm_nested_vmexit_inject: [[/reason EXIT_(\S+)/, 'reason']],
  kvm_nested_vmenter: [
    [/rip: (0x\w+)/, 'rip'],
    [/vmcb: (0x\w+)/, 'vmcb'],
    [/nested_rip: (0x\w+)/, 'nested_rip'],
    [/event_inj: (0x\w+)/, 'event_inj'],
    [/int_ctl: (0x\w+)/, 'int_ctl'],
  ],
  kvm_unmap_hva_range: [
    [/range: (0x\w+)/, 'start'],
    [/-- (0x\w+)/, 'end'],
  ],
};
const hex = (text: string | undefined): string | undefined =>
  /^(0x)?[0-9a-f]+$/.test(text ?? '') ? BigInt(`0x${text?.replace('0x', '')}`).toString(16) : text;

describe('events', () => {
  let out = '';
  before(async () => {
    out = (await call('events', RECORDING)).out;
  });

  it('are as many as trace-cmd prints, in its order, at its times', () => {
    const lines = linesOf(out).map(columnsOf);
    assert.equal(lines.length, printed.length);
    const times = lines.map(([, time]) => Number(time).toFixed(6));
    assert.deepEqual(
      times,
      printed.map(({ time }) => time),
    );
    assert.deepEqual(
      lines.map(([seq]) => Number(seq)),
      printed.map((_, i) => i),
    );
  });

  it('say by name what trace-cmd says', () => {
    const seen = new Set<string>();
    linesOf(out).forEach((line, i) => {
      const { name = '', says = '' } = printed[i] ?? {};
      for (const [said, value] of SAID[name] ?? []) {
        assert.equal(hex(named(line, value)), hex(said.exec(says)?.[1]), `${line}\n${says}`);
        seen.add(name);
      }
    });
    assert.deepEqual([...seen].sort(), Object.keys(SAID).sort());
  });

  it('have no name twice, where an address lies in a page', async (t) => {
    const path = join(scratch(t), 'shadow.txt');
    const line = (text: string): string => ` qemu-1 [000] 1.0: ${text}\n`;
    const exit = line('kvm_exit: vcpu 0 reason EXCEPTION_NMI rip 0x1 info1 0x5123 info2 0x0 intr_info 0x80000b0e');
    writeFileSync(path, exit + line('handle_mmio_page_fault: addr:5123 gfn 77 access 6'));
    const [, event] = linesOf((await call('events', path, '--json')).out).map((text) => JSON.parse(text));
    assert.deepEqual(event.values, { access: '0x6', addr: '0x5123', gpa: '0x77000' });
  });

  it('are chosen by kind and tracepoint, by number and time, and bounded in number', async () => {
    const count = async (...words: string[]): Promise<number> =>
      linesOf((await call('events', RECORDING, ...words)).out).length;
    const of = (...names: string[]): number => printed.filter(({ name }) => names.includes(name)).length;
    assert.equal(await count('--kind', 'exit,io'), of('kvm_exit', 'kvm_pio'));
    assert.equal(await count('--kind', 'kvm_exit', '--kind', 'kvm_fpu'), of('kvm_exit', 'kvm_fpu'));
    assert.equal(await count('--vcpu', '0'), printed.length);
    assert.equal(await count('--vcpu', '1'), 0);
    assert.equal(await count('--seq', '100-109'), 10);
    assert.equal(await count('--kind', 'exit', '--limit', '3'), 3);
    const within = printed.filter(({ time }) => Number(time) >= 20.7095 && Number(time) < 20.71);
    assert.equal(await count('--from', '20.7095', '--to', '20.709999'), within.length);
    assert.equal((await call('events', RECORDING, '--kind', 'kvm_fo')).code, 2);
  });

  it('are the same of a recording and of the traces that it is imported into', async (t) => {
    const folder = scratch(t);
    for (const name of ['t.sqlite', 't.arrow']) {
      const path = join(folder, name);
      await call('import', RECORDING, '-o', path);
      assert.equal((await call('events', path)).out, out);
    }
  });

  it('are a document a line as JSON, of ticks where the machine recorded them', async (t) => {
    const documents = linesOf((await call('events', RECORDING, '--json')).out).map((line) => JSON.parse(line));
    assert.equal(documents.length, printed.length);
    const exit = documents.find(({ kind }) => kind === 'exit');
    assert.deepEqual([exit.from, exit.to, exit.values.reason], [1, 0, 'NPF']);
    const path = join(scratch(t), 'run.sqlite');
    await call('record', 'hypervisor', '-o', path);
    const ticked = JSON.parse((await call('events', path, '--json', '--limit', '1')).out);
    const keys = new Set([...Object.keys(exit), ...Object.keys(ticked)]);
    assert.deepEqual([...keys].sort(), Object.keys(command.json ?? {}).sort());
    const { out: run } = await call('events', path, '--kind', 'vmwrite', '--limit', '1');
    assert.match(run, /^ +\d+ +\d+ {2}vCPU 0 {2}L0 +vmwrite +field=PIN_BASED_VM_EXEC_CONTROL rip=0x/);
  });
});

test('an exit is named by its basic reason, and what its other bits say stands beside it', async (t) => {
  const path = join(scratch(t), 'lock.txt');
  writeFileSync(path, 't-1 [000] 1.0: kvm_exit: reason EPT_VIOLATION 0xc000000 rip 0x10 info 781 0\n');
  const { out } = await call('events', path);
  assert.match(out, / exit +reason=EPT_VIOLATION with="bus lock, enclave mode" rip=0x10 qualification=0x781/);
  const { values } = JSON.parse((await call('events', path, '--json')).out);
  assert.deepEqual([values.reason, values.with], ['EPT_VIOLATION', 'bus lock, enclave mode']);
});

test('events of input without an end stop where nobody reads any more', () => {
  const line = 'q-1 [000] 1.000001: kvm_entry: vcpu 0, rip 0x1';
  const pipe = `yes '${line}' | "$0" "$1" events - | head -n 1`;
  const { stdout, status } = spawnSync('sh', ['-c', pipe, process.execPath, MAIN], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  assert.deepEqual([status, columnsOf(stdout).slice(-2)], [0, ['entry', 'rip=0x1']]);
});

test('says where nothing is as asked for, and refuses a time that ends before it begins', async () => {
  for (const words of [
    ['--seq', '99999-100000'],
    ['--seq', '3-3', '--kind', 'lost'],
    ['--vcpu', '7'],
    ['--from', '999999999'],
  ]) {
    const { code, out, err } = await call('events', REPORT, ...words);
    assert.deepEqual([code, out], [0, ''], words.join(' '));
    assert.match(err, /none of its events is as asked for\n$/, words.join(' '));
  }
  const { code, err } = await call('events', REPORT, '--from', '5', '--to', '4.9');
  assert.equal(code, 2);
  assert.match(err, /BAD_VALUE .*--from 5 --to 4\.9: the end comes before the beginning/);
});
