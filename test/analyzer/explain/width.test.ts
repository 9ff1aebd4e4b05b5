/**
 * Bases, tables and MSRs are canonical by the linear addresses that the processor supports, whatever paging is in use
 * (Linux 9245fd6b8531, "KVM: x86: model canonical checks more precisely"; SDM Vol. 3A, 4.5.1, on CR4.LA57).
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { explain } from '../../../analyzer/explain/log.js';
import { type Processor, UNKNOWN } from '../../../analyzer/explain/processor.js';
import { broken, fixture, ids, only } from './helpers.js';

/** A dump whose only fault is the GDTR's base. */
const dump = (base: string, hostCr4 = '00000000003726e0'): string =>
  fixture('vmx-two-faults')
    .replace(/(TR:.*attr=0x)0009b/, '$10008b')
    .replace('0000900000000000', base)
    .replace(/(Host State.*? CR4=)\w{16}/s, `$1${hostCr4}`);
const LA57 = '00000000003736e0';

describe('an address of 57 bits', () => {
  it('is suspected where the host runs without LA57, which proves nothing of the processor', () => {
    for (const base of ['00f0000000001000', '0000800000000000', 'ff00000000000000']) {
      const { verdict, violated, suspects, sentence } = only(dump(base));
      assert.deepEqual([verdict, ids(violated), ids(suspects)], ['suspect', [], ['guest.gdtr.base']]);
      assert.match(sentence, /unless this processor has 57-bit linear addresses\.$/);
    }
  });
  it('is no cause where the host runs with LA57, or the processor is known to have it', () => {
    assert.deepEqual(broken(only(dump('00f0000000001000', LA57))), []);
    const wide: Processor = { ...UNKNOWN, linearBits: 57 };
    const [report] = explain(dump('00f0000000001000'), 'test', { processor: wide }).dumps;
    assert.deepEqual(report === undefined ? null : broken(report), []);
  });
  it('is violated on a processor of 48 bits, and one of more bits on every processor', () => {
    const narrow: Processor = { ...UNKNOWN, linearBits: 48 };
    const [report] = explain(dump('00f0000000001000'), 'test', { processor: narrow }).dumps;
    assert.deepEqual(ids(report?.violated ?? []), ['guest.gdtr.base']);
    for (const cr4 of ['00000000003726e0', LA57]) {
      // Bit 56 is 1 and bit 57 is 0.
      const { verdict, violated } = only(dump('0100000000000000', cr4));
      assert.deepEqual([verdict, ids(violated)], ['violated', ['guest.gdtr.base']]);
    }
  });
  it('beside a certain fault is a second one to look at', () => {
    const { violated, suspects } = only(fixture('vmx-two-faults'));
    assert.deepEqual([ids(violated), ids(suspects)], [['guest.tr.s'], ['guest.gdtr.base']]);
  });
  it('decides nothing where the entry succeeded', () => {
    const ran = dump('00f0000000001000').replace(/reason=80000021/, 'reason=0000000c');
    const { verdict, violated } = only(ran);
    assert.deepEqual([verdict, violated], ['valid', []]);
  });
});

describe('RIP that is not canonical', () => {
  /** SDM Vol. 3C, 29.3.1.4: bits beyond the linear-address width are identical; RIP need not be canonical. */
  const at = (rip: string, text = fixture('vmx-two-faults')): string =>
    text.replace(/RIP = 0x\w{16}/, `RIP = 0x${rip}`);
  const ofRip = (text: string): string[] => only(text).traps.filter((trap) => trap.startsWith('Guest RIP'));

  it('is told to be allowed, and to fault with the first fetch', () => {
    for (const rip of ['0000900000000000', '0000800000000000']) {
      const report = only(at(rip));
      assert.ok(!broken(report).some((id) => id.startsWith('guest.rip')));
      assert.match(ofRip(at(rip))[0] ?? '', new RegExp(`0x${rip.slice(4)} is not canonical .*#GP`));
    }
  });
  it('is none where it is canonical, beyond the width, or not a 64-bit RIP', () => {
    for (const rip of ['00007fffffffffff', 'ffff800000000000']) assert.deepEqual(ofRip(at(rip)), []);
    // Bits 63:48 differ: a violation with 48 bits, and allowed with 57.
    assert.deepEqual(ofRip(at('00f0000000001000')), []);
    assert.deepEqual(ids(only(at('00f0000000001000')).suspects).includes('guest.rip.linear_width'), true);
    const compatible = fixture('vmx-two-faults').replace(/(CS:.*attr=0x)0a09b/, '$10c09b');
    assert.notEqual(compatible, fixture('vmx-two-faults'));
    assert.deepEqual(ofRip(at('0000900000000000', compatible)), []);
  });
  it('of 57 bits faults in a guest without LA57 on a processor with it', () => {
    const processor: Processor = { ...UNKNOWN, linearBits: 57 };
    const [report] = explain(at('00f0000000001000'), 'test', { processor }).dumps;
    assert.ok(report?.traps.some((trap) => trap.startsWith('Guest RIP 0xf0000000001000 is not canonical (48 bits')));
  });
  it('is among the values', () => {
    const said = (rip: string): readonly string[] | undefined =>
      only(at(rip)).decoded.find(({ field }) => field === 'GUEST_RIP')?.says;
    assert.deepEqual(said('0000900000000000'), ['not canonical with 48 bits']);
    assert.deepEqual(said('0000000000008000'), ['canonical with 48 bits']);
  });
  it('so is SSP where the entry loads it', () => {
    const ssp = 'S_CET = 0x0000000000000000\nSSP = 0x0000900000000000\nSSP TABLE = 0x0000000000000000\n';
    const stamp = (lines: string): string => lines.replace(/^(?=.)/gm, '[   62.087432] ');
    const text = fixture('vmx-two-faults').replace(/(?=^.*\*\*\* Host State)/m, stamp(ssp));
    const loads = text.replace(/EntryControls=0000d3ff/, 'EntryControls=0010d3ff');
    assert.notEqual(loads, text);
    const ofSsp = (log: string): string[] => only(log).traps.filter((trap) => trap.startsWith('Guest SSP'));
    assert.match(ofSsp(loads)[0] ?? '', /0x900000000000 is not canonical .*shadow stack faults/);
    assert.deepEqual(ofSsp(text), []);
  });
});
