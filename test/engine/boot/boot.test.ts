/** Expectations: Multiboot Specification 0.6.96, sections 3.1 to 3.3; System V gABI for ELF. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { boot } from '../../../engine/boot/detect.js';
import type { FlatPlacement } from '../../../engine/boot/flat.js';
import type { BootRequest, BootState } from '../../../engine/boot/state.js';
import { EngineError, type EngineErrorCode } from '../../../engine/errors.js';
import { GUESTS } from '../../../traces/guests/catalogue.js';
import { imagePath } from '../../../traces/guests/guest.js';

const MIB = 1 << 20;
const MAGIC = 0x1bad_b002;

const request = (image: Uint8Array, more: Partial<BootRequest> = {}): BootRequest => ({
  image,
  name: 'test.img',
  commandLine: '',
  modules: [],
  usableBytes: 16 * MIB,
  memoryBytes: 16 * MIB,
  ...more,
});

/** Words of 32 bits, little-endian. */
const words = (...values: readonly number[]): Uint8Array =>
  new Uint8Array(Uint32Array.from(values.map((value) => value >>> 0)).buffer);

const kludge = (headerAddress: number, load: number, loadEnd: number, bssEnd: number, entry: number): Uint8Array =>
  words(MAGIC, 0x1_0000, -(MAGIC + 0x1_0000), headerAddress, load, loadEnd, bssEnd, entry, 0xf4f4f4f4);

/** RAM after the boot state's writes. */
function ramOf(state: BootState, size = 16 * MIB): DataView {
  const ram = new Uint8Array(size);
  for (const { address, bytes } of state.writes) ram.set(bytes, address);
  return new DataView(ram.buffer);
}
const textAt = (ram: DataView, at: number): string => {
  let text = '';
  for (let i = at; ram.getUint8(i) !== 0; i++) text += String.fromCharCode(ram.getUint8(i));
  return text;
};

const fails = (code: EngineErrorCode, says: RegExp, run: () => unknown): void => {
  assert.throws(run, (error: unknown) => {
    assert.ok(error instanceof EngineError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, says);
    return true;
  });
};

