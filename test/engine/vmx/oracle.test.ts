/**
 * VM entries tried by an image on this machine and on Bochs, which is another implementation of the manual:
 * vectors/entries.txt holds what Debian's Bochs 2.7 (model corei7_skylake_x) printed. Where Bochs is known to be wrong,
 * CORRECTIONS quotes the manual (Vol. 3C, "VM Entries").
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { nullObserver } from '../../../engine/observer.js';
import { start } from '../../../engine/start.js';
import { inPackage } from '../../../traces/guests/guest.js';
import { bochsMissing, runUnderBochs } from '../../bench/bochs.js';
import { assemble, missing } from '../../nasm.js';
import { baseInclude, casesInclude } from './oracle.js';

const FOLDER = inPackage('test', 'engine', 'vmx', 'oracle');
const VECTORS = inPackage('test', 'engine', 'vmx', 'vectors', 'entries.txt');
const IMAGE = join(FOLDER, 'entries.img');
const INCLUDE = ['-f', 'bin', '-I', `${inPackage('traces', 'guests')}/`];
/** Far more than the image needs. */
const BUDGET = 50_000_000;

const CORRECTIONS: ReadonlyMap<string, { readonly right: string; readonly why: string }> = new Map([
  [
    'controls.entry_to_smm.outside_smm ENTRY+=400 exit 33:0',
    {
      right: 'controls.entry_to_smm.outside_smm ENTRY+=400 error 7',
      why:
        'VM-Entry Control Fields: "If the processor is not in SMM, the entry to SMM and deactivate dual-monitor ' +
        'treatment VM-entry controls must be 0." Bochs only fails on the interruptibility state that goes with it.',
    },
  ],
  [
    'host.perf_global_ctrl.reserved HOST_IA32_PERF_GLOBAL_CTRL=80000000f entered',
    {
      right: 'host.perf_global_ctrl.reserved HOST_IA32_PERF_GLOBAL_CTRL=80000000f error 8',
      why:
        'Checks on Host Control Registers, MSRs, and SSP: "If the load IA32_PERF_GLOBAL_CTRL VM-exit control is 1, bits ' +
        'reserved in the IA32_PERF_GLOBAL_CTRL MSR must be 0 in the field for that register." Bochs has no such MSR.',
    },
  ],
]);

const image = (): Uint8Array => new Uint8Array(readFileSync(IMAGE));

function consoleHere(): string {
  const chunks: Uint8Array[] = [];
  const observer = { ...nullObserver, output: (_port: string, bytes: Uint8Array) => chunks.push(bytes.slice()) };
  const configuration = {
    cpu: 'skylake',
    monitor: 'none',
    memoryBytes: 16 << 20,
    commandLine: 'entries',
    flat: null,
    epoch: 0,
    checkpointEvery: BUDGET,
    guestinfo: {},
  };
  const machine = start(configuration, image(), 'entries.img', observer);
  assert.equal(machine.run(BUDGET), 'exit');
  return Buffer.concat(chunks).toString('latin1');
}

test('the tables of the image are made from the cases of the checks', () => {
  assert.equal(readFileSync(join(FOLDER, 'cases.inc'), 'utf8'), casesInclude());
  assert.equal(readFileSync(join(FOLDER, 'base.inc'), 'utf8'), baseInclude());
});

test('the committed image is what its source assembles to', { skip: missing('nasm') }, () => {
  assert.deepEqual(Buffer.from(assemble(FOLDER, 'entries.asm', INCLUDE)), readFileSync(IMAGE));
});

test('this machine ends every entry as Bochs does, but for the corrections', () => {
  const expected = readFileSync(VECTORS, 'latin1').split('\n');
  assert.ok(expected.length > 390);
  const used = new Set<string>();
  const corrected = expected.map((line) => {
    const correction = CORRECTIONS.get(line);
    if (correction) used.add(line);
    return correction?.right ?? line;
  });
  assert.deepEqual(consoleHere().split('\n'), corrected);
  assert.equal(used.size, CORRECTIONS.size, 'a correction that corrects nothing');
});

test('Bochs still answers what is committed', { skip: bochsMissing() ?? false }, async () => {
  const run = await runUnderBochs(image(), 'entries');
  assert.equal(run.console, readFileSync(VECTORS, 'latin1'));
});
