/** The cases of vectors/checks.txt: a state that a VM entry accepts, and a mutation that it must refuse. */
import { readFileSync } from 'node:fs';
import { F, type FieldName } from '../../../engine/vmx/fields.js';
import { inPackage } from '../../../traces/guests/guest.js';

const VECTORS = inPackage('test', 'engine', 'vmx', 'vectors', 'checks.txt');

export const ALIASES: { readonly [name: string]: FieldName } = {
  PIN: 'PIN_BASED_VM_EXEC_CONTROL',
  CPU: 'CPU_BASED_VM_EXEC_CONTROL',
  CPU2: 'SECONDARY_VM_EXEC_CONTROL',
  CPU3: 'TERTIARY_VM_EXEC_CONTROL',
  EXIT: 'VM_EXIT_CONTROLS',
  ENTRY: 'VM_ENTRY_CONTROLS',
  INTR: 'VM_ENTRY_INTR_INFO_FIELD',
  ERR: 'VM_ENTRY_EXCEPTION_ERROR_CODE',
  LEN: 'VM_ENTRY_INSTRUCTION_LEN',
  INT: 'GUEST_INTERRUPTIBILITY_INFO',
  RFLAGS: 'GUEST_RFLAGS',
};

const SIX = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS'] as const;

/** Named starting points, in the assignments of the vectors. */
export const PRESETS: { readonly [name: string]: string } = {
  ept: 'CPU2+=2 EPT_POINTER=501e',
  unrestricted: 'CPU2+=82 EPT_POINTER=501e',
  posted: 'PIN+=81 CPU+=200000 CPU2+=200 EXIT+=8000',
  msr: 'VM_ENTRY_MSR_LOAD_COUNT=1 VM_ENTRY_MSR_LOAD_ADDR=6000 mem:6000=174',
  '32': 'ENTRY-=200 GUEST_CS_AR_BYTES=c09b',
  ldtr: 'GUEST_LDTR_SELECTOR=28 GUEST_LDTR_LIMIT=ffff GUEST_LDTR_AR_BYTES=82',
  ring1: 'GUEST_SS_SELECTOR=11 GUEST_SS_AR_BYTES=c0b3 GUEST_CS_SELECTOR=9 GUEST_CS_AR_BYTES=a0bb',
  v86: `ENTRY-=200 RFLAGS=20002 ${SIX.map((name) => `GUEST_${name}_SELECTOR=1234 GUEST_${name}_BASE=12340 GUEST_${name}_LIMIT=ffff GUEST_${name}_AR_BYTES=f3`).join(' ')}`,
  real: `CPU2+=82 EPT_POINTER=501e ENTRY-=200 GUEST_CR0=30 GUEST_CS_AR_BYTES=9b GUEST_CS_LIMIT=ffff ${['ES', 'SS', 'DS', 'FS', 'GS'].map((name) => `GUEST_${name}_AR_BYTES=93 GUEST_${name}_LIMIT=ffff`).join(' ')}`,
  host32: 'ENTRY-=200 GUEST_CS_AR_BYTES=c09b EXIT-=200 HOST_RIP=1000',
  ipi: 'CPU+=220000 CPU3=10 PID_POINTER_TABLE=1000',
  tertiary: 'CPU+=20000',
  exit2: 'EXIT+=80000000',
  fred: 'GUEST_CR4+=100000000',
  ring3: 'GUEST_SS_SELECTOR=13 GUEST_SS_AR_BYTES=c0f3 GUEST_CS_SELECTOR=b GUEST_CS_AR_BYTES=a0fb',
  returning: 'EXECUTIVE_VMCS_POINTER=1000',
  cleared: '',
  miscontrolled: '',
  plain: '',
  nomtf: '',
  noss: '',
  noibt: '',
  smm: '',
  tracing: '',
};

export interface Case {
  readonly line: string;
  readonly ids: readonly string[];
  readonly answer: string;
  readonly setup: string;
  readonly mutation: string;
}

function parse(line: string): Case[] {
  const braces = /\{([^}]*)\}/.exec(line);
  if (braces) {
    const names = (braces[1] ?? '').split(',');
    return names.flatMap((name) => parse(line.replace(braces[0], name).replaceAll('$', name.toUpperCase())));
  }
  const [subject = '', answer = '', setup = '', mutation = ''] = line.split('|').map((part) => part.trim());
  return [{ line, ids: subject.split(' ').map((id) => id.replace('+', '')), answer, setup, mutation }];
}

export const cases: readonly Case[] = readFileSync(VECTORS, 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .flatMap(parse);

/** One word of a setup or mutation: a field or a word of memory, and what happens to it. */
export interface Assignment {
  readonly preset?: string;
  readonly memory?: number;
  readonly field?: FieldName;
  readonly operator: '=' | '+=' | '-=';
  readonly value: bigint;
}

/** The words of a setup or mutation; presets stand before what they are made of. Throws for a word that is none. */
export function assignments(text: string): Assignment[] {
  const words = text.split(' ').filter((word) => word !== '');
  return words.flatMap((word): Assignment[] => {
    if (word.startsWith('@')) {
      const preset = PRESETS[word.slice(1)];
      if (preset === undefined) throw new RangeError(`no preset ${word}`);
      return [{ preset: word.slice(1), operator: '=', value: 0n }, ...assignments(preset)];
    }
    const [, memory, name = '', operator = '', digits = ''] = /^(mem:)?(\w+)([+-]?=)([0-9a-f]+)$/.exec(word) ?? [];
    const value = BigInt(`0x${digits}`);
    const how = operator as Assignment['operator'];
    if (memory) return [{ memory: Number.parseInt(name, 16), operator: how, value }];
    const field = ALIASES[name] ?? (name as FieldName);
    if (F[field] === undefined) throw new RangeError(`cannot read ${word}`);
    return [{ field, operator: how, value }];
  });
}
