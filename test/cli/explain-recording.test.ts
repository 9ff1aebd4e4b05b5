/** What explain says of recordings of other tools: their failed entries, or which command takes them. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, test } from 'node:test';
import { COMMANDS } from '../../cli/commands.js';
import { Output } from '../../cli/output.js';
import { runProgram } from '../../cli/program.js';
import { fixturePath, sharedPath } from '../recorder/import-helpers.js';
import { asVersion6 } from '../recorder/trace-dat-files.js';
import { MAIN, trapline as run } from './process.js';

const folder = mkdtempSync(join(tmpdir(), 'trapline-explain-'));
test.after(() => rmSync(folder, { recursive: true }));

class Paper {
  text = '';
  readonly isTTY = false;
  write(text: string): boolean {
    this.text += text;
    return true;
  }
}

interface Told {
  readonly sentence: string;
  readonly event: number;
  readonly times: number;
  readonly verdict: string;
  readonly violated: readonly { readonly id: string }[];
  readonly suspects: readonly { readonly id: string }[];
  readonly outcome: { readonly kind: string; readonly error: number | null };
  readonly next: readonly string[];
}

/** What is told of a file. */
async function told(path: string): Promise<readonly Told[]> {
  const [out, err] = [new Paper(), new Paper()];
  const code = await runProgram(['explain', path, '--json'], new Output(out, err, {}), COMMANDS);
  assert.equal(code, 1, err.text);
  return (JSON.parse(out.text) as { readonly dumps: readonly Told[] }).dumps;
}

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const line = (i: number, event: string): string => `qemu-100 [000] 1.00000${i}: ${event}\n`;
const exit = (reason: string, info1: number): string =>
  `kvm_exit: vcpu 0 reason ${reason} rip 0x1000 info1 0x${info1.toString(16)} info2 0x0 intr_info 0x0 error_code 0x0`;
const REFUSED = 'kvm_nested_vmenter_failed:';

describe('text of a trace', () => {
  it('has the reason and the qualification of a failed entry with their meaning, each kind once', async () => {
    const text =
      line(1, exit('INVALID_STATE FAILED_VMENTRY', 4)) +
      line(2, exit('INVALID_STATE FAILED_VMENTRY', 4)) +
      line(3, exit('MSR_LOAD_FAIL FAILED_VMENTRY', 3));
    const [link, msr] = await told(file('failed.txt', text));
    // SDM volume 3C, "VM-Entry Failures During or After Loading Guest State"
    assert.match(link?.sentence ?? '', /0x80000021, qualification 4\): .*VMCS link pointer/);
    assert.equal(link?.times, 2);
    assert.match(msr?.sentence ?? '', /entry 3 of the VM-entry MSR-load area/);
    assert.ok(link?.next.some((says) => says.includes('dump_invalid_vmcs=1')));
  });

  it('names the rule by which KVM refused a nested entry', async () => {
    const text =
      line(1, exit('VMLAUNCH', 0)) +
      line(2, `${REFUSED} (vmcs12->guest_cr4 & X86_CR4_CET) && !(vmcs12->guest_cr0 & X86_CR0_WP)`) +
      line(3, `${REFUSED} control->asid == 0`) +
      line(4, `${REFUSED} nested_vmx_check_exit_msr_switch_controls(vcpu, vmcs12)`) +
      line(5, `${REFUSED} early hardware check VM-instruction error: VMLAUNCH_NONCLEAR_VMCS`) +
      line(6, `${REFUSED} a rule of tomorrow`);
    const [one, asid, several, launch, unknown] = await told(file('refused.txt', text));
    assert.deepEqual([one?.violated.map(({ id }) => id), one?.verdict], [['guest.cr4.cet_needs_wp'], 'violated']);
    assert.deepEqual(
      asid?.violated.map(({ id }) => id),
      ['svm.asid'],
    );
    assert.ok(several?.suspects.length === 6 && several.verdict === 'suspect');
    assert.equal(launch?.outcome.error, 4);
    assert.match(unknown?.sentence ?? '', /a rule of tomorrow/);
  });

  it('whose exits of nested guests alone were recorded still tells', async () => {
    const text = line(1, exit('INVALID_STATE FAILED_VMENTRY', 0).replace('kvm_exit', 'kvm_nested_vmexit'));
    const [only, ...others] = await told(file('nested.txt', text));
    assert.match(only?.sentence ?? '', /invalid guest state/);
    assert.equal(others.length, 0);
  });

  it('comes from standard input too, and control characters of it do not go to a terminal', async () => {
    const ran = await run(['explain', '-'], folder, line(1, `${REFUSED} what \u001b[2J is this`));
    assert.equal(ran.code, 1, ran.err);
    assert.match(ran.out, /KVM refused the entry of a nested guest: what/);
    assert.ok(!ran.out.includes('\u001b'));
  });
});

