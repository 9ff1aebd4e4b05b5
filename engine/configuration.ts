/**
 * What a run is a function of besides image and inputs: plain data that goes into the trace and comes back from it, hence
 * from whoever wrote the trace. Described once, as data; whatever does not fit is refused before a machine is made.
 */
import { count, integer, type Kind, optional, record, text, type ValueOf } from './devices/state.js';
import { EngineError } from './errors.js';
import { PAGE_BYTES } from './memory/physical.js';

const MIB = 1 << 20;
/** The largest RAM, in MiB, that fits into 4 GiB of linear memory beside what the engine keeps there. */
export const MAX_RAM_MIB = 3584;
/** Ticks between checkpoints: fewer than this, and a run would be nothing but checkpoints. */
export const MIN_CHECKPOINT_TICKS = 1000;
const NAME = 64;
const COMMAND_LINE = 4096;
const VARIABLES = { most: 1024, name: 256, value: 0x1_0000, all: MIB } as const;

const refuse = (where: string, expected: string): EngineError =>
  new EngineError('BAD_STATE', where, `expected ${expected}`);

/** A kind with a further condition on its values. */
const where = <T>(kind: Kind<T>, holds: (value: T) => boolean, expected: string): Kind<T> => ({
  first: () => kind.first(),
  read(value, place) {
    const known = kind.read(value, place);
    if (!holds(known)) throw refuse(place, expected);
    return known;
  },
});

const oneOf = <const T extends number>(values: readonly [T, ...T[]]): Kind<T> => ({
  first: () => values[0],
  read(value, place) {
    const known = values.find((each) => each === value);
    if (known === undefined) throw refuse(place, `one of ${values.join(', ')}`);
    return known;
  },
});

/** Text whose characters are bytes. */
const latin1 = (maxLength: number): Kind<string> =>
  where(text(maxLength), (value) => /^[\0-\xff]*$/.test(value), 'characters below 256');

const dictionary: Kind<{ readonly [name: string]: string }> = {
  first: () => ({}),
  read(value, place) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw refuse(place, 'a record');
    const entries = Object.entries(value);
    if (entries.length > VARIABLES.most) throw refuse(place, `${VARIABLES.most} variables at the most`);
    let bytes = 0;
    const read = entries.map(([name, content]): [string, string] => {
      const known = latin1(VARIABLES.name).read(name, `${place}: name`);
      const said = latin1(VARIABLES.value).read(content, `${place}.${known.slice(0, NAME)}`);
      bytes += known.length + said.length;
      return [known, said];
    });
    if (bytes > VARIABLES.all) throw refuse(place, `${VARIABLES.all} bytes at the most`);
    return Object.fromEntries(read);
  },
};

const CONFIGURATION = record({
  /** Name of a CPU model. */
  cpu: text(NAME),
  /** Name of a monitor, or `none`: the image runs on the bare machine. */
  monitor: text(NAME),
  memoryBytes: where(
    integer(MAX_RAM_MIB * MIB, MIB, MIB),
    (bytes) => bytes % PAGE_BYTES === 0,
    `a multiple of ${PAGE_BYTES}`,
  ),
  commandLine: text(COMMAND_LINE),
  /** Where and in which mode a flat image starts; null: the image says so itself. */
  flat: optional(record({ address: integer(0xffff_ffff), bits: oneOf([16, 32, 64]) })),
  /** Unix time at tick 0, in seconds. */
  epoch: integer(0xffff_ffff),
  checkpointEvery: where(count(), (ticks) => ticks >= MIN_CHECKPOINT_TICKS, `${MIN_CHECKPOINT_TICKS} ticks or more`),
  /** Variables that a guest can ask the monitor for. */
  guestinfo: dictionary,
});

/** Survives JSON. */
export type RunConfiguration = Readonly<ValueOf<typeof CONFIGURATION>>;

/**
 * A configuration from anything that claims to be one.
 * @throws EngineError BAD_CONFIGURATION, with the name of the value that does not fit
 */
export function readConfiguration(value: unknown): RunConfiguration {
  try {
    return CONFIGURATION.read(value, 'configuration');
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    throw new EngineError('BAD_CONFIGURATION', error.where, error.why);
  }
}
