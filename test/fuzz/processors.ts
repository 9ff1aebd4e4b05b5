/** Forms of lists that say what a host's processor can do, as `explain --msrs` and `--cpuid` read them. */
import assert from 'node:assert/strict';
import { AnalysisError } from '../../analyzer/errors.js';
import { readCpuid } from '../../analyzer/explain/cpuid-file.js';
import { explain } from '../../analyzer/explain/log.js';
import { readMsrs } from '../../analyzer/explain/msr-file.js';
import type { Processor } from '../../analyzer/explain/processor.js';
import { CPUINFO, KCPUID, KCPUID_NAMED, LSCPU, RAW } from '../analyzer/explain/cpuid-lists.js';
import { fixture } from '../analyzer/explain/helpers.js';
import { mutateText } from './mutate.js';
import type { Form, Outcome } from './run.js';

/** Capabilities of a Broadwell, in the forms in which rdmsr and loops around it print them. */
const MSR_LISTS = [
  // for m in $(seq 0x480 0x493); do echo $m $(rdmsr -c $m); done; of the last three it has none
  '1152 0xda040000000010\n1153 0x7f00000016\n1154 0xfff9fffe0401e172\n1155 0x7fffff00036dff\n1156 0xffff000011ff\n' +
    '1157 0x300481e5\n1158 0x80000021\n1159 0xffffffff\n1160 0x2000\n1161 0x3767ff\n1162 0x2a\n' +
    '1163 0x57cff00000000\n1164 0xf0106334141\n1169 0x1\n1170\n1171\n',
  '0x480: 0x00da040000000010\r\n0x48b = 0x00057cff00000000\r\n0x48c: 0x00000f0106334141\r\n',
  '# rdmsr -0 of cpu 0\n480 00da040000000010\n481 0000007f00000016\n\n# EFER\n0xc0000080 d01\n',
];
const MSR_WORDS = [
  ...['0x480 ', '1152 ', '480 ', '494 ', '0x493', '0x', ' = 0x', '#', '1171\n', '4294967296 1', '0x480 0x0\n'],
  ...['IA32_VMX_BASIC', 'rdmsr: CPU 0 cannot read MSR 0x00000491\n', 'da040000000010'],
];
const CPUID_WORDS = [
  ...['0x00000007 0x00: eax=0x', 'ebx=0xffffffff ', '0x0000000a: EAX=0x', '  1: EAX=0x00400810, ', '  0: EAX='],
  ...['0x00000007: subleafs:\n', 'Basic Leafs :\n', 'Extended Leafs :\n', 'CPU features:\n', 'CPU 1:\n', 'CPUID_0x'],
  ...['address sizes\t: ', '52 bits physical, 57 bits virtual', 'flags\t: ', ' rtm sgx fred tme ', ' - ', '\t: 0x39\n'],
];

/** A dump whose state breaks checks that depend on the processor. */
const DUMP = fixture('vmx-two-faults');
/** One in so many lists that are read is put to use. */
const USED = 20;
const MSRS = Array.from({ length: 20 }, (_, i) => 0x480 + i);

const linesOf = (text: string): string[] => text.split(/\r\n|\n|\r/);

type Read = (text: string, where: string) => Processor;

/** What is known, in short; null where the list is refused. */
function known(read: Read, text: string): string | null {
  try {
    const { msr, ...said } = read(text, 'mutation');
    return JSON.stringify([MSRS.map(msr), said], (_, value) => (typeof value === 'bigint' ? String(value) : value));
  } catch (error) {
    if (!(error instanceof AnalysisError)) throw error;
    return null;
  }
}

/** Bounds of what checks ask for: fields of VMX, widths of SDM Vol. 3A, 4.1.4, counters of IA32_PERF_GLOBAL_CTRL. */
function checkFacts({ msr, physicalBits, linearBits, counters, least, most }: Processor): void {
  for (const value of MSRS.map(msr)) assert.ok(value === null || BigInt.asUintN(64, value) === value);
  for (const bits of [physicalBits, least?.physicalBits ?? null])
    assert.ok(bits === null || (bits >= 32 && bits <= 52), `${bits} physical bits`);
  assert.ok(linearBits === null || linearBits === 48 || linearBits === 57, `${linearBits} linear bits`);
  const [few, many] = [least?.counters ?? counters ?? 0n, most?.counters ?? counters ?? (1n << 64n) - 1n];
  for (const mask of [few, many]) assert.equal(BigInt.asUintN(64, mask), mask);
  assert.equal(few & many, few, 'what is there at least is among what is there at most');
}

/** `isSame`: other ways to write down the same list. */
function listForm(
  name: string,
  read: Read,
  lists: readonly string[],
  words: readonly string[],
  code: 'BAD_MSRS' | 'BAD_CPUID',
  isSame: (text: string) => readonly string[],
): Form {
  const check = (input: Uint8Array, _original: Uint8Array, run: number): Outcome => {
    const text = Buffer.from(input).toString('utf8');
    const found = known(read, text);
    for (const other of isSame(text)) assert.equal(known(read, other), found, JSON.stringify(other).slice(0, 500));
    try {
      const processor = read(text, 'mutation');
      checkFacts(processor);
      if (run % USED === 0) assert.equal(explain(DUMP, 'dump', { processor }).dumps.length, 1);
      return 'whole';
    } catch (error) {
      if (!(error instanceof AnalysisError)) throw error;
      assert.ok(error.code === code && error.where.startsWith('mutation') && error.message.length < 500, error.message);
      const line = Number(/, line (\d+)$/.exec(error.where)?.[1] ?? 1);
      assert.ok(line >= 1 && line <= linesOf(text).length, error.where);
      return 'refused';
    }
  };
  return {
    name,
    seeds: lists.map((text) => Buffer.from(text)),
    mutate: (original, random) => Buffer.from(mutateText(Buffer.from(original).toString('utf8'), words, random)),
    check,
  };
}

export function processorForms(): readonly Form[] {
  const cpuids = [CPUINFO, LSCPU, RAW, KCPUID, KCPUID_NAMED].map((lines) => lines.join('\n'));
  const ended = (text: string): string => linesOf(text).join('\r\n');
  const reversed = (text: string): string => linesOf(text).reverse().join('\n');
  return [
    listForm('msr-list', readMsrs, MSR_LISTS, MSR_WORDS, 'BAD_MSRS', (text) => [ended(text), reversed(text)]),
    listForm('cpuid-list', readCpuid, cpuids, CPUID_WORDS, 'BAD_CPUID', (text) => [ended(text)]),
  ];
}
