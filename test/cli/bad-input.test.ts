/** Wrong calls and wrong files: one clear line that names what, where and what to do; exit code 2; nothing left behind. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { record } from '../recorder/run/scene.js';
import { folderOf } from '../traces/rows.js';
import { call } from './process.js';

let folder = '';
const at = (name: string): string => join(folder, name);

before(async () => {
  folder = folderOf('bad-input');
  mkdirSync(at('folder'));
  writeFileSync(at('text.txt'), 'hello\n');
  writeFileSync(at('empty.img'), '');
  writeFileSync(at('bad.inputs'), '10 com1 "a"\n9 com1 "b"\n');
  writeFileSync(at('far.inputs'), '10 nowhere "a"\n');
  await record(at('run.sqlite'), { guest: 'echo' });
  await record(at('run.arrow'), { guest: 'echo' });
  writeFileSync(at('cut.sqlite'), readFileSync(at('run.sqlite')).subarray(0, 5000));
  writeFileSync(at('newer.sqlite'), newer(readFileSync(at('run.sqlite'))));
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** The format's version is SQLite's user_version: four bytes, big-endian, at 60 of the header. */
function newer(bytes: Buffer): Buffer {
  bytes.writeUInt32BE(99, 60);
  return bytes;
}

/** `@name` is a file of the folder. */
const CALLS: readonly (readonly [line: string, code: string, names: string])[] = [
  ['record', 'MISSING_ARGUMENT', 'GUEST'],
  ['record nosuch -o @new.sqlite', 'UNKNOWN_GUEST', 'nosuch'],
  ['record hypervisr -o @new.sqlite', 'UNKNOWN_GUEST', 'did you mean hypervisor?'],
  ['record constructor -o @new.sqlite', 'UNKNOWN_GUEST', 'constructor'],
  ['record echo', 'MISSING_OPTION', '--output'],
  ['record echo -o @new.txt', 'TRACE_NAME', 'new.txt'],
  ['record echo -o @none/new.sqlite', 'TRACE_UNWRITABLE', 'none/new.sqlite'],
  ['record echo -o @run.sqlite', 'TRACE_EXISTS', 'run.sqlite'],
  ['record echo -o @folder --replace', 'TRACE_NAME', 'folder'],
  ['record echo -o @new.sqlite --cpu z80', 'BAD_CONFIGURATION', 'z80'],
  ['record echo -o @new.sqlite --monitor constructor', 'BAD_CONFIGURATION', 'constructor'],
  ['record echo -o @new.sqlite --ram 0', 'BAD_VALUE', '--ram 0'],
  ['record echo -o @new.sqlite --ram 99999999999999999999', 'BAD_VALUE', '3584'],
  ['record echo -o @new.sqlite --ram 1', 'IMAGE_OUTSIDE_RAM', 'echo'],
  ['record ymir-hello -o @new.sqlite --ram 1', 'IMAGE_OUTSIDE_RAM', 'ymir-hello'],
  ['record echo -o @new.sqlite --flat 7c00', 'BAD_VALUE', 'ADDRESS:16'],
  ['record echo -o @new.sqlite --flat 0x7c00:8', 'BAD_VALUE', '0x7c00:8'],
  ['record echo -o @new.sqlite --flat 99999999999:64', 'BAD_CONFIGURATION', 'flat.address'],
  ['record echo -o @new.sqlite --epoch -1', 'BAD_VALUE', '--epoch'],
  ['record echo -o @new.sqlite --checkpoint-every 10', 'BAD_VALUE', '--checkpoint-every 10'],
  ['record echo -o @new.sqlite --budget 0', 'BAD_VALUE', '--budget 0'],
  ['record echo -o @new.sqlite --budget 1e9', 'BAD_VALUE', '--budget 1e9'],
  ['record echo -o @new.sqlite --set irq', 'BAD_VALUE', 'irq'],
  ['record echo -o @new.sqlite --set speed=5', 'BAD_VALUE', 'it has: irq'],
  ['record echo -o @new.sqlite --set irq=99999999999999999999', 'BAD_VALUE', '2^64'],
  ['record @text.txt -o @new.sqlite --set irq=1', 'BAD_VALUE', '--cmdline'],
  ['record echo -o @new.sqlite --guestinfo x', 'BAD_VALUE', 'NAME=TEXT'],
  [`record echo -o @new.sqlite --guestinfo x=${'y'.repeat(100_000)}`, 'BAD_CONFIGURATION', 'guestinfo.x'],
  [`record echo -o @new.sqlite --cmdline ${'y'.repeat(5000)}`, 'BAD_CONFIGURATION', 'commandLine'],
  ['record echo -o @new.sqlite --memory some', 'BAD_VALUE', 'FROM-TO'],
  ['record echo -o @new.sqlite --memory 5-5', 'BAD_VALUE', '5-5'],
  ['record echo -o @new.sqlite --memory 0-0x10000000000001', 'BAD_VALUE', '52 bits'],
  ['record echo -o @new.sqlite --inputs @none', 'ENOENT', 'none'],
  ['record echo -o @new.sqlite --inputs @folder', 'NOT_A_FILE', 'folder'],
  ['record echo -o @new.sqlite --inputs @text.txt', 'BAD_INPUTS', 'text.txt:1'],
  ['record echo -o @new.sqlite --inputs @bad.inputs', 'BAD_INPUTS', 'bad.inputs:2'],
  ['record echo -o @new.sqlite --inputs /dev/zero', 'TOO_LARGE', '/dev/zero'],
  ['record echo -o @new.sqlite -i --socket @socket', 'BAD_VALUE', '--socket'],
  ['record echo -o @new.sqlite --socket @none/socket', 'NO_SOCKET', 'none/socket'],
  ['record echo -o @new.sqlite --socket @text.txt', 'NO_SOCKET', 'text.txt'],
  [`record echo -o @new.sqlite --socket @${'s'.repeat(120)}`, 'NO_SOCKET', '107 bytes'],
  ['record @none.img -o @new.sqlite', 'ENOENT', 'none.img'],
  ['record @folder -o @new.sqlite', 'NOT_A_FILE', 'folder'],
  ['record @empty.img -o @new.sqlite', 'IMAGE_EMPTY', 'empty.img'],
  ['record @text.txt -o @new.sqlite', 'IMAGE_UNKNOWN', 'text.txt'],
  ['record @run.sqlite -o @new.sqlite', 'IMAGE_', 'run.sqlite'],
  ['record /dev/zero -o @new.sqlite', 'TOO_LARGE', '/dev/zero'],
  ['explain /dev/zero', 'LOG_TOO_LARGE', '/dev/zero'],
  ['explain /dev/null --cpuid /dev/zero', 'TOO_LARGE', '/dev/zero'],
  ['explain /dev/null --msrs /dev/zero', 'TOO_LARGE', '/dev/zero'],
  ['run echo --ticks 5', 'UNKNOWN_OPTION', '--ticks'],
  ['run echo now', 'UNEXPECTED_ARGUMENT', 'now'],
  ['replay @none.sqlite', 'TRACE_NOT_FOUND', 'none.sqlite'],
  ['replay @folder', 'TRACE_NOT_A_TRACE', 'folder'],
  ['replay @text.txt', 'TRACE_NOT_A_TRACE', 'text.txt'],
  ['replay @empty.img', 'TRACE_NOT_A_TRACE', 'empty.img'],
  ['replay @newer.sqlite', 'TRACE_NEWER', 'newer.sqlite'],
  ['replay @run.sqlite --from 9', 'NO_CHECKPOINT', 'the trace has 0 to 0'],
  ['replay @run.sqlite --from last', 'BAD_VALUE', 'last'],
  ['verify @none.arrow', 'TRACE_NOT_FOUND', 'none.arrow'],
  ['verify @cut.sqlite', 'TRACE_', 'cut.sqlite'],
  ['memory @run.sqlite', 'MISSING_ARGUMENT', 'RANGE'],
  ['memory @run.sqlite 2-1 -o @new.arrow', 'BAD_VALUE', '2-1'],
  ['memory @run.sqlite all -o @run.sqlite --replace', 'SAME_TRACE', 'run.sqlite'],
  ['memory @run.sqlite all -o @run.arrow', 'TRACE_EXISTS', 'run.arrow'],
  ['convert @run.arrow -o @run.arrow --replace', 'SAME_TRACE', 'run.arrow'],
];

