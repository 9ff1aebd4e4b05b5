/** The rooms of ARCHITECTURE.md: who may import whom. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { test } from 'node:test';
import { inPackage } from '../traces/guests/guest.js';

interface Room {
  /** Folders that its files may import, and single files. */
  readonly rooms: readonly string[];
  readonly packages: readonly string[];
  /** Modules of Node: all, or none. */
  readonly node: boolean;
  /** Rooms of which only types may be imported. */
  readonly typesOf?: readonly string[];
}

const ROOMS: { readonly [folder: string]: Room } = {
  engine: { rooms: ['engine'], packages: ['iced-x86'], node: false },
  traces: {
    rooms: ['traces'],
    packages: ['better-sqlite3', 'apache-arrow', 'lz4-wasm-nodejs'],
    node: true,
    typesOf: ['engine/types'],
  },
  recorder: { rooms: ['recorder', 'engine', 'traces'], packages: ['zstddec'], node: true },
  analyzer: {
    rooms: ['analyzer', 'engine', 'traces'],
    packages: ['iced-x86', 'hyparquet-writer', 'hyparquet'],
    node: true,
  },
  'web/server': { rooms: ['web/server', 'analyzer'], packages: ['express'], node: true },
  'web/client': { rooms: ['web/client'], packages: ['d3'], node: false, typesOf: ['analyzer'] },
};

const root = inPackage();
const IMPORT = /^\s*(?:import|export)\s+(type\s+)?[^'"]*?from\s+'([^']+)'|import\('([^']+)'\)/gm;

const sources = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true })
    .map(String)
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
    .map((name) => join(folder, name));

/** What an import breaks, or null. */
function fault(file: string, room: Room, typeOnly: boolean, target: string): string | null {
  if (target.startsWith('node:')) return room.node ? null : 'no module of Node';
  if (!target.startsWith('.')) {
    const name = target.startsWith('@') ? target.split('/').slice(0, 2).join('/') : (target.split('/')[0] ?? '');
    const typesOfPackage = typeOnly && room.packages.some((known) => name === `@types/${known}`);
    return room.packages.includes(name) || typesOfPackage ? null : `no package ${name}`;
  }
  const to = normalize(join(dirname(file), target)).replaceAll('\\', '/');
  if (room.rooms.some((folder) => to.startsWith(`${folder}/`))) return null;
  if (typeOnly && room.typesOf?.some((known) => to.startsWith(known))) return null;
  return `not ${to}`;
}

for (const [folder, room] of Object.entries(ROOMS)) {
  test(`files of ${folder}/ import only what their room may`, () => {
    const files = sources(folder);
    assert.ok(files.length > 0, `${folder} has no sources`);
    const faults: string[] = [];
    for (const file of files) {
      for (const match of readFileSync(join(root, file), 'utf8').matchAll(IMPORT)) {
        const target = match[2] ?? match[3] ?? '';
        const problem = fault(file, room, match[1] !== undefined, target);
        if (problem) faults.push(`${relative('.', file)} imports ${target}: ${problem}`);
      }
    }
    assert.deepEqual(faults, []);
  });
}

test('the layering test finds a wrong import', () => {
  const engine = ROOMS.engine;
  assert.ok(engine);
  assert.equal(fault('engine/machine.ts', engine, false, 'node:fs'), 'no module of Node');
  assert.equal(fault('engine/cpu/cpu.ts', engine, false, '../../traces/open.js'), 'not traces/open.js');
  assert.equal(fault('engine/cpu/cpu.ts', engine, false, '../types.js'), null);
});
