/** Compressed files, as the tools themselves write them: every reader names the tool, and a command that gives the content. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { AnalysisError } from '../../analyzer/errors.js';
import { explain } from '../../analyzer/explain/log.js';
import { readSymbolFile } from '../../analyzer/symbols/file.js';
import { ImportError } from '../../recorder/import/errors.js';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource } from '../../recorder/import/source.js';
import { inPackage } from '../../traces/guests/guest.js';

const log = readFileSync(inPackage('test', 'analyzer', 'explain', 'fixtures', 'vmx-two-faults.txt'));
const COMMAND = /^run `(\w[\w= -]*) FILE \| trapline (\w+) -`$/;

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

/** Tools as they pack standard input: the name that is told, the command, and the levels at which their headers may differ. */
const TOOLS: readonly (readonly [name: string, packs: readonly string[], levels: readonly string[]])[] = [
  ['gzip', ['gzip', '-c'], ['-1', '-9']],
  ['xz', ['xz', '-c'], ['-0', '-9']],
  ['zstd', ['zstd', '-c'], ['-1', '-19']],
  ['bzip2', ['bzip2', '-c'], ['-1', '-9']],
  ['lz4', ['lz4', '-c'], ['-1', '-9', '-l']],
  ['lzma', ['xz', '--format=lzma', '-c'], ['-0', '-6', '-9']],
  ['zip', ['zip', '-q', '-', '-'], ['-1', '-9']],
];

/** What a tool prints; null where it is not here. */
function printed([tool = '', ...words]: readonly string[], input?: Buffer): Buffer | null {
  const { status, stdout, error } = spawnSync(tool, words, { input });
  if (error !== undefined) return null;
  assert.equal(status, 0, `${tool} ${words.join(' ')}`);
  return stdout;
}

/** Bytes of a file of compress(1) whose codes are all bytes, nine bits each from the lowest on, as its first 256 are. */
function literals(text: string): Buffer {
  const bits = [...Buffer.from(text)].reduceRight((all, byte) => (all << 9n) | BigInt(byte), 0n);
  const codes = bits.toString(16).padStart(2 * Math.ceil((9 * text.length) / 8), '0');
  return Buffer.concat([Buffer.of(0x1f, 0x9d, 0x90), Buffer.from(codes, 'hex').reverse()]);
}

describe('a compressed file', () => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'trapline-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  /** That every reader of it names the tool, and what prints its content. */
  function isTold(name: string, packed: Buffer, content: Buffer): void {
    const path = join(folder, 'log');
    writeFileSync(path, packed);
    const [unpacks, command] = advised(() => explain(packed, path), 'LOG_COMPRESSED', name);
    assert.equal(command, 'explain');
    const imported = advised(() => importTrace(memorySource(packed), opens), 'BINARY_TRACE', name);
    assert.deepEqual(imported, [unpacks, 'import']);
    const says = new RegExp(`with ${name}: give what \`${unpacks} FILE\` prints$`);
    assert.throws(
      () => readSymbolFile({ size: packed.length, read: (at, length) => packed.subarray(at, at + length) }, path),
      (error) => error instanceof AnalysisError && says.test(error.why ?? ''),
    );
    const unpacked = printed([...unpacks.split(' '), path]);
    if (unpacked !== null) assert.deepEqual(unpacked, content);
  }

  for (const [name, packs, levels] of TOOLS)
    it(`is told with what unpacks it: ${name}`, (t) => {
      for (const level of levels) {
        const [tool = '', ...words] = packs;
        const packed = printed([tool, level, ...words], log);
        if (packed === null) return t.skip(`${tool} is not here`);
        isTold(name, packed, log);
      }
    });

  it('is told with what unpacks it: compress', () => isTold('compress', literals('hello\n'), Buffer.from('hello\n')));

  it('is none where text begins like the name of a format', () => {
    for (const text of ['BZh', 'BZh9 is how bzip2 begins', 'PK', 'PK and more', ']', ''])
      assert.throws(() => explain(Buffer.from(text), 'test'), { code: 'NO_DUMP' });
  });
});
