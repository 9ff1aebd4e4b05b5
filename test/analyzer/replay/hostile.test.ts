/** Traces that somebody made to do harm: whatever they say, a replay answers with a difference or one coded error. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { AnalysisError } from '../../../analyzer/errors.js';
import { type ReplayResult, replay } from '../../../analyzer/replay/replay.js';
import { STATE_BYTES } from '../../../engine/cpu/layout.js';
import { RamDigest, stateDigest } from '../../../traces/state-digest.js';
import type { Row } from '../../../traces/store.js';
import { record } from '../../recorder/run/scene.js';
import { folderOf, reading } from '../../traces/rows.js';
import { type Alteration, alter, change, fact, flipped } from './alter.js';

let folder = '';
let original = '';
before(async () => {
  folder = folderOf('hostile');
  original = join(folder, 'original.arrow');
  const settings = { cpuid: 1, timer: 0, window: 0, hlt: 0, ept: 1, mmio: 1 };
  await record(original, { guest: 'hypervisor', settings, configuration: { checkpointEvery: 8000 } });
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** The error's code, or `diverges` or `identical`. Anything that is no coded error of this room fails the test. */
function verdict(alteration: Alteration, from: number | null = null): string {
  const path = join(folder, 'hostile.arrow');
  alter(original, path, alteration);
  return reading(path, (reader) => {
    let result: ReplayResult;
    try {
      result = replay(reader, { from, memory: false });
    } catch (error) {
      if (!(error instanceof AnalysisError)) throw error;
      assert.ok(!error.message.includes('\n'));
      assert.ok(error.where.startsWith(path), error.where);
      return error.code;
    }
    return result.divergence ? 'diverges' : 'identical';
  });
}

const configured = (name: string, value: unknown): Alteration =>
  fact('configuration', (text) => JSON.stringify({ ...JSON.parse(text), [name]: value }));

const HOSTILE: { readonly [name: string]: readonly unknown[] } = {
  cpu: [null, 5, '', 'constructor', '__proto__', 'x'.repeat(100_000), ['skylake']],
  monitor: ['constructor', 'toString', '__proto__', null, {}, 'NONE'],
  memoryBytes: [0, -1, 1e18, 2 ** 53, 1.5, '16777216', null, 16_777_217, 4096, 2 ** 40],
  commandLine: [null, 7, 'x'.repeat(1_000_000)],
  flat: [
    { address: -1, bits: 16 },
    { address: 0, bits: 8 },
    { address: 2 ** 60, bits: 32 },
    { bits: 64 },
    'flat',
    { address: null, bits: 16 },
  ],
  epoch: [-1, 2 ** 40, 'now', 0.5],
  checkpointEvery: [0, 1, -5, 2 ** 60, null, 'often'],
  guestinfo: [null, [], { a: 1 }, { a: 'x'.repeat(100_000) }, { a: '\u{1f980}' }, 'none'],
};

describe('a hostile configuration', () => {
  for (const [name, values] of Object.entries(HOSTILE)) {
    it(`is refused for its ${name}`, () => {
      for (const value of values) assert.equal(verdict(configured(name, value)), 'NOT_REPLAYABLE', String(value));
    });
  }

  it('is refused where it is absent, no JSON, or no record', () => {
    for (const text of ['', '{', 'null', '[]', '7', '"x"', '{}', '{"cpu":"skylake"}', '['.repeat(100_000)]) {
      assert.equal(verdict(fact('configuration', () => text)), 'NOT_REPLAYABLE', text.slice(0, 20));
    }
    assert.equal(
      verdict((table, row) => (table === 'run' && row.key === 'configuration' ? null : row)),
      'NOT_REPLAYABLE',
    );
  });

  it('never gets further than a coded error, whatever JSON it is', () => {
    const names = fc.constantFrom(...Object.keys(HOSTILE));
    fc.assert(
      fc.property(names, fc.jsonValue({ maxDepth: 3 }), (name, value) => {
        assert.match(verdict(configured(name, value)), /^NOT_REPLAYABLE$|^diverges$|^identical$/);
      }),
      { numRuns: 25, seed: 11 },
    );
  });
});

