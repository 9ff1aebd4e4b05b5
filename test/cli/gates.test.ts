/** A gate as CI uses it: recordings of the guest hypervisor, one exit more, and every form of the answer. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { COMMANDS } from '../../cli/commands.js';
import { Output } from '../../cli/output.js';
import { runProgram } from '../../cli/program.js';
import { inPackage } from '../../traces/guests/guest.js';
import { fixturePath } from '../recorder/import-helpers.js';

let folder = '';
let [base, equal, more, gate] = ['', '', '', ''];

async function trapline(...words: string[]): Promise<{ code: number; out: string; err: string }> {
  const text = { out: '', err: '' };
  const sink = (name: 'out' | 'err') => ({
    write(piece: string): void {
      text[name] += piece;
    },
  });
  const code = await runProgram(words, new Output(sink('out'), sink('err'), {}), COMMANDS);
  return { code, ...text };
}

const record = async (name: string, cpuid: number): Promise<string> => {
  const path = join(folder, name);
  assert.equal((await trapline('record', 'hypervisor', '--set', `cpuid=${cpuid}`, '-o', path)).code, 0);
  return path;
};

/** A hundred exits of a host, each handled for so many microseconds. */
function recording(name: string, us: (exit: number) => number): string {
  const path = join(folder, name);
  const stamp = (at: number): string => `qemu-1 [000] 1.${String(at).padStart(6, '0')}:`;
  const lines = Array.from({ length: 100 }, (_, i) => [
    `${stamp(100 * i)} kvm_exit: vcpu 0 reason CPUID rip 0x1000 info1 0x0 info2 0x0 intr_info 0x0 error_code 0x0`,
    `${stamp(100 * i + us(i))} kvm_entry: vcpu 0, rip 0x1000`,
  ]);
  writeFileSync(path, `${lines.flat().join('\n')}\n`);
  return path;
}

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'trapline-gates-'));
  base = await record('base.sqlite', 10);
  equal = await record('equal.arrow', 10);
  more = await record('more.sqlite', 11);
  gate = join(folder, 'exits,1%.budget');
  writeFileSync(
    gate,
    '# of the hypervisor\nexits.total <= baseline\n\nexits.CPUID <= 10 # as asked for\nfailed.total == 0\n',
  );
});
after(() => rmSync(folder, { recursive: true, force: true }));

