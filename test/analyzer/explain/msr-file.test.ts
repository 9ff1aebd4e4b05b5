/** Capability MSRs as rdmsr and loops around it print them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AnalysisError } from '../../../analyzer/errors.js';
import { readMsrs } from '../../../analyzer/explain/msr-file.js';

const refused = (text: string, message: RegExp): void =>
  assert.throws(
    () => readMsrs(text, 'f'),
    (error) => error instanceof AnalysisError && error.code === 'BAD_MSRS' && message.test(error.message),
  );

describe('a list of MSRs', () => {
  it('may say the same more than once, as one does of every processor', () => {
    assert.equal(readMsrs('0x480 0xda\n0x48b 1\n0x480 0x00da\n', 'f').msr(0x480), 0xdan);
    // A counter goes on between two lines.
    assert.equal(readMsrs('0x480 0xda\n0x10 1\n0x10 2\n', 'f').msr(0x480), 0xdan);
  });
  it('of two hosts is of neither', () => {
    refused('0x480 0xda\n# the other\n1152 0x10\n', /f, line 3: MSR 480H has another value in line 1/);
  });
  it('has numbers that ECX holds, so that a value alone, behind its broken line, is no register that is not there', () => {
    refused('0x480 0xda\n0x48c:\n0x00000f0106334141\n', /f, line 3/);
    refused('0x480 0xda\n4294967296 1\n', /f, line 2/);
    assert.equal(readMsrs('0x480 0xda\n0xffffffff 1\n', 'f').msr(0xffff_ffff), 1n);
  });
});
