/**
 * Recordings of Xen 4.17 (Debian 12) with a PVH guest of two vCPUs, which takes one of them off and on again, on a machine
 * of QEMU (TCG, two EPYC processors): `xentrace -D -S PAGES -e 0xaf000`. Answers are those of xenalyze 4.17, by vCPU, and of
 * xentrace_format with the list of formats of Xen 4.16, as recorded here; those of xenalyze once more where it is installed.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import { VMX_EXIT_REASONS } from '../../engine/vmx/exit-reasons.js';
import { scratch } from '../traces/rows.js';
import { type Event, fixturePath, type Imported, importBytes, tally } from './import-helpers.js';
import { entry, exit, runs, who, window, XEN } from './xentrace-files.js';

const PATH = fixturePath('xen-svm-pvh.xentrace');
/** With one page of buffer for each CPU. */
const LOST = fixturePath('xen-svm-lost.xentrace');
const read = (path = PATH): Imported => importBytes(readFileSync(path));

/** Names of our events that the list of formats spells otherwise. */
const FORMATS: { readonly [name: string]: string } = { sched_switch: '__enter_scheduler', LAPIC_STOP_TIMER: 'vlapic' };
/** How often xentrace_format prints each event. */
const PRINTED = {
  'csched:account_stop': 23,
  do_block: 245,
  'csched:schedule': 553,
  switch_infprev: 479,
  switch_infnext: 479,
  __enter_scheduler: 479,
  running_to_blocked: 244,
  runnable_to_running: 479,
  domain_wake: 255,
  blocked_to_runnable: 246,
  'csched:boost': 61,
  'csched:tickle': 236,
  running_to_runnable: 230,
  'csched:steal_check': 220,
  switch_infcont: 74,
  continue_running: 74,
  INJ_VIRQ: 216,
  VMENTRY: 1227,
  VMEXIT: 1226,
  MSR_WRITE: 260,
  VMMCALL: 341,
  HLT: 127,
  INTR: 91,
  'csched:unboost': 34,
  'csched:account_start': 25,
  'csched:picked_cpu': 177,
  'csched:stolen_vcpu': 8,
  INTR_WINDOW: 238,
  CPUID: 213,
  MSR_READ: 113,
  vlapic: 3,
  domain_sleep: 11,
  running_to_offline: 5,
  CR_WRITE: 16,
  CR_READ: 7,
  DR_WRITE: 1,
  INJ_EXC: 1,
  IOPORT_WRITE: 4,
  'csched:sched_tasklet': 4,
  offline_to_runnable: 6,
  runnable_to_offline: 1,
  'csched:ratelimit': 3,
};

/** Of the other recording. */
const LOST_RECORDS = [0x16, 0x1f, 0x1e1, 0x5];

/** Exits as xenalyze counts them. */
const EXITS = {
  'd1v0 CPUID': 36,
  'd1v0 EXCEPTION_NM': 8,
  'd1v0 HLT': 67,
  'd1v0 INTR': 53,
  'd1v0 IOIO': 4,
  'd1v0 MSR': 150,
  'd1v0 VINTR': 24,
  'd1v0 VMMCALL': 177,
  'd1v1 CPUID': 177,
  'd1v1 CR0_READ': 3,
  'd1v1 CR0_WRITE': 6,
  'd1v1 CR4_READ': 4,
  'd1v1 CR4_WRITE': 10,
  'd1v1 DR0_WRITE': 1,
  'd1v1 EXCEPTION_NM': 6,
  'd1v1 HLT': 61,
  'd1v1 INTR': 38,
  'd1v1 MSR': 223,
  'd1v1 VINTR': 10,
  'd1v1 VMMCALL': 164,
  'd1v1 WBINVD': 4,
};

/** Mean cycles of handlers, whole ones, as xenalyze -s has them, of exits after none of which the vCPU lost its CPU. */
const MEANS = {
  'd1v0 CPUID': 57_815,
  'd1v0 INTR': 357_432,
  'd1v0 IOIO': 63_063,
  'd1v0 VINTR': 31_884,
  'd1v1 CPUID': 116_551,
  'd1v1 CR0_WRITE': 4_721_214,
  'd1v1 CR4_WRITE': 327_064,
  'd1v1 DR0_WRITE': 32_422,
  'd1v1 WBINVD': 195_429,
};

