/** What to look at: usual causes once each, however many checks are violated. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fixture, only } from './helpers.js';

describe('what to look at', () => {
  it('names the usual cause of each violated check', () => {
    const { violated, next } = only(fixture('vmx-two-faults'));
    for (const { causes } of violated) assert.ok(next.includes(`Often: ${causes[0]}.`));
  });
  it('says the cause of a family once', () => {
    // EFLAGS.VM in a guest in long mode: rights, limits and bases of six segments are none of virtual-8086 mode.
    const { violated, next } = only(fixture('vmx-pdpte').replace('RFLAGS=0x0000', 'RFLAGS=0x0002'));
    assert.ok(violated.length >= 12, String(violated.length));
    assert.equal(next.filter((line) => line.includes('RFLAGS.VM is 1')).length, 1);
    assert.ok(next.filter((line) => line.startsWith('Often:')).length <= 3);
    assert.equal(new Set(next).size, next.length);
  });
  it('calls the cause of a suspected check one that depends', () => {
    const { suspects, next } = only(fixture('vmx-injection'));
    assert.ok(next.includes(`If so, often: ${suspects[0]?.causes[0]}.`));
  });
});
