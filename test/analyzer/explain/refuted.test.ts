/** Capabilities of another processor do not make a healthy dump a violated one. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { readCpuid } from '../../../analyzer/explain/cpuid-file.js';
import { explain } from '../../../analyzer/explain/log.js';
import { readMsrs } from '../../../analyzer/explain/msr-file.js';
import { withCpuid } from '../../../analyzer/explain/processor.js';
import { PROCESSORS } from '../../../analyzer/explain/processors.js';
import { broken, fixture, ids, only, SKIP, shared } from './helpers.js';

const MODEL = 'skylake-k';
const as = (text: string): ReturnType<typeof explain>['dumps'] =>
  explain(text, 'test', { processor: PROCESSORS.get(MODEL) }).dumps;

describe('a host that is not the model', () => {
  const cases: readonly (readonly [name: string, by: RegExp])[] = [
    ['A10_kvm_grsec_nested_triplefault_healthy', /host\.cr4\.fixed/],
    ['A14_kvm_martins3_ept_violation_healthy', /controls\.secondary\.reserved.*host\.cr4\.fixed/],
  ];
  for (const [name, by] of cases) {
    it(name, { skip: SKIP }, () => {
      const [report] = as(readFileSync(join(shared('dumps') ?? '', `${name}.txt`), 'utf8'));
      assert.deepEqual([report?.verdict, ids(report?.violated ?? [])], ['valid', []]);
      assert.match(report?.traps[0] ?? '', /^This host is not skylake-k: /);
      assert.match(report?.traps[0] ?? '', by);
    });
  }
  it('is told by a failed entry too, which got past its controls; the fault of the guest stays', () => {
    // UMIP, bit 11 of CR4, which Skylake has not.
    const text = fixture('vmx-two-faults').replace(/(CR4=0{8})(\w{8})/, (_, head: string, low: string) => {
      return head + (Number.parseInt(low, 16) | 0x800).toString(16).padStart(8, '0');
    });
    assert.notEqual(text, fixture('vmx-two-faults'));
    const [report] = as(text);
    assert.deepEqual(report === undefined ? [] : broken(report), ['guest.gdtr.base', 'guest.tr.s']);
    assert.match(report?.traps[0] ?? '', /not skylake-k.*host\.cr4\.fixed/);
  });
  it('is told by a VMfail for the controls, for CR4 of the host is what it runs with', () => {
    const text = fixture('vmx-injection');
    const [report] = explain(text, 'test', { processor: PROCESSORS.get('trapline-skylake') }).dumps;
    assert.deepEqual(
      [ids(report?.violated ?? []), ids(report?.suspects ?? [])],
      [[], ['controls.injection.error_code']],
    );
    assert.match(report?.traps[0] ?? '', /^This host is not trapline-skylake: it runs with .*host\.cr4\.fixed.*--msrs/);
    assert.ok(report?.next.some((line) => line.includes('--msrs FILE') && line.includes('--cpu MODEL')));
  });
  it('error 7 says that no check of the host state failed, so that none is suspected', () => {
    // Its width is not in the dump, so that CR3 of the host may be beyond it.
    const text = fixture('vmx-injection').replace('CR3=000000000873c003', 'CR3=000001000873c003');
    assert.notEqual(text, fixture('vmx-injection'));
    assert.deepEqual(ids(only(text).suspects), ['controls.injection.error_code', 'host.cr3.width']);
    // Xen prints the number above its dump; Linux does not.
    const told = ['d1v0 VMLAUNCH error: 0x7', ...text.trimEnd().split('\n')].map((line) => `(XEN) ${line}`);
    assert.deepEqual(ids(only(told.join('\n')).suspects), ['controls.injection.error_code']);
  });
  it('where nothing else explains a VMfail, CR4 of the host may be its cause', () => {
    const text = fixture('vmx-injection').replace('intr_info=8000030d', 'intr_info=80000b0d');
    const [report] = explain(text, 'test', { processor: PROCESSORS.get('trapline-skylake') }).dumps;
    assert.ok(ids(report?.violated ?? []).includes('host.cr4.fixed'));
  });
  it('a file is not called a host', () => {
    const processor = readMsrs('0x488 0x2000\n0x489 0x27ff\n', '/tmp/full.msrs');
    const [report] = explain(fixture('vmx-two-faults'), 'test', { processor }).dumps;
    assert.match(report?.traps[0] ?? '', /^\/tmp\/full\.msrs is not of this host: an entry got past host\.cr4\.fixed/);
  });
  it('CPUID that denies LA57 is not of a host that runs with it', () => {
    const la57 = fixture('vmx-two-faults').replace('CR4=00000000003726f0', 'CR4=00000000003736f0');
    assert.notEqual(la57, fixture('vmx-two-faults'));
    const processor = readCpuid('address sizes : 46 bits physical, 48 bits virtual', 'cpuinfo');
    const [report] = explain(la57, 'test', { processor }).dumps;
    assert.match(report?.traps[0] ?? '', /^cpuinfo is not of this host: it runs with CR4\.LA57/);
    assert.deepEqual(report === undefined ? [] : broken(report), ['guest.tr.s']);
    const both = withCpuid(readMsrs('0x486 0x80000021', 'host.msrs'), processor);
    assert.match(explain(la57, 'test', { processor: both }).dumps[0]?.traps[0] ?? '', /^cpuinfo is not of this host/);
  });
  it('what CPUID says stays where the MSRs beside it are of another host', () => {
    const said = readCpuid('address sizes : 46 bits physical, 48 bits virtual', 'cpuinfo');
    const processor = withCpuid(readMsrs('0x489 0x27ff\n', 'other.msrs'), said);
    const [report] = explain(fixture('vmx-two-faults'), 'test', { processor }).dumps;
    assert.match(report?.traps[0] ?? '', /^other\.msrs is not of this host/);
    assert.deepEqual(ids(report?.violated ?? []), ['guest.gdtr.base', 'guest.tr.s']);
  });
  it('of unknown model that has CR4.CET has both halves of CET, one that has not may lack them', () => {
    const loads = fixture('vmx-injection')
      .replace(/ExitControls=00/, 'ExitControls=10')
      .replace(
        /(Host State.*?)(\n[^\n]*)(PAT = [^\n]*)/s,
        '$1$2$3$2S_CET = 0x0000000000000004$2SSP = 0x0000000000000000',
      );
    const open = (text: string): string[] =>
      ids([...only(text).undecidable, ...only(text).suspects]).filter((id) => id.includes('s_cet'));
    assert.deepEqual(open(loads), ['host.s_cet.supported']);
    assert.deepEqual(open(loads.replace(/(Host State.*? CR4=0{8})003/s, '$100b')), []);
  });
  it('where the entry failed for its controls, the model counts', () => {
    const [report] = as(fixture('vmx-injection'));
    assert.ok(ids(report?.violated ?? []).includes('controls.secondary.reserved'));
  });
});

it('the machine knows its own counters: four programmable ones and three fixed ones', () => {
  // IA32_PERF_GLOBAL_CTRL: bits 3:0 and 34:32. With them, reserved bits of the MSR are decided in every recorded run.
  const models = [...PROCESSORS].filter(([name]) => name.startsWith('trapline-'));
  assert.ok(models.length > 0);
  for (const [name, { counters }] of models) assert.equal(counters, 0x7_0000_000fn, name);
});
