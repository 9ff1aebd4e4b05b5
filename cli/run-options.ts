/** Options of `record`, `run` and `demo`: from a call to a configuration, an image and its inputs. */
import { existsSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { type AddressRange, ALL_KINDS, type MemoryFilter } from '../engine/access-filter.js';
import type { FlatPlacement } from '../engine/boot/flat.js';
import { MAX_RAM_MIB, MIN_CHECKPOINT_TICKS, type RunConfiguration } from '../engine/configuration.js';
import { MODELS } from '../engine/cpu/models/models.js';
import { MONITORS } from '../engine/monitors/registry.js';
import type { AccessKind } from '../engine/observer.js';
import { parseInputs } from '../recorder/run/inputs.js';
import type { ScheduledInput } from '../recorder/run/recording.js';
import { GUESTS } from '../traces/guests/catalogue.js';
import { commandLine, type Guest, imagePath, readSetting, type Value, type Values } from '../traces/guests/guest.js';
import type { Call, Option } from './command.js';
import { CliError } from './errors.js';
import { readBounded } from './files.js';
import { findGuest } from './guests.js';
import { readInteger } from './parse.js';
import { formatNumber } from './table.js';

export interface RunRequest {
  readonly configuration: RunConfiguration;
  readonly image: Uint8Array;
  readonly imageName: string;
  readonly inputs: readonly ScheduledInput[];
  readonly budget: number;
}

const MIB = 1 << 20;
/** The largest files that are read: images, and lists of inputs. */
const MAX_IMAGE = 256 * MIB;
const MAX_INPUTS = 64 * MIB;
const DEFAULT_MIB = 64;
/** Ticks of a run that nobody takes part in. */
export const DEFAULT_BUDGET = 1_000_000_000;
/** No budget at all: whoever sits at the console ends the run. */
const UNLIMITED = 2 ** 52;
const DEFAULT_CHECKPOINT = 50_000_000;
/** 2024-01-01: a run's time does not depend on when it is made. */
const DEFAULT_EPOCH = 1_704_067_200;
/** Guest physical addresses have 52 bits at the most. */
const MAX_ADDRESS = 2 ** 52;

const namesOf = (map: ReadonlyMap<string, unknown>): string => [...map.keys()].join(', ');

export const RUN_OPTIONS: readonly Option[] = [
  { name: 'set', value: 'NAME=VALUE', repeats: true, says: 'parameter of a guest program (see trapline guests GUEST)' },
  { name: 'monitor', value: 'NAME', says: `hypervisor below the image: none, ${namesOf(MONITORS)}` },
  { name: 'guestinfo', value: 'NAME=TEXT', repeats: true, says: 'variable guestinfo.NAME that the guest can ask for' },
  { name: 'cpu', value: 'MODEL', says: `CPU model: ${namesOf(MODELS)}` },
  {
    name: 'ram',
    value: 'MIB',
    says: `RAM in MiB, up to ${MAX_RAM_MIB} (${DEFAULT_MIB}, or what the guest program needs)`,
  },
  { name: 'cmdline', value: 'TEXT', says: 'command line of the image' },
  { name: 'flat', value: 'ADDRESS:BITS', says: 'start the image as a flat one: 0x7c00:16, 0x100000:32, 0x100000:64' },
  { name: 'inputs', value: 'FILE', says: 'inputs, one a line: TICK PORT "TEXT" (the guest program\'s own)' },
  {
    name: 'budget',
    value: 'TICKS',
    says: `end the run after so many ticks (${formatNumber(DEFAULT_BUDGET)}; with -i or --socket, once nobody can type any more)`,
  },
  { name: 'epoch', value: 'SECONDS', says: 'Unix time at tick 0 (that of 2024-01-01)' },
  {
    name: 'checkpoint-every',
    value: 'TICKS',
    says: `ticks from one checkpoint to the next (${formatNumber(DEFAULT_CHECKPOINT)})`,
  },
];

export const CONSOLE_OPTIONS: readonly Option[] = [
  { name: 'interactive', short: 'i', says: "connect the guest's COM1 to this terminal (Ctrl-] ends the run)" },
  { name: 'socket', value: 'PATH', says: "connect the guest's COM1 to a Unix socket that clients connect to" },
];

/** True where a person or a program at the other end of COM1 takes part in the run. */
const isInteractive = (call: Call): boolean => call.flag('interactive') || call.value('socket') !== null;

export const MEMORY_OPTION: Option = {
  name: 'memory',
  value: 'off|all|RANGE',
  says: 'memory accesses to record; RANGE is FROM-TO in guest physical addresses, several with commas (off)',
};

export const KINDS_OPTION: Option = {
  name: 'kinds',
  value: 'KINDS',
  says: `kinds of memory access to record, with commas: ${ALL_KINDS.join(', ')} (all of them)`,
};

function parseKinds(call: Call): readonly AccessKind[] {
  const text = call.value('kinds');
  if (text === null) return ALL_KINDS;
  const names = text.split(',');
  const unknown = names.find((name) => !ALL_KINDS.some((kind) => kind === name));
  if (unknown !== undefined) {
    throw new CliError('BAD_VALUE', `--kinds ${text}`, `"${unknown}" is none of ${ALL_KINDS.join(', ')}`);
  }
  return ALL_KINDS.filter((kind) => names.includes(kind));
}

/**
 * The accesses that `text` and --kinds select.
 * @throws CliError BAD_VALUE, which names the text as `what`
 */
export function parseMemory(call: Call, text: string, what = '--memory'): MemoryFilter {
  const kinds = parseKinds(call);
  if (text === 'off') return text;
  return { ranges: text === 'all' ? text : parseRanges(text, what), kinds };
}

function parseRanges(text: string, what: string): AddressRange[] {
  return text.split(',').map((range) => {
    const [from = null, to = null, ...more] = range.split('-').map(readInteger);
    if (from === null || to === null || more.length > 0) {
      throw new CliError('BAD_VALUE', `${what} ${text}`, `"${range}" is neither off, all, nor FROM-TO`);
    }
    if (from >= to || to > MAX_ADDRESS) {
      throw new CliError('BAD_VALUE', `${what} ${text}`, `"${range}" does not rise, or leaves 52 bits`);
    }
    return { from, to };
  });
}

function parseFlat(text: string): FlatPlacement {
  const match = /^(0x[0-9a-f]+|\d+):(16|32|64)$/i.exec(text);
  if (!match) throw new CliError('BAD_VALUE', `--flat ${text}`, 'it is not of the form ADDRESS:16, :32 or :64');
  return { address: Number(match[1]), bits: Number(match[2]) as FlatPlacement['bits'] };
}

function parsePairs(words: readonly string[], option: string): { [name: string]: string } {
  return Object.fromEntries(
    words.map((word) => {
      const at = word.indexOf('=');
      if (at < 1) throw new CliError('BAD_VALUE', `--${option} ${word}`, 'it is not of the form NAME=TEXT');
      // What the guest gets is bytes: those of the text in UTF-8.
      return [word.slice(0, at), Buffer.from(word.slice(at + 1)).toString('latin1')];
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

/** A configuration that nothing was said about. */
const plainConfiguration = (overrides: Partial<RunConfiguration>): RunConfiguration => ({
  cpu: 'skylake',
  monitor: 'none',
  memoryBytes: DEFAULT_MIB * MIB,
  commandLine: '',
  flat: null,
  epoch: DEFAULT_EPOCH,
  checkpointEvery: DEFAULT_CHECKPOINT,
  guestinfo: {},
  ...overrides,
});

const guestInputs = (guest: Guest): ScheduledInput[] =>
  guest.inputs.map(({ tick, port, text }) => ({ tick, port, bytes: Buffer.from(text, 'latin1') }));

/** A request for a guest program, as `record` makes it without further options. */
export function guestRequest(guest: Guest, settings: Values = {}): RunRequest {
  return {
    configuration: plainConfiguration({
      monitor: guest.monitor,
      memoryBytes: guest.memory * MIB,
      commandLine: commandLine(guest, settings),
    }),
    image: readFileSync(imagePath(guest)),
    imageName: guest.name,
    inputs: guestInputs(guest),
    budget: DEFAULT_BUDGET,
  };
}

function imageRequest(path: string, call: Call): RunRequest {
  const [set] = call.values('set');
  if (set !== undefined) {
    throw new CliError('BAD_VALUE', `--set ${set}`, `${path} is no guest program: use --cmdline`);
  }
  const name = basename(path);
  return {
    configuration: plainConfiguration({ commandLine: name }),
    image: readBounded(path, MAX_IMAGE),
    imageName: name,
    inputs: [],
    budget: DEFAULT_BUDGET,
  };
}

/** True where the argument names a file rather than a guest program. */
const isPath = (name: string): boolean => !GUESTS.has(name) && /[./\\]/.test(name);

/** What a call asks to be run, before its options. */
function baseRequest(call: Call): RunRequest {
  const [what = ''] = call.args;
  if (isPath(what)) return imageRequest(what, call);
  if (!GUESTS.has(what) && existsSync(what)) {
    throw new CliError('UNKNOWN_GUEST', what, null, `for the file of that name, write ./${what}`);
  }
  const guest = findGuest(what);
  return guestRequest(guest, settingsOf(guest, call.values('set')));
}

/** Inputs of a call: those of its file; else the guest's own, without COM1 where somebody is connected to it. */
function inputsOf(call: Call, own: readonly ScheduledInput[]): readonly ScheduledInput[] {
  const file = call.value('inputs');
  if (file !== null) return parseInputs(Buffer.from(readBounded(file, MAX_INPUTS)).toString('utf8'), file);
  return isInteractive(call) ? own.filter(({ port }) => port !== 'com1') : own;
}

/** What a call asks to be run. @throws CliError, InputFileError, or the error of a file that cannot be read */
export function runRequest(call: Call): RunRequest {
  const request = baseRequest(call);
  const { configuration: defaults } = request;
  const ram = call.integer('ram', 1, MAX_RAM_MIB);
  const flat = call.value('flat');
  const budget = isInteractive(call) ? UNLIMITED : request.budget;
  return {
    ...request,
    configuration: {
      cpu: call.value('cpu') ?? defaults.cpu,
      monitor: call.value('monitor') ?? defaults.monitor,
      memoryBytes: ram === null ? defaults.memoryBytes : ram * MIB,
      commandLine: call.value('cmdline') ?? defaults.commandLine,
      flat: flat === null ? null : parseFlat(flat),
      epoch: call.integer('epoch', 0, 0xffff_ffff) ?? defaults.epoch,
      checkpointEvery: call.integer('checkpoint-every', MIN_CHECKPOINT_TICKS, UNLIMITED) ?? defaults.checkpointEvery,
      guestinfo: parsePairs(call.values('guestinfo'), 'guestinfo'),
    },
    inputs: inputsOf(call, request.inputs),
    budget: call.integer('budget', 1, UNLIMITED) ?? budget,
  };
}
