/** Parts of monitors by themselves: log lines, tables, the decoder of I/O instructions, RPCI, commands. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Code, Decoder, DecoderOptions, Mnemonic, OpKind, Register } from 'iced-x86';
import { logLine } from '../../../engine/monitors/log.js';
import { RESERVED_BYTES } from '../../../engine/monitors/monitor.js';
import { reserve } from '../../../engine/monitors/reserved.js';
import {
  bitmap,
  descriptors,
  eptTables,
  hostTables,
  interruptTable,
  MEMORY_TYPE,
} from '../../../engine/monitors/tables.js';
import { type BackdoorRegisters, MAGIC, runCommand } from '../../../engine/monitors/vmware/commands.js';
import { decodeIo } from '../../../engine/monitors/vmware/decode.js';
import { Rpci } from '../../../engine/monitors/vmware/rpci.js';

const MIB = 1 << 20;

describe('the log', () => {
  it('pads the scope to 7 characters, or cuts it there', () => {
    assert.equal(logLine('info', 'vmc', 'hello'), '[INFO ] vmc     | hello\n');
    assert.equal(logLine('error', 'vmcpuid', 'x'), '[ERROR] vmcpuid | x\n');
    assert.equal(logLine('warn', 'vmcpuidx', 'x'), '[WARN ] vmcpuid-| x\n');
    assert.equal(logLine('debug', 'main', ''), '[DEBUG] main    | \n');
  });
});

describe('reserved memory', () => {
  it('lies above the guest, page-aligned, without overlap, within its size', () => {
    for (const mib of [1, 16, 100, 1023, 1024, 3071]) {
      const guestBytes = mib * MIB;
      const areas = Object.values(reserve(guestBytes)).sort((a, b) => a - b);
      assert.equal(areas[0], guestBytes);
      assert.equal(new Set(areas).size, areas.length);
      assert.ok(areas.every((address) => address % 4096 === 0));
      assert.ok((areas.at(-1) ?? 0) < guestBytes + RESERVED_BYTES);
    }
  });

  it('refuses memory that is no whole pages, or too much', () => {
    assert.throws(() => reserve(4097), { code: 'BAD_CONFIGURATION' });
    assert.throws(() => reserve(64 * 1024 * MIB), { code: 'BAD_CONFIGURATION' });
  });
});

/** Walks four levels of tables that lie at `base`; null where an entry is not present. */
function walk(tables: Uint8Array, base: number, address: number): bigint | null {
  const view = new DataView(tables.buffer, tables.byteOffset, tables.byteLength);
  let table = base;
  for (const shift of [39, 30, 21, 12]) {
    const entry = view.getBigUint64(table - base + 8 * (Math.floor(address / 2 ** shift) % 512), true);
    if (!(entry & 1n)) return null;
    const frame = entry & 0xf_ffff_ffff_f000n;
    if (shift === 12 || entry & 0x80n) return frame + BigInt(address % 2 ** shift);
    table = Number(frame);
  }
  return null;
}

describe('tables', () => {
  const base = 0x100_0000;

  it('EPT maps the guest to itself and nothing else, to the page', () => {
    const sizes = fc.integer({ min: 1, max: 700_000 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 0, max: 3 * 2 ** 30 }), (pages, address) => {
        const guestBytes = pages * 4096;
        const tables = eptTables(base, guestBytes, MEMORY_TYPE.writeBack);
        assert.equal(walk(tables, base, address), address < guestBytes ? BigInt(address) : null);
        assert.equal(walk(tables, base, guestBytes), null);
        assert.equal(walk(tables, base, guestBytes - 1), BigInt(guestBytes - 1));
      }),
      { numRuns: 60 },
    );
  });

  it('the host maps all of its memory', () => {
    const tables = hostTables(base, 16 * MIB + RESERVED_BYTES);
    for (const address of [0, 16 * MIB, 16 * MIB + RESERVED_BYTES - 1]) {
      assert.equal(walk(tables, base, address), BigInt(address));
    }
    assert.equal(walk(tables, base, 64 * MIB), null);
  });

  it('interrupt gates lead to one place a vector: Intel SDM Vol. 3A, "64-Bit Mode IDT"', () => {
    const reserved = reserve(16 * MIB);
    const view = new DataView(interruptTable(reserved).buffer);
    for (const vector of [0, 13, 32, 255]) {
      const at = 16 * vector;
      const offset =
        view.getUint16(at, true) + view.getUint16(at + 6, true) * 0x1_0000 + view.getUint32(at + 8, true) * 2 ** 32;
      assert.equal(offset, reserved.gate + 0x800 + 8 * vector);
      assert.equal(view.getUint16(at + 2, true), 0x08);
      assert.equal(view.getUint16(at + 4, true), 0x8e00, 'interrupt gate, present, DPL 0');
    }
  });

  it('the TSS descriptor leads to the TSS', () => {
    const reserved = reserve(16 * MIB);
    const view = new DataView(descriptors(reserved).buffer);
    const base =
      view.getUint16(0x1a, true) +
      view.getUint8(0x1c) * 2 ** 16 +
      view.getUint8(0x1f) * 2 ** 24 +
      view.getUint32(0x20, true) * 2 ** 32;
    assert.equal(base, reserved.descriptors + 256);
    assert.equal(view.getUint8(0x1d), 0x8b);
  });

  it('a bitmap has the bits asked for', () => {
    const map = bitmap(8192, (port) => port === 0x5658 || port === 0xffff);
    assert.equal((map[0x5658 >> 3] ?? 0) & 0xff, 1);
    assert.equal(map[8191], 0x80);
    assert.equal(
      map.reduce((sum, byte) => sum + byte, 0),
      0x81,
    );
  });
});

