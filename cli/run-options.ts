/** Options of `record`, `run` and `demo`: from a call to a configuration, an image and its inputs. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { FlatPlacement } from '../engine/boot/flat.js';
import { MODELS } from '../engine/cpu/models/models.js';
import { MONITORS } from '../engine/monitors/registry.js';
import type { RunConfiguration } from '../engine/start.js';
import { parseInputs } from '../recorder/run/inputs.js';
import type { MemoryFilter, ScheduledInput } from '../recorder/run/recording.js';
import { GUESTS } from '../traces/guests/catalogue.js';
import { commandLine, type Guest, imagePath, readSetting, type Value, type Values } from '../traces/guests/guest.js';
import type { Call, Option } from './command.js';
import { CliError } from './errors.js';
import { findGuest } from './guests.js';

export interface RunRequest {
  readonly configuration: RunConfiguration;
  readonly image: Uint8Array;
  readonly imageName: string;
  readonly inputs: readonly ScheduledInput[];
  readonly budget: number;
  readonly memory: MemoryFilter;
}

const MIB = 1 << 20;
/** The largest RAM that fits into linear memory beside what the engine keeps there. */
const MAX_MIB = 3584;
const DEFAULT_MIB = 64;
const DEFAULT_BUDGET = 1_000_000_000;
const DEFAULT_CHECKPOINT = 50_000_000;
/** 2024-01-01: a run's time does not depend on when it is made. */
const DEFAULT_EPOCH = 1_704_067_200;

const namesOf = (map: ReadonlyMap<string, unknown>): string => [...map.keys()].join(', ');

export const RUN_OPTIONS: readonly Option[] = [
  { name: 'set', value: 'NAME=VALUE', repeats: true, says: 'parameter of a guest program (see trapline guests GUEST)' },
  { name: 'monitor', value: 'NAME', says: `hypervisor below the image: none, ${namesOf(MONITORS)}` },
  { name: 'guestinfo', value: 'NAME=TEXT', repeats: true, says: 'variable guestinfo.NAME that the guest can ask for' },
  { name: 'cpu', value: 'MODEL', says: `CPU model: ${namesOf(MODELS)}` },
  { name: 'ram', value: 'MIB', says: `RAM in MiB (${DEFAULT_MIB}, or what the guest program needs)` },
  { name: 'cmdline', value: 'TEXT', says: 'command line of the image' },
  { name: 'flat', value: 'ADDRESS:BITS', says: 'start the image as a flat one: 0x7c00:16, 0x100000:32, 0x100000:64' },
  { name: 'inputs', value: 'FILE', says: 'inputs, one a line: TICK PORT "TEXT"' },
  {
    name: 'budget',
    value: 'TICKS',
    says: `end the run after so many ticks (${DEFAULT_BUDGET.toLocaleString('en-US')})`,
  },
  { name: 'epoch', value: 'SECONDS', says: 'Unix time at tick 0 (that of 2024-01-01)' },
  {
    name: 'checkpoint-every',
    value: 'TICKS',
    says: `ticks from one checkpoint to the next (${DEFAULT_CHECKPOINT.toLocaleString('en-US')})`,
  },
];

export const MEMORY_OPTION: Option = {
  name: 'memory',
  value: 'off|all|RANGE',
  says: 'memory accesses to record; RANGE is FROM-TO in guest physical addresses, several with commas (off)',
};

/** @throws CliError BAD_VALUE */
export function parseMemory(text: string): MemoryFilter {
  if (text === 'off' || text === 'all') return text;
  return text.split(',').map((range) => {
    const match = /^(0x[0-9a-f]+|\d+)-(0x[0-9a-f]+|\d+)$/i.exec(range);
    const from = Number(match?.[1]);
    const to = Number(match?.[2]);
    if (!match || !Number.isSafeInteger(from) || !Number.isSafeInteger(to) || from >= to) {
      throw new CliError('BAD_VALUE', `--memory ${text}`, `"${range}" is neither off, all, nor FROM-TO`);
    }
    return { from, to };
  });
}

