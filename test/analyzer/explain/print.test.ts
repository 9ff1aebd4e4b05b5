/** What is printed is what Linux and Xen printed: real dumps, read and printed again, are the same lines. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Dump } from '../../../analyzer/explain/dump.js';
import { findDumps } from '../../../analyzer/explain/find.js';
import { type PrintedAs, printVmcs } from '../../../analyzer/explain/print.js';
import { fixture, SKIP, shared } from './helpers.js';

const PREFIX = /^(\[ *[0-9.]+\] )?((kvm_intel|KVM): )?(\[…\] )?/;
/** The address of the VMCS in the kernel, and what Xen adds of the running vCPU: not of the VMCS. */
const ELSEWHERE =
  /^VMCS [0-9a-f]+, |\(0x[0-9a-f]+\)|\(vmx_asm_vmexit_handler\)|^\(XEN\) \*{10}|^\(XEN\)$|^\(XEN\) {1,3}(>>>|VCPU)|^$/;

/** A dump's lines without what the log put before them. */
const linesOf = (text: string, { first, last }: Dump): string[] =>
  text
    .split('\n')
    .slice(first - 1, last)
    .map((line) => line.replace(PREFIX, '').trimEnd())
    .filter((line) => !ELSEWHERE.test(line));

function again(text: string, as: PrintedAs): void {
  const [dump] = findDumps(text);
  assert.ok(dump);
  const fields = new Map([...dump.values].map(([name, { value }]) => [name, value]));
  const printed = printVmcs(as, { fields, efer: fields.get('efer.list') ?? 0n }, null);
  assert.deepEqual(
    // Xen says since 4.13 where EFER comes from.
    printed.filter((line) => !ELSEWHERE.test(line)).map((line) => line.replace(/^(\(XEN\) EFER)\([A-Z ]+\)/, '$1')),
    linesOf(text, dump),
  );
}

describe('dumps that Linux 6.1 printed', () => {
  for (const name of ['vmx-two-faults', 'vmx-pdpte', 'vmx-injection']) it(name, () => again(fixture(name), 'kvm'));

  const folder = shared(join('kvm', 'dumps-vmx')) ?? '';
  it('every dump of the collection', { skip: SKIP }, () => {
    const files = readdirSync(folder).filter((name) => name.endsWith('.txt'));
    assert.ok(files.length > 30);
    for (const file of files) again(readFileSync(join(folder, file), 'utf8'), 'kvm');
  });
});

describe('dumps of public reports', { skip: SKIP }, () => {
  const REPORTS: { readonly [start: string]: PrintedAs } = {
    A03: 'kvm-old',
    A04: 'kvm-old',
    A09: 'xen',
    A11: 'kvm-old',
  };
  const folder = shared('dumps') ?? '';
  for (const [start, as] of Object.entries(REPORTS)) {
    it(`${start} as ${as}`, () => {
      const file = readdirSync(folder).find((name) => name.startsWith(start)) ?? '';
      again(readFileSync(join(folder, file), 'utf8'), as);
    });
  }
});