describe('hostile facts', () => {
  const FACTS: { readonly [key: string]: readonly string[] } = {
    ticks: ['', '-1', 'NaN', '1e400', '9007199254740993', '1.5', 'x'],
    outcome: ['', 'null', '{}', '{"kind":"constructor"}', '[]'],
    memory: ['', 'null', '"some"', '[{"from":"a","to":1}]', '{"from":1}'],
    semantics: ['0', 'x', ''],
    source: ['perf'],
  };
  for (const [key, values] of Object.entries(FACTS)) {
    it(`are refused: ${key}`, () => {
      for (const value of values) {
        assert.match(verdict(fact(key, () => value)), /^(NOT_REPLAYABLE|OTHER_SEMANTICS)$/, `${key} ${value}`);
      }
    });
  }

  it('an image that is missing, empty or none is refused', () => {
    const image =
      (bytes: Uint8Array | null): Alteration =>
      (table, row) =>
        table === 'run' && row.key === 'image' ? (bytes === null ? null : { ...row, bytes }) : row;
    for (const bytes of [null, new Uint8Array(), new Uint8Array(512), new Uint8Array(10_000).fill(0xff)]) {
      assert.equal(verdict(image(bytes)), 'NOT_REPLAYABLE');
    }
  });

  it('an image with any bytes changed is refused or differs', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(8 * 300), { minLength: 1, maxLength: 6 }), (bits) => {
        const garbled: Alteration = (table, row) =>
          table === 'run' && row.key === 'image'
            ? { ...row, bytes: bits.reduce((bytes, bit) => flipped(bytes, bit), row.bytes as Uint8Array) }
            : row;
        assert.match(verdict(garbled), /^(NOT_REPLAYABLE|diverges|identical)$/);
      }),
      { numRuns: 25, seed: 5 },
    );
  });
});

describe('hostile inputs', () => {
  const added =
    (...rows: readonly Row[]): Alteration =>
    (table, row, index) =>
      table === 'input' && index < rows.length ? { ...row, ...rows[index] } : row;
  const echo = async (alteration: Alteration): Promise<string> => {
    const path = join(folder, 'echo.arrow');
    await record(path, { guest: 'echo' });
    const altered = join(folder, 'echo-altered.arrow');
    alter(path, altered, alteration);
    return reading(altered, (reader) => {
      try {
        return replay(reader, { from: null, memory: false }).divergence ? 'diverges' : 'identical';
      } catch (error) {
        if (error instanceof AnalysisError) return error.code;
        throw error;
      }
    });
  };

  it('whose ticks fall, or leave 2^53, are refused', async () => {
    assert.equal(await echo(added({}, { tick: 5n })), 'BAD_RECORD');
    assert.equal(await echo(added({}, {}, { tick: 2n ** 53n })), 'BAD_RECORD');
    assert.equal(await echo(added({}, {}, { tick: 2n ** 64n - 1n })), 'BAD_RECORD');
  });

  it('to a port that is none are refused', async () => {
    for (const port of ['', 'com2', 'constructor', '__proto__'])
      assert.equal(await echo(added({ port })), 'BAD_RECORD');
  });

  it('that come after the end change nothing but what they should have done', async () => {
    assert.equal(await echo(added({}, {}, { tick: 2n ** 53n - 1n })), 'diverges');
  });
});

