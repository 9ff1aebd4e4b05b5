/** Compressed files, as the tools themselves write them: every reader names the tool, and a command that gives the content. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { AnalysisError } from '../../analyzer/errors.js';
import { explain } from '../../analyzer/explain/log.js';
import { ImportError } from '../../recorder/import/errors.js';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource } from '../../recorder/import/source.js';
import { inPackage } from '../../traces/guests/guest.js';

const log = readFileSync(inPackage('test', 'analyzer', 'explain', 'fixtures', 'vmx-two-faults.txt'));
const COMMAND = /^run `(\w+) FILE \| trapline (\w+) -`$/;

/** The command that an error advises, and for what. */
function advised(run: () => unknown, code: string, name: string): readonly [unpacks: string, command: string] {
  try {
    run();
  } catch (error) {
    if (!(error instanceof AnalysisError) && !(error instanceof ImportError)) throw error;
    assert.equal(error.code, code);
    assert.match(error.message, new RegExp(`compressed.*with ${name}`));
    const [, unpacks = '', command = ''] = COMMAND.exec(error.advice) ?? [];
    return [unpacks, command];
  }
  return assert.fail(`${name} is no error`);
}

const opens = (): never => assert.fail('opened');

describe('a compressed file', () => {
  for (const [tool, ...levels] of [
    ['gzip', '-1', '-9'],
    ['xz', '-0', '-9'],
    ['zstd', '-1', '-19'],
    ['bzip2', '-1', '-9'],
  ] as const)
    it(`is told with what unpacks it: ${tool}`, (t) => {
      const folder = mkdtempSync(join(tmpdir(), 'trapline-'));
      try {
        for (const level of levels) {
          const { status, stdout: packed } = spawnSync(tool, [level, '-c'], { input: log });
          if (status !== 0) return t.skip(`${tool} is not here`);
          const path = join(folder, 'log');
          writeFileSync(path, packed);
          const [unpacks, command] = advised(() => explain(packed, path), 'LOG_COMPRESSED', tool);
          assert.equal(command, 'explain');
          assert.deepEqual(spawnSync(unpacks, [path]).stdout, log);
          const imported = advised(() => importTrace(memorySource(packed), opens), 'BINARY_TRACE', tool);
          assert.deepEqual(imported, [unpacks, 'import']);
        }
      } finally {
        rmSync(folder, { recursive: true });
      }
    });

  it('is none where text begins like the name of a format', () => {
    for (const text of ['BZh', 'BZh9 is how bzip2 begins', 'PK', ''])
      assert.throws(() => explain(Buffer.from(text), 'test'), { code: 'NO_DUMP' });
  });
});
