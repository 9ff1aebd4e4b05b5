/** The program as a shell runs it: import, profile, diff, convert, guests. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { COMMANDS } from '../../cli/commands.js';
import { Output, type Sink } from '../../cli/output.js';
import { runProgram } from '../../cli/program.js';
import { fixture, fixturePath } from '../recorder/import-helpers.js';

const MAIN = fileURLToPath(new URL('../../cli/main.js', import.meta.url));

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'trapline-cli-'));
  process.chdir(folder);
});
after(() => {
  process.chdir('/');
  rmSync(folder, { recursive: true, force: true });
});

class Paper implements Sink {
  text = '';
  readonly isTTY = false;
  write(text: string): void {
    this.text += text;
  }
}

/** The command line in this process, as a pipe sees it. */
async function trapline(words: readonly string[]): Promise<Ran> {
  const out = new Paper();
  const err = new Paper();
  const code = await runProgram(words, new Output(out, err, {}), COMMANDS);
  return { code, out: out.text, err: err.text };
}

/** The program itself. */
function execute(words: readonly string[], input = ''): Ran {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...words], { input, encoding: 'utf8' });
  return { code: status, out: stdout, err: stderr };
}

const REPORT = fixturePath('vmx-basic.report.txt');
/** Lines `kvm_exit:` of the fixture. */
const EXITS = fixture('vmx-basic.report.txt')
  .split('\n')
  .filter((line) => line.includes(' kvm_exit:')).length;

const oneLine = (text: string): void => assert.match(text, /^trapline: [A-Z_]+ [^\n]+\n$/);

describe('import and convert', () => {
  it('writes both stores with one digest, from a file and from a pipe', async () => {
    const file = await trapline(['import', REPORT, '-o', 'a.sqlite', '--json']);
    const pipe = execute(['import', '-', '-o', 'a.arrow', '--json'], fixture('vmx-basic.report.txt'));
    assert.deepEqual([file.code, pipe.code, file.err, pipe.err], [0, 0, '', '']);
    const [one, two] = [JSON.parse(file.out), JSON.parse(pipe.out)];
    assert.equal(one.counts.exits, EXITS);
    assert.equal(one.digest, two.digest);
    const copy = await trapline(['convert', 'a.sqlite', '-o', 'b.arrow', '--json']);
    assert.deepEqual([copy.code, JSON.parse(copy.out).digest], [0, one.digest]);
  });

  it('replaces a trace only when told to', async () => {
    assert.equal((await trapline(['import', REPORT, '-o', 'c.sqlite'])).code, 0);
    const again = await trapline(['import', REPORT, '-o', 'c.sqlite']);
    assert.equal(again.code, 2);
    oneLine(again.err);
    assert.equal((await trapline(['import', REPORT, '-o', 'c.sqlite', '--replace'])).code, 0);
  });

  const refused: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['a missing file', ['import', 'none.txt', '-o', 'x.arrow'], /ENOENT .*none\.txt/],
    ['a folder', ['import', '.', '-o', 'x.arrow'], /EISDIR/],
    ['no trace', ['import', MAIN, '-o', 'x.arrow'], /NOT_A_TRACE .*main\.js/],
    ['no output', ['import', REPORT], /MISSING_OPTION .*--output/],
    ['an unknown store', ['import', REPORT, '-o', 'x.csv'], /TRACE_NAME/],
    ['a folder that is not there', ['import', REPORT, '-o', 'no/such/x.arrow'], /TRACE_UNWRITABLE/],
    ['a trace that is none', ['convert', MAIN, '-o', 'x.arrow'], /TRACE_NOT_A_TRACE/],
    ['an unknown guest', ['guests', 'hypervisr'], /UNKNOWN_GUEST .*did you mean hypervisor\?/],
    ['a budget that is none', ['diff', REPORT, REPORT, '--fail-on', 'fast'], /BAD_BUDGET/],
    ['a match that is none', ['diff', REPORT, REPORT, '--match', 'all'], /BAD_VALUE/],
  ];
  for (const [name, words, line] of refused) {
    it(`refuses ${name} with one line and exit code 2, and writes nothing`, async () => {
      const { code, out, err } = await trapline(words);
      assert.equal(code, 2);
      assert.equal(out, '');
      oneLine(err);
      assert.match(err, line);
      assert.equal((await trapline(['profile', 'x.arrow'])).code, 2);
    });
  }

  it('keeps what came before bytes that are no text, and says where they are', async () => {
    writeFileSync(join(folder, 'cut.txt'), `${fixture('vmx-basic.report.txt')}\0\0\0\n`);
    const { code, err } = await trapline(['import', 'cut.txt', '-o', 'cut.arrow']);
    assert.equal(code, 2);
    oneLine(err);
    assert.match(err, /BINARY_INPUT .*cut\.txt:\d+ \(offset \d+\)/);
    assert.equal(JSON.parse((await trapline(['profile', 'cut.arrow', '--json'])).out).exits, EXITS);
  });
});