for (const [line, code, names] of CALLS) {
  test(`${line.slice(0, 90)}: ${code}`, async () => {
    const there = readdirSync(folder).sort();
    const ran = await call(...line.split(' ').map((word) => word.replace(/^@/, `${folder}/`)));
    assert.deepEqual([ran.code, ran.out], [2, '']);
    assert.match(ran.err, /^trapline: [A-Z_]+ [^\n]+\n$/);
    assert.ok(ran.err.startsWith(`trapline: ${code}`), ran.err);
    assert.ok(ran.err.includes(names), ran.err);
    assert.ok(ran.err.length <= 1020);
    assert.deepEqual(readdirSync(folder).sort(), there);
  });
}

test('an input for a port that is none, or for which the run ends too early, is named and left out', async () => {
  const { code, err } = await call('record', 'halt', '--json', '-o', at('far.sqlite'), '--inputs', at('far.inputs'));
  assert.equal(code, 0);
  assert.match(err, /input at tick 10 to "nowhere" left out: the machine takes none there/);
  writeFileSync(at('late.inputs'), '4000000 com1 "a"\n');
  const late = await call('run', 'triple', '--json', '--inputs', at('late.inputs'));
  assert.match(late.err, /input at tick 4,000,000 to "com1" left out: the run ended before/);
});