describe('a gate', () => {
  it('passes the same run and fails one exit more', async () => {
    assert.equal((await trapline('diff', base, equal, '--budget', gate)).code, 0);
    const { code, out } = await trapline('diff', base, more, '--budget', gate);
    assert.equal(code, 1);
    assert.match(out, /budget BROKEN: exits\.CPUID <= 10: 11, limit 10/);
    assert.match(out, /budget kept: failed\.total == 0/);
  });

  it('fails without a budget where exits differ', async () => {
    assert.equal((await trapline('diff', base, equal, '--format', 'github')).code, 0);
    const { code, out } = await trapline('diff', base, more, '--format', 'github');
    assert.equal(code, 1);
    assert.match(out, /^::error title=/);
  });

  it('tells what slowed though the exits are the same, and passes without a budget on it', async () => {
    const [fast, slow] = [recording('fast.txt', () => 2), recording('slow.txt', () => 5)];
    const text = await trapline('diff', fast, slow);
    assert.equal(text.code, 0);
    assert.match(text.out, /no difference.*What slowed.*CPUID +100 +2 → 5 µs\*/s);
    const markdown = await trapline('diff', slow, fast, '--format', 'markdown');
    assert.match(markdown.out, /\*\*What got faster\*\*.*\| CPUID \| 100 \| \*\*5 → 2 µs\*\*/s);
    const { times } = JSON.parse((await trapline('diff', fast, slow, '--json')).out);
    assert.deepEqual([times.length, times[0].reason, times[0].slower], [1, 'CPUID', true]);
    assert.equal((await trapline('diff', fast, slow, '--fail-on', 'latency.p90.CPUID <= baseline + 5%')).code, 1);
    assert.doesNotMatch((await trapline('diff', base, equal)).out, /What slowed|What got faster/);
  });

  // half of them took 2 us, and those are lost
  it('says no more of a run that lost events than what is of the exits that were timed', async () => {
    const whole = recording('both.txt', (i) => (i % 2 === 0 ? 2 : 5));
    const lines = readFileSync(whole, 'utf8').split('\n');
    const slow = lines.filter((_, i) => i % 4 >= 2);
    const lossy = join(folder, 'lossy.txt');
    writeFileSync(lossy, `CPU:0 [LOST 100 EVENTS]\n${slow.join('\n')}\n`);
    const { out } = await trapline('diff', whole, lossy);
    assert.match(out, /50 exits alike, 50 vanished or not recorded/);
    assert.match(out, /\nWhat appeared and vanished, or was not recorded\n/);
    assert.match(out, /\nWhat was slower of the exits that were timed\n.*CPUID +100 → 50 +3.50 → 5 µs +2 → 5 µs /s);
    assert.match(out, /\nThe times that are missing may explain it\.\n/);
    assert.doesNotMatch(out, /\*|What slowed/);
    const back = await trapline('diff', lossy, whole, '--format', 'markdown');
    assert.match(back.out, /50 appeared or not recorded before/);
    assert.match(
      back.out,
      /\*\*What was faster of the exits that were timed\*\*.*\| CPUID \| 50 → 100 \| 5 → 3.50 µs \|/s,
    );
    assert.doesNotMatch(back.out, /Bold/);
    const { times } = JSON.parse((await trapline('diff', whole, lossy, '--json')).out);
    assert.deepEqual(
      times[0].shifts.map(({ certain }: { certain: boolean }) => certain),
      [false, false],
    );
    // a hundred of 2 us against a hundred of 5 us, and one event lost
    const [fast, few] = [recording('fast.txt', () => 2), join(folder, 'few.txt')];
    writeFileSync(
      few,
      `CPU:0 [LOST 1 EVENTS]\n${readFileSync(
        recording('slow.txt', () => 5),
        'utf8',
      )}`,
    );
    const marked =
      /What slowed\n.*CPUID +100 +2 → 5 µs +2 → 5 µs\* .*\n\* more than chance, .* whatever times are missing/s;
    assert.match((await trapline('diff', fast, few)).out, marked);
  });

  // 95 x 2 + 5 x 60 = 490 µs of 100 exits before, 95 x 3 + 5 x 4 = 305 µs after
  it('says how a median that rose and a mean that fell go together', async () => {
    const slow = (i: number): boolean => i % 20 === 0;
    const before = recording('tail.txt', (i) => (slow(i) ? 60 : 2));
    const after = recording('no-tail.txt', (i) => (slow(i) ? 4 : 3));
    const told =
      /CPUID +100 +4.90 → 3.05 µs +2 → 3 µs\* +60 → 4 µs\nCPUID: median, p90 slower, mean faster: the tail fell, p99 60 → 4 µs\n/;
    assert.match((await trapline('diff', before, after)).out, told);
    const back = await trapline('diff', after, before, '--format', 'markdown');
    assert.match(back.out, /got faster.*\n- CPUID: median, p90 faster, mean slower: the tail grew, p99 4 → 60 µs\n/s);
    const { times } = JSON.parse((await trapline('diff', before, after, '--json')).out);
    assert.deepEqual([times[0].mean, times[0].was.mean, times[0].is.mean], [{ with: 'p99' }, 4900, 3050]);
  });

  // A hundred exits of 2 us: that half of them are above 1 us by chance has a probability of 2^-100.
  it('gives chance no probability of 0', async () => {
    const path = recording('two.txt', () => 2);
    const { out } = await trapline('diff', path, path, '--fail-on', 'latency.p50.CPUID <= 1us');
    assert.match(out.replaceAll('\n  ', ' '), /BROKEN: .*100 samples, p < 0\.001\n/);
  });

  it('says of unrelated runs what is missing of one, and of which architecture a reason is', async () => {
    const svm = fixturePath('svm-ring-too-small.trace.txt');
    const { out } = await trapline('diff', fixturePath('vmx-basic.report.txt'), svm);
    assert.match(out, /^right: [\d,]+ events were lost, so its counts are lower bounds\nUnrelated runs/);
    assert.match(out, /\nL1 +CPUID \(VMX\) +[1-9]\d* +0 /);
    assert.match(out, /\nL1 +MSR \(SVM\) +0 +12 /);
    const whole = await trapline('diff', fixturePath('vmx-basic.report.txt'), fixturePath('svm-two-vcpus.report.txt'));
    assert.doesNotMatch(whole.out, /lower bounds/);
    for (const row of [/\nL1 +CPUID \(VMX\) +42 +0 /, /\nL1 +CPUID \(SVM\) +0 +[1-9]/]) assert.match(whole.out, row);
    assert.doesNotMatch((await trapline('diff', base, more)).out, /\((VMX|SVM)\)/);
  });

  it('says one exit and one entry of one', async () => {
    const one = join(folder, 'one.txt');
    writeFileSync(
      one,
      'q-1 [000] 1.000001: kvm_exit: vcpu 0 reason CPUID rip 0x1 info1 0x0 info2 0x0 intr_info 0x0 error_code 0x0\n' +
        'q-1 [000] 1.000002: kvm_entry: vcpu 0, rip 0x1\n',
    );
    assert.match((await trapline('diff', one, one)).out, /^1 exit alike/);
    assert.match((await trapline('diff', one, one, '--format', 'markdown')).out, /: 1 exit alike/);
    assert.match((await trapline('profile', one)).out, /^1 exit, 1 entry,/m);
  });

  it('does not pass what cannot be decided', async () => {
    const empty = join(folder, 'none.budget');
    writeFileSync(empty, '# later\n');
    const refused = await trapline('diff', base, equal, '--budget', empty);
    assert.deepEqual([refused.code, refused.out], [2, '']);
    assert.match(refused.err, /EMPTY_BUDGET .*none\.budget/);
    const misspelt = await trapline('diff', base, equal, '--fail-on', 'exits.CPUIDS == 0');
    assert.equal(misspelt.code, 2);
    assert.match(misspelt.err, /UNKNOWN_REASON .*; did you mean exits\.CPUID\?$/m);
    const format = await trapline('diff', base, equal, '--format', 'html');
    assert.match(format.err, /BAD_VALUE/);
  });

  it('leaves out reasons by a list or one by one, and refuses names that nothing has', async () => {
    const names = ['CPUID', 'VMRESUME'];
    for (const words of [
      ['--ignore', names.join(',')],
      ['--ignore', names.join(', ')],
      names.flatMap((name) => ['--ignore', name]),
    ]) {
      const { code, out } = await trapline('diff', base, more, ...words);
      assert.equal(code, 0, out);
      assert.match(out, /no difference.*without CPUID, VMRESUME/s);
    }
    assert.equal((await trapline('diff', base, more, '--ignore', 'INTR')).code, 1); // of the other architecture
    for (const text of ['CPUIDS', 'cpuid', 'CPUID,NOPE', 'CPUID,', '']) {
      const { code, out, err } = await trapline('diff', base, more, '--ignore', text);
      assert.deepEqual([code, out], [2, ''], text);
      assert.match(err, /UNKNOWN_REASON no exit reason of that name: diff --ignore/);
      assert.equal(/did you mean CPUID\?$/m.test(err), /^cpuids?$/i.test(text), err);
    }
  });

  it('annotates the line of the budget, escaped as workflow commands ask', async () => {
    const { code, out } = await trapline('diff', base, more, '--budget', gate, '--format', 'github');
    assert.equal(code, 1);
    const lines = out.trimEnd().split('\n');
    assert.equal(lines.length, 3);
    const name = gate.replace('%', '%25').replace(',', '%2C');
    assert.ok(lines[1]?.startsWith(`::error file=${name},line=4,title=Budget broken::exits.CPUID <= 10: 11, limit 10`));
    assert.ok(lines[2]?.startsWith('::notice '));
  });

  it('writes JUnit XML that Python reads, markup in names and all', async (test) => {
    const odd = join(folder, 'a<b&"c>.sqlite');
    assert.equal((await trapline('convert', more, '-o', odd)).code, 0);
    const { code, out } = await trapline('diff', base, odd, '--budget', gate, '--format', 'junit');
    assert.equal(code, 1);
    const script = [
      'import sys, json, xml.etree.ElementTree as tree',
      'root = tree.fromstring(sys.stdin.buffer.read())',
      'cases = [[c.get("name"), [[e.tag, e.text] for e in c]] for c in root.iter("testcase")]',
      'print(json.dumps([root.tag, root.get("failures"), root[0].get("name"), cases]))',
    ];
    const { status, stdout, error } = spawnSync('python3', ['-c', script.join('\n')], { input: out, encoding: 'utf8' });
    if (error !== undefined) return test.skip('python3 is not installed');
    assert.equal(status, 0);
    assert.deepEqual(JSON.parse(stdout), [
      'testsuites',
      '2',
      `${base} → ${odd}`,
      [
        ['exits.total <= baseline', [['failure', `${gate}:2: exits.total <= baseline: 105, limit 104 (baseline 104)`]]],
        ['exits.CPUID <= 10', [['failure', `${gate}:4: exits.CPUID <= 10: 11, limit 10`]]],
        ['failed.total == 0', []],
      ],
    ]);
  });

  it('writes no attribute in JUnit XML that the schema of Jenkins’s xUnit plugin lacks', async () => {
    const { out } = await trapline('diff', base, more, '--budget', gate, '--format', 'junit');
    const allowed: { readonly [element: string]: readonly string[] } = {
      testsuites: ['name', 'time', 'tests', 'failures', 'errors'],
      testsuite: ['name', 'tests', 'failures', 'errors', 'skipped', 'time', 'timestamp', 'hostname', 'id', 'file'],
      testcase: ['name', 'time', 'classname', 'group'],
      failure: ['type', 'message'],
      error: ['type', 'message'],
    };
    const elements = [...out.matchAll(/<(\w+)((?: \w+="[^"]*")*)\/?>/g)];
    assert.ok(elements.length > 5);
    for (const [, element = '', attributes = ''] of elements) {
      const names = [...attributes.matchAll(/ (\w+)=/g)].map(([, name = '']) => name);
      assert.deepEqual(
        names.filter((name) => !allowed[element]?.includes(name)),
        [],
        element,
      );
    }
  });

  it('writes Markdown whose tables have the cells of their head, and no content that ends them', async () => {
    const odd = join(folder, 'a|b_c`*.sqlite');
    assert.equal((await trapline('convert', more, '-o', odd)).code, 0);
    const { out } = await trapline('diff', base, odd, '--budget', gate, '--format', 'markdown');
    assert.match(out, /^### VM exits: ❌ \*\*broken\*\* 2, ✅ kept 1$/m);
    assert.ok(out.includes('a\\|b\\_c\\`\\*'));
    const cells = out
      .split('\n')
      .filter((line) => line.startsWith('|'))
      .map((line) => line.replaceAll('\\|', '').split('|').length);
    assert.deepEqual(new Set(cells.slice(0, 5)), new Set([7]));
    assert.deepEqual(new Set(cells.slice(5)), new Set([9]));
  });

  it('prints JSON with every budget', async () => {
    const { out } = await trapline('diff', base, more, '--budget', gate, '--format', 'json');
    const { same, budgets } = JSON.parse(out);
    assert.equal(same, false);
    assert.deepEqual(
      budgets.map(({ outcome, holds, place }: { outcome: string; holds: boolean; place: { line: number } }) => [
        outcome,
        holds,
        place.line,
      ]),
      [
        ['broken', false, 2],
        ['broken', false, 4],
        ['kept', true, 5],
      ],
    );
  });
});

describe('docs/ci.md', () => {
  const page = (): string => readFileSync(join(inPackage(), 'docs', 'ci.md'), 'utf8');
  const block = (language: string): string =>
    new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(page())?.[1] ?? assert.fail(`no block of ${language}`);

  it('has a file of budgets that passes the same run and fails one exit more', async () => {
    const file = join(folder, 'documented.budget');
    writeFileSync(file, block('budget'));
    assert.equal((await trapline('diff', base, equal, '--budget', file)).code, 0);
    assert.equal((await trapline('diff', base, more, '--budget', file)).code, 1);
  });

  it('has a workflow whose calls of trapline are calls that work', async () => {
    const calls = [...block('yaml').matchAll(/^\s*(?:- run: )?npx trapline (.+?)(?: >.*)?$/gm)].map(
      ([, words]) => words ?? '',
    );
    assert.ok(calls.length >= 3);
    for (const call of calls) {
      const words = call.replaceAll('base.sqlite', base).replaceAll('now.sqlite', more).split(/\s+/);
      if (words[0] === 'record') continue;
      const documented = words.map((word) => (word.endsWith('.budget') ? gate : word.replaceAll('"', '')));
      assert.equal((await trapline(...documented)).code, 1, call);
    }
  });
});
