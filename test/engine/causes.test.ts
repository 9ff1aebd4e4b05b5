/** Every rule says what usually breaks it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { SVM_CAUSES } from '../../engine/svm/checks/causes.js';
import { SVM_CHECKS } from '../../engine/svm/checks/table.js';
import { VMX_CAUSES } from '../../engine/vmx/checks/causes.js';
import { MSR_RULES } from '../../engine/vmx/checks/msr-loading.js';
import { CHECKS } from '../../engine/vmx/checks/table.js';
import { inPackage } from '../../traces/guests/guest.js';

/** Functions, fields and parameters of KVM, found in its sources of Linux 6.12 (arch/x86/kvm, arch/x86/virt/svm). */
const KVM_NAMES = new Set(
  readFileSync(inPackage('test', 'engine', 'vectors', 'kvm-names.txt'), 'utf8')
    .split('\n')
    .filter((line) => !line.startsWith('#')),
);
const KVM = /\(KVM: [^)]*\)/g;

const ALL = [...CHECKS, ...SVM_CHECKS, ...MSR_RULES];

describe('what usually causes it', () => {
  it('is said of every row of both tables', () => {
    assert.ok(CHECKS.length > 340 && SVM_CHECKS.length > 60);
    assert.deepEqual(
      ALL.filter(({ causes = [] }) => !causes.some((cause) => cause.length >= 25)).map(({ id }) => id),
      [],
    );
  });
  it('goes on after "Often: " and before a full stop', () => {
    for (const { id, causes = [] } of ALL)
      for (const cause of causes) assert.ok(!/^(?:The|An?|It) |[.\s]$|\s\s/.test(cause) && cause.length < 400, id);
  });
  it('names what KVM has', () => {
    const named = new Set<string>();
    for (const { causes = [] } of ALL)
      for (const [text] of causes.join(' ').matchAll(KVM))
        for (const [name] of text.matchAll(/\b(?!KVM_)\w+_\w+/g)) named.add(name);
    assert.ok(named.size > 60);
    assert.deepEqual(
      [...named].filter((name) => !KVM_NAMES.has(name)),
      [],
    );
    assert.deepEqual(
      [...KVM_NAMES].filter((name) => name !== '' && !named.has(name)),
      [],
    );
  });
  it('comes from families that all have members', () => {
    for (const families of [VMX_CAUSES, SVM_CAUSES])
      for (const [ids, cause] of families)
        assert.ok(
          ALL.some(({ causes }) => causes?.includes(cause)),
          String(ids),
        );
  });
  it('of host state speaks of the host, and of PDPTEs of who writes them', () => {
    const causeOf = (id: string): string => ALL.find((row) => row.id === id)?.causes?.[0] ?? '';
    assert.match(causeOf('host.fs.selector'), /context switch/);
    assert.match(causeOf('guest.es.v86_base'), /RFLAGS\.VM/);
    assert.match(causeOf('guest.pdpte2.memory'), /shadow root/);
    assert.match(causeOf('controls.eptp.walk'), /construct_eptp/);
    assert.match(causeOf('svm.sev.asid'), /8000001FH/);
  });
});
