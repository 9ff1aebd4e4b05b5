/** Forms of guest images: what the loader makes of any bytes, and what a machine makes of what was loaded. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { boot } from '../../engine/boot/detect.js';
import { EngineError } from '../../engine/errors.js';
import { PlainRun } from '../../recorder/run/session.js';
import { GUESTS } from '../../traces/guests/catalogue.js';
import { imagePath } from '../../traces/guests/guest.js';
import { type Anatomy, mutateBytes } from './mutate.js';
import type { Random } from './random.js';
import type { Form, Outcome } from './run.js';

const MEMORY = 16 << 20;
/** One in so many images that load is run, for so many ticks. */
const RUN = 300;
const TICKS = 20_000;
/** Bytes that a loader may write for each of the image's, and beside them: tables, command line, zeroed memory. */
const WRITTEN = MEMORY;

/** An ELF file with a multiboot header, one segment in the file and one of zeros (gABI, "Program Header"). */
function elf(bits: 32 | 64): Buffer {
  const wide = bits === 64;
  const out = Buffer.alloc(0x200);
  out.write('\x7fELF', 'latin1');
  out.set([wide ? 2 : 1, 1, 1], 4);
  const word = (at: number, value: number): unknown =>
    wide ? out.writeBigUInt64LE(BigInt(value), at) : out.writeUInt32LE(value, at);
  out.writeUInt16LE(2, 16);
  out.writeUInt16LE(wide ? 62 : 3, 18);
  word(24, 0x10_0000);
  word(wide ? 32 : 28, 0x40);
  out.writeUInt16LE(wide ? 56 : 32, wide ? 54 : 42);
  out.writeUInt16LE(2, wide ? 56 : 44);
  const size = wide ? 56 : 32;
  const fields = wide ? [8, 16, 24, 32, 40] : [4, 8, 12, 16, 20];
  [
    [0x180, 0x10_0000, 0x10_0000, 0x40, 0x40],
    [0x1c0, 0x20_0000, 0x20_0000, 0, 0x1000],
  ].forEach((segment, i) => {
    out.writeUInt32LE(1, 0x40 + i * size);
    segment.forEach((value, field) => {
      word(0x40 + i * size + (fields[field] ?? 0), value);
    });
  });
  out.writeUInt32LE(0x1bad_b002, 0x100);
  out.writeUInt32LE(3, 0x104);
  out.writeUInt32LE((-0x1bad_b002 - 3) >>> 0, 0x108);
  out.fill(0xf4, 0x180, 0x1c0);
  return out;
}

function bootSector(): Buffer {
  const out = Buffer.alloc(512, 0xf4);
  out.writeUInt16LE(0xaa55, 510);
  return out;
}

const words = (length: number): Anatomy['numbers'] =>
  Array.from({ length: Math.floor(Math.min(length, 0x110) / 4) }, (_, i) => ({ at: 4 * i, size: 4 as const }));

function checkImage(input: Uint8Array, run: number): Outcome {
  try {
    const request = {
      image: input,
      name: 'mutation',
      commandLine: 'x',
      modules: [],
      usableBytes: MEMORY,
      memoryBytes: MEMORY,
    };
    const { writes } = boot(request);
    let total = 0;
    for (const { address, bytes } of writes) {
      assert.ok(address >= 0 && address + bytes.length <= MEMORY, `a write to ${address.toString(16)}h`);
      total += bytes.length;
    }
    assert.ok(total <= input.length + WRITTEN, `${total} bytes written for an image of ${input.length}`);
    if (run % RUN === 0) runImage(input);
    return 'whole';
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    assert.ok(error.advice.length > 0 && error.message.length < 500, error.message);
    return 'refused';
  }
}

/** Whatever a guest does, its machine goes on or stops. */
function runImage(image: Uint8Array): void {
  const configuration = {
    ...{ cpu: 'skylake', monitor: 'none', memoryBytes: MEMORY, commandLine: 'x', flat: null },
    ...{ epoch: 0, checkpointEvery: 10_000_000, guestinfo: {} },
  };
  new PlainRun(configuration, image, 'mutation', () => {}).runTo(TICKS, false);
}

export function imageForms(): readonly Form[] {
  const form = (name: string, seeds: readonly Uint8Array[]): Form => ({
    name,
    seeds,
    mutate: (original, random: Random) => mutateBytes(original, { numbers: words(original.length), units: [] }, random),
    check: (input, _original, run) => checkImage(input, run),
  });
  const images = [...GUESTS.values()].slice(0, 3).map((guest) => readFileSync(imagePath(guest)));
  return [form('image', [...images, elf(32), elf(64), bootSector()])];
}