describe('KVM_EXIT_FAIL_ENTRY', () => {
  const ENTRY = 'kvm_entry: vcpu 0, rip 0x1000';
  const FAILED = 'kvm_userspace_exit: reason KVM_EXIT_FAIL_ENTRY (9)';
  const OTHER = 'kvm_userspace_exit: reason KVM_EXIT_IO (2)';
  const text = (...events: readonly string[]): string => events.map((event, i) => line(i, event)).join('');

  it('is a failed entry, where no exit was traced: VMfail', async () => {
    const events = [ENTRY, exit('HLT', 0), ENTRY, FAILED, ENTRY, FAILED];
    const [only, ...others] = await told(file('vmfail.txt', text(...events)));
    assert.equal(others.length, 0);
    assert.deepEqual([only?.event, only?.times, only?.verdict], [3, 2, 'undecidable']);
    assert.match(only?.sentence ?? '', /entry of event 2 failed .*That is VMfail: the controls or the host state/);
    assert.match(only?.next[0] ?? '', /hardware_entry_failure_reason.*hardware error 0x/);
    assert.ok(only?.next.some((says) => says.includes('dump_invalid_vmcs=1')));
  });
  it('without any exit leaves open whether exits were recorded, and on which processor', async () => {
    const [only] = await told(file('alone.txt', text(ENTRY, FAILED)));
    assert.match(only?.sentence ?? '', /On Intel that is VMfail.*unless kvm_exit was not recorded at all/);
    assert.ok(only?.next.some((says) => says.includes('dump_invalid_vmcb=1')));
  });
  it('is told by import and profile, which then do not wonder whether exits were recorded', async () => {
    const path = file('told.txt', text(ENTRY, FAILED));
    for (const words of [
      ['import', path, '-o', join(folder, 'told.sqlite')],
      ['profile', path],
    ]) {
      const ran = await run(words, folder);
      assert.match(ran.err, /1 VM entry failed without an exit, .*KVM_EXIT_FAIL_ENTRY; the first is event 0/);
      assert.doesNotMatch(ran.err, /not recorded/);
    }
  });
  it('after a failed exit is the same failure, and counted once', async () => {
    const events = [ENTRY, exit('INVALID_STATE FAILED_VMENTRY', 0), FAILED];
    const [only, ...others] = await told(file('both.txt', text(...events, ...events)));
    assert.equal(others.length, 0);
    assert.deepEqual([only?.event, only?.times], [1, 2]);
    assert.match(only?.sentence ?? '', /0x80000021/);
  });
  it('belongs to the entry of its own thread', async () => {
    const other = line(1, exit('INVALID_STATE FAILED_VMENTRY', 0)).replace('qemu-100 [000]', 'qemu-200 [001]');
    const found = await told(file('threads.txt', line(0, ENTRY) + other + line(2, FAILED)));
    assert.deepEqual(
      found.map(({ event }) => event),
      [1, 2],
    );
  });
  it('other reasons, and a reason that an interrupted KVM_RUN left behind, are none', async () => {
    const restart = 'kvm_userspace_exit: reason restart (4)';
    const ran = await run(['explain', file('io.txt', text(ENTRY, exit('HLT', 0), OTHER, ENTRY, restart))], folder);
    assert.match(ran.err, /^trapline: NO_FAILURE_RECORDED [^\n]*\n$/);
  });
  it('an internal error is no failed entry, and is pointed at', async () => {
    const internal = 'kvm_userspace_exit: reason KVM_EXIT_INTERNAL_ERROR (17)';
    const ran = await run(['explain', file('internal.txt', text(ENTRY, exit('HLT', 0), internal))], folder);
    assert.equal(ran.code, 2);
    assert.match(ran.err, /^trapline: NO_FAILURE_RECORDED [^\n]*1 KVM_EXIT_INTERNAL_ERROR \(event 2\)[^\n]*\n$/);
  });
  const real = sharedPath('kvm/vmx/vmx_failtrace_inject_ud_errcode.trace.dat');
  it('of hardware, in one answer', {
    skip: real === null && 'the shared collection of real data is not here',
  }, async () => {
    const ran = await run(['explain', real ?? ''], folder);
    assert.equal(ran.code, 1);
    assert.equal(ran.err, '');
    assert.match(ran.out, /entry of event 7 failed \(KVM_EXIT_FAIL_ENTRY\)/);
  });
});