test('RAM of any size that the help allows starts', async () => {
  for (const mib of ['2', '3584']) {
    const { code, out } = await call('run', 'halt', '--json', '--ram', mib);
    assert.deepEqual([code, JSON.parse(out).kind], [0, 'halt']);
  }
});

const ENDLESS = 'with recursive n(x) as (select 1 union all select x + 1 from n) select * from n';
for (const [statement, says] of [
  [ENDLESS, /BAD_VALUE .*more than 1000000 rows; add --limit/],
  ['select :name', /SQL_REFUSED .*named parameters/],
  ['delete from event', /SQL_REFUSED .*not a SELECT/],
  ["attach database 'stolen.sqlite' as stolen", /SQL_REFUSED/],
  ["vacuum into 'stolen.sqlite'", /SQL_REFUSED/],
  ['pragma query_only = 0', /SQL_REFUSED/],
  ["select load_extension('stolen')", /SQL_REFUSED/],
] as const) {
  test(`query ${statement.slice(0, 60)} is refused`, async () => {
    const { code, out, err } = await call('query', at('run.sqlite'), statement);
    assert.deepEqual([code, out], [2, '']);
    assert.match(err, says);
  });
}

test('what the system does not name is named: a file whose reading fails, a trace that cannot be begun', async (t) => {
  if (process.platform !== 'linux') return t.skip('needs /proc');
  // proc(5): nothing is mapped at 0, and reading there fails with EIO
  for (const words of [
    ['profile'],
    ['events'],
    ['diff', at('run.sqlite')],
    ['explain'],
    ['import', '-o', at('io.arrow')],
  ]) {
    const { code, out, err } = await call(...words, '/proc/self/mem');
    assert.deepEqual([code, out], [2, ''], words.join(' '));
    assert.match(err, /^trapline: EIO [^\n]*: \/proc\/self\/mem; [^\n]*\n$/, words.join(' '));
  }
  const { err } = await call('convert', at('run.sqlite'), '-o', '/proc/run.arrow');
  assert.match(err, /TRACE_UNWRITABLE \/proc\/run\.arrow: /);
  assert.doesNotMatch(err, /\.new/);
});
