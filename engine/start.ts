/** Starts a run: machine, image and monitor from a configuration that is plain data and goes into the trace. */
import { boot } from './boot/detect.js';
import type { FlatPlacement } from './boot/flat.js';
import { MODELS } from './cpu/models/models.js';
import { EngineError } from './errors.js';
import { Machine } from './machine.js';
import { RESERVED_BYTES } from './monitors/monitor.js';
import { MONITORS } from './monitors/registry.js';
import type { Observer } from './observer.js';

/** Everything that a run is a function of, besides image and inputs. Survives JSON. */
export interface RunConfiguration {
  /** Name of a CPU model. */
  readonly cpu: string;
  /** Name of a monitor, or `none`: the image runs on the bare machine. */
  readonly monitor: string;
  readonly memoryBytes: number;
  readonly commandLine: string;
  /** Where and in which mode a flat image starts; null: the image says so itself. */
  readonly flat: FlatPlacement | null;
  /** Unix time at tick 0, in seconds. */
  readonly epoch: number;
  readonly checkpointEvery: number;
  /** Variables that a guest can ask the monitor for. */
  readonly guestinfo: { readonly [name: string]: string };
}

function named<T>(table: ReadonlyMap<string, T>, what: string, name: string): T {
  const found = table.get(name);
  if (found !== undefined) return found;
  throw new EngineError('BAD_CONFIGURATION', `${what} ${name}`, `there is: ${[...table.keys()].join(', ')}`);
}

/**
 * A machine that stands before its first tick.
 * @throws EngineError where the image, the model or the monitor will not do
 */
export function start(
  configuration: RunConfiguration,
  image: Uint8Array,
  imageName: string,
  observer: Observer,
): Machine {
  const { memoryBytes, epoch, checkpointEvery, guestinfo } = configuration;
  const model = named(MODELS, 'CPU model', configuration.cpu);
  const kind = configuration.monitor === 'none' ? null : named(MONITORS, 'monitor', configuration.monitor);
  const usableBytes = kind ? memoryBytes - RESERVED_BYTES : memoryBytes;
  const state = boot(
    { image, name: imageName, commandLine: configuration.commandLine, modules: [], usableBytes, memoryBytes },
    configuration.flat,
  );
  const machine = new Machine({ model, memoryBytes, epoch, checkpointEvery }, observer);
  if (kind) machine.install(kind.create({ boot: state, guestBytes: usableBytes, options: { epoch, guestinfo } }));
  else machine.boot(state);
  return machine;
}