it('a damaged recording says in one line what it lacks', async () => {
  const text = line(1, exit('HLT', 0)) + line(2, 'kvm_exit: what is this') + line(3, exit('HLT', 0));
  const none = await run(['explain', file('damaged.txt', text)], folder);
  assert.equal(none.code, 2);
  assert.match(none.err, /^trapline: NO_FAILURE_RECORDED [^\n]*1 damaged line; failed entries may be among[^\n]*\n$/);
  const some = text + line(4, exit('INVALID_STATE FAILED_VMENTRY', 0));
  const one = await run(['explain', file('damaged-failed.txt', some)], folder);
  assert.equal(one.code, 1);
  assert.match(one.err, /^trapline: [^\n]*damaged-failed\.txt: failed entries may be among[^\n]*\n$/);
});

describe('a recording without a failed entry is told what it is, and which command takes it', () => {
  for (const name of ['svm-nested.report.txt', 'svm-two-vcpus.trace.dat', 'svm-kvm-stat.perf.data']) {
    it(name, async () => {
      const ran = await run(['explain', fixturePath(name)], folder);
      assert.equal(ran.code, 2);
      assert.match(ran.err, /NO_FAILURE_RECORDED .*: .*\d+ exits.*trapline profile/);
    });
  }

  it('also where it has no event of a guest, as one of sched', async () => {
    const plain = Buffer.from(asVersion6(readFileSync(fixturePath('svm-two-vcpus.trace.dat')))).toString('latin1');
    const path = join(folder, 'others.trace.dat');
    writeFileSync(path, plain.replaceAll('name: kvm_e', 'name: sch_e'), 'latin1'); // kvm_exit and kvm_entry
    const ran = await run(['explain', path], folder);
    assert.match(ran.err, /^trapline: NO_FAILURE_RECORDED [^\n]*: [\d,]+ events, 0 exits[^\n]*\n$/);
  });

  it('from standard input', async () => {
    const ran = await run(['explain', '-'], folder, readFileSync(fixturePath('svm-basic.script.txt'), 'latin1'));
    assert.match(ran.err, /NO_FAILURE_RECORDED .*standard input: /);
    assert.ok(MAIN.length > 0);
  });
});

it('a log that is neither says so in one line', async () => {
  const ran = await run(
    ['explain', file('log.txt', '[    1.0] usb 1-1: new device\n[    1.1] eth0: link up\n')],
    folder,
  );
  assert.equal(ran.code, 2);
  assert.match(ran.err, /^trapline: NO_DUMP [^\n]*\n$/);
});

describe('recordings of real failures', () => {
  // what was set is in the manifest of the collection
  const cases = {
    'svm/svm_nested_bad1': 'svm.efer.svme',
    'svm/svm_nested_bad3': 'svm.asid',
    'vmx/vmx_nested_bad3': 'controls.cr3_targets',
  };
  for (const [name, id] of Object.entries(cases)) {
    const path = sharedPath(`kvm/${name}.trace.dat`);
    it(name, { skip: path === null && 'the shared collection of real data is not here' }, async () => {
      const [only] = await told(path ?? '');
      assert.deepEqual(
        only?.violated.map((found) => found.id),
        [id],
      );
    });
  }
});
