/** The VM-entry checks, case by case, against what the manual permits as the answer: vectors/checks.txt. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { S } from '../../../engine/cpu/layout.js';
import type { CpuModel } from '../../../engine/cpu/model.js';
import { skylakeVmx } from '../../../engine/vmx/capabilities.js';
import { type Check, type CheckState, type CpuRegister, type Read, STAGES } from '../../../engine/vmx/checks/check.js';
import { violates } from '../../../engine/vmx/checks/executive.js';
import { type CpuFeature, hasFeature } from '../../../engine/vmx/checks/features.js';
import { CHECK_NAMES, CHECKS } from '../../../engine/vmx/checks/table.js';
import { REGION } from '../../../engine/vmx/fields.js';
import { Bench, everything, modelWith, PLACES } from './bench.js';
import { assignments, type Case, cases } from './vectors.js';

function assign(bench: Bench, text: string): void {
  for (const { preset, memory, field, operator, value } of assignments(text)) {
    if (preset === 'host32') bench.cpu.setU64(S.EFER, 0n);
    if (memory !== undefined) bench.cpu.memory.view.setUint32(memory, Number(value), true);
    if (field === undefined) continue;
    const old = bench.field(field);
    bench.set(field, operator === '+=' ? old | value : operator === '-=' ? old & ~value : value);
  }
}

/** The state of a bench for predicates, which remembers what was read. */
class Watched implements CheckState {
  readonly reads = new Set<Read>();
  readonly physicalBits = 39;
  readonly linearBits = 48;
  readonly countersLow = 0xf;
  readonly countersHigh = 7;
  readonly #bench: Bench;
  /** What the processor is like, as presets of the case say. */
  readonly #setup: string;

