/** Symbols of guest addresses from every kind of file, and what a hostile one can do: nothing. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AnalysisError } from '../../analyzer/errors.js';
import { bytesSource } from '../../analyzer/symbols/elf.js';
import { readSymbolFile, type SymbolFile } from '../../analyzer/symbols/file.js';
import { Symbols, type SymbolUse } from '../../analyzer/symbols/symbols.js';
import { type DraftSymbol, elfFile } from './elf-files.js';

const fileOf = (content: string | Uint8Array): SymbolFile =>
  readSymbolFile(bytesSource(typeof content === 'string' ? Buffer.from(content) : content), 'file');

const use = (content: string | Uint8Array, more: Partial<SymbolUse> = {}): SymbolUse => ({
  file: fileOf(content),
  level: null,
  offset: null,
  ...more,
});

const at = (content: string | Uint8Array, address: bigint): string | null =>
  new Symbols([use(content)]).label(null, address);

const KALLSYMS = [
  '0000000000000000 A fixed_percpu_data',
  'ffffffff81000000 T _text',
  'ffffffff81000000 T startup_64',
  'ffffffff81000060 t verify_cpu',
  'ffffffff81000100 W weak_one',
  'ffffffff81000100 T strong_one',
  'ffffffff82000000 D jiffies',
  'ffffffffc0000000 t vmx_vcpu_run\t[kvm_intel]',
  '',
].join('\n');

describe('symbols as text', () => {
  it('are read from kallsyms and System.map', () => {
    assert.equal(at(KALLSYMS, 0xffff_ffff_8100_0000n), 'startup_64');
    assert.equal(at(KALLSYMS, 0xffff_ffff_8100_005fn), 'startup_64+0x5f');
    assert.equal(at(KALLSYMS, 0xffff_ffff_8100_0060n), 'verify_cpu');
    assert.equal(at(KALLSYMS, 0xffff_ffff_8100_0101n), 'strong_one+0x1');
    assert.equal(at(KALLSYMS, 0xffff_ffff_c000_0012n), 'vmx_vcpu_run [kvm_intel]+0x12');
    assert.equal(at(KALLSYMS, 0xffff_ffff_8200_0001n), null, 'data is no code');
    assert.equal(at(KALLSYMS, 0x10n), null, 'absolute symbols are no addresses');
    assert.equal(at(KALLSYMS, 0xffff_ffff_80ff_ffffn), null);
    assert.ok(fileOf(KALLSYMS).running);
    assert.ok(!fileOf(KALLSYMS.replace(/\t\[.*/, '')).running);
  });

  it('are read from nm -S, whose sizes bound them', () => {
    const text =
      '0000000000401000 0000000000000010 T start\n0000000000401080 0000000000000020 t more\n                 U puts\n';
    assert.equal(at(text, 0x40100fn), 'start+0xf');
    assert.equal(at(text, 0x401010n), null);
    assert.equal(at(text, 0x401090n), 'more+0x10');
  });

  // as `nm -S` of binutils 2.42 prints an executable: symbols of the linker have no size, and no column of it
  it('are read from nm -S where most symbols have no size', () => {
    const ends = ['__bss_start', '_edata', '_end'].map((name) => `0000000000011000 T ${name}\n`).join('');
    const sized = '0000000000010000 00000000000001b0 T _start\n00000000000101b0 0000000000000030 T loop_cpuid\n';
    for (const text of [ends + sized, sized + ends, sized]) {
      assert.equal(at(text, 0x101afn), '_start+0x1af');
      assert.equal(at(text, 0x101b4n), 'loop_cpuid+0x4');
      assert.equal(at(text, 0x101e0n), null, 'behind its size');
      assert.equal(fileOf(text).remark, null);
    }
  });

  // as binutils 2.40 prints a C++ program: with undefined symbols, sizes and lines of its source
  it('are read from every format of nm, with and without -C, -l and -n', () => {
    const printed: [string, string][] = [
      [
        'nm -P',
        'A::operator||(int) T 113a 26\t/tmp/a.cc:3\n__gmon_start__ w         \n_end B 4020 \nmain T 1160 25\t/tmp/a.cc:4\nputs@GLIBC_2.2.5 U         \nw W 1190 7\nadd t 11a0 10\n',
      ],
      [
        'nm -f sysv',
        [
          '\n\nSymbols from a.out:\n',
          'Name                  Value           Class        Type         Size             Line  Section\n',
          'A::operator||(int)  |000000000000113a|   T  |              FUNC|0000000000000026|     |.text\t/tmp/a.cc:3',
          '__gmon_start__      |                |   w  |            NOTYPE|                |     |*UND*',
          '_end                |0000000000004020|   B  |            NOTYPE|                |     |.bss',
          'main                |0000000000001160|   T  |              FUNC|0000000000000025|     |.text\t/tmp/a.cc:4',
          'puts@GLIBC_2.2.5    |                |   U  |              FUNC|                |     |*UND*',
          'w                   |0000000000001190|   W  |              FUNC|0000000000000007|     |.text',
          'add                 |00000000000011a0|   t  |              FUNC|0000000000000010|     |.text',
        ].join('\n'),
      ],
      [
        'map',
        '                 w __gmon_start__\n                 U puts@GLIBC_2.2.5\n000000000000113a 0000000000000026 T A::operator||(int)\t/tmp/a.cc:3\n0000000000001160 0000000000000025 T main\t/tmp/a.cc:4\n0000000000001190 0000000000000007 W w\n00000000000011a0 0000000000000010 t add\n0000000000004020 B _end\n',
      ],
    ];
    const [, map = ''] = printed[2] ?? [];
    printed.push(['map', map.replace(/^/gm, './a.out:').replace(/\.\/a\.out:$/, '')]); // nm -A
    const names = ['A::operator||(int)+0x25', 'main', null, 'w+0x6', 'add'];
    for (const [format, text] of printed) {
      const found = [0x115fn, 0x1160n, 0x1185n, 0x1196n, 0x11a0n].map((address) => at(text, address));
      assert.deepEqual(found, names, format);
      const { format: told, remark, running } = fileOf(text);
      assert.deepEqual([told, remark, running], [format, null, false]);
    }
  });

  it('are read from a perf map, whose names may have blanks', () => {
    const text = '7f0010002000 40 LazyCompile:~f file.js:1\n7f0010003000 8 b\n';
    assert.equal(at(text, 0x7f00_1000_2008n), 'LazyCompile:~f file.js:1+0x8');
    assert.equal(at(text, 0x7f00_1000_3008n), null);
    assert.equal(fileOf(text).format, 'perf map');
    assert.equal(at(`${text}7f0010003000 8 again\n`, 0x7f00_1000_3000n), 'again', 'code that was compiled anew');
  });

  it('are read from a list of addresses and names', () => {
    assert.equal(at('0x1000 loader\n0x2000 main\n', 0x1fffn), 'loader+0xfff');
  });

  it('says which lines it could not read', () => {
    assert.equal(fileOf(`${KALLSYMS}garbage\n<>\n`).remark, '2 lines are no symbols, the first is line 9');
  });

  it('refuses what is none, and zeros, with what to do', () => {
    const refused: readonly [string | Uint8Array, RegExp][] = [
      ['', /neither ELF/],
      ['hello\nworld\n', /neither ELF/],
      ['0000000000000000 T _text\n0000000000000000 t x\n', /kptr_restrict/],
      [Uint8Array.of(0x1f, 0x8b, 8, 0), /gzip/],
      [Buffer.from('MZ and so on'), /boot image/],
    ];
    for (const [content, why] of refused) {
      assert.throws(
        () => fileOf(content),
        (error) => error instanceof AnalysisError && why.test(error.message),
      );
    }
  });
});