describe('profile', () => {
  it('says the same of a trace and of the file it came from', async () => {
    await trapline(['import', REPORT, '-o', 'p.sqlite']);
    const stored = await trapline(['profile', 'p.sqlite', '--json']);
    const direct = await trapline(['profile', REPORT, '--json']);
    assert.equal(stored.code, 0);
    assert.deepEqual(JSON.parse(stored.out), JSON.parse(direct.out));
    assert.equal(JSON.parse(stored.out).exits, EXITS);
  });

  it('writes 64-bit values as hex strings', async () => {
    const { rows, rips } = JSON.parse((await trapline(['profile', REPORT, '--json'])).out);
    assert.match(rows[0].code, /^0x[0-9a-f]+$/);
    assert.match(rips[0].rip, /^0x[0-9a-f]+$/);
  });

  it('prints neither colour nor progress into a pipe', async () => {
    const { out, err } = await trapline(['profile', REPORT]);
    assert.equal(err, '');
    assert.ok(!out.includes('\u001b'));
    assert.match(out, /EPT_VIOLATION/);
  });

  it('reads a damaged trace up to the damage and exits 2', async () => {
    await trapline(['import', REPORT, '-o', 'd.sqlite']);
    truncateSync(join(folder, 'd.sqlite'), 20_000);
    const { code, err } = await trapline(['profile', 'd.sqlite']);
    assert.equal(code, 2);
    oneLine(err);
  });
});

describe('diff', () => {
  const shorter = (): string => {
    const lines = fixture('vmx-basic.report.txt').split('\n');
    const exit = lines.findIndex((line) => line.includes('reason CPUID'));
    writeFileSync(join(folder, 'shorter.txt'), lines.filter((_, i) => i !== exit).join('\n'));
    return 'shorter.txt';
  };

  it('exits 0 for equal runs and 1 for different ones', async () => {
    assert.equal((await trapline(['diff', REPORT, REPORT])).code, 0);
    const { code, out } = await trapline(['diff', REPORT, shorter()]);
    assert.equal(code, 1);
    assert.match(out, /1 vanished/);
    assert.match(out, /First divergence/);
  });

  it('exits by its budgets where it has some, with a line for each', async () => {
    const kept = await trapline(['diff', shorter(), REPORT, '--fail-on', 'exits.total <= baseline + 1']);
    assert.equal(kept.code, 0);
    assert.match(kept.out, /budget kept: exits\.total <= baseline \+ 1/);
    const broken = await trapline([
      'diff',
      shorter(),
      REPORT,
      '--fail-on',
      'exits.total <= baseline',
      '--fail-on',
      'exits.HLT == 0',
      '--json',
    ]);
    assert.equal(broken.code, 1);
    assert.deepEqual(
      JSON.parse(broken.out).budgets.map(
        ({ budget, holds, value }: { budget: string; holds: boolean; value: number }) => [budget, holds, value],
      ),
      [
        ['exits.total <= baseline', false, EXITS],
        ['exits.HLT == 0', true, 0],
      ],
    );
  });
});

