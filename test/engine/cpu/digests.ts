/** What the exactness tests run, and the digest of a machine; as a program, prints the digests of all. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { boot } from '../../../engine/boot/detect.js';
import { skylake } from '../../../engine/cpu/models/skylake.js';
import { Machine } from '../../../engine/machine.js';
import { nullObserver, type Observer } from '../../../engine/observer.js';
import { inPackage } from '../../../traces/guests/guest.js';
import { KERNELS, kernelCommandLine, kernelPath } from '../../bench/kernels/catalogue.js';

const MEMORY = 16 << 20;

function startImage(image: Uint8Array, commandLine: string, observer: Observer = nullObserver): Machine {
  const configuration = { model: skylake, memoryBytes: MEMORY, epoch: 0, checkpointEvery: 1e15 };
  const machine = new Machine(configuration, observer);
  const name = commandLine.split(' ')[0] ?? '';
  machine.boot(boot({ image, name, commandLine, modules: [], usableBytes: MEMORY, memoryBytes: MEMORY }));
  return machine;
}

export const startKernel = (name: string, n: number, observer?: Observer): Machine => {
  const kernel = KERNELS.find((one) => one.name === name);
  if (!kernel) throw new RangeError(`no kernel ${name}`);
  return startImage(readFileSync(kernelPath(kernel)), kernelCommandLine(kernel, n), observer);
};

const startGuest = (name: string, parameters = ''): Machine =>
  startImage(readFileSync(inPackage('traces', 'guests', `${name}.img`)), `${name} ${parameters}`.trim());

/** Of everything that a guest can see. */
export function digestOf(machine: Machine): string {
  const hash = createHash('sha256');
  const { cpu, devices } = machine.save();
  hash.update(cpu).update(JSON.stringify(devices)).update(machine.memory.bytes);
  return hash.digest('hex').slice(0, 16);
}

export const SUBJECTS: readonly { readonly name: string; readonly start: () => Machine; readonly ticks: number }[] = [
  { name: 'kernel mem', start: () => startKernel('mem', 2000), ticks: 40_000 },
  { name: 'kernel fib', start: () => startKernel('fib', 15), ticks: 25_000 },
  { name: 'kernel rep-string', start: () => startKernel('rep-string', 2), ticks: 30_000 },
  { name: 'kernel smc', start: () => startKernel('smc', 1500), ticks: 20_000 },
  { name: 'guest cpuid', start: () => startGuest('cpuid'), ticks: 40_000 },
  { name: 'guest hypervisor', start: () => startGuest('hypervisor', 'loop=50'), ticks: 60_000 },
];

if (process.argv[1]?.endsWith('digests.js')) {
  for (const { name, start, ticks } of SUBJECTS) {
    const machine = start();
    machine.run(ticks);
    console.log(`${name} ${digestOf(machine)}`);
  }
}
