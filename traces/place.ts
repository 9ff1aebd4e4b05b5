/**
 * Where a trace is written, and where it comes to lie. Where nothing has its name it is written under that name, where an
 * Arrow trace can be read meanwhile, and SQLite keeps its own locked. One that replaces another is written in a folder of
 * its own beside it, `.NAME.new-XXXXXX`. When it is whole, the other is moved to `old/NAME` in there, it takes the place,
 * and the folder is removed. Either way the name must hold in the end what it held at first: whoever else took it
 * meanwhile keeps it, and nothing is lost without a word.
 */
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { keepAccess } from './access.js';
import { TraceError, traceError } from './errors.js';
import { identityOf } from './identity.js';
import type { Store } from './sink.js';
import { STORES } from './stores.js';

export interface Place {
  /** Where the trace is, for who wants to read it: under the name that was asked for, unless it was kept beside. */
  readonly path: string;
  /** Where its files are written. */
  readonly written: string;
  /** @throws TraceError TRACE_TAKEN where the files under that name are no longer those that were begun */
  check(): void;
  /**
   * The trace is closed. Where it is to replace another it does so with `replaces`, and otherwise stays beside it.
   * @throws TraceError TRACE_TAKEN, TRACE_UNWRITABLE, which name the place where it stays
   */
  settle(replaces: boolean): void;
  remove(): void;
}

/** What of a folder's name tells traces beside: one that is written or was left so, and one that lacks its end. */
const WORDS = { fresh: 'new', incomplete: 'incomplete' } as const;
const RANDOM = 'XXXXXX';

/** Where a trace lies that had the name, in the folder of the one that replaces it. */
const oldIn = (folder: string, target: string): string => join(folder, 'old', basename(target));

const besideOf = (target: string, word: string): string => join(dirname(target), `.${basename(target)}.${word}-`);

/** What lies beside a trace, left by commands that were ended or of those that still go on: paths, sorted. */
export interface Beside {
  /** New traces, which did not take its place. */
  readonly fresh: readonly string[];
  /** Traces that had the name and were moved away for a new one. */
  readonly old: readonly string[];
  /** Folders with neither in them. */
  readonly empty: readonly string[];
}

/** What lies beside the trace at a path, or where one would be. */
export function lyingBeside(target: string): Beside {
  const prefixes = Object.values(WORDS).map((word) => basename(besideOf(target, word)));
  const isBeside = (name: string): boolean =>
    prefixes.some((prefix) => name.startsWith(prefix) && name.length === prefix.length + RANDOM.length);
  let folders: string[] = [];
  try {
    const names = readdirSync(dirname(target)).filter(isBeside).sort();
    folders = names.map((name) => join(dirname(target), name));
  } catch {
    // a folder that may be written and not listed
  }
  const [freshOf, oldOf] = [
    (folder: string) => join(folder, basename(target)),
    (folder: string) => oldIn(folder, target),
  ];
  return {
    fresh: folders.map(freshOf).filter((path) => existsSync(path)),
    old: folders.map(oldOf).filter((path) => existsSync(path)),
    empty: folders.filter((folder) => !existsSync(freshOf(folder)) && !existsSync(oldOf(folder))),
  };
}

/** Makes a new folder beside the target, which nobody else has: a number of a process may come again. */
function makeBeside(target: string, begin: (fresh: string) => void): string {
  const prefix = besideOf(target, WORDS.fresh);
  let fresh = `${prefix}${RANDOM}`; // so the system calls it where it cannot be made
  let folder: string | null = null;
  try {
    folder = mkdtempSync(prefix);
    fresh = join(folder, basename(target));
    begin(fresh);
    return folder;
  } catch (error) {
    if (folder !== null) rmSync(folder, { recursive: true, force: true });
    // the name that was asked for, not the one that it has until it is there
    if (error instanceof Error) error.message = error.message.replaceAll(fresh, target);
    throw error;
  }
}

/** Begins a trace in a new folder beside the target. */
const beginBeside = (target: string, store: Store): string => makeBeside(target, (fresh) => store.begin(fresh));

/** Throws the system's error where nothing can be made beside the target, as a trace is before it has its name. */
export function checkBeside(target: string): void {
  tidy(makeBeside(target, () => {}));
}

/** Removes what nobody needs any more. All is done by then, and what cannot be removed is told as lying beside. */
function tidy(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true });
  } catch {
    // a disk that fails, or somebody who writes into it
  }
}

/** Another where it is another trace, or anything was written to it. */
function stateOf(path: string, store: Store): string {
  const states = store.files(path).map((file) => {
    const stat = statSync(file, { bigint: true, throwIfNoEntry: false });
    return stat === undefined ? '' : `${stat.size} ${stat.mtimeNs}`;
  });
  return [identityOf(path), ...states].join();
}

const sideFiles = (path: string, store: Store): string[] => store.beside.map((suffix) => `${path}${suffix}`);

