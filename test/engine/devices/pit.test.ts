/** Expectations: Intel 82C54 data sheet, order number 231244-006, "Mode Definitions" and its waveforms. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { PIT_RATE, pulsesAt, tickOfPulse } from '../../../engine/devices/clock.js';
import { Counter } from '../../../engine/devices/counter.js';
import { Pit } from '../../../engine/devices/pit.js';
import type { Tick } from '../../../engine/types.js';

/** Counter programmed at pulse 0: control word for counter 0 with low byte only, then the count. */
function programmed(mode: number, count: number, gate = true): Counter {
  const counter = new Counter();
  counter.setGate(gate, 0);
  counter.control(0x10 | (mode << 1), 0);
  counter.write(count, 0);
  return counter;
}

/** OUT at each of the pulses [from, to), as the data sheet draws it. */
const wave = (counter: Counter, from: number, to: number): string => {
  let drawn = '';
  for (let now = from; now < to; now++) drawn += counter.output(now) ? '-' : '_';
  return drawn;
};

describe('8254 counter', () => {
  it('mode 0: OUT "goes high N + 1 CLK pulses after the initial count is written"', () => {
    assert.equal(wave(programmed(0, 4), 0, 8), '_____---');
  });

  it('mode 0: the count wraps to FFFFh and OUT stays high', () => {
    const counter = programmed(0, 2);
    assert.equal(counter.count(3), 0);
    assert.equal(counter.count(4), 0xffff);
    assert.equal(counter.output(4), true);
  });

  it('mode 0: GATE = 0 holds the count, "OUT will go high N CLK pulses later"', () => {
    const counter = programmed(0, 4, false);
    assert.equal(counter.output(50), false);
    counter.setGate(true, 50);
    assert.equal(wave(counter, 50, 56), '____--');
  });

  it('mode 0: "writing the first byte disables counting, OUT is set low immediately"', () => {
    const counter = new Counter();
    counter.control(0x30, 0);
    counter.write(2, 0);
    counter.write(0, 0);
    assert.equal(counter.output(3), true);
    counter.write(1, 10);
    assert.equal(counter.output(10), false);
    assert.equal(counter.output(1000), false);
    counter.write(0, 1000);
    assert.equal(wave(counter, 1000, 1004), '__--');
  });

  it('mode 1: a trigger makes OUT low for N pulses, and can be given again', () => {
    const counter = programmed(1, 3, false);
    assert.equal(wave(counter, 0, 5), '-----');
    counter.setGate(true, 5);
    counter.setGate(false, 6);
    assert.equal(wave(counter, 6, 8), '__');
    counter.setGate(true, 8);
    assert.equal(wave(counter, 8, 14), '____--');
  });

  it('mode 2: "OUT goes low for one CLK pulse" every N pulses, when the count has decremented to 1', () => {
    const counter = programmed(2, 3);
    assert.equal(wave(counter, 0, 11), '---_--_--_-');
    assert.deepEqual(
      [1, 2, 3, 4].map((now) => counter.count(now)),
      [3, 2, 1, 3],
    );
  });

  it('mode 2: a new count is loaded at the end of the current cycle', () => {
    const counter = programmed(2, 4);
    assert.equal(counter.output(1), true);
    counter.write(2, 2);
    assert.equal(wave(counter, 2, 11), '--_-_-_-_');
  });

  it('mode 2: GATE low sets OUT high at once, its rise loads the count on the next pulse', () => {
    const counter = programmed(2, 3);
    assert.equal(counter.output(3), false);
    counter.setGate(false, 3);
    assert.equal(wave(counter, 3, 8), '-----');
    counter.setGate(true, 8);
    assert.equal(wave(counter, 8, 15), '---_--_');
  });

  it('mode 3: even counts are half high and half low', () => {
    const counter = programmed(3, 4);
    assert.equal(wave(counter, 1, 13), '--__--__--__');
    assert.deepEqual(
      [1, 2, 3, 4, 5].map((now) => counter.count(now)),
      [4, 2, 4, 2, 4],
    );
  });

  it('mode 3: odd counts are high for (N + 1) / 2 and low for (N - 1) / 2', () => {
    const counter = programmed(3, 5);
    assert.equal(wave(counter, 1, 16), '---__---__---__');
    assert.deepEqual(
      [1, 2, 3, 4, 5].map((now) => counter.count(now)),
      [4, 2, 0, 4, 2],
    );
  });

  it('mode 3: a new count is loaded at the end of the current half-cycle', () => {
    const counter = programmed(3, 8);
    assert.equal(counter.output(2), true);
    counter.write(4, 2);
    assert.equal(wave(counter, 2, 14), '---__--__--_');
  });

  it('mode 4: OUT is low for one pulse, N + 1 pulses after the count is written', () => {
    assert.equal(wave(programmed(4, 3), 0, 8), '----_---');
  });

  it('mode 5: the strobe comes N + 1 pulses after the trigger', () => {
    const counter = programmed(5, 3, false);
    assert.equal(wave(counter, 0, 4), '----');
    counter.setGate(true, 4);
    assert.equal(wave(counter, 4, 11), '----_--');
  });

  it('counts in BCD, where 0 is 10^4', () => {
    const counter = new Counter();
    counter.control(0x31, 0);
    counter.write(0x00, 0);
    counter.write(0x10, 0);
    assert.equal(counter.output(1000), false);
    assert.equal(counter.output(1001), true);
    counter.control(0x31, 2000);
    counter.write(0, 2000);
    counter.write(0, 2000);
    counter.latchCount(2002);
    assert.deepEqual([counter.read(2002), counter.read(2002)], [0x99, 0x99]);
    assert.equal(counter.output(12_000), false);
    assert.equal(counter.output(12_001), true);
  });

  it('latches a count until it is read, and ignores further latches', () => {
    const counter = new Counter();
    counter.control(0x34, 0);
    counter.write(0x34, 0);
    counter.write(0x12, 0);
    counter.latchCount(1);
    counter.latchCount(500);
    assert.deepEqual([counter.read(600), counter.read(700)], [0x34, 0x12]);
    assert.equal(counter.read(0x1235), 0x1234 - 0x1234 + 0x34, 'one period later the count is whole again');
  });

  it('status: OUT, null count, access, mode, BCD; read before the latched count', () => {
    const counter = new Counter();
    counter.control(0x36, 0);
    counter.latchStatus(0);
    assert.equal(counter.read(0), 0xf6, 'OUT high, count not loaded');
    counter.write(0, 5);
    counter.write(1, 5);
    counter.latchStatus(6);
    counter.latchCount(6);
    assert.equal(counter.read(6), 0xb6, 'loaded');
    assert.deepEqual([counter.read(7), counter.read(7)], [0x00, 0x01]);
  });

  it('tells the pulse of the next rise: between now and it OUT does not rise, at it OUT is high', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 5 }),
        fc.integer({ min: 2, max: 40 }),
        fc.integer({ min: 1, max: 200 }),
        (mode, count, now) => {
          const counter = programmed(mode, count, false);
          counter.setGate(true, 0);
          const drawn = wave(counter, 1, 400);
          const rise = counter.rise(now);
          const expected = drawn.slice(now - 1).indexOf('_-');
          // `wave` asked about later pulses already: compare on a counter of its own.
          const fresh = programmed(mode, count, false);
          fresh.setGate(true, 0);
          assert.equal(fresh.rise(now), rise);
          if (expected >= 0) assert.equal(rise, now + expected + 1);
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('PIT of a PC', () => {
  const setUp = (): { pit: Pit; edges: number[]; at: (t: number) => void } => {
    const edges: number[] = [];
    let now = 0;
    let level = false;
    const pit = new Pit((high) => {
      if (high && !level) edges.push(now);
      level = high;
    });
    return {
      pit,
      edges,
      at(t) {
        now = t;
        pit.advance(t as Tick);
      },
    };
  };

  it('its clock is 105/88 MHz exactly: 105 million pulses take 88 seconds', () => {
    assert.equal(pulsesAt(PIT_RATE, 88_000_000_000), 105_000_000);
    assert.equal(tickOfPulse(PIT_RATE, 105_000_000), 88_000_000_000);
  });

  it('a pulse has passed at its tick and not one tick earlier, for every time', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 42 }), (pulse) => {
        const at = tickOfPulse(PIT_RATE, pulse);
        assert.equal(pulsesAt(PIT_RATE, at), pulse);
        assert.equal(pulsesAt(PIT_RATE, at - 1), pulse - 1);
        assert.equal(BigInt(at), (BigInt(pulse) * 17_600n + 20n) / 21n);
      }),
    );
  });

  it('mode 2 interrupts at exact deadlines: 1193 pulses are about one millisecond', () => {
    const { pit, edges, at } = setUp();
    pit.out(0x43, 1, 0x34);
    pit.out(0x40, 1, 1193 & 0xff);
    pit.out(0x40, 1, 1193 >> 8);
    edges.length = 0;
    for (let i = 0; i < 5; i++) {
      const deadline = pit.nextDeadline();
      assert.ok(deadline !== null);
      at(deadline);
    }
    // The first deadline loads the counter at pulse 1; OUT rises at pulses 1 + 1193 k.
    const expected = [1, 2, 3, 4].map((k) => tickOfPulse(PIT_RATE, 1 + 1193 * k));
    assert.deepEqual(edges, expected);
  });

  it('asks for nothing while it is not programmed, or once a one-shot has fired', () => {
    const { pit, edges, at } = setUp();
    assert.equal(pit.nextDeadline(), null);
    pit.out(0x43, 1, 0x30);
    pit.out(0x40, 1, 10);
    pit.out(0x40, 1, 0);
    at(pit.nextDeadline() ?? 0);
    at(pit.nextDeadline() ?? 0);
    assert.deepEqual(edges, [tickOfPulse(PIT_RATE, 11)]);
    assert.equal(pit.nextDeadline(), null);
  });

  it('port 61h gates counter 2 and shows its output', () => {
    const { pit, at } = setUp();
    assert.equal(pit.in(0x61) & 0x23, 0x20, 'gate low; OUT is high before any control word');
    pit.out(0x43, 1, 0xb0);
    pit.out(0x42, 1, 100);
    pit.out(0x42, 1, 0);
    at(1_000_000);
    assert.equal(pit.in(0x61) & 0x20, 0, 'GATE 2 is low: it does not count');
    pit.out(0x61, 1, 1);
    const opened = pulsesAt(PIT_RATE, 1_000_000);
    at(tickOfPulse(PIT_RATE, opened + 99));
    assert.equal(pit.in(0x61) & 0x21, 0x01);
    at(tickOfPulse(PIT_RATE, opened + 100));
    assert.equal(pit.in(0x61) & 0x21, 0x21);
  });

  it('the read-back command latches several counters at once', () => {
    const { pit, at } = setUp();
    for (const [control, port] of [
      [0x34, 0x40],
      [0x74, 0x41],
    ] as const) {
      pit.out(0x43, 1, control);
      pit.out(port, 1, 0x10);
      pit.out(port, 1, 0x27);
    }
    at(tickOfPulse(PIT_RATE, 1));
    pit.out(0x43, 1, 0xc6);
    at(tickOfPulse(PIT_RATE, 300));
    assert.deepEqual([pit.in(0x40), pit.in(0x40), pit.in(0x40)], [0xb4, 0x10, 0x27]);
    assert.deepEqual([pit.in(0x41), pit.in(0x41), pit.in(0x41)], [0xb4, 0x10, 0x27]);
  });
});
