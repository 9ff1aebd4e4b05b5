/** Guests that call their monitor with anything: the monitor answers, or stops them, and nothing else happens. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { RESERVED_BYTES } from '../../../engine/monitors/monitor.js';
import { Bench, guestBench } from './bench.js';
import { type Code, enterRing3, guest64, ORIGIN } from './code.js';

const BUDGET = 300_000;
const MAGIC = 0x564d_5868;

const word = fc.integer({ min: 0, max: 0xffff_ffff });
const INSTRUCTIONS: readonly (readonly number[])[] = [
  [0xed], // IN EAX, DX
  [0xec], // IN AL, DX
  [0xef], // OUT DX, EAX
  [0xf3, 0x6c], // REP INSB
  [0xf3, 0x6e], // REP OUTSB
  [0xf3, 0x6d], // REP INSD
  [0x67, 0xf3, 0x6e], // REP OUTSB, 32-bit addresses
  [0x64, 0xf3, 0x6e], // REP OUTSB of FS
  [0x0f, 0x01, 0xc1], // VMCALL
  [0x0f, 0x33], // RDPMC
  [0x0f, 0xa2], // CPUID
];

/** One call with everything loaded. */
const call = fc.record({
  eax: fc.oneof({ weight: 8, arbitrary: fc.constant(MAGIC) }, { weight: 1, arbitrary: word }),
  ebx: fc.oneof(fc.constantFrom(0xc943_5052, 0xcf4c_4354, 0, 1, 4, 0x1_0000), word),
  // Mostly messages, of every kind.
  ecx: fc.oneof(
    fc.integer({ min: 0, max: 7 }).map((operation) => operation * 0x1_0000 + 30),
    fc.integer({ min: 0, max: 110 }),
    word,
  ),
  edx: fc.constantFrom(0x5658, 0x5659, 0x1_5658, 0x5657, 0x1234),
  esi: fc.constantFrom(0, 0x9000, 0xffff_fff8, 0x100_0000),
  edi: fc.constantFrom(0, 0x9000, 0xffff_fff8, 0x100_0000),
  instruction: fc.constantFrom(...INSTRUCTIONS),
});
type Call = typeof call extends fc.Arbitrary<infer T> ? T : never;

const perform = (code: Code, { eax, ebx, ecx, edx, esi, edi, instruction }: Call): Code =>
  code
    .mov('ebx', ebx)
    .mov('ecx', ecx)
    .mov('edx', edx)
    .mov('esi', esi)
    .mov('edi', edi)
    .mov('eax', eax)
    .raw(...instruction);

describe('hostile guests', () => {
  for (const name of ['vmware', 'ymir']) {
    it(`${name}: no call throws, runs away, or touches the monitor's memory`, () => {
      fc.assert(
        fc.property(fc.array(call, { minLength: 1, maxLength: 12 }), fc.boolean(), (calls, ring3) => {
          const image = guest64((code) => {
            if (ring3) enterRing3(code);
            for (const each of calls) perform(code, each);
            code.exit(0);
          });
          const bench = new Bench(name, { image, flat: { address: ORIGIN, bits: 64 } });
          const { memory } = bench.machine;
          const guestBytes = memory.size - RESERVED_BYTES;
          const gate = memory.copyOut(guestBytes, 3 * 4096);
          const stop = bench.run(BUDGET);
          assert.ok(['exit', 'idle', 'limit', 'shutdown'].includes(stop));
          assert.deepEqual(memory.copyOut(guestBytes, 3 * 4096), gate, 'gate page, descriptors and IDT');
          // What it remembers can be saved and loaded whatever the guest did.
          bench.monitor.load(JSON.parse(JSON.stringify(bench.monitor.save())));
        }),
        { numRuns: 40 },
      );
    });
  }
});

describe('a run does not depend on where it is looked at', () => {
  for (const [name, monitor] of [
    ['ymir-hello', 'ymir'],
    ['backdoor', 'vmware'],
  ] as const) {
    it(`${name} in pieces is ${name} in one`, () => {
      const whole = guestBench(name, {}, monitor);
      whole.run(5_000_000);
      fc.assert(
        fc.property(fc.array(fc.integer({ min: 1, max: 60_000 }), { minLength: 1, maxLength: 12 }), (pieces) => {
          const cut = guestBench(name, {}, monitor);
          let limit = 0;
          for (const piece of pieces) {
            limit += piece;
            cut.run(limit);
          }
          cut.run(5_000_000);
          assert.equal(cut.console, whole.console);
          assert.equal(cut.machine.now, whole.machine.now);
          assert.deepEqual(
            cut.events.map(({ kind, tick }) => `${kind} ${tick}`),
            whole.events.map(({ kind, tick }) => `${kind} ${tick}`),
          );
        }),
        { numRuns: 6 },
      );
    });
  }
});
