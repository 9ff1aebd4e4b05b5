/**
 * The guest programs that come with Trapline: what each one does, its parameters, what arrives from outside while it
 * runs, and what it must answer. Sources (NASM) and images lie beside this file in the source tree.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expectedConsole, expectedExits } from './hypervisor.js';

/** A parameter's value: a number below 2^64, or text of up to eight characters that does not start with a digit. */
export type Value = number | bigint | string;
export type Values = Readonly<Record<string, Value>>;

export interface Parameter {
  readonly value: Value;
  readonly says: string;
}

/** Something that arrives from outside the machine: the same columns as the trace's `input` table. */
export interface GuestInput {
  readonly tick: number;
  readonly port: 'com1' | 'tclo';
  /** ASCII. */
  readonly text: string;
}

/**
 * How a run ends: the guest writes its code to port F4h, idles with interrupts off for ever, triple-faults, or never ends
 * and needs a budget of ticks.
 */
export type Ending =
  | { readonly kind: 'exit'; readonly code: number }
  | { readonly kind: 'halt' | 'shutdown' | 'budget' };

export interface Guest {
  readonly name: string;
  readonly summary: string;
  readonly monitor: 'none' | 'ymir' | 'vmware';
  /** RAM that it needs, MiB. */
  readonly memory: number;
  /** Defaults: the same as in the source's PARAM lines. */
  readonly parameters: Readonly<Record<string, Parameter>>;
  readonly inputs: readonly GuestInput[];
  readonly ending: Ending;
  /** What it prints on COM1, all of it, given the value of every parameter. */
  readonly console?: (values: Values) => string;
  /** VM exits by reason that it must cause as a hypervisor, given the value of every parameter. */
  readonly exits?: (values: Values) => Readonly<Record<string, number>>;
}

const guests: readonly Guest[] = [
  {
    name: 'cpuid',
    summary: 'the smallest 64-bit guest: CPUID and OUT to the debug console in a loop',
    monitor: 'none',
    memory: 16,
    parameters: { n: { value: 10, says: 'rounds of CPUID and OUT' } },
    inputs: [],
    ending: { kind: 'exit', code: 0 },
    console: () => 'cpuid done\n',
  },
  {
    name: 'echo',
    summary: 'echoes COM1 in upper case until it reads q',
    monitor: 'none',
    memory: 16,
    parameters: { irq: { value: 0, says: '0 polls COM1, 1 sleeps in HLT until IRQ 4' } },
    inputs: [
      { tick: 20_000, port: 'com1', text: 'hello, ' },
      { tick: 50_000, port: 'com1', text: 'World {1}' },
      { tick: 120_000, port: 'com1', text: 'q' },
    ],
    ending: { kind: 'exit', code: 0 },
    console: () => 'HELLO, WORLD {1}Q\n',
  },
  {
    name: 'hypervisor',
    summary: 'a VMX hypervisor with EPT, whose guest causes every kind of exit in the counts asked for',
    monitor: 'none',
    memory: 16,
    parameters: {
      cpuid: { value: 10, says: 'CPUID of the guest' },
      out: { value: 9, says: 'OUT to an intercepted port' },
      in: { value: 8, says: 'IN from it' },
      rdmsr: { value: 7, says: 'RDMSR of an intercepted MSR' },
      wrmsr: { value: 6, says: 'WRMSR to one' },
      vmcall: { value: 5, says: 'VMCALL, besides the three that steer the run' },
      cr0: { value: 4, says: 'MOV to CR0 that changes a bit of the guest/host mask' },
      cr3: { value: 3, says: 'MOV to CR3' },
      cr4: { value: 2, says: 'MOV to CR4 that changes a bit of the guest/host mask' },
      ept: { value: 12, says: 'touches of pages that EPT does not map, and that the hypervisor then maps' },
      mmio: { value: 11, says: 'accesses to a page that EPT never maps, which the hypervisor emulates' },
      ud: { value: 3, says: 'UD2' },
      invlpg: { value: 2, says: 'INVLPG' },
      rdtsc: { value: 4, says: 'RDTSC' },
      hlt: { value: 5, says: 'HLT with interrupts off' },
      timer: { value: 3, says: 'timer interrupts awaited in HLT' },
      window: { value: 2, says: 'timer interrupts that come while interrupts are off' },
      loop: { value: 0, says: 'CPUID in a loop of four instructions, answered by a handler of sixteen' },
      fail: { value: 0, says: 'one VM entry that must fail comes first: a key of ENTRY_FAILURES' },
    },
    inputs: [],
    ending: { kind: 'exit', code: 0 },
    console: expectedConsole,
    exits: expectedExits,
  },
];

export const GUESTS: ReadonlyMap<string, Guest> = new Map(guests.map((guest) => [guest.name, guest]));

/** The value of every parameter of `guest`, with `overrides` in place of defaults. */
export function valuesOf(guest: Guest, overrides: Values = {}): Values {
  const defaults = Object.entries(guest.parameters).map(([name, { value }]) => [name, value]);
  return { ...Object.fromEntries(defaults), ...overrides };
}

/** The multiboot command line: the guest's name, then every parameter as a word `name=value`. */
export function commandLine(guest: Guest, overrides: Values = {}): string {
  const words = Object.entries(valuesOf(guest, overrides)).map(([name, value]) => `${name}=${value}`);
  return [guest.name, ...words].join(' ');
}

/** Absolute path of the image of `guest`: the compiled module lies deeper than the source tree that holds the images. */
export function imagePath(guest: Guest): string {
  return join(packageRoot(), 'traces', 'guests', `${guest.name}.img`);
}

function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json')) && folder !== dirname(folder)) folder = dirname(folder);
  return folder;
}
