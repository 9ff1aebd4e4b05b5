/**
 * Which Bochs runs: the one that the environment variable BOCHS names, a build of its own being welcome, or Debian's.
 * What it can do it says itself (`--help`, `--help cpu`, `--help features`).
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const DEBIAN = '/usr/bin/bochs';
const LIBRARIES = '/usr/lib';
const DISPLAY = 'bochs/plugins/libbx_term_gui.so';
/** Whose answers are committed, unless the vectors say otherwise. */
const COMMITTED = '2.7';

export interface FoundBochs {
  readonly path: string;
  /** As its banner has it: `2.7`, `3.0.devel`. */
  readonly version: string;
  /** Built with the debugger, which then wants a command to start. */
  readonly debugger: boolean;
  /** Built with sound, which then wants to be told to be still. */
  readonly sound: boolean;
  readonly models: ReadonlySet<string>;
}

const MILLISECONDS = 20_000;

function told(path: string, ...topic: string[]): string | null {
  const { error, stdout, stderr } = spawnSync(path, ['--help', ...topic], {
    encoding: 'latin1',
    timeout: MILLISECONDS,
  });
  return error ? null : stdout + stderr;
}

function lookFor(path: string): FoundBochs | string {
  if (!existsSync(path)) return `${path} is not ${path === DEBIAN ? 'installed' : 'there (BOCHS names it)'}`;
  const help = told(path);
  const models = told(path, 'cpu');
  const version = /Bochs x86 Emulator (\S+)/.exec(help ?? '')?.[1];
  if (help === null || models === null || version === undefined) return `${path} does not say that it is Bochs`;
  const hasDisplay = readdirSync(LIBRARIES).some((arch) => existsSync(join(LIBRARIES, arch, DISPLAY)));
  if (path === DEBIAN && !hasDisplay) return 'the display library of the package bochs-term is not installed';
  const sound = /^(sb16|es1370)$/m.test(told(path, 'features') ?? '');
  return { path, version, debugger: /^\s*-rc /m.test(help), sound, models: new Set(models.match(/^[a-z]\w*$/gm)) };
}

let found: FoundBochs | string | undefined;

/** The Bochs that runs here, or why none does. */
export function findBochs(): FoundBochs | string {
  found ??= lookFor(process.env.BOCHS ?? DEBIAN);
  return found;
}

/** Why Bochs cannot be used here, or null where it can: it takes the packages `bochs` and `bochs-term`, or BOCHS. */
export function bochsMissing(): string | null {
  const here = findBochs();
  return typeof here === 'string' ? here : null;
}

/** Why this Bochs cannot answer for committed vectors, or null: they are of one version, and of a model that it has. */
export function bochsOtherwise(version = COMMITTED, model?: string): string | null {
  const here = findBochs();
  if (typeof here === 'string') return here;
  if (here.version !== version) return `Bochs ${version} is asked for, and ${here.path} is ${here.version}`;
  return model === undefined || here.models.has(model) ? null : `Bochs ${here.version} has no model ${model}`;
}
