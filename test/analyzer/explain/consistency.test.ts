/** Every consistency check by which KVM refuses a nested entry has its rules in the tables of checks. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { consistencyOf } from '../../../analyzer/explain/consistency.js';
import { SVM_CHECKS } from '../../../engine/svm/checks/table.js';
import { MSR_RULES } from '../../../engine/vmx/checks/msr-loading.js';
import { CHECKS } from '../../../engine/vmx/checks/table.js';
import { F, type FieldName } from '../../../engine/vmx/fields.js';
import { inPackage } from '../../../traces/guests/guest.js';

const LINE = /^(vmx|svm) (- )?(.+)$/;
const VECTORS = inPackage('test', 'analyzer', 'explain', 'vectors', 'consistency.txt');
const lines = readFileSync(VECTORS, 'utf8')
  .split('\n')
  .flatMap((line) => {
    const [, vendor = '', none, names = ''] = LINE.exec(line) ?? [];
    return vendor === '' ? [] : [{ vendor, none: none !== undefined, names }];
  });

const IDS = new Set([...CHECKS, ...MSR_RULES, ...SVM_CHECKS].map(({ id }) => id));
const READS = new Map(CHECKS.map(({ id, reads }) => [id, reads]));
/** Names of vmcs12 are those of the fields in small letters. */
const fieldsIn = (names: string): number[] =>
  names
    .split(' ')
    .filter((name) => name.toUpperCase() !== name)
    .flatMap((name) => F[name.toUpperCase() as FieldName] ?? []);

describe('what KVM means by a refused nested entry', () => {
  it('is known of each of its checks, but for those that no manual has', () => {
    assert.ok(lines.length > 160);
    for (const { names, none } of lines) {
      const { checks, errors } = consistencyOf(names);
      assert.equal(checks.length + errors.length === 0, none, names);
      assert.deepEqual(
        checks.filter((id) => !IDS.has(id)),
        [],
      );
    }
  });

  it('is of the vendor whose code says it', () => {
    for (const { names, vendor, none } of lines) {
      const { checks, errors } = consistencyOf(names);
      const own = checks.filter((id) => id.startsWith('svm.') === (vendor === 'svm'));
      assert.ok(none || own.length + errors.length > 0, names);
    }
  });

  it('reads the field that the message names', () => {
    let fields = 0;
    for (const { names } of lines) {
      const named = fieldsIn(names);
      for (const id of consistencyOf(names).checks) {
        const reads = READS.get(id);
        if (reads === undefined || named.length === 0) continue;
        fields++;
        assert.ok(
          named.some((field) => reads.includes(field)),
          `${id} does not read what is named by: ${names}`,
        );
      }
    }
    assert.ok(fields > 110);
  });

  it('is told by names and not by how they are joined', () => {
    assert.deepEqual(consistencyOf('(vmcs12->host_cr4 & X86_CR4_PCIDE)').checks, ['host.cr4.pcide']);
    assert.deepEqual(consistencyOf('vmcs12->host_ss_selector == 0 && !ia32e').checks, ['host.ss.null']);
    assert.deepEqual(consistencyOf('is_l1_noncanonical_address_on_vmexit(vmcs12->host_rip, vmcs12)').checks, [
      'host.rip.canonical',
    ]);
    assert.deepEqual(consistencyOf('!vmcs12->tsc_multiplier').checks, ['controls.tsc_multiplier']);
    assert.deepEqual(consistencyOf('!vmx_is_valid_debugctl(vcpu, debugctl, false)').checks, [
      'guest.debugctl.reserved',
      'guest.debugctl.supported',
    ]);
    assert.deepEqual(consistencyOf('vmcs12->launch_state == launch'), { checks: [], errors: [4, 5] });
    assert.deepEqual(consistencyOf('kvm_nested_vmenter_failed: anything else 0xff'), { checks: [], errors: [] });
  });
});
