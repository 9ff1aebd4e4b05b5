/** `trapline export` on a recording: the numbers of other commands, read back by other programs. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parquetReadObjects } from 'hyparquet';
import { COMMANDS } from '../../cli/commands.js';
import { Output } from '../../cli/output.js';
import { runProgram } from '../../cli/program.js';
import { fixturePath } from '../recorder/import-helpers.js';

const program = fileURLToPath(new URL('../../cli/main.js', import.meta.url));
let folder = '';
let trace = '';

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

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'trapline-export-'));
  trace = join(folder, 'run.sqlite');
  assert.equal((await trapline('record', 'hypervisor', '-o', trace)).code, 0);
});
after(() => rmSync(folder, { recursive: true, force: true }));

const bufferOf = (path: string): ArrayBuffer => Uint8Array.from(readFileSync(path)).buffer;

const exported = async (format: string, ...more: string[]): Promise<string> => {
  const path = join(folder, `run.${format}`);
  const { code, err } = await trapline('export', trace, '-o', path, '--as', format, '--replace', ...more);
  assert.deepEqual([code, err], [0, '']);
  return path;
};

describe('export', () => {
  it('writes a dataset of Parquet files, and replaces only what it wrote', async () => {
    const target = join(folder, 'dataset');
    const { written: rows } = JSON.parse(
      (await trapline('export', trace, '-o', target, '--as', 'parquet', '--json')).out,
    );
    assert.equal(JSON.parse(readFileSync(join(target, '_trapline.json'), 'utf8')).rows, rows);
    const [{ n }] = JSON.parse((await trapline('query', trace, 'select count(*) n from event', '--json')).out);
    const [{ r }] = JSON.parse((await trapline('query', trace, 'select count(*) r from register', '--json')).out);
    assert.ok(rows >= Number(n) + Number(r));
    const exits = await parquetReadObjects({ file: bufferOf(join(target, 'event/kind=exit/part-0.parquet')) });
    const profile = JSON.parse((await trapline('profile', trace, '--json')).out);
    assert.equal(exits.length, profile.exits);
    for (const { reason, count } of profile.rows) {
      assert.equal(exits.filter(({ reason_name: name }) => name === reason).length, count, reason);
    }
    assert.equal((await trapline('export', trace, '-o', target, '--as', 'parquet')).code, 2);
    assert.equal((await trapline('export', trace, '-o', target, '--as', 'parquet', '--replace')).code, 0);
    const foreign = mkdtempSync(join(folder, 'foreign-'));
    writeFileSync(join(foreign, 'thesis.txt'), 'years of work');
    const refused = await trapline('export', trace, '-o', foreign, '--as', 'parquet', '--replace');
    assert.equal(refused.code, 2);
    assert.match(refused.err, /^trapline: EXISTS .*did not write it/);
    assert.ok(existsSync(join(foreign, 'thesis.txt')));
  });

  // setrlimit(2): a write beyond RLIMIT_FSIZE fails, as one to a full disk does; 16 blocks of 512 bytes (POSIX ulimit)
  it('leaves nothing cut behind where there is no room, and what it would have replaced', () => {
    const room = mkdtempSync(join(folder, 'room-'));
    const limited = (name: string, format: string, ...more: string[]): { status: number | null; stderr: string } => {
      const words = [program, 'export', trace, '-o', join(room, name), '--as', format, ...more];
      const line = ['-c', 'ulimit -f 16; exec "$@"', 'sh', process.execPath, ...words];
      return spawnSync('sh', line, { encoding: 'utf8' });
    };
    writeFileSync(join(room, 'old.csv'), 'old');
    symlinkSync('old.csv', join(room, 'link.csv'));
    const old = join(room, 'old-dataset');
    mkdirSync(old);
    for (const name of ['_trapline.json', 'part-0.parquet']) writeFileSync(join(old, name), 'old');
    symlinkSync('old-dataset', join(room, 'link-dataset'));
    const there = readdirSync(room, { recursive: true });
    for (const [name, format, ...more] of [
      ['new.csv', 'csv'],
      ['old.csv', 'csv', '--replace'],
      ['link.csv', 'csv', '--replace'],
      ['dataset', 'parquet'],
      ['old-dataset', 'parquet', '--replace'],
      ['link-dataset', 'parquet', '--replace'],
    ] as const) {
      const { status, stderr } = limited(name, format, ...more);
      assert.equal(status, 2, name);
      assert.match(stderr, new RegExp(`^trapline: EFBIG [^\\n]*${name}[^\\n]*\\n$`));
      assert.deepEqual(readdirSync(room, { recursive: true }), there, name);
      for (const kept of ['old.csv', 'old-dataset/part-0.parquet'])
        assert.equal(readFileSync(join(room, kept), 'utf8'), 'old');
    }
  });
  it('writes to standard output for -, behind what is there, and refuses what cannot go there', async () => {
    const own = mkdtempSync(join(folder, 'stdout-'));
    for (const format of ['csv', 'folded', 'svg', 'perfetto', 'speedscope']) {
      const whole = readFileSync(await exported(format), 'utf8');
      const words = [process.execPath, program, 'export', trace, '-o', '-', '--as', format];
      // a pipe that is full for a while, and a file that is appended to
      const line = '("$@"; echo "code $?") | (sleep 1; cat); echo first > log; "$@" >> log; echo last >> log';
      const { stdout, stderr } = spawnSync('sh', ['-c', line, 'sh', ...words], { cwd: own, encoding: 'utf8' });
      assert.deepEqual([stdout, stderr], [`${whole}code 0\n`, ''], format);
      assert.equal(readFileSync(join(own, 'log'), 'utf8'), `first\n${whole}last\n`, format);
    }
    const gone = spawnSync(
      'sh',
      ['-c', '("$@"; echo $? >&2) | true', 'sh', process.execPath, program, 'export', trace, '-o', '-', '--as', 'csv'],
      { encoding: 'utf8' },
    );
    assert.equal(gone.stderr, '141\n'); // 128 + SIGPIPE
    for (const more of [
      ['--as', 'parquet'],
      ['--as', 'csv', '--json'],
    ]) {
      const { code, err } = await trapline('export', trace, '-o', '-', ...more);
      assert.equal(code, 2);
      assert.match(err, /^trapline: BAD_VALUE bad value: export -o - --[^\n]*\n$/);
    }
    assert.deepEqual(readdirSync(own), ['log']);
  });
  it('keeps the owner and the permissions of what it replaces', async () => {
    const own = mkdtempSync(join(folder, 'own-'));
    const [file, dataset] = [join(own, 'run.csv'), join(own, 'dataset')];
    writeFileSync(file, 'old');
    mkdirSync(dataset);
    writeFileSync(join(dataset, '_trapline.json'), 'old');
    // chown(2): only root gives a file away
    const { uid, gid } = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : statSync(own);
    for (const path of [file, dataset]) chownSync(path, uid, gid);
    chmodSync(file, 0o640);
    chmodSync(dataset, 0o750);
    for (const [target, format] of [
      [file, 'csv'],
      [dataset, 'parquet'],
    ] as const)
      assert.equal((await trapline('export', trace, '-o', target, '--as', format, '--replace')).code, 0);
    for (const [name, mode] of [
      ['run.csv', 0o640],
      ['dataset', 0o750],
      ['dataset/event/kind=exit', 0o750],
      ['dataset/event/kind=exit/part-0.parquet', 0o640],
    ] as const) {
      const stat = statSync(join(own, name));
      assert.deepEqual([stat.mode & 0o7777, stat.uid, stat.gid], [mode, uid, gid], name);
    }
  });
  it('through a link replaces what the link names', async () => {
    const real = mkdtempSync(join(folder, 'real-'));
    writeFileSync(join(real, 'file.csv'), 'old');
    mkdirSync(join(real, 'dataset'));
    writeFileSync(join(real, 'dataset', '_trapline.json'), 'old');
    for (const [name, format] of [
      ['file.csv', 'csv'],
      ['dataset', 'parquet'],
    ] as const) {
      const link = join(folder, `link-${name}`);
      symlinkSync(join(real, name), link);
      assert.equal((await trapline('export', trace, '-o', link, '--as', format, '--replace')).code, 0);
      assert.ok(lstatSync(link).isSymbolicLink());
    }
    assert.deepEqual(readdirSync(real).sort(), ['dataset', 'file.csv']);
    assert.notEqual(readFileSync(join(real, 'file.csv'), 'utf8'), 'old');
    assert.notEqual(readFileSync(join(real, 'dataset', '_trapline.json'), 'utf8'), 'old');
  });

  it('names the tracepoints of an imported recording in a dataset', async () => {
    const imported = join(folder, 'imported.sqlite');
    assert.equal((await trapline('import', fixturePath('vmx-basic.report.txt'), '-o', imported)).code, 0);
    const target = join(folder, 'imported');
    assert.equal((await trapline('export', imported, '-o', target, '--as', 'parquet')).code, 0);
    const printed = readFileSync(fixturePath('vmx-basic.report.txt'), 'utf8');
    const rows = await parquetReadObjects({ file: bufferOf(join(target, 'event/kind=clock/part-0.parquet')) });
    const names = ['kvm_update_master_clock', 'kvm_write_tsc_offset', 'kvm_track_tsc'];
    for (const name of names) {
      assert.equal(
        rows.filter(({ tracepoint_name }) => tracepoint_name === name).length,
        printed.split(`${name}:`).length - 1,
        name,
      );
    }
    assert.ok(rows.every(({ tracepoint_name }) => names.includes(String(tracepoint_name))));
  });
  it('has every exit of the profile, in perfetto and speedscope', async () => {
    const { exits } = JSON.parse((await trapline('profile', trace, '--json')).out);
    const { traceEvents } = JSON.parse(readFileSync(await exported('perfetto'), 'utf8'));
    assert.equal(traceEvents.filter(({ ph }: { ph: string }) => ph === 'B').length, exits);
    const { written } = JSON.parse(
      (await trapline('export', trace, '-o', join(folder, 's'), '--as', 'speedscope', '--json')).out,
    );
    assert.equal(written, exits);
  });

  it('folds all handler time, and all exits, as profile --folded does', async () => {
    const { exits, handled } = JSON.parse((await trapline('profile', trace, '--json')).out);
    const sum = (text: string): number =>
      text
        .trimEnd()
        .split('\n')
        .reduce((all, line) => all + Number(/^L1;[^;]+(?:;[^;]+)? (\d+)$/.exec(line)?.[1]), 0);
    const folded = readFileSync(await exported('folded'), 'utf8');
    assert.equal(sum(folded), handled);
    assert.equal((await trapline('profile', trace, '--folded')).out, folded);
    assert.equal(sum(readFileSync(await exported('folded', '--weight', 'exits'), 'utf8')), exits);
  });

  it('gives sqlite3 the rows that query counts', async (test) => {
    const csv = await exported('csv');
    const asked = 'select kind, count(*) n, sum(tick) t from event group by kind order by kind';
    const { status, stdout, error } = spawnSync('sqlite3', ['-csv', ':memory:', `.import ${csv} event`, `${asked};`], {
      encoding: 'utf8',
    });
    if (error !== undefined) return test.skip('sqlite3 is not installed');
    assert.equal(status, 0);
    // Imported columns are text, so that sqlite3 orders them as text.
    const lines = (text: string): string[] => text.trim().split(/\r?\n/).sort();
    const { out } = await trapline('query', trace, asked, '--csv');
    assert.deepEqual(
      lines(stdout).map((line) => line.replace(/\.0$/, '')),
      lines(out.slice(out.indexOf('\n') + 1)),
    );
  });

  it('has the same cells as the CSV of query', async () => {
    const columns = 'seq,kind,reason,qualification,rip,gpa,code,value,flags';
    const { out } = await trapline('query', trace, `select ${columns} from event order by seq`, '--csv');
    const rows = readFileSync(await exported('csv'), 'utf8').split('\r\n');
    const places = columns.split(',').map((name) => (rows[0] ?? '').split(',').indexOf(name));
    assert.ok(places.every((place) => place >= 0) && rows.length > 100);
    // the last column of the file is text, which may have commas; those before it are numbers
    const cells = (row: string): string => places.map((place) => row.split(',')[place] ?? '').join(',');
    assert.deepEqual(out.split('\r\n'), [...rows.slice(0, -1).map(cells), '']);
  });

  it('writes over nothing unless told to, and never over the trace', async () => {
    const path = await exported('svg');
    const again = await trapline('export', trace, '-o', path, '--as', 'svg');
    assert.equal(again.code, 2);
    assert.match(again.err, /EEXIST/);
    const own = await trapline('export', trace, '-o', trace, '--as', 'csv', '--replace');
    assert.equal(own.code, 2);
    assert.match(own.err, /SAME_TRACE/);
    assert.equal((await trapline('profile', trace)).code, 0);
  });

  it('refuses formats and tables that there are not, and makes no file', async () => {
    for (const more of [
      ['--as', 'xml'],
      [],
      ['--as', 'csv', '--table', 'events'],
      ['--as', 'folded', '--weight', 'x'],
    ]) {
      const { code, err } = await trapline('export', trace, '-o', join(folder, 'none'), ...more);
      assert.equal(code, 2);
      assert.match(err, /BAD_VALUE|MISSING_OPTION/);
      assert.ok(!existsSync(join(folder, 'none')));
    }
  });

  it('refuses options that a format has no use for', async () => {
    const target = join(folder, 'unused.out');
    for (const [format, option, value] of [
      ['perfetto', 'table', 'memory'],
      ['perfetto', 'weight', 'exits'],
      ['csv', 'weight', 'exits'],
      ['parquet', 'symbols', trace],
      ['svg', 'table', 'event'],
    ] as const) {
      const words = ['export', trace, '-o', target, '--as', format, `--${option}`, value];
      const { code, out, err } = await trapline(...words);
      assert.deepEqual([code, out, existsSync(target)], [2, '', false], words.join(' '));
      assert.match(err, new RegExp(`BAD_VALUE .*--${option} --as ${format}: it goes with `));
    }
  });

  it('keeps what a damaged trace holds in a whole document, and exits 2', async () => {
    const imported = join(folder, 'cut.sqlite');
    assert.equal((await trapline('convert', trace, '-o', imported)).code, 0);
    truncateSync(imported, 30_000);
    const path = join(folder, 'cut.json');
    const { code, err } = await trapline('export', imported, '-o', path, '--as', 'perfetto');
    assert.equal(code, 2);
    assert.match(err, /^trapline: TRACE_[A-Z_]+ [^\n]+\n$/);
    if (existsSync(path)) assert.ok(Array.isArray(JSON.parse(readFileSync(path, 'utf8')).traceEvents));
  });
});
