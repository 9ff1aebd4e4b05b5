/** A machine with a monitor and a guest, and everything that it said. */
import { readFileSync } from 'node:fs';
import { boot } from '../../../engine/boot/detect.js';
import type { FlatPlacement } from '../../../engine/boot/flat.js';

import { skylake } from '../../../engine/cpu/models/skylake.js';
import { Machine, type Stop } from '../../../engine/machine.js';
import { type Monitor, type MonitorOptions, RESERVED_BYTES } from '../../../engine/monitors/monitor.js';
import { MONITORS } from '../../../engine/monitors/registry.js';
import { EVENT_FIELDS, EVENT_KINDS, type EventRecord, type Message } from '../../../engine/observer.js';
import { GUESTS } from '../../../traces/guests/catalogue.js';
import { commandLine, imagePath, type Values } from '../../../traces/guests/guest.js';

const KIND_NAMES = new Map<number, string>(Object.entries(EVENT_KINDS).map(([name, code]) => [code, name]));

export interface Event {
  readonly kind: string;
  readonly tick: number;
  readonly from: number;
  readonly to: number;
  readonly fields: { readonly [name: string]: bigint };
}

const copyOf = (record: EventRecord): Event => ({
  kind: KIND_NAMES.get(record.kind) ?? '?',
  tick: record.tick,
  from: record.fromLevel,
  to: record.toLevel,
  fields: Object.fromEntries(
    EVENT_FIELDS.flatMap((name, i) => {
      const [low = 0, high = 0] = [record.words[2 * i], record.words[2 * i + 1]];
      return record.mask & (1 << i) ? [[name, (BigInt(high) << 32n) | BigInt(low)]] : [];
    }),
  ),
});

export interface Input {
  readonly tick: number;
  readonly port: string;
  readonly text: string;
}

export interface Setting {
  readonly image: Uint8Array;
  readonly commandLine?: string;
  readonly memory?: number;
  readonly options?: Partial<MonitorOptions>;
  readonly inputs?: readonly Input[];
  /** Where a flat image goes; an image without it says so itself. */
  readonly flat?: FlatPlacement;
}

const MIB = 1 << 20;
export const EPOCH = 1_700_000_000;

export class Bench {
  readonly machine: Machine;
  readonly monitor: Monitor;
  readonly events: Event[] = [];
  readonly messages: Message[] = [];
  console = '';
  readonly #inputs: readonly Input[];

  constructor(name: string, setting: Setting) {
    const guestBytes = (setting.memory ?? 16) * MIB;
    const kind = MONITORS.get(name);
    if (kind === undefined) throw new RangeError(name);
    this.#inputs = setting.inputs ?? [];
    this.machine = new Machine(
      { model: skylake, memoryBytes: guestBytes + RESERVED_BYTES, epoch: EPOCH, checkpointEvery: 1e15 },
      {
        event: (record) => this.events.push(copyOf(record)),
        memory: () => {},
        message: (message) => this.messages.push(message),
        output: (port, bytes) => {
          if (port === 'com1') this.console += String.fromCharCode(...bytes);
        },
      },
    );
    const state = boot(
      {
        image: setting.image,
        name,
        commandLine: setting.commandLine ?? '',
        modules: [],
        usableBytes: guestBytes,
        memoryBytes: guestBytes,
      },
      setting.flat ?? null,
    );
    this.monitor = kind.create({
      boot: state,
      guestBytes,
      options: { epoch: EPOCH, guestinfo: {}, ...setting.options },
    });
    this.machine.install(this.monitor);
  }

  /** Runs to the budget or to an end, with the inputs at their ticks. */
  run(budget: number): Stop {
    for (const { tick, port, text } of this.#inputs) {
      if (tick < this.machine.now) continue;
      let stop = this.machine.run(Math.min(tick, budget));
      if (stop === 'idle') {
        this.machine.idleUntil(Math.min(tick, budget));
        stop = 'limit';
      }
      if (stop !== 'limit') return stop;
      if (this.machine.now >= budget) return stop;
      const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
      this.machine.receive(port, bytes);
    }
    return this.machine.run(budget);
  }

  count(kind: string, code?: bigint): number {
    return this.events.filter((event) => event.kind === kind && (code === undefined || event.fields.code === code))
      .length;
  }
}

/** A guest of the catalogue, under its monitor or another. */
export function guestBench(name: string, values: Values = {}, monitor?: string): Bench {
  const guest = GUESTS.get(name);
  if (guest === undefined) throw new RangeError(name);
  return new Bench(monitor ?? guest.monitor, {
    image: new Uint8Array(readFileSync(imagePath(guest))),
    commandLine: commandLine(guest, values),
    memory: guest.memory,
    inputs: guest.inputs,
  });
}