function parseFlat(text: string): FlatPlacement {
  const match = /^(0x[0-9a-f]+|\d+):(16|32|64)$/i.exec(text);
  if (!match) throw new CliError('BAD_VALUE', `--flat ${text}`, 'it is not of the form ADDRESS:16, :32 or :64');
  return { address: Number(match[1]), bits: Number(match[2]) as 16 | 32 | 64 };
}

function parsePairs(words: readonly string[], option: string): { [name: string]: string } {
  return Object.fromEntries(
    words.map((word) => {
      const at = word.indexOf('=');
      if (at < 1) throw new CliError('BAD_VALUE', `--${option} ${word}`, 'it is not of the form NAME=TEXT');
      return [word.slice(0, at), word.slice(at + 1)];
    }),
  );
}

function settingsOf(guest: Guest, words: readonly string[]): Values {
  const settings: { [name: string]: Value } = {};
  for (const word of words) {
    const setting = readSetting(guest, word);
    if ('fault' in setting) throw new CliError('BAD_VALUE', `--set ${word}`, setting.fault);
    settings[setting.name] = setting.value;
  }
  return settings;
}

const latin1 = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

const guestInputs = (guest: Guest): ScheduledInput[] =>
  guest.inputs.map(({ tick, port, text }) => ({ tick, port, bytes: latin1(text) }));

/** A configuration for a guest program, as `record` makes it without further options. */
export function guestRequest(guest: Guest, settings: Values = {}): RunRequest {
  return {
    configuration: {
      cpu: 'skylake',
      monitor: guest.monitor,
      memoryBytes: guest.memory * MIB,
      commandLine: commandLine(guest, settings),
      flat: null,
      epoch: DEFAULT_EPOCH,
      checkpointEvery: DEFAULT_CHECKPOINT,
      guestinfo: {},
    },
    image: readFileSync(imagePath(guest)),
    imageName: guest.name,
    inputs: guestInputs(guest),
    budget: DEFAULT_BUDGET,
    memory: 'off',
  };
}

function imageRequest(path: string, call: Call): RunRequest {
  if (call.values('set').length > 0) {
    throw new CliError('BAD_VALUE', `--set ${call.values('set')[0]}`, `${path} is no guest program: use --cmdline`);
  }
  const name = basename(path);
  return {
    configuration: {
      cpu: 'skylake',
      monitor: 'none',
      memoryBytes: DEFAULT_MIB * MIB,
      commandLine: name,
      flat: null,
      epoch: DEFAULT_EPOCH,
      checkpointEvery: DEFAULT_CHECKPOINT,
      guestinfo: {},
    },
    image: readFileSync(path),
    imageName: name,
    inputs: [],
    budget: DEFAULT_BUDGET,
    memory: 'off',
  };
}

/** True where the argument names a file rather than a guest program. */
const isPath = (name: string): boolean => !GUESTS.has(name) && /[./\\]/.test(name);

/** What a call asks to be run. @throws CliError, InputFileError, or the error of a file that cannot be read */
export function runRequest(call: Call): RunRequest {
  const [what = ''] = call.args;
  const guest = isPath(what) ? null : findGuest(what);
  const request = guest ? guestRequest(guest, settingsOf(guest, call.values('set'))) : imageRequest(what, call);
  const ram = call.integer('ram', 1, MAX_MIB);
  const flat = call.value('flat');
  const inputs = call.value('inputs');
  const defaults = request.configuration;
  return {
    ...request,
    configuration: {
      cpu: call.value('cpu') ?? defaults.cpu,
      monitor: call.value('monitor') ?? defaults.monitor,
      memoryBytes: ram === null ? defaults.memoryBytes : ram * MIB,
      commandLine: call.value('cmdline') ?? defaults.commandLine,
      flat: flat === null ? null : parseFlat(flat),
      epoch: call.integer('epoch', 0, 0xffff_ffff) ?? defaults.epoch,
      checkpointEvery: call.integer('checkpoint-every', 10_000, 2 ** 52) ?? defaults.checkpointEvery,
      guestinfo: parsePairs(call.values('guestinfo'), 'guestinfo'),
    },
    inputs: inputs === null ? request.inputs : parseInputs(readFileSync(inputs, 'utf8'), inputs),
    budget: call.integer('budget', 1, 2 ** 52) ?? request.budget,
  };
}