/** A name where nothing was. */
class OwnPlace implements Place {
  readonly path: string;
  readonly written: string;
  readonly #store: Store;
  readonly #identity: string | null;

  constructor(path: string, target: string, store: Store) {
    this.path = path;
    this.written = target;
    this.#store = store;
    const folder = beginBeside(target, store);
    try {
      store.place(join(folder, basename(target)), target);
    } finally {
      tidy(folder);
    }
    this.#identity = identityOf(target);
  }

  check(): void {
    if (identityOf(this.written) !== this.#identity) throw new TraceError('TRACE_TAKEN', this.path);
  }

  settle(): void {
    this.check();
  }

  remove(): void {
    if (identityOf(this.written) !== this.#identity) return;
    for (const file of [this.written, ...sideFiles(this.written, this.#store)]) {
      rmSync(file, { recursive: true, force: true });
    }
  }
}

interface Move {
  readonly from: string;
  readonly to: string;
}

/** Errors of a name that is gone, or that something else has. */
const TAKEN = new Set(['TRACE_TAKEN', 'ENOENT', 'EEXIST', 'ENOTEMPTY', 'ENOTDIR']);

const isTaken = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' && TAKEN.has(error.code);

/** The name of a trace that stays until the new one is whole. */
class BesidePlace implements Place {
  readonly #target: string;
  readonly #store: Store;
  readonly #old: Store;
  readonly #state: string;
  #folder: string;
  path: string;

  constructor(path: string, target: string, store: Store, old: Store) {
    this.path = path;
    this.#target = target;
    this.#store = store;
    this.#old = old;
    this.#state = stateOf(target, old);
    // rename(2): a folder that is moved to another one is written, as its entry ".." changes
    if (statSync(target).isDirectory()) accessSync(target, constants.W_OK);
    this.#folder = beginBeside(target, store);
  }

  get written(): string {
    return join(this.#folder, basename(this.#target));
  }

  check(): void {
    // nobody else has the folder; what became of the old trace counts in the end
  }

  settle(replaces: boolean): void {
    if (replaces) {
      this.#replace();
      return;
    }
    const prefix = besideOf(this.#target, WORDS.fresh);
    const kept = `${besideOf(this.#target, WORDS.incomplete)}${this.#folder.slice(prefix.length)}`;
    renameSync(this.#folder, kept);
    this.#folder = kept;
    this.path = this.written;
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /**
   * In steps, as of folders and of files beside: who is killed between them finds both traces in the folder. Another
   * process may come between any two of them: whose the name was is known once what had it is moved away, and a name is
   * only given to what it is still free for.
   */
  #replace(): void {
    const target = this.#target;
    const moved: Move[] = [];
    const move = (from: string): void => {
      const to = join(dirname(oldIn(this.#folder, target)), basename(from));
      renameSync(from, to);
      moved.push({ from, to });
    };
    try {
      this.#checkOld(target);
      keepAccess(target, this.written);
      mkdirSync(dirname(oldIn(this.#folder, target)));
      // what SQLite keeps beside the old file are changes of that file, and none of the new one
      const sides = sideFiles(target, this.#old).filter((file) => existsSync(file));
      move(target);
      this.#checkOld(oldIn(this.#folder, target));
      sides.forEach(move);
      this.#store.place(this.written, target);
    } catch (error) {
      throw this.#failure(error, this.#putBack(moved));
    }
    tidy(this.#folder);
  }

  /** @throws TraceError TRACE_TAKEN where that is not the trace, as it was, that is to be replaced, or somebody writes it by now */
  #checkOld(path: string): void {
    if (stateOf(path, this.#old) === this.#state && this.#old.refusal(path) === null && !this.#old.isWritten(path))
      return;
    throw new TraceError('TRACE_TAKEN', this.path);
  }

  /** Gives files their names again while those are free; says which trace stays where it was moved to, null if none. */
  #putBack(moved: readonly Move[]): string | null {
    try {
      for (const { from, to } of moved) this.#old.place(to, from);
    } catch {
      return oldIn(this.#folder, this.#target);
    }
    tidy(dirname(oldIn(this.#folder, this.#target)));
    return null;
  }

  /** The error of a replacement: it names what there is besides what has the name. */
  #failure(error: unknown, kept: string | null): Error {
    const old = kept === null ? '' : `, and what was there before at ${kept}`;
    const says = `the new trace is whole and stays at ${this.written}${old}`;
    if (isTaken(error)) {
      const detail = `what is there is no longer what was to be replaced; ${says}`;
      return new TraceError('TRACE_TAKEN', this.path, null, detail);
    }
    if (error instanceof Error) error.message += `; ${says}`;
    return traceError(error, this.path, 'write');
  }
}

/**
 * Begins a trace at `target`, which `path` calls so; `old` is the store of the trace that it replaces, null where
 * nothing is there.
 */
export function beginAt(path: string, target: string, store: Store, old: Store['name'] | null): Place {
  return old === null ? new OwnPlace(path, target, store) : new BesidePlace(path, target, store, STORES[old]);
}