/** Ours as xenalyze spells them. */
const SPELT: readonly (readonly [RegExp, string])[] = [
  [/^EXCP_/, 'EXCEPTION_'],
  [/^(READ|WRITE)_(.*)$/, '$2_$1'],
];

const vcpuOf = ({ writer }: Imported, { vcpu }: Event): string => {
  const says = writer.dictionary('vcpu').get(BigInt(vcpu as number))?.says ?? '{}';
  const { vm, vcpu: number } = JSON.parse(says) as { vm: number | null; vcpu: number | null };
  return `d${vm ?? '?'}v${number ?? '?'}`;
};

const exitsOf = (imported: Imported): Event[] => imported.events.filter(({ kind }) => kind === 'exit');

function exitName(imported: Imported, exit: Event): string {
  const name = imported.writer.dictionary('reason.svm').get(BigInt(exit.reason as number))?.name ?? '';
  const spelt = SPELT.reduce((text, [from, to]) => text.replace(from, to), name);
  return `${vcpuOf(imported, exit)} ${spelt}`;
}

describe('a recording of Xen 4.17', () => {
  it('has the events that xentrace_format prints', () => {
    const { events, writer, result } = read();
    const names = events.map(({ kind, tracepoint }) => {
      if (kind === 'entry' || kind === 'exit') return `VM${kind.toUpperCase()}`;
      const name = writer.dictionary('event').get(BigInt(tracepoint as number))?.name ?? '';
      return FORMATS[name] ?? name;
    });
    assert.deepEqual(tally(names), PRINTED);
    assert.deepEqual([result.counts.damaged, result.stopped, result.notes], [0, null, []]);
  });

  it('has the exits that xenalyze counts, by vCPU', () => {
    const imported = read();
    assert.deepEqual(tally(exitsOf(imported).map((exit) => exitName(imported, exit))), EXITS);
    assert.equal(imported.result.counts.threads, 5, 'of domain 1, of Domain-0, and what idles on each CPU');
  });

  it('pairs each exit with the entry of its vCPU, across host CPUs', () => {
    const imported = read();
    const { events } = imported;
    const entries = events.filter(({ kind, parent }) => kind === 'entry' && parent !== undefined);
    for (const entry of entries) {
      const exit = events[entry.parent as number] as Event;
      assert.deepEqual([exit.kind, exit.vcpu], ['exit', entry.vcpu]);
      assert.ok((entry.tick as number) > (exit.tick as number));
    }
    // the last exit is that of the vCPU that powered off
    assert.equal(entries.length, exitsOf(imported).length - 1);
  });

  it('takes as many cycles for them as xenalyze says', () => {
    const imported = read();
    const sums = new Map<string, { count: number; cycles: number }>();
    for (const { kind, parent, tick } of imported.events) {
      if (kind !== 'entry' || parent === undefined) continue;
      const exit = imported.events[parent as number] as Event;
      const sum = sums.get(exitName(imported, exit)) ?? { count: 0, cycles: 0 };
      sum.count += 1;
      sum.cycles += (tick as number) - (exit.tick as number);
      sums.set(exitName(imported, exit), sum);
    }
    for (const [name, mean] of Object.entries(MEANS)) {
      const { count = 0, cycles = 0 } = sums.get(name) ?? {};
      assert.equal(Math.floor(cycles / count), mean, name);
    }
  });

  for (const path of [PATH, LOST])
    it(`${basename(path)}: what xenalyze tells of each exit, in its order`, {
      skip: !installed() && 'no xenalyze',
    }, () => {
      const words = ['--svm-mode', '-a', path];
      const text = execFileSync('xenalyze', words, { encoding: 'utf8', stdio: 'pipe', maxBuffer: 1 << 26 });
      const lines = text.split('\n').filter((line) => /^\]? +\d+\.\d{9} /.test(line));
      const imported = read(path);
      const said = (pattern: RegExp): string[] => lines.flatMap((line) => pattern.exec(line)?.slice(1).join(' ') ?? []);
      const hex = (value: unknown): string => (value as number | bigint).toString(16);
      const of = (kind: string, flags?: number): Event[] =>
        imported.events.filter((event) => event.kind === kind && (flags === undefined || event.flags === flags));
      assert.deepEqual(
        of('exit').map((exit) => `${exitName(imported, exit)} ${hex(exit.rip)}`),
        said(/ (d\S+) vmexit exit_reason VMEXIT_(\w+) eip ([0-9a-f]+)/),
      );
      assert.deepEqual(
        of('msr', 1).map((event) => `${vcpuOf(imported, event)} ${hex(event.code)} ${hex(event.value)}`),
        said(/ (d\S+) msr_write addr ([0-9a-f]+) val ([0-9a-f]+)/),
      );
      assert.deepEqual(
        of('vmcall').map((event) => `${vcpuOf(imported, event)} ${hex(event.code)}`),
        said(/ (d\S+) vmcall ([0-9a-f]+) /),
      );
    });
});

