/** Lines of dumps that a mail reader or a terminal wrapped. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findDumps } from '../../../analyzer/explain/find.js';
import { fixture } from './helpers.js';

const values = (text: string): [string, bigint][] => {
  const [dump, ...others] = findDumps(text);
  assert.equal(others.length, 0);
  assert.ok(dump);
  return [...dump.values].map(([name, { value }]): [string, bigint] => [name, value]).sort();
};

const old = fixture('vmx-two-faults')
  .replace(/^\[ *[0-9.]+\] /gm, '')
  .trimEnd();

describe('wrapped lines', () => {
  it('a line that a mail reader wrapped', () => {
    for (const at of [', gh_mask', ', base=', ' CR4=', ' qualification=']) {
      const text = old.replace(at, `${at.startsWith(',') ? ',' : ''}\n${at.replace(/^,? /, '')}`);
      assert.notEqual(text, old);
      assert.deepEqual(values(text), values(old), at);
    }
  });
  it('a line that was wrapped before its sign of equality', () => {
    for (const by of ['\n', ' \n> ']) {
      const text = old.replace(/ ?= ?(0x[0-9a-f]+)$/gm, `${by}= $1`).replace(/ ?=([0-9a-f]{8,16})$/gm, `${by}=$1`);
      assert.ok(text.split('\n').length > old.split('\n').length + 10);
      assert.deepEqual(values(text), values(old));
    }
  });
  it('what was wrapped off a line that names its thread is of that thread', () => {
    const text = old
      .replace(/^/gm, '[   61.190300][T12345] ')
      .replace(/ {2}(RIP =|PAT =|TPR|CS:RIP)| (SecondaryExec|EntryControls|ExitControls)/g, '\n$1$2');
    assert.ok(text.split('\n').length > old.split('\n').length + 3);
    assert.deepEqual(values(text), values(old));
  });
  it('registers of QEMU, whose line begins like one of Xen', () => {
    const said =
      'KVM: entry failed, hardware error 0x80000021\nEAX=00000000 EBX=00000000\nGDT=     00000000 0000ffff\n';
    const whole = `${said}CR0=60000010 CR2=00000000 CR3=00001000 CR4=00002040\n`;
    for (const by of [' CR3=', '=00002040', ' CR2'])
      assert.deepEqual(values(whole.replace(by, `\n${by.trim()}`)), values(whole), by);
  });
});
