/**
 * Binary recordings of the collection against the tools that made them: what trace-cmd 3.1.6 and perf 6.1 print of each
 * file, as recorded here, and once more where they are installed.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { type Imported, importBytes, sharedPath } from './import-helpers.js';

interface Expected {
  readonly events: number;
  readonly exits?: number;
  readonly failed?: number;
  readonly lost?: number;
  /** Why reading ended early. */
  readonly stopped?: string;
  /** The tool of the collection's time cannot read the file. */
  readonly unread?: true;
  /** What the user must be told. */
  readonly told?: RegExp;
}

const NO_KVM = /^no event of KVM: the recording holds /;

const FILES: { readonly [file: string]: Expected } = {
  'kvm/svm/svm_2vcpu.trace.dat': { events: 4352, exits: 826 },
  'kvm/svm/svm_2vcpu_v6.trace.dat': { events: 4349, exits: 825 },
  'kvm/svm/svm_basic.trace.dat': { events: 1935, exits: 415 },
  'kvm/svm/svm_basic_perf.perf.data': { events: 1939, exits: 417 },
  'kvm/svm/svm_basic_pk.perfkvm.data': { events: 1013, exits: 415 },
  'kvm/svm/svm_diff_cpuid150.trace.dat': { events: 2135, exits: 465 },
  'kvm/svm/svm_exitentry_z.perf.data': { events: 834, exits: 417 },
  'kvm/svm/svm_nested.trace.dat': { events: 297, exits: 69 },
  'kvm/svm/svm_nested_bad1.trace.dat': { events: 139, exits: 28, failed: 1 },
  'kvm/svm/svm_nested_bad3.trace.dat': { events: 139, exits: 28, failed: 1 },
  'kvm/svm/svm_overwrite.trace.dat': { events: 1322, exits: 325, lost: 78_872 },
  'kvm/svm/svm_pipe.perf.data': { events: 2183, exits: 415 },
  'kvm/svm/svm_timer_perf.perf.data': { events: 534, exits: 88 },
  'kvm/vmx/vmx_basic.trace.dat': { events: 1689, exits: 409 },
  'kvm/vmx/vmx_basic_rerun.trace.dat': { events: 1689, exits: 409 },
  'kvm/vmx/vmx_basic_perf.perf.data': { events: 1689, exits: 409 },
  'kvm/vmx/vmx_basic_pk.perfkvm.data': { events: 1001, exits: 409 },
  'kvm/vmx/vmx_diff_cpuid150.trace.dat': { events: 1839, exits: 459 },
  'kvm/vmx/vmx_failtrace_gdtr_base_noncanon.trace.dat': { events: 12, exits: 0, failed: 1 },
  'kvm/vmx/vmx_failtrace_inject_ud_errcode.trace.dat': {
    events: 12,
    exits: 0,
    told: /1 VM entry failed .*KVM_EXIT_FAIL_ENTRY/,
  },
  'kvm/vmx/vmx_nested.trace.dat': { events: 482, exits: 181 },
  'kvm/vmx/vmx_nested_bad1.trace.dat': { events: 274, exits: 105, failed: 1 },
  'kvm/vmx/vmx_nested_bad3.trace.dat': { events: 274, exits: 107, failed: 1 },
  'binary/binun_taiwan.perf.data.kvm': { events: 12_685, told: NO_KVM },
  'binary/hebel23_driver.trace.dat': { events: 997, told: NO_KVM },
  'binary/hotspot_perf.data.true.v2': { events: 1, told: NO_KVM },
  'binary/linuxperfdata_sleep.compressed.data': { events: 8, unread: true, told: NO_KVM },
  'binary/linuxperfdata_sleep.compressed2.pipe.data': { events: 7, unread: true, told: /messages of perf from offset/ },
  'binary/quipper_perf.data.lost_samples-4.4': { events: 191, lost: 2, told: NO_KVM },
  'binary/quipper_perf.data.piped.corrupted.zero_size_sample-3.2': { events: 0, unread: true, stopped: 'CORRUPT' },
  'binary/quipper_perf.data.piped.hw_and_sw-3.4': { events: 4275, told: NO_KVM },
  'binary/quipper_perf.data.singleprocess-3.8': { events: 13, told: NO_KVM },
};