describe('a recording of Xen 4.17 with too small a buffer', () => {
  it('has gaps where xentrace_format prints lost records, and pairs nothing across them', () => {
    const { events, result, writer } = read(LOST);
    const gaps = events.filter(({ kind }) => kind === 'lost');
    assert.deepEqual(
      gaps.map(({ value }) => value),
      LOST_RECORDS,
    );
    assert.equal(result.counts.lost, 539);
    assert.ok(
      [...writer.dictionary('event').values()].every(({ name }) => !name.startsWith('xen_')),
      'all have names',
    );
    assert.deepEqual([result.counts.events, result.counts.exits, result.counts.entries], [7820, 1106, 1106]);
    for (const { seq, parent } of events) {
      if (parent === undefined) continue;
      assert.ok(!gaps.some((gap) => (gap.seq as number) > (parent as number) && (gap.seq as number) < (seq as number)));
    }
  });
});

/** Names of reasons that xenalyze spells otherwise; those that it does not know are numbers. */
const VMX_SPELT: { readonly [ours: string]: string } = {
  INIT_SIGNAL: 'INIT',
  SIPI_SIGNAL: 'SIPI',
  INTERRUPT_WINDOW: 'PENDING_INTERRUPT',
  NMI_WINDOW: 'PENDING_VIRT_NMI',
  INVALID_STATE: 'INVALID_GUEST_STATE',
  MSR_LOAD_FAIL: 'MSR_LOADING',
  MCE_DURING_VMENTRY: 'MACHINE_CHECK',
  EOI_INDUCED: '2d',
  GDTR_IDTR: '2e',
  LDTR_TR: '2f',
  PREEMPTION_TIMER: 'VMX_PREEMPTION_TIMER_EXPIRED',
};
/** The last reason that xenalyze 4.17 has, XSETBV. */
const LAST_REASON = 55;

it('each reason of VMX is what xenalyze takes it for', { skip: !installed() && 'no xenalyze' }, (t) => {
  const known = [...VMX_EXIT_REASONS].filter(({ code }) => code <= LAST_REASON);
  // xenalyze wants to have seen the CPU idle
  const records = [
    runs(1000, 32767, 0),
    { event: XEN.running_to_runnable, words: [who(32767, 0)], tsc: 1001 },
    runs(1002, 1, 0),
    ...known.flatMap(({ code }) => [
      exit(2000 * (code + 1), code, 0xffff_ffff_8100_0000n + BigInt(code)),
      entry(2000 * (code + 1) + 100),
    ]),
  ];
  const path = join(scratch(t), 'vmx.xentrace');
  writeFileSync(path, window(0, records));
  const text = execFileSync('xenalyze', ['-a', path], { encoding: 'utf8', stdio: 'pipe' });
  const imported = read(path);
  const ours = exitsOf(imported).map(({ reason, rip }) => {
    const name = imported.writer.dictionary('reason.vmx').get(BigInt(reason as number))?.name ?? '';
    return `${VMX_SPELT[name] ?? name} ${(rip as bigint).toString(16)}`;
  });
  assert.deepEqual(
    ours,
    [...text.matchAll(/ vmexit exit_reason (\w+) eip ([0-9a-f]+)/g)].map(([, reason, rip]) => `${reason} ${rip}`),
  );
});

function installed(): boolean {
  return spawnSync('xenalyze', ['--version']).error === undefined;
}
