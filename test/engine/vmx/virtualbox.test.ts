/** Every rule of a VM entry that VirtualBox names is in the tables: vectors/virtualbox.txt. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { MSR_RULES } from '../../../engine/vmx/checks/msr-loading.js';
import { CHECKS } from '../../../engine/vmx/checks/table.js';
import { inPackage } from '../../../traces/guests/guest.js';

const IDS: readonly string[] = [...CHECKS, ...MSR_RULES].map(({ id }) => id);

/** A line for each name in braces. */
function spread(line: string): string[] {
  const braces = /\{([^}]*)\}/.exec(line);
  if (braces === null) return [line];
  return (braces[1] ?? '').split(',').map((name) => line.replace(braces[0], name).replaceAll('$', name.toLowerCase()));
}

const rows = readFileSync(inPackage('test', 'engine', 'vmx', 'vectors', 'virtualbox.txt'), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .flatMap(spread)
  .map((line) => {
    const [code = '', meant = ''] = line.split(' | ');
    const ids = meant.startsWith('- ') ? [] : meant.split(' ');
    return { code, ids, isOther: meant.startsWith('- ') };
  });

const covered = (id: string): string[] =>
  id.endsWith('*') ? IDS.filter((each) => each.startsWith(id.slice(0, -1))) : IDS.filter((each) => each === id);

/** What came with features that VirtualBox does not give to its guests, and SMM-transfer monitors. */
const NOT_IN_VIRTUALBOX =
  /fred|cet|ssp|pkrs|uinv|spec_ctrl|lbr_ctl|rtit|bndcfgs|perf_global|tertiary|exit2|\.(ipi|hlat|apic_timer|pasid_\w+|pt|pt_guest_physical|paging_write|guest_paging_verification|pebs_guest_physical|posted|pml|sub_page|mode_based_execute|vmfunc|eptp_list|ve_information|tsc_multiplier|unrestricted|executive|entry_to_smm|dual_monitor)(\.|$)|injection\.nested|shadow_stack|bus_lock|smm|sipi_injection|executive$/;

test('each code of VirtualBox has its checks, or is none of state', () => {
  assert.equal(new Set(rows.map(({ code }) => code)).size, rows.length);
  assert.ok(rows.length > 200);
  for (const { code, ids, isOther } of rows) {
    assert.equal(ids.length === 0, isOther, code);
    for (const id of ids) assert.notDeepEqual(covered(id), [], `${code}: ${id}`);
  }
});

test('a check that VirtualBox does not name is of a feature that its guests do not have', () => {
  const named = new Set(rows.flatMap(({ ids }) => ids.flatMap(covered)));
  assert.deepEqual(
    IDS.filter((id) => !named.has(id) && !NOT_IN_VIRTUALBOX.test(id)),
    [],
  );
});
