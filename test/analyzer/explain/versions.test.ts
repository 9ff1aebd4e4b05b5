/** Dumps of every version of KVM: whole ones are not called damaged, and a line that their controls call for is missed. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findDumps } from '../../../analyzer/explain/find.js';
import { random } from './helpers.js';
import { anyMachine, printAs, VERSIONS } from './kvm-printer.js';

/** Lines without a value, and those of which no control says whether they are there. */
const SILENT = /\*\*\*|^VMCS |MSR |msr=|^VE info|^ve_info/;
/** Without the head that 5.14 brought, nothing may tell whether the kernel would have printed these. */
const UNSURE = /^PDPTR|virt-APIC|^EFER/;
/** The dump of a kernel that has CET but no line of it may be of one that does not print it. */
const CET = /^S_CET/;

describe('dump_vmcs', () => {
  for (const version of VERSIONS) {
    const next = random(0xd0_0000 + version);
    const dumps = Array.from({ length: 120 }, () => printAs(version, anyMachine(next, version), next));

    it(`of ${version / 100} is whole, whatever its controls`, () => {
      for (const lines of dumps) {
        const found = findDumps(lines.join('\n'));
        assert.deepEqual(
          found.map(({ first, last, damage }) => [first > 2, last < lines.length - 2, damage]),
          [[false, false, []]],
          lines.join('\n'),
        );
      }
    });
    it(`of ${version / 100} is not, where a line is lost`, () => {
      for (const lines of dumps.slice(0, 40)) {
        const ofCet = lines.filter((line) => CET.test(line)).length;
        for (const [i, line] of lines.entries()) {
          if (SILENT.test(line) || (version < 515 && UNSURE.test(line)) || (CET.test(line) && ofCet < 2)) continue;
          const damage = findDumps(lines.toSpliced(i, 1).join('\n')).flatMap((dump) => dump.damage);
          assert.ok(
            damage.some(({ kind }) => kind === 'missing'),
            `${line} of\n${lines.join('\n')}`,
          );
        }
      }
    });
    it(`of ${version / 100}: the lists of MSRs are those that the entry and the exit load`, () => {
      for (const lines of dumps) {
        const counts = { guest: 0, host: 0, none: 0 };
        let list: keyof typeof counts = 'none';
        for (const line of lines) {
          if (line.startsWith('MSR'))
            list = /(guest|host) autoload/.test(line) ? (line.includes('host') ? 'host' : 'guest') : 'none';
          if (line.includes('msr=')) counts[list]++;
        }
        const [dump] = findDumps(lines.join('\n'));
        const read = (name: string): number => dump?.msrs.filter((entry) => entry.list === name).length ?? 0;
        assert.deepEqual([read('guest'), read('host')], [counts.guest, counts.host], lines.join('\n'));
      }
    });
  }
});
