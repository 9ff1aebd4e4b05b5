/** Starts a run: machine, image and monitor from a configuration. */
import { boot } from './boot/detect.js';
import { type RunConfiguration, readConfiguration } from './configuration.js';
import { MODELS } from './cpu/models/models.js';
import { EngineError } from './errors.js';
import { Machine } from './machine.js';
import { RESERVED_BYTES } from './monitors/monitor.js';
import { MONITORS } from './monitors/registry.js';
import type { Observer } from './observer.js';

export type { RunConfiguration } from './configuration.js';

function named<T>(table: ReadonlyMap<string, T>, what: string, name: string, besides: readonly string[] = []): T {
  const found = table.get(name);
  if (found !== undefined) return found;
  const known = [...besides, ...table.keys()].join(', ');
  throw new EngineError('BAD_CONFIGURATION', `no ${what} "${name}"`, `there is: ${known}`);
}

/**
 * A machine that stands before its first tick.
 * @throws EngineError where the image, the model, the monitor or any value of the configuration will not do
 */
export function start(
  configuration: RunConfiguration,
  image: Uint8Array,
  imageName: string,
  observer: Observer,
): Machine {
  const { cpu, monitor, memoryBytes, commandLine, flat, epoch, checkpointEvery, guestinfo } =
    readConfiguration(configuration);
  const model = named(MODELS, 'CPU model', cpu);
  const kind = monitor === 'none' ? null : named(MONITORS, 'monitor', monitor, ['none']);
  const usableBytes = kind ? memoryBytes - RESERVED_BYTES : memoryBytes;
  const state = boot({ image, name: imageName, commandLine, modules: [], usableBytes, memoryBytes }, flat);
  const machine = new Machine({ model, memoryBytes, epoch, checkpointEvery }, observer);
  if (kind) machine.install(kind.create({ boot: state, guestBytes: usableBytes, options: { epoch, guestinfo } }));
  else machine.boot(state);
  return machine;
}