describe('the program', () => {
  it('has help for every command, 80 columns wide', async () => {
    for (const { name } of COMMANDS) {
      const { code, out, err } = await trapline([name, '--help']);
      assert.deepEqual([code, err], [0, ''], name);
      assert.ok(out.startsWith(`Usage: trapline ${name}`));
      for (const line of out.split('\n')) assert.ok(line.length <= 80, line);
    }
  });

  it('documents every key of its JSON, and no other', async () => {
    const documents: readonly (readonly string[])[] = [
      ['import', REPORT, '-o', 'j.sqlite', '--json'],
      ['convert', 'j.sqlite', '-o', 'j.arrow', '--json'],
      ['profile', 'j.arrow', '--json'],
      ['diff', 'j.arrow', 'j.sqlite', '--json'],
      ['guests', 'cpuid', '--json'],
    ];
    for (const words of documents) {
      const { command } = (await COMMANDS.find(({ name }) => name === words[0])?.load()) ?? {};
      const { out } = await trapline(words);
      assert.deepEqual(Object.keys(JSON.parse(out)).sort(), Object.keys(command?.json ?? {}).sort(), words[0]);
    }
  });

  it('says its version, that of the package', async () => {
    const root = new URL('../../../package.json', import.meta.url);
    assert.equal(execute(['--version']).out, `trapline ${JSON.parse(readFileSync(root, 'utf8')).version}\n`);
  });

  it('lists guests, and the parameters of one', async () => {
    const all = JSON.parse((await trapline(['guests', '--json'])).out) as { name: string }[];
    assert.ok(all.some(({ name }) => name === 'hypervisor'));
    assert.match((await trapline(['guests', 'hypervisor'])).out, /cpuid=/);
  });

  it('refuses options of which one excludes the other, before anything is read', async () => {
    for (const words of [
      ['profile', 'no-such-file', '--json', '--folded'],
      ['profile', 'no-such-file', '--by', 'vm', '--folded'],
      ['query', 'no-such-file', 'select 1', '--csv', '--json'],
      ['query', 'no-such-file', 'select 1', '-x', '--csv'],
    ]) {
      const { code, out, err } = await trapline(words);
      assert.deepEqual([code, out], [2, ''], words.join(' '));
      assert.match(err, /BAD_VALUE .*one excludes the other/, words.join(' '));
    }
  });

  it('refuses standard input on both sides of a diff, which would find the second one empty', () => {
    const input = 't-1 [000] 1.5: kvm_exit: reason HLT rip 0x1 info 0 0\n';
    const ran = spawnSync(process.execPath, [MAIN, 'diff', '-', '-'], { input, encoding: 'utf8' });
    assert.deepEqual([ran.status, ran.stdout], [2, '']);
    assert.match(ran.stderr, /^trapline: BAD_VALUE .*diff - -: standard input can be read once/);
  });

  it('ends quietly when nobody reads on', async () => {
    let text = '';
    for (let i = 0; i < 60_000; i++)
      text += `t-1 [000] ${i}.5: kvm_exit: reason IO_INSTRUCTION rip 0x${i.toString(16)} info ${(i % 65536).toString(16)}0000 0\n`;
    writeFileSync(join(folder, 'many.txt'), text);
    const child = spawn(process.execPath, [MAIN, 'profile', 'many.txt', '--keys', '100000', '--rips', '60000'], {
      cwd: folder,
    });
    let errors = '';
    child.stderr.on('data', (data) => {
      errors += String(data);
    });
    child.stdout.once('data', () => child.stdout.destroy());
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
    assert.equal(errors, '');
    assert.equal(code, 141);
  });

  it('says that standard output has no room', { skip: !existsSync('/dev/full') && 'there is no /dev/full' }, () => {
    const full = openSync('/dev/full', 'w');
    const { status, stderr } = spawnSync(process.execPath, [MAIN, '--help'], { stdio: ['ignore', full, 'pipe'] });
    closeSync(full);
    assert.equal(
      String(stderr),
      'trapline: ENOSPC no space left on the disk: standard output; free some, or write elsewhere\n',
    );
    assert.equal(status, 2);
  });
});
