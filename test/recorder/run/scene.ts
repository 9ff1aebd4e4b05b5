/** Runs of guest programs, recorded as `trapline record` does it, with everything that tests want to vary. */
import { readFileSync } from 'node:fs';
import type { MemoryFilter } from '../../../engine/access-filter.js';
import type { RunConfiguration } from '../../../engine/configuration.js';
import { type Outcome, Recording, type ScheduledInput } from '../../../recorder/run/recording.js';
import { type ConsoleSource, runSession } from '../../../recorder/run/session.js';
import { GUESTS } from '../../../traces/guests/catalogue.js';
import { commandLine, type Guest, imagePath, type Values, valuesOf } from '../../../traces/guests/guest.js';
import { createTrace } from '../../../traces/open.js';

export const STORES = ['sqlite', 'arrow'] as const;

export function guestNamed(name: string): Guest {
  const guest = GUESTS.get(name);
  if (guest === undefined) throw new RangeError(`no guest ${name}`);
  return guest;
}

/** Parameters with which a guest does everything that it does, soon. */
export const BRIEF: { readonly [guest: string]: Values } = {
  cpuid: { n: 3 },
  hypervisor: { fail: 'all', cpuid: 2, timer: 1, window: 1, hlt: 1, ept: 2, mmio: 2 },
};

/** Ticks at which a run of BRIEF ends whose guest has no end. */
const ENDLESS = 6000;

/** Ticks between checkpoints that give a run of BRIEF some, but not many. */
const BRIEF_CHECKPOINTS: { readonly [guest: string]: number } = {
  cpuid: 1000,
  echo: 40_000,
  hypervisor: 250_000,
  'ymir-hello': 7000,
  backdoor: 200_000,
  spin: 2500,
  refault: 2500,
  halt: 1000,
  triple: 1000,
};

export interface Scene {
  readonly guest: string;
  readonly settings?: Values;
  readonly memory?: MemoryFilter;
  readonly budget?: number;
  /** Parts of the configuration that differ from the guest's own. */
  readonly configuration?: Partial<RunConfiguration>;
  /** Instead of the guest's own. */
  readonly image?: Uint8Array;
  readonly inputs?: readonly ScheduledInput[];
  readonly console?: ConsoleSource;
  readonly slice?: number;
  readonly interrupted?: () => boolean;
}

export interface Recorded {
  readonly outcome: Outcome;
  readonly digest: string;
  /** What the guest sent to COM1. */
  readonly text: string;
}

/** The scene of a guest with everything brief. */
export const brief = (guest: string): Scene => ({
  guest,
  settings: BRIEF[guest] ?? {},
  budget: guestNamed(guest).ending.kind === 'budget' ? ENDLESS : 2_000_000,
  configuration: { checkpointEvery: BRIEF_CHECKPOINTS[guest] ?? ENDLESS },
});

export const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

const ownInputs = (guest: Guest): ScheduledInput[] =>
  guest.inputs.map(({ tick, port, text }) => ({ tick, port, bytes: bytesOf(text) }));

/** Records a scene into the trace `path`. */
export async function record(path: string, scene: Scene): Promise<Recorded> {
  const guest = guestNamed(scene.guest);
  let text = '';
  const recording = new Recording(() => createTrace(path, { replace: true }), {
    configuration: {
      cpu: 'skylake',
      monitor: guest.monitor,
      memoryBytes: guest.memory << 20,
      commandLine: commandLine(guest, valuesOf(guest, scene.settings ?? {})),
      flat: null,
      epoch: 1_700_000_000,
      checkpointEvery: 1_000_000,
      guestinfo: {},
      ...scene.configuration,
    },
    image: scene.image ?? readFileSync(imagePath(guest)),
    imageName: guest.name,
    memory: scene.memory ?? 'off',
    onOutput: (port, bytes) => {
      if (port === 'com1') text += Buffer.from(bytes).toString('latin1');
    },
  });
  const end = await runSession(recording, {
    budget: scene.budget ?? 2_000_000,
    inputs: scene.inputs ?? ownInputs(guest),
    console: scene.console ?? null,
    ...(scene.slice === undefined ? {} : { slice: scene.slice }),
    progress: () => {},
    interrupted: scene.interrupted ?? (() => false),
    refused: ({ port }, why) => {
      if (why === 'port') throw new Error(`no port ${port}`);
    },
  });
  return { ...recording.finish(end), text };
}
