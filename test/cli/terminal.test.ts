/** What a terminal of 80 columns shows: nothing that wraps, and every sentence whole. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { COMMANDS } from '../../cli/commands.js';
import { Output, type Sink } from '../../cli/output.js';
import { runProgram } from '../../cli/program.js';
import { widthOf } from '../../cli/table.js';
import { fixturePath } from '../recorder/import-helpers.js';

const COLUMNS = 80;

/** Runs a command line; on a terminal where `columns` is given, else in a pipe. */
async function run(words: readonly string[], columns?: number): Promise<{ out: string; err: string; code: number }> {
  const texts = { out: '', err: '' };
  const sink = (name: 'out' | 'err'): Sink => ({
    isTTY: columns !== undefined && name === 'out',
    columns,
    write(text: string): void {
      texts[name] += text;
    },
  });
  const code = await runProgram(words, new Output(sink('out'), sink('err'), { NO_COLOR: '1' }), COMMANDS);
  return { ...texts, code };
}

const tooWide = (text: string): string[] => text.split('\n').filter((line) => widthOf(line) > COLUMNS);

describe('a terminal of 80 columns', () => {
  const folder = mkdtempSync(join(tmpdir(), 'trapline-terminal-'));
  const trace = (name: string): string => join(folder, `${name}.arrow`);
  const dump = fileURLToPath(new URL('../../../test/analyzer/explain/fixtures/vmx-two-faults.txt', import.meta.url));

  before(async () => {
    for (const [file, name] of [
      ['svm-two-vcpus.report.txt', 'two'],
      ['svm-nested.report.txt', 'nested'],
      ['vmx-basic.report.txt', 'vmx'],
    ] as const)
      assert.equal((await run(['import', fixturePath(file), '-o', trace(name)])).code, 0);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('has room for the help of every command', async () => {
    for (const { name } of COMMANDS)
      assert.deepEqual(tooWide((await run([name, '--help'], COLUMNS)).out), [], `${name} --help`);
  });

  it('gets no colour that a statement computes, nor in the name of a column', async () => {
    const statement = 'select char(27) || \'[31mred\' as "\u001b[31mname", 2 as b';
    for (const format of [[], ['--csv'], ['-x']]) {
      const words = ['query', trace('two'), statement, ...format];
      assert.ok(!(await run(words, COLUMNS)).out.includes('\u001b'));
      assert.ok((await run(words)).out.includes('\u001b[31mred'), 'a pipe gets every character');
    }
  });

  it('has room for every answer', async () => {
    const answers: readonly (readonly string[])[] = [
      ...[[], ['--nested'], ['--by', 'vm,vcpu'], ['--by-lane'], ['--by', 'reason,key'], ['--histogram']].flatMap(
        (options) => [
          ['profile', trace('two'), ...options],
          ['profile', trace('nested'), ...options],
        ],
      ),
      ...['mmio', 'ioport'].map((event) => ['profile', trace('two'), '--event', event]),
      ['diff', trace('two'), trace('nested')],
      ['diff', trace('two'), trace('vmx'), '--fail-on', 'latency.p99.CPUID <= baseline + 10%'],
      ['explain', dump],
      ['query', trace('two'), 'select * from exit limit 3'],
      ['query', trace('two'), 'select name, count(*) from exit group by 1'],
      ['guests'],
      ['guests', 'hypervisor'],
    ];
    for (const words of answers) assert.deepEqual(tooWide((await run(words, COLUMNS)).out), [], words.join(' '));
  });

  it('gets the rows of a wide answer as lines, and a pipe gets the table', async () => {
    const words = ['query', trace('two'), 'select * from exit limit 2'];
    const shown = await run(words, COLUMNS);
    assert.match(shown.out, /^row 1\n {2}seq +\d+\n/);
    assert.match(shown.out, /\n {2}name +[A-Z]\w+\n/);
    assert.equal((await run(words)).out.split('\n').length, 4, 'a head and two rows');
  });
});

describe('what commands say', () => {
  const folder = mkdtempSync(join(tmpdir(), 'trapline-sayings-'));
  const path = join(folder, 'two.arrow');
  before(async () => {
    await run(['import', fixturePath('svm-two-vcpus.report.txt'), '-o', path]);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('tells exits without an entry beside the exits, and of how many vCPUs the time is', async () => {
    const { exits, open, lanes } = JSON.parse((await run(['profile', path, '--json'])).out);
    assert.ok(open > 0 && lanes.length === 2, 'the fixture has both');
    const [head = ''] = (await run(['profile', path])).out.split('\n\n');
    const words = head.replaceAll('\n', ' ');
    assert.ok(words.startsWith(`${exits} exits (${open} not followed by an entry), `), head);
    assert.match(words, / observed on 2 vCPUs, [\d.]+% of it from exit to entry/);
    const ports = (await run(['profile', path, '--event', 'ioport'])).out;
    assert.match(ports.replaceAll('\n', ' '), /observed on 2 vCPUs, [\d.]+% of it in them/);
    assert.match(ports, /\nAccesses by key; time to the next entry\n/);
  });

  it('names what an export has written', async () => {
    const rows = Number((await run(['query', path, 'select count(*) as n from event', '--csv'])).out.split('\n')[1]);
    for (const [format, says] of [
      ['csv', `${rows} rows of CSV`],
      ['speedscope', /^\d+ exits for speedscope$/],
      ['folded', /^\d+ folded stacks$/],
      ['perfetto', /^\d+ slices and instants for Perfetto$/],
    ] as const) {
      const file = join(folder, `out.${format}`);
      const said = (await run(['export', path, '-o', file, '--as', format])).out.trim();
      assert.ok(said.startsWith(`${file}: `), said);
      const written = said.slice(file.length + 2);
      if (typeof says === 'string') assert.equal(written, says);
      else assert.match(written, says);
    }
  });

  it('says how to leave interrupts of the host out, and that they are', async () => {
    const line = (time: number, what: string): string =>
      `  kvmc-174   [000]     1.${String(time).padStart(6, '0')}: ${what}\n`;
    const exit = (at: number, reason: string): string =>
      line(at, `kvm_exit:             reason ${reason} rip 0x1000 info 0 0`) +
      line(at + 5, 'kvm_entry:             vcpu 0 rip 0x1000');
    const calm = Array.from({ length: 20 }, (_, i) => exit(100 * i, 'CPUID'));
    const files = [calm.join(''), calm.toSpliced(10, 0, exit(950, 'EXTERNAL_INTERRUPT')).join('')].map((text, i) => {
      const file = join(folder, `${i}.txt`);
      writeFileSync(file, text);
      return file;
    });
    const said = await run(['diff', ...files]);
    assert.equal(said.code, 1);
    assert.match(said.out, /without them: --ignore EXTERNAL_INTERRUPT\n/);
    const quiet = await run(['diff', ...files, '--ignore', 'EXTERNAL_INTERRUPT']);
    assert.equal(quiet.code, 0);
    assert.match(quiet.out, /^20 exits alike; no difference\nmatched by .*, without EXTERNAL_INTERRUPT\n/);
    assert.doesNotMatch(quiet.out, /--ignore/);
  });

  it('cites a chapter whole once', async () => {
    const dump = fileURLToPath(new URL('../../../test/analyzer/explain/fixtures/vmx-two-faults.txt', import.meta.url));
    const { out } = await run(['explain', dump]);
    assert.equal(out.match(/chapter 29, "VM Entries"/g)?.length, 1);
    assert.match(out, /\n {6}same chapter, 29\.3\.1\.\d, "Checks on /);
  });

  it('lists each command once, by what it is for, and how to come from a recording to answers', async () => {
    const { out, code } = await run(['--help'], COLUMNS);
    assert.equal(code, 0);
    assert.deepEqual(tooWide(out), []);
    for (const { name, summary } of COMMANDS) {
      assert.equal(out.match(new RegExp(`^  ${name} `, 'gm'))?.length, 1, name);
      assert.ok(out.replace(/\s+/g, ' ').includes(summary), name);
    }
    assert.ok(out.indexOf('Questions to a trace\n  profile') > 0);
    assert.match(out, /From a real host\n {2}perf record -e 'kvm:\*'/);
    assert.equal((await run(['help', 'profile'])).out, (await run(['profile', '--help'])).out);
    assert.match((await run(['help', 'profil'])).err, /no such command: profil; did you mean profile\?/);
  });

  it('does not suggest an option that has little of what was typed', async () => {
    assert.match((await run(['profile', path, '--bogus'])).err, /no such option: profile --bogus; see --help/);
    assert.match((await run(['profile', path, '--symbls'])).err, /did you mean --symbols\?/);
  });
});