describe('multiboot', () => {
  it('starts as the specification says: EAX magic, EBX information, flat 32-bit, no paging, interrupts off', () => {
    const image = kludge(0x10_0000, 0x10_0000, 0, 0, 0x10_0020);
    const state = boot(request(image));
    assert.equal(state.rip, 0x10_0020);
    assert.equal(state.registers.rax, 0x2bad_b002);
    assert.equal(state.cr0 & 0x8000_0001, 1);
    assert.equal(state.segments.cs.limit, 0xffff_ffff);
    assert.equal(state.segments.cs.base, 0);
    assert.equal(state.segments.ss.rights & 0x60, 0, 'DPL 0');
    const ram = ramOf(state);
    assert.equal(ram.getUint32(0x10_0020, true), 0xf4f4f4f4);
    assert.equal(ram.getUint32(0x10_0000, true), MAGIC);
  });

  it('fills the information structure: memory, command line, modules, memory map', () => {
    const state = boot(
      request(kludge(0x10_0000, 0x10_0000, 0, 0x20_0000, 0x10_0020), {
        commandLine: 'guest n=10',
        modules: [
          { bytes: Uint8Array.of(1, 2, 3), commandLine: 'first' },
          { bytes: Uint8Array.of(4), commandLine: 'second x=1' },
        ],
        usableBytes: 15 * MIB,
      }),
    );
    const ram = ramOf(state);
    const info = state.registers.rbx ?? 0;
    const at = (offset: number): number => ram.getUint32(info + offset, true);
    assert.equal(at(0) & 0x4d, 0x4d, 'mem, cmdline, mods, mmap');
    assert.deepEqual([at(4), at(8)], [639, 14 * 1024], 'KiB of lower and upper memory');
    assert.equal(textAt(ram, at(16)), 'guest n=10');
    assert.equal(at(20), 2);
    const module = (i: number) => [0, 4, 8].map((field) => ram.getUint32(at(24) + 16 * i + field, true));
    const [start = 0, end = 0, line = 0] = module(0);
    assert.equal(end - start, 3);
    assert.equal(start % 4096, 0);
    assert.ok(start >= 0x20_0000, 'above the image with its bss');
    assert.deepEqual([ram.getUint8(start), ram.getUint8(start + 2)], [1, 3]);
    assert.equal(textAt(ram, line), 'first');
    assert.equal(textAt(ram, module(1)[2] ?? 0), 'second x=1');

    const map: number[][] = [];
    for (let entry = at(48); entry < at(48) + at(44); entry += ram.getUint32(entry, true) + 4) {
      map.push([4, 12, 20].map((field) => ram.getUint32(entry + field, true)));
    }
    assert.deepEqual(map, [
      [0, 0x9_fc00, 1],
      [0x9_fc00, 0x6_0400, 2],
      [MIB, 14 * MIB, 1],
      [15 * MIB, MIB, 2],
    ]);
  });

  it('keeps out of the image wherever that lies', () => {
    const low = boot(request(kludge(0x1000, 0x1000, 0, 0x9_0000, 0x1020)));
    assert.ok((low.registers.rbx ?? 0) >= 0x9_0000);
    const all = boot(request(kludge(0x1000, 0x1000, 0, 0x12_3456, 0x1020)));
    assert.equal(all.registers.rbx, 0x12_4000);
  });

  it('loads from where the header says, not from the start of the file', () => {
    const image = new Uint8Array(64 + 36);
    image.set(kludge(0x10_0010, 0x10_0000, 0, 0, 0x10_0030), 64);
    image[48] = 0xab;
    const ram = ramOf(boot(request(image)));
    assert.equal(ram.getUint8(0x10_0000), 0xab);
    assert.equal(ram.getUint32(0x10_0010, true), MAGIC);
  });

  it('loads ELF segments at their physical addresses and enters at the physical address of the entry', () => {
    const state = boot(
      request(elf32([{ virtual: 0xc010_0000, address: 0x10_0000, file: 32, memory: 64 }], 0xc010_0004)),
    );
    assert.equal(state.rip, 0x10_0004);
    assert.equal(ramOf(state).getUint32(0x10_0000, true), MAGIC);
    const wide = boot(request(elf64([{ virtual: 0x10_0000, address: 0x10_0000, file: 32, memory: 64 }], 0x10_0008)));
    assert.equal(wide.rip, 0x10_0008);
    assert.equal(wide.segments.cs.rights & 0x2000, 0, 'an ELF64 kernel starts in 32-bit mode too');
  });

  it('boots every guest of the catalogue', () => {
    for (const guest of GUESTS.values()) {
      const image = new Uint8Array(readFileSync(imagePath(guest)));
      assert.equal(boot(request(image)).rip >= 0x10_0000, true, guest.name);
    }
  });

  it('refuses what contradicts itself or does not fit', () => {
    const cases: readonly (readonly [EngineErrorCode, RegExp, Uint8Array])[] = [
      ['IMAGE_BAD_HEADER', /load_addr is above header_addr/, kludge(0x10_0000, 0x10_0004, 0, 0, 0x10_0020)],
      ['IMAGE_BAD_HEADER', /before the start of the image/, kludge(0x10_1000, 0x10_0000, 0, 0, 0x10_0020)],
      ['IMAGE_BAD_HEADER', /load_end_addr is below/, kludge(0x10_0000, 0x10_0000, 0x1000, 0, 0x10_0020)],
      ['IMAGE_BAD_HEADER', /bss_end_addr is below/, kludge(0x10_0000, 0x10_0000, 0, 0x10_0001, 0x10_0020)],
      ['IMAGE_BAD_HEADER', /entry_addr lies outside/, kludge(0x10_0000, 0x10_0000, 0, 0, 0x20_0000)],
      ['IMAGE_TRUNCATED', /load segment/, kludge(0x10_0000, 0x10_0000, 0x20_0000, 0, 0x10_0020)],
      ['IMAGE_TRUNCATED', /address fields/, kludge(0x10_0000, 0x10_0000, 0, 0, 0x10_0020).subarray(0, 24)],
      ['IMAGE_OUTSIDE_RAM', /RAM ends at 1000000h/, kludge(0xff_fff0, 0xff_fff0, 0, 0, 0xff_fff8)],
      ['IMAGE_OUTSIDE_RAM', /take \d+ bytes/, kludge(0x10_0000, 0x10_0000, 0, 0xffff_ffff, 0x10_0020)],
      ['IMAGE_UNSUPPORTED', /video mode/, words(MAGIC, 4, -(MAGIC + 4), 0, 0, 0, 0, 0)],
      ['IMAGE_UNSUPPORTED', /multiboot feature 8/, words(MAGIC, 8, -(MAGIC + 8), 0, 0, 0, 0, 0)],
      ['IMAGE_BAD_HEADER', /file that is no ELF/, words(MAGIC, 0, -MAGIC)],
    ];
    for (const [code, says, image] of cases) fails(code, says, () => boot(request(image)));
    const header = { virtual: 0x10_0000, address: 0x10_0000, file: 32, memory: 64 };
    const elves: readonly (readonly [EngineErrorCode, RegExp, Uint8Array])[] = [
      ['IMAGE_BAD_HEADER', /entry 5h lies in no segment/, elf32([header], 5)],
      ['IMAGE_BAD_HEADER', /larger in the file/, elf32([{ ...header, memory: 16 }], 0x10_0000)],
      ['IMAGE_BAD_HEADER', /without a segment/, elf32([], 0)],
      ['IMAGE_TRUNCATED', /ELF segment at/, elf32([{ ...header, file: 4096, memory: 4096 }], 0x10_0000)],
      ['IMAGE_TRUNCATED', /ELF program headers at 4294967280/, headersAt(0xffff_fff0)],
      ['IMAGE_OUTSIDE_RAM', /take/, elf64([{ ...header, memory: 2 ** 60 }], 0x10_0000)],
    ];
    for (const [code, says, image] of elves) fails(code, says, () => boot(request(image)));
  });

  it('asks for more memory where modules do not fit', () => {
    const image = kludge(0x10_0000, 0x10_0000, 0, 0, 0x10_0020);
    const modules = [{ bytes: new Uint8Array(15 * MIB), commandLine: '' }];
    fails('IMAGE_OUTSIDE_RAM', /no room for 15728640 bytes/, () => boot(request(image, { modules })));
  });
});

