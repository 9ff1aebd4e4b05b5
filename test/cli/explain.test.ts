/** `trapline explain` as a pipe sees it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { DumpReport } from '../../analyzer/explain/explain.js';
import { explain } from '../../analyzer/explain/log.js';
import { COMMANDS } from '../../cli/commands.js';
import { Output, type Sink } from '../../cli/output.js';
import { runProgram } from '../../cli/program.js';
import { inPackage } from '../../traces/guests/guest.js';
import { healthy, SKIP, shared } from '../analyzer/explain/helpers.js';
import { brief, record, type Scene } from '../recorder/run/scene.js';
import { MAIN } from './process.js';

class Paper implements Sink {
  text = '';
  write(text: string): void {
    this.text += text;
  }
}

async function trapline(...words: string[]): Promise<{ code: number; out: string; err: string }> {
  const [out, err] = [new Paper(), new Paper()];
  const code = await runProgram(['explain', ...words], new Output(out, err, {}), COMMANDS);
  return { code, out: out.text, err: err.text };
}

/** An entry of the guest `hypervisor` that fails for a bit of RFLAGS. */
const failing: Scene = {
  ...brief('hypervisor'),
  settings: { ...brief('hypervisor').settings, fail: 'rflags', timer: 0, window: 0 },
};

const STORED_LOG = new URL('../../cli/stored-log.js', import.meta.url).href;
const fixture = (name: string): string => inPackage('test', 'analyzer', 'explain', 'fixtures', `${name}.txt`);

let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'trapline-explain-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string, text: string | Uint8Array): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