  constructor(bench: Bench, setup: string) {
    this.#bench = bench;
    this.#setup = setup;
  }
  low(field: number): number {
    this.reads.add(field);
    return this.#bench.cpu.memory.view.getUint32(PLACES.vmcs + field, true);
  }
  high(field: number): number {
    this.reads.add(field);
    return this.#bench.cpu.memory.view.getUint32(PLACES.vmcs + field + 4, true);
  }
  capabilityLow(msr: number): number {
    return Number((this.#bench.cpu.model.msrs.get(msr) ?? 0n) & 0xffff_ffffn);
  }
  capabilityHigh(msr: number): number {
    return Number((this.#bench.cpu.model.msrs.get(msr) ?? 0n) >> 32n);
  }
  has(feature: CpuFeature): boolean {
    return hasFeature(this.#bench.cpu.model, feature);
  }
  register(name: CpuRegister): number {
    this.reads.add(name);
    if (name === 'SMM') return /@smm|@returning/.test(this.#setup) ? 1 : 0;
    if (name === 'RTIT_CTL') return this.#setup.includes('@tracing') ? 1 : 0;
    if (name === 'EXECUTIVE_LAUNCHED') return this.#setup.includes('@cleared') ? 0 : 1;
    if (name === 'EXECUTIVE_CONTROLS') return this.#setup.includes('@miscontrolled') ? 0 : 1;
    if (name === 'VMXON_POINTER') return PLACES.vmxon;
    return name === 'EFER' ? this.#bench.cpu.u32(S.EFER) : PLACES.vmcs;
  }
  memory(low: number, high: number): number {
    this.reads.add('memory');
    return this.#bench.cpu.memory.read(high * 2 ** 32 + low, 4);
  }
}

/** Ids of the checks that a state violates; every check must have declared what it read. */
function violated(bench: Bench, { setup }: Case): string[] {
  const state = new Watched(bench, setup);
  const broken = CHECKS.filter((check) => {
    state.reads.clear();
    check.holds(state);
    for (const read of state.reads) assert.ok(check.reads.includes(read), `${check.id} reads more than it declares`);
    return violates(check, state);
  });
  return broken.map((check) => check.id);
}

const stageOf = new Map<string, Check>(CHECKS.map((check) => [check.id, check]));
/** With every control and feature, and nested exceptions. */
const full: CpuModel = {
  ...modelWith({ ...everything, cr4: everything.cr4 | (1n << 32n) }, [
    [0x480, (modelWith(everything).msrs.get(0x480) ?? 0n) | (1n << 58n)],
    [0x491, 1n],
    [0x492, 0x11ffn],
    [0x493, 0xfn],
  ]),
  cpuid: [
    { leaf: 7, subleaf: 0, eax: 0, ebx: 0x804, ecx: (1 << 24) | (1 << 7), edx: 1 << 20 },
    { leaf: 7, subleaf: 1, eax: (1 << 17) | (1 << 26), ebx: 0, ecx: 0, edx: 0 },
  ],
};
const plain = modelWith(skylakeVmx);
/** With FRED, without the monitor trap flag. */
const noMtf: CpuModel = {
  ...full,
  msrs: new Map([...full.msrs, [0x48e, (full.msrs.get(0x48e) ?? 0n) & ~(1n << 59n)]]),
};
/** With one half of CET: shadow stacks or branch tracking. */
const without = (register: 'ecx' | 'edx', bit: number): CpuModel => ({
  ...full,
  cpuid: full.cpuid.map((leaf) => ({ ...leaf, [register]: leaf[register] & ~(1 << bit) })),
});
const MODELS: { readonly [preset: string]: CpuModel } = {
  '@plain': plain,
  '@nomtf': noMtf,
  '@noss': without('ecx', 7),
  '@noibt': without('edx', 20),
};

const modelFor = ({ setup }: Case): CpuModel => setup.split(' ').reduce((model, word) => MODELS[word] ?? model, full);
const benchFor = (each: Case): Bench => new Bench(modelFor(each)).startVmx().fill();

test('every check has a case, and every case names a check', () => {
  const named = new Set(cases.flatMap((each) => each.ids));
  assert.deepEqual(
    [...named].filter((id) => !stageOf.has(id)),
    [],
  );
  assert.deepEqual(
    CHECKS.map((check) => check.id).filter((id) => !named.has(id)),
    [],
  );
});

test('ids are unique, and traces know each by its number', () => {
  assert.equal(new Set(CHECK_NAMES.map(({ name }) => name)).size, CHECK_NAMES.length);
  CHECKS.forEach((check, i) => {
    assert.equal(CHECK_NAMES[i]?.name, check.id);
  });
});

test('each mutation violates exactly its checks', () => {
  for (const each of cases) {
    const bench = benchFor(each);
    assign(bench, each.setup);
    const optional = (id: string): boolean => stageOf.get(id)?.optional === true && !each.ids.includes(id);
    assert.deepEqual(
      violated(bench, each).filter((id) => !optional(id)),
      [],
      `before: ${each.line}`,
    );
    assign(bench, each.mutation);
    assert.deepEqual(
      violated(bench, each)
        .filter((id) => !optional(id))
        .sort(),
      [...each.ids].sort(),
      each.line,
    );
  }
});

/** What the engine answers to VMLAUNCH, in the form of the vectors, and which checks it tells of. */
function launch(bench: Bench): { answer: string; checks: string[] } {
  bench.told.length = 0;
  bench.run('vmlaunch');
  const checks = bench.told
    .filter(({ kind }) => kind === 'check')
    .map(({ fields }) => CHECK_NAMES[Number(fields.code)]?.name ?? '?');
  const failed = bench.told.find(({ kind }) => kind === 'vmfail' || kind === 'entry_failed');
  if (!failed) return { answer: 'entered', checks };
  if (failed.kind === 'vmfail') return { answer: String(failed.fields.code), checks };
  const { reason = 0n, qualification = 0n } = failed.fields;
  assert.equal(reason >> 31n, 1n);
  assert.equal(bench.field('VM_EXIT_REASON'), reason);
  assert.equal(bench.field('EXIT_QUALIFICATION'), qualification);
  return { answer: `${reason & 0xffffn}${qualification ? `:${qualification}` : ''}`, checks };
}

test('the engine gives the answer that the manual permits, and names every violated check of the stage', () => {
  for (const each of cases.filter(({ answer }) => answer !== '-')) {
    const bench = benchFor(each);
    assign(bench, each.setup);
    assign(bench, each.mutation);
    const stages = STAGES.map((stage) => each.ids.filter((id) => stageOf.get(id)?.stage === stage));
    const expected = stages.find((ids) => ids.length > 0) ?? [];
    const { answer, checks } = launch(bench);
    assert.equal(answer, each.answer, each.line);
    assert.deepEqual(checks.sort(), [...expected].sort(), each.line);
  }
});

/** What a state violates on a processor that Trapline's machine is not. */
const judge = (setup: string, mutation: string, differs: Partial<CheckState> = {}): string[] => {
  const each: Case = { line: mutation, ids: [], answer: '-', setup, mutation };
  const bench = benchFor(each);
  assign(bench, setup);
  assign(bench, mutation);
  const state = Object.assign(new Watched(bench, setup), differs);
  return CHECKS.filter((check) => !check.optional && violates(check, state)).map(({ id }) => id);
};

test('SYSCALL is injected only into a guest that will use FRED: CR4.FRED = IA32_EFER.LMA = 1', () => {
  const setup = '@fred INTR=80000701 LEN=2';
  assert.deepEqual(judge(setup, ''), []);
  const outside = judge(setup, 'ENTRY-=200 GUEST_CS_AR_BYTES=c09b');
  assert.ok(outside.includes('controls.injection.vector'), 'a control: error 7 and not a failed entry');
});

test('host RIP is canonical for the paging mode of host CR4, registers for what the processor supports', () => {
  const wide = { linearBits: 57 };
  const between = '=800000000000';
  assert.deepEqual(judge('', `HOST_RIP${between}`, wide), ['host.rip.canonical']);
  assert.deepEqual(judge('HOST_CR4+=1000', `HOST_RIP${between}`, wide), []);
  assert.deepEqual(judge('HOST_CR4+=1000', 'HOST_RIP=100000000000000', wide), ['host.rip.canonical']);
  // "57-bit canonical if the processor supports 5-level paging", be it on or not (319433, canonicality of MSRs).
  for (const field of ['HOST_FS_BASE', 'HOST_GDTR_BASE', 'HOST_IA32_SYSENTER_EIP', 'GUEST_GS_BASE']) {
    assert.deepEqual(judge('', `${field}${between}`, wide), [], field);
    assert.equal(judge('', `${field}=100000000000000`, wide).length, 1, field);
  }
});

test('entries that return from SMM "do not apply the checks to the current VMCS", nor that of the saved timer', () => {
  const execution = cases.filter(({ ids: [id = ''] }) => stageOf.get(id)?.ofExecutive);
  assert.ok(execution.length > 80);
  const controls = '29.2.1.1';
  for (const { ids, setup, mutation } of execution) {
    const [id = ''] = ids;
    assert.ok(stageOf.get(id)?.cites.section === controls || id === 'controls.save_timer', id);
    if (/@plain|@smm|host32/.test(setup)) continue;
    for (const destination of ['1000', '3000']) {
      const found = judge(`@returning EXECUTIVE_VMCS_POINTER=${destination} ${setup}`, mutation);
      assert.ok(!found.includes(id), `${id} ${destination}`);
    }
  }
  assert.ok(CHECKS.every(({ cites, ofExecutive }) => cites.section !== controls || ofExecutive));
});

test('guest state is judged by the execution controls of the executive VMCS, and as if all were 0 into root operation', () => {
  const unrestricted = '@real VMCS_LINK_POINTER=ffffffffffffffff';
  assert.deepEqual(judge(unrestricted, ''), []);
  const executive = {
    register: (name: CpuRegister) =>
      name === 'SMM' ? 1 : name === 'VMXON_POINTER' ? PLACES.vmxon : (EXECUTIVE[name] ?? 1),
  };
  const EXECUTIVE: { readonly [name: string]: number } = {
    EXECUTIVE_PRIMARY: 0x8000_0000,
    EXECUTIVE_SECONDARY: 0x82,
    EFER: 0xd01,
  };
  const to = (pointer: string): string[] => judge(unrestricted, `EXECUTIVE_VMCS_POINTER=${pointer}`, executive);
  assert.deepEqual(to('3000'), []);
  assert.ok(to('1000').includes('guest.cr0.fixed'));
});

test('the state before each mutation enters', () => {
  const tried = new Set<string>();
  for (const each of cases.filter(({ setup }) => !/@smm|@returning|@tracing/.test(setup))) {
    if (tried.has(each.setup)) continue;
    tried.add(each.setup);
    const bench = benchFor(each);
    assign(bench, each.setup);
    // What is injected would be delivered through tables that the bench does not have.
    bench.set('VM_ENTRY_INTR_INFO_FIELD', 0);
    assert.equal(launch(bench).answer, 'entered', each.line);
    assert.ok(bench.cpu.nonRoot);
  }
});

/** One launch after a change, brought back to root operation where it entered. */
function attempt(bench: Bench, change: string): { answer: string; checks: string[] } {
  assign(bench, change);
  bench.set('VM_ENTRY_INTR_INFO_FIELD', bench.field('VM_ENTRY_INTR_INFO_FIELD') & 0x7fff_ffffn);
  const result = launch(bench);
  if (bench.cpu.nonRoot) {
    bench.cpu.intercepts.instruction(bench.cpu, 'cpuid');
    bench.cpu.memory.view.setUint32(PLACES.vmcs + REGION.launched, 0, true);
  }
  bench.hostRegisters(false);
  return result;
}

test('skipping checks whose inputs did not change changes no answer', () => {
  const [skipping, thorough] = [new Bench(full), new Bench(full)];
  thorough.cpu.vmx.checkAlways = true;
  for (const bench of [skipping, thorough]) bench.startVmx().fill();
  const usable = cases.filter(({ setup }) => !/@plain|@nomtf|@noss|@noibt|@host32/.test(setup));
  let seed = 12345;
  const random = (below: number): number => {
    seed = (seed * 1103515245 + 12345) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  let entered = 0;
  for (let round = 0; round < 3000; round++) {
    const each = usable[random(usable.length)];
    if (!each) continue;
    // From a good state: its setup, which enters, and its mutation, be it of a field or of memory. Else mutations pile up.
    const heals = random(2) === 0;
    if (heals) for (const bench of [skipping, thorough]) bench.fill();
    for (const change of heals ? [each.setup, each.mutation] : [each.mutation]) {
      const [first, second] = [attempt(skipping, change), attempt(thorough, change)];
      assert.deepEqual(first, second, `${change} of ${each.line}`);
      if (first.answer === 'entered') entered++;
    }
  }
  assert.ok(entered > 1000);
});