const PROGRAM: readonly DraftSymbol[] = [
  { name: 'outer', value: 0x1000n, size: 0x100 },
  { name: 'inner', value: 0x1020n, size: 0x10 },
  { name: 'label', value: 0x1050n, type: 0 },
  { name: '__alias', value: 0x1000n, size: 0x100 },
  { name: 'table', value: 0x1100n, size: 0x40, type: 1 },
  { name: 'unsized', value: 0x1200n, type: 0 },
  { name: 'absolute', value: 0x1300n, section: 0xfff1 },
  { name: 'elsewhere', value: 0x1300n, section: 0 },
  { name: 'file.c', value: 0x1300n, type: 4 },
];

describe('symbols of an ELF file', () => {
  for (const bits of [32, 64] as const) {
    for (const big of [false, true]) {
      for (const table of [2, 11]) {
        it(`are read: ${bits} bits, ${big ? 'big' : 'little'}-endian, ${table === 2 ? '.symtab' : '.dynsym'}`, () => {
          const file = elfFile({ bits, big, table, symbols: PROGRAM });
          const found = [0xfffn, 0x1000n, 0x1020n, 0x1030n, 0x1050n, 0x1100n, 0x1140n, 0x1205n].map((a) => at(file, a));
          assert.deepEqual(found, [null, 'outer', 'inner', 'outer+0x30', 'outer+0x50', null, null, 'unsized+0x5']);
        });
      }
    }
  }

  it('says why it cannot be used', () => {
    const symbols = PROGRAM;
    const refused: readonly [Uint8Array, RegExp][] = [
      [elfFile({ bits: 64, machine: 183, symbols }), /machine 183/],
      [elfFile({ bits: 64, type: 1, symbols }), /not linked/],
      [elfFile({ bits: 64, table: 1, symbols }), /no symbol table/],
      [elfFile({ bits: 64, symbols: [] }), /empty/],
      [elfFile({ bits: 64, symbols }).subarray(0, 40), /beyond the end/],
    ];
    for (const [content, why] of refused) {
      assert.throws(
        () => fileOf(content),
        (error) => error instanceof AnalysisError && why.test(error.message),
      );
    }
  });

  it('never fails in another way, whatever bytes are changed or cut', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(32, 64),
        fc.array(fc.tuple(fc.nat(1000), fc.nat(255)), { maxLength: 6 }),
        fc.nat(1000),
        (bits, changes, length) => {
          const bytes = elfFile({ bits: bits as 32 | 64, symbols: PROGRAM });
          for (const [place, byte] of changes) bytes[place % bytes.length] = byte;
          try {
            at(bytes.subarray(0, Math.max(4, bytes.length - (length % 200))), 0x1020n);
          } catch (error) {
            assert.ok(error instanceof AnalysisError, String(error));
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  // nm -t d and -t o of binutils: of the same width as hexadecimal, and nothing in the file says it
  for (const [option, radix] of [
    ['d', 10],
    ['o', 8],
  ] as const)
    it(`refuses addresses that are not hexadecimal: nm -t ${option}`, () => {
      const lines = (base: number, sized: boolean): string =>
        Array.from({ length: 40 }, (_, i) => {
          const width = (value: number): string => value.toString(base).padStart(16, '0');
          return `${width(0x401000 + i * 0x1b0)} ${sized ? `${width(0x98 + i)} ` : ''}t f0x${i}\n`;
        }).join('');
      for (const sized of [false, true]) {
        assert.throws(() => fileOf(lines(radix, sized)), {
          code: 'BAD_SYMBOLS',
          message: new RegExp(`nm -t ${option}`),
        });
        assert.equal(fileOf(lines(16, sized)).remark, null);
      }
    });
  it('takes addresses without a letter for hexadecimal, and says it where one could not tell', () => {
    assert.match(fileOf('0000000000401234 T a\n0000000000401278 T b\n').remark ?? '', /read as hexadecimal/);
    assert.equal(at('0000000000401234 T a\n', 0x401234n), 'a');
    for (const text of ['0x401234 T a\n0x401278 T b\n', '1000 T a\n2000 T b\n', '40123a T a\n401278 T b\n'])
      assert.equal(fileOf(text).remark, null, text);
    const round = Array.from({ length: 9 }, (_, i) => `${i + 1}000 T f${i}\n`).join('');
    assert.equal(fileOf(round.repeat(20)).remark, null);
  });
  it('agrees with nm on the program that runs this test', (test) => {
    const { stdout, error, status } = spawnSync('nm', ['-S', process.execPath], {
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
    });
    if (error !== undefined || status !== 0) return test.skip('nm is not installed, or node is stripped');
    const lines = [...stdout.matchAll(/^([0-9a-f]+) ([0-9a-f]*[1-9a-f][0-9a-f]*) T (\S+)$/gm)];
    if (lines.length === 0) return test.skip('node is stripped');
    const { table } = fileOf(readFileSync(process.execPath));
    const step = Math.ceil(lines.length / 5000);
    let wrong = 0;
    let asked = 0;
    for (let i = 0; i < lines.length; i += step) {
      const start = BigInt(`0x${lines[i]?.[1]}`);
      asked += 1;
      // nm calls constants in .text T as well, by their section: those are no code
      if (table.find(start)?.offset !== 0n) wrong += 1;
    }
    assert.ok(asked > 0 && wrong / asked < 0.01, `${wrong} of ${asked}`);
  });
});

describe('several files', () => {
  const kernel = elfFile({
    bits: 64,
    symbols: [
      { name: '_text', value: 0xffff_ffff_8100_0000n, type: 0 },
      { name: 'native_cpuid', value: 0xffff_ffff_8100_0200n, size: 0x20 },
    ],
  });
  const slide = 0x1d40_0000n;
  const moved = 0xffff_ffff_8100_0200n + slide;

  it('are asked in their order, each for its own level', () => {
    const symbols = new Symbols([
      use('0x1000 guest\n', { level: 2 }),
      use('0x1000 hypervisor\n0x5000 x\n', { level: 1 }),
    ]);
    assert.equal(symbols.label(1, 0x1001n), 'hypervisor+0x1');
    assert.equal(symbols.label(2, 0x1001n), 'guest+0x1');
    assert.equal(symbols.label(null, 0x1001n), null);
    assert.equal(new Symbols([use('0x9000 y\n'), use('0x1000 any\n')]).label(null, 0x1000n), 'any');
  });

  it('are moved by an offset, by a pair, and to where kallsyms has the kernel', () => {
    assert.equal(new Symbols([use(kernel, { offset: slide })]).label(1, moved), 'native_cpuid');
    const pair = { symbol: '_text', address: 0xffff_ffff_8100_0000n + slide };
    assert.equal(new Symbols([use(kernel, { offset: pair })]).label(1, moved + 2n), 'native_cpuid+0x2');
    const kallsyms = `${(0xffff_ffff_8100_0000n + slide).toString(16)} T _text\nffffffffc0000000 t f\t[m]\n`;
    const found = new Symbols([use(kernel), use(kallsyms)]);
    assert.equal(found.label(1, moved), 'native_cpuid');
    assert.deepEqual(found.remarks, ['file: moved by 0x1d400000']);
    assert.equal(new Symbols([use(kernel, { level: 1 }), use(kallsyms, { level: 2 })]).label(1, moved), null);
    assert.throws(
      () => new Symbols([use(kernel, { offset: { symbol: 'none', address: 1n } })]),
      /no such symbol: file: none/,
    );
  });

  it('say that a file which can be loaded anywhere needs an address', () => {
    const symbols = new Symbols([use(elfFile({ bits: 64, type: 3, symbols: PROGRAM }))]);
    assert.match(symbols.remarks.join(), /say where with @ADDRESS/);
  });
});
