/**
 * The guest programs that come with Trapline: what each one does, its parameters, what arrives from outside while it
 * runs, and what it must answer. Sources (NASM) and images lie beside this file in the source tree.
 */
import { backdoorConsole } from './backdoor.js';
import type { Guest } from './guest.js';
import { ENTRY_FAILURES, expectedConsole, expectedExits } from './hypervisor.js';

const tiny = { monitor: 'none', memory: 16, parameters: {}, inputs: [], console: () => '' } as const;

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
      fail: {
        value: 0,
        words: true,
        says: `a VM entry that must fail comes first: ${[...ENTRY_FAILURES.keys()].join(', ')}, or all`,
      },
    },
    inputs: [],
    ending: { kind: 'exit', code: 0 },
    console: expectedConsole,
    exits: expectedExits,
  },
  {
    name: 'ymir-hello',
    summary: 'asks the monitor ymir for its greeting and for services that it lacks, from ring 0 and ring 3',
    monitor: 'ymir',
    memory: 16,
    parameters: {
      hello: { value: 1, says: 'greetings from ring 0; there is one more from ring 3' },
      number: { value: 7, says: 'a service number that the monitor does not know, up to 64 bits' },
      calls: { value: 2, says: 'how often it is asked for, in each ring' },
    },
    inputs: [],
    ending: { kind: 'exit', code: 0 },
    console: () => 'ring 0 done\nring 3 done\nregisters kept\n',
  },
  {
    name: 'backdoor',
    summary: 'talks to the monitor vmware from ring 3: commands, RPCI and TCLO over the Backdoor',
    monitor: 'vmware',
    memory: 16,
    parameters: {
      value: { value: 'trapline', says: 'what guestinfo.x is set to and must be got again' },
      hb: { value: 0, says: '1 sends and receives by REP OUTSB and REP INSB on the high-bandwidth port' },
      tclo: { value: 2, says: 'TCLO messages from the host to answer' },
      polls: { value: 2000, says: 'how often to ask for one in vain before giving up' },
    },
    inputs: [
      { tick: 300_000, port: 'tclo', text: 'reset' },
      { tick: 600_000, port: 'tclo', text: 'ping' },
    ],
    ending: { kind: 'exit', code: 0 },
    console: backdoorConsole,
  },
  {
    name: 'spin',
    summary: 'runs for ever',
    ...tiny,
    ending: { kind: 'budget' },
  },
  {
    name: 'halt',
    summary: 'halts with interrupts off',
    ...tiny,
    ending: { kind: 'halt' },
  },
  {
    name: 'triple',
    summary: 'shuts the processor down by a triple fault',
    ...tiny,
    ending: { kind: 'shutdown' },
  },
  {
    name: 'refault',
    summary: 'faults for ever: the handler of #UD returns to the same instruction',
    ...tiny,
    ending: { kind: 'budget' },
  },
];

/** By name. */
export const GUESTS: ReadonlyMap<string, Guest> = new Map(guests.map((guest) => [guest.name, guest]));
