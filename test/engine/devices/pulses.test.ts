/**
 * The counter's closed form against an 8254 that counts pulse by pulse, as the "Mode Definitions" of the Intel 82C54 data
 * sheet (order number 231244-006) tell it: each CLK pulse loads the counting element or decrements it.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Counter } from '../../../engine/devices/counter.js';

/** One counter in binary, written with two bytes at once. */
class PulseCounter {
  mode = 3;
  out = true;
  gate = true;
  #cr = 0;
  #ce = 0;
  /** CE is loaded from CR on the next pulse. */
  #load = false;
  #counting = false;
  /** CR has been written since the control word. */
  #armed = false;
  /** Modes 0, 1, 4, 5: the terminal count of this load is still to come. */
  #pending = false;
  /** Mode 3: the count of the half-cycle under way is odd. */
  #odd = false;
  /** Mode 2 or 3 that was counting until GATE fell. */
  #paused = false;
  /** Mode 4 and 5: OUT is low for this pulse. */
  #strobe = false;

  control(mode: number): void {
    this.mode = mode;
    this.out = mode !== 0;
    this.#load = false;
    this.#counting = false;
    this.#armed = false;
    this.#pending = false;
    this.#paused = false;
    this.#strobe = false;
  }

  write(count: number): void {
    this.#cr = count;
    this.#armed = true;
    if (this.mode === 0) {
      this.out = false;
      this.#counting = false;
      this.#load = true;
    } else if (this.mode === 4 || ((this.mode === 2 || this.mode === 3) && !this.#counting && !this.#paused)) {
      this.#load = true;
    }
  }

  setGate(gate: boolean): void {
    if (gate === this.gate) return;
    this.gate = gate;
    const periodic = this.mode === 2 || this.mode === 3;
    if (periodic && !gate) {
      // "GATE = 0 disables counting ... OUT is set high immediately"; a trigger reloads the counter.
      this.out = true;
      if (this.#counting) this.#paused = true;
      this.#counting = false;
    }
    if (gate && this.#armed && (periodic || this.mode === 1 || this.mode === 5)) this.#load = true;
  }

  pulse(): void {
    if (this.#strobe) {
      this.#strobe = false;
      this.out = true;
    }
    if (this.#load) this.#loadNow();
    else if (this.mode === 2) this.#rate();
    else if (this.mode === 3) this.#square();
    else this.#decrement();
  }

  #loadNow(): void {
    this.#load = false;
    this.#paused = false;
    this.#pending = true;
    this.#odd = (this.#cr & 1) !== 0;
    this.#counting = this.mode === 1 || this.mode === 5 || this.gate || this.mode === 0 || this.mode === 4;
    this.#ce = this.mode === 3 ? this.#cr & ~1 : this.#cr;
    if (this.mode === 1) this.out = false;
    if (this.mode === 2 || this.mode === 3) this.out = true;
  }

  /** Modes 0, 1, 4 and 5. */
  #decrement(): void {
    if (!this.#counting || ((this.mode === 0 || this.mode === 4) && !this.gate)) return;
    this.#ce = (this.#ce - 1) & 0xffff;
    if (this.#ce !== 0 || !this.#pending) return;
    this.#pending = false;
    if (this.mode < 2) this.out = true;
    else {
      this.out = false;
      this.#strobe = true;
    }
  }

  #rate(): void {
    if (!this.#counting || !this.gate) return;
    if (this.#ce === 1) {
      this.#ce = this.#cr;
      this.out = true;
    } else this.#ce--;
    if (this.#ce === 1) this.out = false;
  }

  /**
   * Even counts: CE goes down by two, at its end OUT changes and CE is loaded again. Odd counts: CR - 1 is loaded; the high
   * half lasts one pulse longer, which is the one at which CE is 0.
   */
  #square(): void {
    if (!this.#counting || !this.gate) return;
    const end = this.out && this.#odd ? 0 : 2;
    if (this.#ce !== end) {
      this.#ce -= 2;
      return;
    }
    this.out = !this.out;
    this.#odd = (this.#cr & 1) !== 0;
    this.#ce = this.#cr & ~1;
  }
}

type Step =
  | { readonly kind: 'wait'; readonly pulses: number }
  | { readonly kind: 'control'; readonly mode: number; readonly count: number }
  | { readonly kind: 'count'; readonly count: number }
  | { readonly kind: 'gate'; readonly gate: boolean };

const count = fc.integer({ min: 2, max: 12 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('wait' as const), pulses: fc.integer({ min: 1, max: 30 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('control' as const), mode: fc.integer({ min: 0, max: 5 }), count }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('count' as const), count }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('gate' as const), gate: fc.boolean() }) },
);

/** OUT at every pulse, from both. */
function waves(steps: readonly Step[]): readonly [closed: string, pulsed: string] {
  const closed = new Counter();
  const pulsed = new PulseCounter();
  let now = 0;
  let drawn = '';
  let expected = '';
  const look = (): void => {
    drawn += closed.output(now) ? '-' : '_';
    expected += pulsed.out ? '-' : '_';
  };
  const write = (value: number): void => {
    closed.write(value & 0xff, now);
    pulsed.write(value);
  };
  for (const each of steps) {
    if (each.kind === 'control') {
      closed.control(0x10 | (each.mode << 1), now);
      pulsed.control(each.mode);
      look();
      write(each.count);
    } else if (each.kind === 'count') write(each.count);
    else if (each.kind === 'gate') {
      closed.setGate(each.gate, now);
      pulsed.setGate(each.gate);
    } else {
      for (let i = 0; i < each.pulses; i++) {
        pulsed.pulse();
        now++;
        look();
      }
    }
    look();
    drawn += ' ';
    expected += ' ';
  }
  return [drawn, expected];
}

describe('the closed form of an 8254 counter', () => {
  for (let mode = 0; mode <= 5; mode++) {
    it(`mode ${mode}: draws what counting pulse by pulse draws, whatever is written when`, () => {
      const start: Step = { kind: 'control', mode, count: 5 };
      const rest = fc.array(
        step.filter(({ kind }) => kind !== 'control'),
        { maxLength: 12 },
      );
      fc.assert(
        fc.property(count, rest, (initial, steps) => {
          const [closed, pulsed] = waves([{ ...start, count: initial }, ...steps]);
          assert.equal(closed, pulsed);
        }),
        { numRuns: 500 },
      );
    });
  }

  it('over changes of mode too', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const [closed, pulsed] = waves([{ kind: 'control', mode: 2, count: 7 }, ...steps]);
        assert.equal(closed, pulsed);
      }),
      { numRuns: 1000 },
    );
  });
});
