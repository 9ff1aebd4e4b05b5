/** Dumps for these tests: those that Linux printed when hardware refused an entry, and what tests make of them. */
import { existsSync, readFileSync } from 'node:fs';
import type { DumpReport } from '../../../analyzer/explain/explain.js';
import { findDumps } from '../../../analyzer/explain/find.js';
import { explain, type LogExplanation } from '../../../analyzer/explain/log.js';
import { inPackage } from '../../../traces/guests/guest.js';

export const fixture = (name: string): string =>
  readFileSync(inPackage('test', 'analyzer', 'explain', 'fixtures', `${name}.txt`), 'utf8');

/** A dump of Linux 6.1 in which nothing is wrong, after an ordinary VM exit. */
export const healthy = fixture('vmx-pdpte')
  .replace('PDPTR2 = 0x00000000000051e7', 'PDPTR2 = 0x0000000000005001')
  .replace('reason=80000021 qualification=0000000000000002', 'reason=00000030 qualification=0000000000000184');

/** Registers of a processor at its reset, as QEMU 4 prints them. */
export const REGISTERS = [
  'EAX=00000000 EBX=00000000 ECX=00000000 EDX=000306f2',
  'EIP=0000fff0 EFL=00010002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0',
  'ES =0000 00000000 0000ffff 00009300',
  'CS =f000 ffff0000 0000ffff 00009b00',
  ...['SS', 'DS', 'FS', 'GS'].map((name) => `${name} =0000 00000000 0000ffff 00009300`),
  'LDT=0000 00000000 0000ffff 00008200',
  'TR =0000 00000000 0000ffff 00008b00',
  'GDT=     00000000 0000ffff',
  'IDT=     00000000 0000ffff',
  'CR0=60000010 CR2=00000000 CR3=00000000 CR4=00000000',
  'DR0=0000000000000000 DR1=0000000000000000 DR2=0000000000000000 DR3=0000000000000000 ',
  'DR6=00000000ffff0ff0 DR7=0000000000000400',
  'EFER=0000000000000000',
  '',
].join('\n');

/** A folder of the shared collection of real data; null where the collection is not there. */
export function shared(name: string): string | null {
  const path = inPackage('..', 'shared', 'data', name);
  return existsSync(path) ? path : null;
}

export const SKIP = shared('dumps') === null ? 'the shared collection of real data is not here' : false;

export const explained = (text: string): LogExplanation => explain(text, 'test');

/** The only dump of a text. */
export function only(text: string): DumpReport {
  const { dumps } = explained(text);
  const [first] = dumps;
  if (first === undefined || dumps.length !== 1) throw new Error(`${dumps.length} dumps`);
  return first;
}

/** What the only dump of a text says, by name. */
export function values(text: string): [string, bigint][] {
  const [dump, ...others] = findDumps(text);
  if (dump === undefined || others.length > 0) throw new Error(`${others.length + (dump === undefined ? 0 : 1)} dumps`);
  return [...dump.values].map(([name, { value }]): [string, bigint] => [name, value]).sort();
}

/** Breaks lines as a terminal does. */
export const hard = (text: string, width: number): string => text.replace(new RegExp(`.{${width}}(?=.)`, 'g'), '$&\n');

/** What is wrong with the lines of the only dump of a text. */
export const damageOf = (text: string): string[] => only(text).damage.map(({ kind }) => kind);

/** Checks that the state breaks, on this processor or on some. */
export const broken = ({ violated, suspects }: DumpReport): string[] => ids([...violated, ...suspects]);

export const ids = (list: readonly { readonly id: string }[]): string[] => list.map(({ id }) => id).sort();

/** Deterministic noise: xorshift32. */
export function random(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
  };
}