interface ElfSegment {
  readonly virtual: number;
  readonly address: number;
  readonly file: number;
  readonly memory: number;
}

/** An ELF file: header, program headers, and 32 bytes at 256 that begin with a multiboot header. */
function elf(bits: 32 | 64, segments: readonly ElfSegment[], entry: number): Uint8Array {
  const bytes = new Uint8Array(288);
  const view = new DataView(bytes.buffer);
  const wide = bits === 64;
  const headerBytes = wide ? 64 : 52;
  const entryBytes = wide ? 56 : 32;
  const word = (at: number, value: number): void => {
    if (wide) view.setBigUint64(at, BigInt(value), true);
    else view.setUint32(at, value, true);
  };
  bytes.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, wide ? 62 : 3, true);
  word(24, entry);
  word(wide ? 32 : 28, headerBytes);
  view.setUint16(wide ? 54 : 42, entryBytes, true);
  view.setUint16(wide ? 56 : 44, segments.length, true);
  for (const [i, segment] of segments.entries()) {
    const at = headerBytes + i * entryBytes;
    view.setUint32(at, 1, true);
    const fields = [256, segment.virtual, segment.address, segment.file, segment.memory];
    for (const [n, value] of fields.entries()) word(at + (wide ? 8 + 8 * n : 4 + 4 * n), value);
  }
  bytes.set(words(MAGIC, 0, -MAGIC), 256);
  return bytes;
}
const elf32 = (segments: readonly ElfSegment[], entry: number): Uint8Array => elf(32, segments, entry);
const elf64 = (segments: readonly ElfSegment[], entry: number): Uint8Array => elf(64, segments, entry);

/** An ELF file whose program headers are said to be at `offset`. */
function headersAt(offset: number): Uint8Array {
  const bytes = elf32([{ virtual: 0x10_0000, address: 0x10_0000, file: 32, memory: 64 }], 0x10_0000);
  new DataView(bytes.buffer).setUint32(28, offset, true);
  return bytes;
}