describe('explain', () => {
  it('prints cause, values and citation in 80 columns, and exits with 1', async () => {
    const { code, out } = await trapline(fixture('vmx-two-faults'));
    assert.equal(code, 1);
    for (const part of ['guest.tr.s', 'GUEST_GDTR_BASE = 0x900000000000', '29.3.1.3', 'TSS, busy'])
      assert.ok(out.includes(part), part);
    for (const line of out.split('\n')) assert.ok([...line].length <= 80, line);
  });
  it('--all and every fixture stay in 80 columns', async () => {
    for (const name of ['vmx-two-faults', 'vmx-pdpte', 'vmx-injection', 'svm-cs']) {
      const { out } = await trapline('--all', fixture(name));
      for (const line of out.split('\n')) assert.ok([...line].length <= 80, line);
    }
  });
  it('a file that is read part by part gives what the same text gives whole', async () => {
    // Characters of several bytes fall on the ends of parts, and each dump lies across one.
    const noise = 'kernel: é€😀 something else\n'.repeat(1900);
    const text = ['vmx-two-faults', 'svm-cs', 'vmx-injection'].map(
      (name) => noise + readFileSync(fixture(name), 'utf8'),
    );
    const { out } = await trapline('--json', file('long.log', text.join('')));
    const whole = explain(text.join(''), 'test').dumps;
    const told = (dumps: readonly Pick<DumpReport, 'first' | 'last' | 'sentence'>[]): unknown[] =>
      dumps.map(({ first, last, sentence }) => [first, last, sentence]);
    assert.equal(whole.length, 3);
    assert.deepEqual(told(JSON.parse(out).dumps), told(whole));
  });
  it('a named pipe is read once, from its first byte', () => {
    const pipe = join(folder, 'pipe');
    assert.equal(spawnSync('mkfifo', [pipe]).status, 0);
    // Without a writer whoever opens it waits.
    const script = `import { openLog } from ${JSON.stringify(STORED_LOG)}; console.log(openLog(process.argv[1]));`;
    const options = { encoding: 'utf8', timeout: 20_000 } as const;
    const opened = spawnSync(process.execPath, ['--input-type=module', '-e', script, pipe], options);
    assert.equal(opened.stdout, 'null\n');
    const shell = 'cat "$1" > "$2" & exec "$3" "$4" explain --json "$2"';
    const words = ['-c', shell, 'sh', fixture('vmx-pdpte'), pipe, process.execPath, MAIN];
    assert.equal(JSON.parse(spawnSync('sh', words, options).stdout).dumps[0].first, 1);
  });
  it('--json has the keys that the help documents', async () => {
    const { command } = (await COMMANDS.find(({ name }) => name === 'explain')?.load()) ?? {};
    const documented = Object.keys(command?.json ?? {}).sort();
    const ofTraces = new Set(['event', 'tick', 'writes']);
    const ofLogs = new Set(['latest', 'identical']);
    const keysOf = async (path: string): Promise<string[]> => {
      const document: { dumps: object[] } = JSON.parse((await trapline('--json', path)).out);
      return [...Object.keys(document), ...Object.keys(document.dumps[0] ?? {})].sort();
    };
    assert.deepEqual(
      await keysOf(fixture('vmx-pdpte')),
      documented.filter((key) => !ofTraces.has(key)),
    );
    const path = join(folder, 'run.sqlite');
    await record(path, failing);
    assert.deepEqual(
      await keysOf(path),
      documented.filter((key) => !ofLogs.has(key)),
    );
  });
  it('of a trace: who wrote the field, the VMCS as a hypervisor prints it, and what that dump says', async () => {
    const path = join(folder, 'failing.sqlite');
    await record(path, failing);
    const { code, out } = await trapline(path);
    assert.equal(code, 1);
    assert.match(out, /guest\.rflags\.bit1/);
    assert.match(out, /Written last by\n {2}GUEST_RFLAGS = 0x0: VMWRITE at RIP 0x[0-9a-f]+, event \d+, tick/);
    for (const line of out.split('\n')) assert.ok([...line].length <= 80, line);
    const printed = await trapline(path, '--as', 'kvm');
    const again = await trapline(file('printed.txt', printed.out));
    assert.match(again.out, /guest\.rflags\.bit1/);
  });
  it('several files: each is explained, and one that holds nothing is told and makes the exit code 2', async () => {
    const { code, out, err } = await trapline(fixture('svm-cs'), file('none.txt', 'nothing\n'), fixture('vmx-pdpte'));
    assert.equal(code, 2);
    assert.match(err, /none\.txt/);
    assert.ok(out.includes('svm-cs.txt') && out.includes('vmx-pdpte.txt'));
  });
  it('several files: one that is compressed, a folder or not there takes no answer away and is named', async () => {
    const whole = fixture('vmx-pdpte');
    const lost: readonly (readonly [path: string, code: string])[] = [
      [file('log.gz', gzipSync(readFileSync(whole))), 'LOG_COMPRESSED'],
      [folder, 'TRACE_NOT_A_TRACE'],
      [join(folder, 'no\nsuch.log'), 'ENOENT'],
    ];
    const paths = lost.map(([path]) => path);
    const text = await trapline(...paths, whole);
    assert.ok(text.out.startsWith(`${whole}\n`), 'whose answer it is');
    const lines = text.err.trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => line.split(' ')[1]),
      lost.map(([, code]) => code),
    );
    const { code, out } = await trapline('--json', ...paths, whole);
    assert.deepEqual([text.code, code], [2, 2]);
    const document: { dumps: { file: string }[]; unexplained: { file: string; code: string }[] } = JSON.parse(out);
    assert.deepEqual(
      document.dumps.map((dump) => dump.file),
      [whole],
    );
    assert.deepEqual(
      document.unexplained.map((one) => [one.file, one.code]),
      lost,
    );
  });
  it('--event and --as belong to traces, and name what they do not know', async () => {
    for (const words of [
      ['--event', '3', fixture('svm-cs')],
      ['--as', 'kvm', fixture('svm-cs')],
      ['--as', 'hyperv', fixture('svm-cs')],
    ]) {
      const { code, err } = await trapline(...words);
      assert.equal(code, 2);
      assert.match(err, /^trapline: BAD_VALUE bad value: explain --(event|as)/);
    }
  });
  it('names the processor only where a dump was held against it', async () => {
    const cpuid = file('amd.cpuid', 'vendor_id\t: AuthenticAMD\naddress sizes\t: 48 bits physical, 48 bits virtual\n');
    const msrs = file('host.msrs', '0x480 0x00da040000000004\n');
    const error = file('error.txt', 'KVM: entry failed, hardware error 0xffffffff\n');
    const [vmx, svm] = [fixture('vmx-injection'), fixture('svm-cs')];
    for (const [words, named] of [
      [[vmx, '--cpu', 'broadwell'], 'broadwell'],
      [[svm, '--cpu', 'broadwell'], null],
      [[svm, vmx, '--cpu', 'broadwell'], 'broadwell'],
      [[svm, '--cpuid', cpuid], cpuid],
      [[vmx, '--cpuid', cpuid], null],
      [[svm, '--msrs', msrs], null],
      [[svm, '--msrs', msrs, '--cpuid', cpuid], cpuid],
      [[vmx, svm, '--msrs', msrs, '--cpuid', cpuid], `${msrs} with ${cpuid}`],
      [[error, '--cpu', 'broadwell'], null],
      [[fixture('vmx-pdpte'), '--cpu', 'broadwell'], null], // whose controls it does not have
    ] as const) {
      const { out } = await trapline(...words);
      const [, heading = null] = /^Capabilities of (.*)$/m.exec(out) ?? [];
      assert.equal(heading, named, words.join(' '));
      const document: { readonly processor: string } = JSON.parse((await trapline(...words, '--json')).out);
      assert.equal(document.processor, named ?? 'unknown', words.join(' '));
    }
  });
  it('a valid state exits with 0, and one of which lines are lost with 1', async () => {
    const { code, out } = await trapline(file('valid.txt', healthy));
    assert.equal(code, 0);
    assert.match(out, /The state is valid/);
    for (const lost of [/.*\bCS: .*\n/, /0(?= SS=0018)/, /(?<=CR3 = 0x0{12}b)0/]) {
      const text = healthy.replace(lost, '');
      assert.notEqual(text, healthy);
      assert.equal((await trapline(file('lost.txt', text))).code, 1, String(lost));
    }
    const [control, exit] = ['[ 1.0] SVM: VMCB Control Area:', '[ 1.1] SVM: exit_code:          00000400'];
    const vmcb = await trapline(file('vmcb.txt', `${control}\n${exit}\n`));
    assert.equal(vmcb.code, 1);
    assert.match(vmcb.out, /NPF/);
  });
  it('an imported trace without failures is told what explain takes, and not --event', async () => {
    const [out, err] = [new Paper(), new Paper()];
    const lines = [1, 2].map(
      (i) =>
        `qemu-100 [000] 1.00000${i}: kvm_exit: vcpu 0 reason HLT rip 0x1000 info1 0x0 info2 0x0 intr_info 0x0 error_code 0x0\n`,
    );
    const path = join(folder, 'imported.sqlite');
    const words = ['import', file('trace.txt', lines.join('')), '-o', path];
    assert.equal(await runProgram(words, new Output(out, err, {}), COMMANDS), 0, err.text);
    const said = await trapline(path);
    assert.equal(said.code, 2);
    assert.match(said.err, /^trapline: NO_FAILURE_RECORDED .*trapline profile/);
    assert.doesNotMatch(said.err, /--event/);
  });
  for (const words of [
    ['import', fixture('vmx-pdpte'), '-o', 'none.sqlite'],
    ['profile', fixture('vmx-pdpte')],
  ]) {
    it(`${words[0]} of a log with a dump points here`, async () => {
      const [out, err] = [new Paper(), new Paper()];
      assert.equal(await runProgram(words, new Output(out, err, {}), COMMANDS), 2);
      assert.match(err.text, /^trapline: NOT_A_TRACE .*trapline explain .*vmx-pdpte\.txt\n$/);
    });
  }
  it('a recording of trace-cmd names its failed entry', { skip: SKIP }, async () => {
    const path = join(shared('kvm') ?? '', 'vmx', 'vmx_failtrace_gdtr_base_noncanon.trace.dat');
    const { code, out } = await trapline(path);
    assert.equal(code, 1);
    assert.match(out, /event 7\n.*invalid guest state \(reason 0x80000021, qualification 0\).*dump_invalid_vmcs=1/s);
  });
  it('a damaged dump exits with 1, though what is left breaks no rule', async () => {
    const segments = ['ES', 'CS', 'SS', 'DS'].map((name) => `${name}: sel=~\n`).join('');
    const text = `*** Guest State ***\n${segments}CR3 = 0x0000000000001000\n`;
    const { code, out } = await trapline(file('garbled.txt', text));
    assert.equal(code, 1);
    assert.match(out, /damaged in 4 places/);
    assert.doesNotMatch(out, /\. +[a-z]|\.\n[a-z]/);
  });
  it('a dump that ends before it says what happened exits with 1, as QEMU’s word of a failed entry does', async () => {
    const guest = readFileSync(fixture('vmx-pdpte'), 'utf8').split('\n').slice(0, 14);
    const cut = guest.filter((line) => !line.includes('PDPTR')).join('\n');
    const { code, out } = await trapline(file('cut.txt', cut));
    assert.equal(code, 1, out);
    assert.match(out, /The dump is not whole: no check is violated/);
    assert.equal((await trapline(file('word.txt', 'KVM: entry failed, hardware error 0x0\n'))).code, 1);
    assert.equal((await trapline(file('gave-up.txt', 'KVM internal error. Suberror: 1\n'))).code, 0);
  });
  it('many dumps are told once, in text and JSON, and --from goes on', async () => {
    const path = file(
      'many.txt',
      'KVM: entry failed, hardware error 0x7\n'.repeat(2000) + readFileSync(fixture('svm-cs'), 'utf8'),
    );
    const { code, out } = await trapline(path);
    assert.equal(code, 1);
    assert.match(out, /^Error without a dump, line 1\n1,999 more like it; the last is at line 2,000\.\n/);
    assert.ok(out.split('\n').length < 80);
    const { dumps, rest } = JSON.parse((await trapline('--json', path)).out);
    assert.deepEqual([dumps.length, dumps[0].times, dumps[0].latest, rest], [2, 2000, { first: 2000, last: 2000 }, []]);
    const after = JSON.parse((await trapline('--json', '--from', '1991', path)).out);
    assert.deepEqual([after.dumps[0].first, after.dumps[0].times], [1991, 10]);
  });
  it('what is not told is counted, with the line to go on from', async () => {
    const text = Array.from(
      { length: 120 },
      (_, i) => `KVM: entry failed, hardware error 0x${(0x1000 + i).toString(16)}\n`,
    );
    const path = file('kinds.txt', text.join(''));
    const { out } = await trapline(path);
    assert.match(
      out.replace(/\s+/g, ' '),
      /kinds\.txt: 20 further dumps, of other kinds, are not told: see them with --from 101\./,
    );
    const { more, rest } = JSON.parse((await trapline('--json', path)).out);
    assert.deepEqual([more, rest], [20, [{ file: path, more: 20, from: 101 }]]);
    assert.equal(JSON.parse((await trapline('--json', '--from', '101', path)).out).more, 0);
  });
  it('capability MSRs decide what the dump leaves open', async () => {
    const injection = fixture('vmx-injection');
    const verdict = async (...words: string[]): Promise<unknown> =>
      JSON.parse((await trapline('--json', injection, ...words)).out).dumps[0].violated.map(
        ({ id }: { id: string }) => id,
      );
    // Bit 56 of IA32_VMX_BASIC: exceptions may come with or without an error code.
    assert.deepEqual(await verdict('--msrs', file('old.msrs', '# host\n0x480 0x00da040000000004\n')), [
      'controls.injection.error_code',
    ]);
    assert.deepEqual(await verdict('--msrs', file('new.msrs', '1152 01da040000000004\n1169 \n0x492:\n')), []);
    // rdmsr takes its registers in hexadecimal without a prefix: 480 is 480H.
    assert.deepEqual(await verdict('--msrs', file('bare.msrs', '480 00da040000000004\n48a:\n')), [
      'controls.injection.error_code',
    ]);
    assert.deepEqual(await verdict('--msrs', file('bare-new.msrs', '480 01da040000000004\n')), []);
    // The dump is of a processor with TSC scaling, which this one lacks: that is said too, and last.
    assert.deepEqual(await verdict('--cpu', 'skylake-k'), [
      'controls.injection.error_code',
      'controls.secondary.reserved',
    ]);
  });
  it('refuses what is no log by its size, without reading it', async () => {
    const path = file('huge.txt', '');
    truncateSync(path, 3 * 2 ** 30);
    const { code, err } = await trapline(path);
    assert.equal(code, 2);
    assert.match(err, /^trapline: LOG_TOO_LARGE .*256 MiB/);
  });
  it('refuses a text without dump, bad MSRs and unknown processors in one line', async () => {
    const calls: [RegExp, ...string[]][] = [
      [/^trapline: NO_DUMP .*none\.txt/, file('none.txt', 'hello\n')],
      [/^trapline: LOG_COMPRESSED .*gzip.*zcat FILE \| trapline explain -/, file('log.gz', gzipSync('hello\n'))],
      [/^trapline: BAD_CPUID .*cpuid -1 -r/, fixture('svm-cs'), '--cpuid', file('bad.cpuid', 'foo\n')],
      [/^trapline: BAD_MSRS .*line 2/, fixture('svm-cs'), '--msrs', file('bad.msrs', '0x480 1\nfoo\n')],
      [/^trapline: BAD_MSRS .*none of/, fixture('svm-cs'), '--msrs', file('other.msrs', '0x3a 5\n0x1d9 0\n')],
      [/^trapline: BAD_MSRS .*line 1/, fixture('svm-cs'), '--msrs', file('names.msrs', 'add 5\n')],
      [/^trapline: BAD_VALUE .*known are/, fixture('svm-cs'), '--cpu', 'i386'],
      [/^trapline: ENOENT /, join(folder, 'nothing')],
      [/^trapline: TRACE_NOT_A_TRACE /, folder],
    ];
    for (const [expected, ...words] of calls) {
      const { code, out, err } = await trapline(...words);
      assert.equal(code, 2);
      assert.equal(out, '');
      assert.match(err, expected);
      assert.match(err, /^[^\n]+\n$/);
    }
  });
});