const isInstalled = (tool: string): boolean => spawnSync(tool, ['--version']).error === undefined;
const toolOf = (file: string): 'trace-cmd' | 'perf' => (file.endsWith('.dat') ? 'trace-cmd' : 'perf');

/** Lines of events that the tool prints. */
function printed(file: string, path: string): string[] {
  const [tool, words] =
    toolOf(file) === 'perf'
      ? ['perf', ['script', '-F', 'comm,tid,time,event', '-i', path]]
      : ['trace-cmd', ['report', '-i', path]];
  const text = execFileSync(tool, words as string[], { encoding: 'utf8', maxBuffer: 1 << 28, stdio: 'pipe' });
  // of a file that names no clock, trace-cmd 3.1.6 prints seconds, and in one run of a hundred nanoseconds
  return text.split('\n').filter((line) => /(?:\d+\.\d{6,9}|\]\s*\d{12,}): /.test(line));
}

const importPath = (path: string): Imported => importBytes(readFileSync(path));

describe('recordings of the collection', () => {
  for (const [file, expected] of Object.entries(FILES)) {
    const path = sharedPath(file);
    it(`${file}: ${expected.stopped ?? `${expected.events} events`}`, {
      skip: path === null && 'the shared collection of real data is not here',
    }, () => {
      if (path === null) return;
      if (expected.events === 0) {
        assert.throws(() => importPath(path), { code: expected.stopped });
        return;
      }
      const { counts, notes, stopped } = importPath(path).result;
      const { exits = 0, failed = 0, lost = 0, told } = expected;
      assert.deepEqual(
        [counts.events - counts.gaps, counts.exits, counts.failedEntries, counts.lost],
        [expected.events, exits, failed, lost],
      );
      assert.equal(counts.gaps > 0, lost > 0, 'what was lost is shown as gaps');
      assert.deepEqual([stopped, counts.damaged], [null, 0]);
      if (told !== undefined)
        assert.ok(
          notes.some(({ says }) => told.test(says)),
          JSON.stringify(notes),
        );
      else assert.deepEqual(notes, [], 'nothing to say');
    });
  }
});

describe('recordings of the collection as installed tools print them', () => {
  for (const [file, { unread }] of Object.entries(FILES)) {
    if (unread) continue;
    const path = sharedPath(file);
    const skip =
      path === null
        ? 'the shared collection of real data is not here'
        : isInstalled(toolOf(file))
          ? false
          : `no ${toolOf(file)}`;
    it(file, { skip }, () => {
      if (path === null) return;
      const lines = printed(file, path);
      const { events, result } = importPath(path);
      const count = (name: string): number => lines.filter((line) => new RegExp(`\\b${name}: `).test(line)).length;
      const rows = (kind: string): number => events.filter((event) => event.kind === kind).length;
      assert.equal(result.counts.events - result.counts.gaps, lines.length);
      const { exits, failedEntries, entries, nestedExits } = result.counts;
      assert.equal(exits + failedEntries, count('kvm_exit') + count('kvm_nested_vmenter_failed'));
      assert.equal(entries, count('kvm_entry'));
      assert.equal(nestedExits, count('kvm_nested_vmexit') + count('kvm_nested_intr_vmexit'));
      assert.equal(rows('io'), count('kvm_pio'));
      assert.equal(rows('mmio'), count('kvm_mmio') + count('kvm_fast_mmio'));
      assert.equal(rows('msr'), count('kvm_msr'));
      assert.equal(rows('emulate'), count('kvm_emulate_insn'));
      assert.equal(rows('userspace_exit'), count('kvm_userspace_exit'));
    });
  }
});