describe('flat images', () => {
  const code = Uint8Array.of(0xf4, 0x90);

  it('real mode: the boot sector convention, or CS:0 above 64 KiB', () => {
    const sector = new Uint8Array(512);
    sector[510] = 0x55;
    sector[511] = 0xaa;
    const state = boot(request(sector));
    assert.deepEqual([state.segments.cs.selector, state.rip, state.registers.rdx], [0, 0x7c00, 0x80]);
    assert.equal(state.cr0 & 1, 0);
    const high = boot(request(code), { address: 0x2_0010, bits: 16 });
    assert.deepEqual([high.segments.cs.base, high.rip], [0x2_0010, 0]);
  });

  it('32 bits: the GDT holds the selectors that are loaded', () => {
    const state = boot(request(code), { address: 0x10_0000, bits: 32 });
    const ram = ramOf(state);
    assert.equal(ram.getBigUint64(state.gdtr.base + state.segments.cs.selector, true), 0x00cf_9b00_0000_ffffn);
    assert.equal(ram.getBigUint64(state.gdtr.base + state.segments.ds.selector, true), 0x00cf_9300_0000_ffffn);
  });

  it('64 bits: IA-32e mode is on, and the page tables map the first 4 GiB to themselves', () => {
    const state = boot(request(code), { address: 0x10_0000, bits: 64 });
    assert.equal(state.cr0, 0x8000_0011);
    assert.equal(state.efer, 0x500);
    assert.equal(state.cr4 & 0x20, 0x20);
    assert.equal(state.segments.cs.rights & 0x6000, 0x2000, 'L set, D clear');
    const ram = ramOf(state);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (linear) => {
        // Intel SDM Vol. 3A, "4-Level Paging": bits 47:39, 38:30, 29:21 index the tables; bit 7 ends the walk.
        const entry = (table: number, index: number) => ram.getBigUint64(table + 8 * index, true);
        const next = (value: bigint) => {
          assert.equal(value & 3n, 3n);
          return Number(value & 0xf_ffff_ffff_f000n);
        };
        const pdpt = next(entry(state.cr3, 0));
        const directory = next(entry(pdpt, Math.floor(linear / 2 ** 30)));
        const leaf = entry(directory, Math.floor(linear / 2 ** 21) % 512);
        assert.equal(leaf & 0x80n, 0x80n);
        assert.equal(next(leaf & ~0x1f_f000n) + (linear % 2 ** 21), linear);
      }),
    );
  });

  it('refuses an image past the end of RAM, or past 1 MiB in real mode', () => {
    const at = (address: number, bits: FlatPlacement['bits']) => () => boot(request(code), { address, bits });
    fails('IMAGE_OUTSIDE_RAM', /limit is 1000000h/, at(16 * MIB - 1, 32));
    fails('IMAGE_OUTSIDE_RAM', /limit is 100000h/, at(0xf_ffff, 16));
    fails('IMAGE_OUTSIDE_RAM', /limit is/, at(2 ** 40, 64));
  });
});

describe('what is no image', () => {
  it('is refused with what it is', () => {
    const bzImage = new Uint8Array(0x300);
    bzImage.set([0x48, 0x64, 0x72, 0x53], 0x202);
    fails('IMAGE_EMPTY', /test\.img/, () => boot(request(new Uint8Array(0))));
    fails('IMAGE_UNSUPPORTED', /Linux kernel/, () => boot(request(bzImage)));
    fails('IMAGE_UNSUPPORTED', /gzip/, () => boot(request(Uint8Array.of(0x1f, 0x8b, 8))));
    fails('IMAGE_UNSUPPORTED', /without a multiboot header/, () =>
      boot(request(Uint8Array.of(0x7f, 0x45, 0x4c, 0x46))),
    );
    fails('IMAGE_UNKNOWN', /no header/, () => boot(request(new TextEncoder().encode('hello, world\n'))));
  });

  it('and a damaged image gives a coded error or a state within RAM, never anything else', () => {
    const good = [
      kludge(0x10_0000, 0x10_0000, 0, 0, 0x10_0020),
      elf32([{ virtual: 0x10_0000, address: 0x10_0000, file: 32, memory: 64 }], 0x10_0000),
      elf64([{ virtual: 0x10_0000, address: 0x10_0000, file: 32, memory: 64 }], 0x10_0000),
    ];
    const damage = fc.array(fc.tuple(fc.nat(300), fc.integer({ min: 0, max: 255 })), { maxLength: 6 });
    fc.assert(
      fc.property(fc.constantFrom(...good), damage, fc.nat(300), (image, changes, length) => {
        const bytes = image.slice(0, Math.max(length, 1));
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        try {
          for (const { address, bytes: written } of boot(request(bytes)).writes) {
            assert.ok(address + written.length <= 16 * MIB);
          }
        } catch (error) {
          assert.ok(error instanceof EngineError, String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });
});
