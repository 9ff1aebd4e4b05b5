import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import test from 'node:test';
import { GUESTS } from '../../traces/guests/catalogue.js';
import { commandLine, type Guest, imagePath, readSetting, type Values, valuesOf } from '../../traces/guests/guest.js';
import { ENTRY_FAILURES } from '../../traces/guests/hypervisor.js';
import { runUnderBochs } from '../bench/bochs.js';
import { bochsMissing } from '../bench/bochs-found.js';
import { assemble, missing } from '../nasm.js';

const withoutNasm = missing('nasm');
const withoutBochs = bochsMissing() ?? false;

function guest(name: string): Guest {
  const found = GUESTS.get(name);
  assert.ok(found, name);
  return found;
}

const source = (path: string): string => readFileSync(path.replace(/img$/, 'asm'), 'utf8');

for (const { name } of GUESTS.values()) {
  test(`guest ${name}: the committed image is what its source assembles to`, { skip: withoutNasm }, () => {
    const path = imagePath(guest(name));
    const rebuilt = assemble(dirname(path), basename(path).replace(/img$/, 'asm'), ['-f', 'bin']);
    assert.deepEqual(Buffer.from(rebuilt), readFileSync(path));
  });

  test(`guest ${name}: the catalogue has the parameters and defaults of its source`, () => {
    const { parameters } = guest(name);
    const lines = source(imagePath(guest(name))).matchAll(/^PARAM (\w+), (?:(\d+)|'([^']+)')/gm);
    const inSource = [...lines].map(([, parameter, number, text]) => [parameter, text ?? Number(number)]);
    assert.deepEqual(
      Object.entries(parameters).map(([parameter, { value }]) => [parameter, value]),
      inSource,
    );
  });

  test(`guest ${name}: its header is a valid multiboot header with addresses`, () => {
    const image = readFileSync(imagePath(guest(name)));
    const [magic, flags, checksum, header, load, loadEnd, end, entry] = new Uint32Array(
      image.buffer.slice(image.byteOffset, image.byteOffset + 32),
    );
    assert.equal(magic, 0x1bad_b002);
    assert.equal(flags, 0x1_0000);
    assert.equal(((magic ?? 0) + (flags ?? 0) + (checksum ?? 0)) % 2 ** 32, 0);
    assert.equal(header, load);
    assert.equal(load, 0x10_0000);
    assert.equal(loadEnd, 0);
    assert.equal(entry, 0x10_0020);
    assert.ok((end ?? 0) >= 0x10_0000 + image.length && (end ?? 0) <= guest(name).memory * 2 ** 20);
  });
}

test('the command line holds every parameter, settings in place of defaults', () => {
  assert.equal(commandLine(guest('cpuid')), 'cpuid n=10');
  assert.equal(
    commandLine(guest('ymir-hello'), { number: 2n ** 64n - 1n }),
    `ymir-hello hello=1 number=${2n ** 64n - 1n} calls=2`,
  );
  assert.match(
    commandLine(guest('hypervisor'), { fail: 'gdtr', loop: 3 }),
    /^hypervisor cpuid=10 .* loop=3 fail=gdtr$/,
  );
  assert.equal(commandLine(guest('spin')), 'spin');
});

test('a setting is read, or its fault is said', () => {
  const hypervisor = guest('hypervisor');
  assert.deepEqual(readSetting(hypervisor, 'loop=1000'), { name: 'loop', value: 1000 });
  assert.deepEqual(readSetting(hypervisor, 'loop=18446744073709551615'), { name: 'loop', value: 2n ** 64n - 1n });
  assert.deepEqual(readSetting(hypervisor, 'fail=gdtr'), { name: 'fail', value: 'gdtr' });
  for (const word of [
    'loop',
    'loop=',
    'loop=1=2',
    'lop=1',
    'loop=1x',
    'loop=18446744073709551616',
    'fail=a b',
    'fail=ninechars',
    'toString=1',
    '=1',
    '',
  ]) {
    assert.ok('fault' in readSetting(hypervisor, word), word);
  }
});

/** Runs that a processor which is not ours must agree with, to the last count. */
const runs: readonly { name: string; settings: Values }[] = [
  { name: 'cpuid', settings: { n: 3 } },
  { name: 'hypervisor', settings: {} },
  {
    name: 'hypervisor',
    settings: {
      cpuid: 0,
      out: 1,
      in: 31,
      rdmsr: 5,
      wrmsr: 4,
      vmcall: 0,
      cr0: 7,
      cr3: 2,
      cr4: 9,
      ept: 1500,
      mmio: 6,
      ud: 0,
      invlpg: 1,
      rdtsc: 100,
      hlt: 2,
      timer: 9,
      window: 11,
      loop: 1000,
    },
  },
  { name: 'hypervisor', settings: { fail: 'gdtr' } },
  { name: 'hypervisor', settings: { fail: 'all' } },
];

for (const { name, settings } of runs) {
  const { console } = guest(name);
  test(`Bochs runs ${commandLine(guest(name), settings)} as foretold`, { skip: withoutBochs }, async () => {
    const image = readFileSync(imagePath(guest(name)));
    const run = await runUnderBochs(image, commandLine(guest(name), settings));
    assert.equal(run.console, console(valuesOf(guest(name), settings)));
  });
}

test('the failures of the hypervisor are those of its source', () => {
  const text = readFileSync(imagePath(guest('hypervisor')).replace(/\.img$/, '/failures.inc'), 'utf8');
  const names = [...text.matchAll(/^ {2}FAILURE '(\w+)'/gm)].map(([, name]) => name);
  assert.deepEqual([...ENTRY_FAILURES.keys()], names);
});