describe('decoding what a #GP stopped', () => {
  const KINDS: ReadonlyMap<number, string> = new Map([
    [Mnemonic.In, 'in'],
    [Mnemonic.Out, 'out'],
    [Mnemonic.Insb, 'ins'],
    [Mnemonic.Insw, 'ins'],
    [Mnemonic.Insd, 'ins'],
    [Mnemonic.Outsb, 'outs'],
    [Mnemonic.Outsw, 'outs'],
    [Mnemonic.Outsd, 'outs'],
    [Mnemonic.Rdpmc, 'rdpmc'],
  ]);
  const prefixes = fc.array(fc.constantFrom(0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf2, 0xf3), {
    maxLength: 5,
  });
  const rex = fc.option(fc.integer({ min: 0x40, max: 0x4f }), { nil: null });
  const opcodes = fc.oneof(
    fc.constantFrom(0x6c, 0x6d, 0x6e, 0x6f, 0xe4, 0xe5, 0xe6, 0xe7, 0xec, 0xed, 0xee, 0xef, 0x0f, 0x90),
    fc.integer({ min: 0, max: 255 }),
  );

  it('agrees with iced-x86 on kind, size, length, address size and port', () => {
    fc.assert(
      fc.property(
        prefixes,
        rex,
        opcodes,
        fc.oneof(fc.constant(0x33), fc.integer({ min: 0, max: 255 })),
        fc.constantFrom(16, 32, 64) as fc.Arbitrary<16 | 32 | 64>,
        (before, extension, opcode, next, bits) => {
          const bytes = Uint8Array.from([
            ...before,
            ...(extension === null ? [] : [extension]),
            opcode,
            next,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
          ]).subarray(0, 15);
          const decoder = new Decoder(bits, bytes, DecoderOptions.None);
          const instruction = decoder.decode();
          const kind = instruction.code === Code.INVALID ? undefined : KINDS.get(instruction.mnemonic);
          const found = decodeIo(bytes, bits);
          assert.equal(found?.kind, kind);
          if (found !== null && kind !== undefined) {
            assert.equal(found.length, instruction.length);
            if (kind === 'in' || kind === 'out') {
              const data = kind === 'in' ? instruction.op0Register : instruction.op1Register;
              const sizes = new Map([
                [Register.AL, 1],
                [Register.AX, 2],
                [Register.EAX, 4],
              ]);
              assert.equal(found.size, sizes.get(data));
              const portKind = kind === 'in' ? instruction.op1Kind : instruction.op0Kind;
              assert.equal(found.port, portKind === OpKind.Immediate8 ? instruction.immediate8 : null);
            }
            if (kind === 'ins' || kind === 'outs') {
              assert.equal(found.rep, instruction.hasRepPrefix || instruction.hasRepnePrefix);
              const memory = kind === 'ins' ? instruction.op0Kind : instruction.op1Kind;
              const sizes = new Map<OpKind, number>([
                [OpKind.MemoryESDI, 2],
                [OpKind.MemoryESEDI, 4],
                [OpKind.MemoryESRDI, 8],
                [OpKind.MemorySegSI, 2],
                [OpKind.MemorySegESI, 4],
                [OpKind.MemorySegRSI, 8],
              ]);
              assert.equal(found.addressSize, sizes.get(memory));
            }
          }
          instruction.free();
          decoder.free();
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('needs all of the instruction', () => {
    assert.equal(decodeIo(new Uint8Array(0), 64), null);
    assert.equal(decodeIo(Uint8Array.of(0x66), 64), null);
    assert.equal(decodeIo(Uint8Array.of(0xe5), 64), null);
    assert.equal(decodeIo(Uint8Array.of(0x0f), 64), null);
    assert.equal(decodeIo(new Uint8Array(15).fill(0x66), 64), null);
    assert.equal(decodeIo(Uint8Array.of(0xf0, 0xed), 64), null, 'LOCK is #UD');
  });
});

describe('RPCI', () => {
  const make = () => {
    const lines: string[] = [];
    return { rpci: new Rpci(new Map([['ovfEnv', '<xml/>']]), (line) => lines.push(line)), lines };
  };
  const answer = (rpci: Rpci, command: string): string => {
    const { ok, text } = rpci.answer(command);
    return `${ok ? 1 : 0} ${text}`;
  };

  it('gets and sets variables', () => {
    const { rpci } = make();
    assert.equal(answer(rpci, 'info-get guestinfo.ovfEnv'), '1 <xml/>');
    assert.equal(answer(rpci, 'info-get guestinfo.x'), '0 No value found');
    assert.equal(answer(rpci, 'info-set guestinfo.x a value with blanks'), '1 ');
    assert.equal(answer(rpci, 'info-get guestinfo.x'), '1 a value with blanks');
  });

  it('tolerates how clients end their commands: nothing, a blank, NUL, 4096 bytes of them', () => {
    for (const end of ['', ' ', '\0', '\0'.repeat(4000), ' \0']) {
      assert.equal(answer(make().rpci, `info-get guestinfo.ovfEnv${end}`), '1 <xml/>');
    }
    assert.equal(answer(make().rpci, 'tools.capability.statechange '), '1 ');
  });

  it('logs, accepts what clients tell of themselves, and does not know the rest', () => {
    const { rpci, lines } = make();
    assert.equal(answer(rpci, 'log toolbox: hello\0'), '1 ');
    assert.deepEqual(lines, ['toolbox: hello']);
    assert.equal(answer(rpci, 'SetGuestInfo  4 12345'), '1 ');
    assert.equal(answer(rpci, 'vmx.capability.unified_loop toolbox'), '1 ');
    assert.equal(answer(rpci, 'no-such-command'), '0 Unknown command');
    assert.equal(answer(rpci, ''), '0 Unknown command');
  });

  it('keeps a bounded number of bytes, whatever a guest sets', () => {
    const { rpci } = make();
    const big = 'x'.repeat(60_000);
    const answers = Array.from({ length: 40 }, (_, i) => answer(rpci, `info-set guestinfo.${i} ${big}`));
    assert.equal(answers[0], '1 ');
    assert.equal(answers.at(-1), '0 GuestInfo limit exceeded');
    const kept = [...rpci.variables.values()].reduce((sum, text) => sum + text.length, 0);
    assert.ok(kept <= 1 << 20);
    for (let i = 0; i < 3000; i++) answer(rpci, `info-set guestinfo.small${i} `);
    assert.ok(rpci.variables.size <= 1024);
  });
});

describe('Backdoor commands', () => {
  const host = { seconds: 1_700_000_000, microseconds: 250_000, tscHz: 3_000_000_000, memoryBytes: 256 * MIB };
  const run = (number: number, ebx = 0x1234_5678): BackdoorRegisters => {
    const r = { eax: MAGIC, ebx, ecx: 0xffff_0000 | number, edx: 0x5658, esi: 0x1111, edi: 0x2222 };
    runCommand(number, r, host);
    return r;
  };

  it('GETVERSION: clients want 6, the magic, and a product', () => {
    const { eax, ebx, ecx } = run(10, ~MAGIC >>> 0);
    assert.deepEqual([eax, ebx, ecx], [6, MAGIC, 2]);
  });

  it('an unknown number changes EAX only', () => {
    for (const number of [0, 29, 105, 0x7fff, 0xffff]) {
      const r = run(number);
      assert.deepEqual(r, {
        eax: 0xffff_ffff,
        ebx: 0x1234_5678,
        ecx: 0xffff_0000 | number,
        edx: 0x5658,
        esi: 0x1111,
        edi: 0x2222,
      });
    }
  });

  it('tells frequencies, memory and time', () => {
    assert.equal(run(1).eax, 3000, 'GETMHZ');
    const hz = run(45, 0xffff_ffff);
    assert.equal(hz.ebx * 2 ** 32 + hz.eax, 3_000_000_000, 'GETHZ');
    assert.ok(hz.ecx > 0 && hz.ebx !== 0xffff_ffff);
    assert.equal(run(20).eax, 256, 'GETMEMSIZE in MiB');
    const time = run(23);
    assert.deepEqual([time.eax, time.ebx, time.edx], [1_700_000_000, 250_000, 0], 'GETTIME');
    const full = run(46);
    assert.deepEqual([full.eax, full.esi * 2 ** 32 + full.edx, full.ebx], [MAGIC, 1_700_000_000, 250_000]);
    assert.equal(run(55).edi, 0);
  });

  it('GETUUID is 16 bytes in four registers', () => {
    const { eax, ebx, ecx, edx } = run(19);
    const bytes = new Uint8Array(Uint32Array.of(eax, ebx, ecx, edx).buffer);
    assert.equal(String.fromCharCode(...bytes.subarray(0, 8)), 'TRAPLINE');
  });
});
