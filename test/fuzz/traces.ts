/** Forms of our own traces: what a damaged one answers is what was written, up to the damage, and nothing else. */
import assert from 'node:assert/strict';
import {
  closeSync,
  cpSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { Profiler } from '../../analyzer/profile/profile.js';
import { integrityOf, isIntact } from '../../analyzer/verify.js';
import { TRACE_ERRORS, TraceError } from '../../traces/errors.js';
import { inPackage } from '../../traces/guests/guest.js';
import { createTrace } from '../../traces/open.js';
import { TABLE_NAMES, type TableName } from '../../traces/schema.js';
import { pageHash } from '../../traces/state-digest.js';
import type { TraceReader } from '../../traces/store.js';
import { fillLong, plainRow, reading } from '../traces/rows.js';
import { type Files, pack, unpack } from './folder.js';
import { mutateBytes, mutateText } from './mutate.js';
import type { Random } from './random.js';
import type { Form, Outcome } from './run.js';
import { databaseAnatomy, streamAnatomy } from './trace-anatomy.js';

type Kind = TraceReader['kind'];

/** One in so many is verified whatever it answers. */
const VERIFIED = 10;
const MANIFEST = 'manifest.jsonl';
/** Words of the program, not of the trace. */
const OURS = /DataView|typed array|is not a function|undefined/i;

/** A trace that has rows in every table. */
function makeTrace(path: string): void {
  const writer = createTrace(path, { threads: false });
  writer.setRun('source', 'test');
  writer.setRun('image', Uint8Array.of(1, 2, 3));
  writer.define('kind', 1, 'exit', 'a VM exit');
  fillLong(writer, 24, 12);
  const body = Uint8Array.of(1, 2, 3);
  for (let i = 0; i < 2; i++) {
    writer.table('message').row({ vcpu: 0, protocol: 'rpci', channel: 1, direction: 0, body });
    writer.table('input').row({ tick: i, port: 'com1', bytes: body });
    writer.table('output').row({ tick: i, port: 'log', bytes: body });
    writer.table('checkpoint').row({ id: i, tick: i, seq: 0, state: body, devices: '{}', digest: 'ab' });
    const content = new Uint8Array(4096).fill(i + 1);
    writer.table('checkpoint_page').row({ checkpoint: i, number: 1, hash: pageHash(content) });
    writer.table('page').row({ hash: pageHash(content), content });
    if (i === 0) writer.flush();
  }
  writer.finish();
}

interface Answers {
  /** The rows of each table up to its damage. */
  readonly rows: ReadonlyMap<TableName, readonly string[]>;
  readonly isComplete: boolean;
  readonly isDamaged: boolean;
}

function checkError(error: unknown, path: string): void {
  if (!(error instanceof TraceError)) throw error;
  assert.ok(error.code in TRACE_ERRORS);
  assert.ok(error.message.includes(path) && !error.message.includes('\n'), error.message);
  assert.doesNotMatch(error.message, OURS);
}

function answersOf(reader: TraceReader, path: string): Answers {
  const rows = new Map<TableName, string[]>();
  const profiler = new Profiler();
  let isDamaged = false;
  for (const table of TABLE_NAMES) {
    const found: string[] = [];
    rows.set(table, found);
    try {
      for (const chunk of reader.chunks(table)) {
        profiler.take(chunk);
        for (let i = 0; i < chunk.rows; i++) found.push(plainRow(chunk.row(i)).join());
      }
    } catch (error) {
      checkError(error, path);
      isDamaged = true;
    }
  }
  profiler.finish((domain, code) => reader.name(domain, code));
  return { rows, isComplete: reader.complete, isDamaged };
}

/** Whether it is known to be what was written; a TraceError is an answer too. */
function verifies(reader: TraceReader, path: string): boolean {
  try {
    return isIntact(integrityOf(reader)) && reader.complete;
  } catch (error) {
    checkError(error, path);
    return false;
  }
}

const NOTHING = Buffer.alloc(0);

/** As writing a file anew, which takes longer than what is tested. */
function overwrite(path: string, bytes: Uint8Array): void {
  const descriptor = openSync(path, 'r+');
  writeSync(descriptor, bytes, 0, bytes.length, 0);
  ftruncateSync(descriptor, bytes.length);
  closeSync(descriptor);
}

/** A trace that lies in a folder of its own, where mutations of it are laid and taken away again. */
class Seed {
  readonly bytes: Buffer;
  readonly #files: Files;
  #laid: Files;
  readonly #folder: string;
  readonly #path: string;
  readonly #answers: Answers;

  constructor(folder: string, kind: Kind, name: string, make: (path: string) => void) {
    this.#path = join(folder, `${name}.${kind}`);
    make(this.#path);
    this.#folder = kind === 'arrow' ? this.#path : folder;
    const names = kind === 'arrow' ? readdirSync(this.#path).sort() : [`${name}.${kind}`];
    this.#files = new Map(names.map((each) => [each, readFileSync(join(this.#folder, each))]));
    this.#laid = this.#files;
    this.bytes = pack(this.#files);
    this.#answers = reading(this.#path, (reader) => answersOf(reader, this.#path));
    assert.ok(reading(this.#path, (reader) => verifies(reader, this.#path)));
  }

  check(input: Uint8Array, run: number): Outcome {
    const files = unpack(input);
    this.#lay(files);
    const isAsWritten = (name: string): boolean => files.get(name)?.equals(this.#files.get(name) ?? NOTHING) === true;
    try {
      return reading(this.#path, (reader) => this.#judge(reader, files, isAsWritten, run));
    } catch (error) {
      checkError(error, this.#path);
      return 'refused';
    }
  }

  /** Puts files where the trace is; what is there already stays. */
  #lay(files: Files): void {
    for (const name of this.#files.keys()) {
      const [there, bytes] = [this.#laid.get(name), files.get(name)];
      const path = join(this.#folder, name);
      if (bytes === undefined) rmSync(path, { force: true });
      else if (there === undefined) writeFileSync(path, bytes);
      else if (!there.equals(bytes)) overwrite(path, bytes);
    }
    this.#laid = files;
  }

  #judge(reader: TraceReader, files: Files, isAsWritten: (name: string) => boolean, run: number): Outcome {
    const { rows, isComplete, isDamaged } = answersOf(reader, this.#path);
    if (isForged(files, this.#files)) return isDamaged ? 'stopped' : 'whole';
    let isSame = isComplete;
    for (const [table, found] of rows) {
      const written = this.#answers.rows.get(table) ?? [];
      assert.deepEqual(found, written.slice(0, found.length), `table ${table} says what was not written`);
      // Each record batch describes itself, whatever of the manifest is left.
      if (isAsWritten(`${table}.arrow`))
        assert.equal(found.length, written.length, `${table}.arrow is as it was, and rows of it are gone`);
      isSame &&= found.length === written.length;
    }
    if (run % VERIFIED === 0 || (!isSame && isComplete && !isDamaged))
      assert.equal(verifies(reader, this.#path), isSame && !isDamaged, 'verify');
    return isDamaged || !isComplete ? 'stopped' : 'whole';
  }
}

/** Changes of one file of a folder, or of which file is which. */
function mutateFolder(original: Uint8Array, random: Random): Uint8Array {
  const files = new Map(unpack(original));
  const names = [...files.keys()];
  const name = random.pick(names);
  const bytes = files.get(name) ?? NOTHING;
  switch (random.below(16)) {
    case 0: {
      const isLeft = random.below(4) === 0;
      for (const each of names) if ((each === name) !== isLeft) files.delete(each);
      break;
    }
    case 1:
      files.set(random.pick(names), bytes);
      break;
    case 2:
    case 3:
    case 4:
      files.set(MANIFEST, mutateManifest(files.get(MANIFEST) ?? NOTHING, random));
      break;
    default:
      if (name === MANIFEST) files.set(name, mutateManifest(bytes, random));
      else files.set(name, Buffer.from(mutateBytes(bytes, streamAnatomy(bytes), random)));
  }
  return pack(files);
}

/** What a line says, with the sum that it is to have. */
const sealed = (json: string): string => `${json} ${crc32(json).toString(16).padStart(8, '0')}`;
/** A line of a manifest without its sum. */
const SUM = / [0-9a-f]{8}$/;

/** Changes of its text, or of what one of its lines says. */
function mutateManifest(bytes: Buffer, random: Random): Buffer {
  const lines = bytes.toString('utf8').split('\n');
  const line = random.below(lines.length);
  const words = ['"rows":', '"first":0', ',"tags":{}', '"format":', '9007199254740991', '"length":', 'null', '}\n'];
  if (random.below(2) === 0) return Buffer.from(mutateText(lines.join('\n'), words, random));
  lines[line] = sealed(mutateText((lines[line] ?? '').replace(SUM, ''), words, random));
  return Buffer.from(lines.join('\n'));
}

/** Whether a manifest has a whole line that its recorder did not write: then the trace is another one. */
function isForged(files: Files, written: Files): boolean {
  const linesOf = (each: Files): string[] => (each.get(MANIFEST) ?? NOTHING).toString('utf8').split('\n');
  const known = new Set(linesOf(written));
  return linesOf(files).some((line) => !known.has(line) && line === sealed(line.replace(SUM, '')));
}

function mutateDatabase(original: Uint8Array, random: Random): Uint8Array {
  const files = [...unpack(original)].map(
    ([name, bytes]) => [name, Buffer.from(mutateBytes(bytes, databaseAnatomy(bytes), random))] as const,
  );
  return pack(new Map(files));
}

function traceForm(kind: Kind, mutate: Form['mutate']): Form {
  const folder = mkdtempSync(join(tmpdir(), `trapline-fuzz-${kind}-`));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const older = join(inPackage('test', 'traces', 'fixtures'), `version-3.${kind}`);
  const seeds = [
    new Seed(folder, kind, 'new', makeTrace),
    new Seed(folder, kind, 'old', (path) => cpSync(older, path, { recursive: statSync(older).isDirectory() })),
  ];
  return {
    name: `${kind}-trace`,
    seeds: seeds.map(({ bytes }) => bytes),
    mutate,
    check: (input, original, run) => {
      const seed = seeds.find(({ bytes }) => bytes === original);
      assert.ok(seed !== undefined);
      return seed.check(input, run);
    },
  };
}

export function traceForms(): readonly Form[] {
  return [traceForm('arrow', mutateFolder), traceForm('sqlite', mutateDatabase)];
}
