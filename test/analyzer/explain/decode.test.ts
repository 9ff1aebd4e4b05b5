/** Values in words. Segment registers: Intel SDM Vol. 3C, "Checks on Guest Segment Registers". */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeBits } from '../../../analyzer/explain/decode.js';
import { fixture, only } from './helpers.js';

describe('an unusable register', () => {
  it('TR, which may not be one: that it is, and all that is checked besides', () => {
    assert.deepEqual(decodeBits('GUEST_TR_AR_BYTES', 0x1008bn), ['unusable', 'type 11 (TSS, busy)', 'DPL 0', 'P']);
    assert.deepEqual(decodeBits('GUEST_TR_AR_BYTES', 0x8bn), ['type 11 (TSS, busy)', 'DPL 0', 'P']);
    assert.deepEqual(decodeBits('GUEST_TR_AR_BYTES', 0x2008bn).at(-1), 'bits without a name: 0x20000');
    assert.deepEqual(decodeBits('GUEST_TR_AR_BYTES', 0x3008bn).at(-1), 'bits without a name: 0x20000');
  });
  it('TR, in a dump', () => {
    const text = fixture('vmx-two-faults').replace('attr=0x0009b', 'attr=0x1009b');
    const says = only(text).decoded.find(({ field }) => field === 'GUEST_TR_AR_BYTES')?.says;
    assert.deepEqual(says?.slice(0, 2), ['unusable', 'type 11 (TSS, busy)']);
    assert.ok(says?.includes('S'));
  });
  it('SS: its DPL is the CPL all the same; of others nothing has a meaning', () => {
    assert.deepEqual(decodeBits('GUEST_SS_AR_BYTES', 0x10060n), ['unusable', 'DPL 3']);
    assert.deepEqual(decodeBits('GUEST_DS_AR_BYTES', 0x10060n), ['unusable']);
    assert.deepEqual(decodeBits('GUEST_LDTR_AR_BYTES', 0x10082n), ['unusable']);
  });
});
