/** Forms of symbol files: ELF, and the texts that kernels, nm and just-in-time compilers write. */
import assert from 'node:assert/strict';
import { AnalysisError } from '../../analyzer/errors.js';
import { bytesSource } from '../../analyzer/symbols/elf.js';
import { readSymbolFile } from '../../analyzer/symbols/file.js';
import { elfFile } from '../analyzer/elf-files.js';
import { mutateBytes, mutateText } from './mutate.js';
import type { Form, Outcome } from './run.js';

const SYMBOLS = [
  { name: 'start', value: 0xffff_ffff_8100_0000n, size: 0x40 },
  { name: 'vmx_vcpu_run', value: 0xffff_ffff_8100_0040n, size: 0x200 },
  { name: 'weak_one', value: 0xffff_ffff_8100_0040n, bind: 2 },
  { name: 'table', value: 0xffff_ffff_8100_1000n, size: 0x100, type: 1 },
  { name: 'label', value: 0xffff_ffff_8100_2000n, type: 0, bind: 0 },
];
const low = SYMBOLS.map((symbol) => ({ ...symbol, value: symbol.value & 0x7fff_ffffn }));

const TEXTS = [
  'ffffffff81000000 T _text\nffffffff81000040 t vmx_vcpu_run\nffffffff81001000 D table\n                 U printk\nffffffff81002000 W weak\n',
  '0000000000000000 A fixed\nffffffffc0001000 t vmx_exit\t[kvm_intel]\nffffffffc0002000 T kvm_vcpu\t[kvm]\n',
  '00001000 00000040 T main\n00001040 00000010 t helper\n',
  '7f0000001000 40 LazyCompile:~go file.js:3\n7f0000001040 1000 Builtin:Add\n',
  '0x7c00 boot\n0x7c20 print\n',
];
const WORDS = ['0x', 'ffffffffffffffff', ' T ', '[', ']', '\t[kvm]', '0000000000000000', ' U ', '#', ':\n'];
/** Addresses that are looked up: ends of the number range and of the seeds. */
const ADDRESSES = [0n, 0x7c10n, 0x1000n, 0x7f00_0000_1050n, 0xffff_ffff_8100_0041n, 0xffff_ffff_ffff_ffffn];

function check(input: Uint8Array): Outcome {
  try {
    const { table, remark, format } = readSymbolFile(bytesSource(input), 'mutation');
    assert.ok(table.count > 0 || format !== 'ELF');
    assert.ok(table.count <= input.length / 4, `${table.count} symbols in ${input.length} bytes`);
    for (const address of ADDRESSES) {
      const found = table.find(address);
      if (found === null) continue;
      assert.ok(found.offset >= 0n && found.start + found.offset === address && found.name.length <= 5000);
    }
    return remark === null ? 'whole' : 'stopped';
  } catch (error) {
    if (!(error instanceof AnalysisError)) throw error;
    assert.ok(error.code === 'BAD_SYMBOLS' && error.message.length < 500, error.message);
    return 'refused';
  }
}

export function symbolForms(): readonly Form[] {
  const elfs = [
    elfFile({ bits: 64, symbols: SYMBOLS }),
    elfFile({ bits: 64, type: 3, table: 11, symbols: SYMBOLS }),
    elfFile({ bits: 32, machine: 3, symbols: low }),
    elfFile({ bits: 64, big: true, symbols: SYMBOLS }),
  ];
  const numbers = (file: Uint8Array) =>
    Array.from(
      { length: Math.floor(file.length / 4) - 1 },
      (_, i) => ({ at: 4 * i, size: i % 2 === 0 ? 8 : 4 }) as const,
    );
  return [
    {
      name: 'elf-symbols',
      seeds: elfs,
      mutate: (original, random) => mutateBytes(original, { numbers: numbers(original), units: [] }, random),
      check,
    },
    {
      name: 'text-symbols',
      seeds: TEXTS.map((text) => Buffer.from(text)),
      mutate: (original, random) => Buffer.from(mutateText(Buffer.from(original).toString('utf8'), WORDS, random)),
      check,
    },
  ];
}