describe('hostile checkpoints', () => {
  it('of another length, tick or order are refused', () => {
    const state = (bytes: Uint8Array): Alteration => change('checkpoint', 1, () => ({ state: bytes }));
    for (const length of [0, 1, STATE_BYTES - 1, STATE_BYTES + 1, 1 << 20]) {
      assert.equal(verdict(state(new Uint8Array(length)), 1), 'BAD_CHECKPOINT');
    }
    assert.equal(verdict(state(new Uint8Array(STATE_BYTES)), 1), 'BAD_CHECKPOINT');
    assert.equal(
      verdict(
        change('checkpoint', 1, () => ({ id: 7 })),
        1,
      ),
      'BAD_RECORD',
    );
    assert.equal(
      verdict(
        change('checkpoint', 1, () => ({ tick: 2n ** 60n })),
        1,
      ),
      'BAD_RECORD',
    );
    assert.equal(
      verdict(
        change('checkpoint', 1, () => ({ tick: 0n, seq: 0n })),
        1,
      ),
      'BAD_CHECKPOINT',
    );
    assert.equal(
      verdict((_table, row) => row, 99),
      'NO_CHECKPOINT',
    );
  });

  it('with pages outside RAM, missing, or of another size are refused', () => {
    const pages = reading(original, (reader) => reader.rows('checkpoint_page'));
    assert.equal(
      verdict(
        change('checkpoint_page', pages - 1, () => ({ number: 2 ** 32 - 1 })),
        1,
      ),
      'BAD_RECORD',
    );
    assert.equal(
      verdict(
        change('checkpoint_page', 0, () => ({ hash: 'constructor' })),
        1,
      ),
      'BAD_CHECKPOINT',
    );
    assert.equal(
      verdict((table, row) => (table === 'page' ? null : row), 1),
      'BAD_CHECKPOINT',
    );
    assert.equal(
      verdict(
        change('page', 0, () => ({ content: new Uint8Array(5) })),
        1,
      ),
      'BAD_CHECKPOINT',
    );
  });

  it('with device records of any other kind are refused', () => {
    const texts = ['', 'null', '[]', '{}', '7', '{"pic":null}', '{"__proto__":1}', '['.repeat(1 << 20)];
    for (const text of texts) {
      assert.equal(
        verdict(
          change('checkpoint', 1, () => ({ devices: text })),
          1,
        ),
        'BAD_CHECKPOINT',
        text.slice(0, 20),
      );
    }
  });

  /** A row whose digest is that of what it holds: nothing but the machine itself can find it. */
  const sealed = (alteration: (row: Row) => Row): Alteration => {
    const ram = new RamDigest();
    return (table, row) => {
      if (table === 'checkpoint' && Number(row.id) === 1) {
        const altered = { ...row, ...alteration(row) };
        return {
          ...altered,
          digest: stateDigest(altered.state as Uint8Array, String(altered.devices), ram),
        };
      }
      if (table === 'checkpoint_page' && Number(row.checkpoint) <= 1) ram.set(Number(row.number), String(row.hash));
      return row;
    };
  };

  it('with any bytes of CPU state, sealed by the right digest, end in an answer', () => {
    const changes = fc.array(fc.tuple(fc.nat(900), fc.oneof(fc.constantFrom(0, 0xff), fc.nat(255))), {
      minLength: 1,
      maxLength: 12,
    });
    const verdicts = new Set<string>();
    fc.assert(
      fc.property(changes, (bytes) => {
        const garbled = sealed(({ state }) => {
          const copy = (state as Uint8Array).slice();
          for (const [at, value] of bytes) copy[at] = value;
          return { state: copy };
        });
        verdicts.add(verdict(garbled, 1));
      }),
      { numRuns: 60, seed: 3 },
    );
    assert.ok(
      [...verdicts].every((each) => /^(BAD_CHECKPOINT|diverges|identical)$/.test(each)),
      [...verdicts].join(),
    );
  });

  it('with any numbers in the device records end in an answer', () => {
    const devices = reading(original, (reader) => {
      for (const chunk of reader.chunks('checkpoint', { from: 1 })) return String(chunk.row(1 - chunk.first).devices);
      return '';
    });
    const places = [...devices.matchAll(/:(\d+|null|true|false)/g)].map(({ index }) => index + 1);
    const values = fc.constantFrom(
      '-1',
      '0',
      '1',
      '255',
      '65536',
      '4294967296',
      '9007199254740991',
      '1e308',
      'null',
      '""',
      'true',
      '[]',
    );
    fc.assert(
      fc.property(fc.constantFrom(...places), values, (at, value) => {
        const garbled = sealed(() => ({ devices: devices.slice(0, at) + devices.slice(at).replace(/^\w+/, value) }));
        assert.match(verdict(garbled, 1), /^(BAD_CHECKPOINT|diverges|identical)$/);
      }),
      { numRuns: 40, seed: 4 },
    );
  });
});
