import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Device } from '../../../engine/devices/device.js';
import { Pc } from '../../../engine/devices/pc.js';
import { PortMap } from '../../../engine/devices/ports.js';
import type { DeviceState } from '../../../engine/devices/state.js';
import { EngineError } from '../../../engine/errors.js';
import type { Tick } from '../../../engine/types.js';

const EPOCH = Date.UTC(2024, 1, 29, 23, 59, 58) / 1000;

class Bench {
  now = 0;
  readonly log: string[] = [];
  readonly pc = new Pc(
    { memoryBytes: 64 << 20, epoch: EPOCH },
    {
      now: () => this.now as Tick,
      output: (port, bytes) => this.log.push(`${port} ${bytes.join()}`),
      exit: (status) => this.log.push(`exit ${status}`),
      reset: () => this.log.push('reset'),
    },
  );
  in(port: number, size = 1): number {
    return this.pc.ports.in(port, size);
  }
  out(port: number, value: number, size = 1): void {
    this.pc.ports.out(port, size, value);
  }
}

const nothing: Omit<Device, 'name' | 'ports'> = {
  in: () => 0,
  out() {},
  advance() {},
  nextDeadline: () => null,
  save: () => ({}),
  load() {},
};

describe('ports', () => {
  it('unclaimed ports read all ones, PCI configuration among them, and swallow writes', () => {
    const bench = new Bench();
    bench.out(0xcf8, 0x8000_0000, 4);
    assert.equal(bench.in(0xcf8, 4), 0xffff_ffff);
    assert.equal(bench.in(0xcfc, 4), 0xffff_ffff);
    assert.equal(bench.in(0x1234), 0xff);
    assert.equal(bench.in(0x1234, 2), 0xffff);
    assert.equal(bench.in(0xffff, 4), 0xffff_ffff);
  });

  it('a wide access to 8-bit ports becomes single ones, low byte first', () => {
    const bench = new Bench();
    bench.out(0x3f8, 0x0000_0241, 2);
    assert.deepEqual(bench.log, ['com1 65'], 'the second byte went to IER');
    assert.equal(bench.in(0x3f9), 2);
    assert.equal(bench.in(0x3ff, 2), 0xff00, 'scratch register, and a port that nobody has');
  });

  it('refuses two devices on one port', () => {
    const range = (first: number) => [{ first, count: 4, width: 1 as const }];
    const one: Device = { name: 'one', ports: range(0x100), ...nothing };
    const two: Device = { name: 'two', ports: range(0x103), ...nothing };
    assert.throws(
      () => new PortMap([one, two], () => 0 as Tick),
      (error: EngineError) => error.code === 'PORT_CONFLICT' && error.message.includes('port 103h: one and two'),
    );
  });
});

describe('PC devices', () => {
  it('port F4h ends the run with (code << 1) | 1', () => {
    const bench = new Bench();
    bench.out(0xf4, 0, 4);
    bench.out(0xf4, 0x21, 4);
    bench.out(0xf4, 3, 1);
    bench.out(0xf4, 0xffff_ffff, 4);
    assert.deepEqual(bench.log, ['exit 1', 'exit 67', 'exit 7', 'exit 4294967295']);
  });

  it('port E9h is the debug console of Bochs', () => {
    const bench = new Bench();
    assert.equal(bench.in(0xe9), 0xe9);
    bench.out(0xe9, 0x48);
    assert.deepEqual(bench.log, ['debugcon 72']);
  });

  it('the clock starts at the configured second and passes with ticks', () => {
    const bench = new Bench();
    const read = (register: number): number => {
      bench.out(0x70, register);
      return bench.in(0x71);
    };
    const clock = () => [0x32, 9, 8, 7, 6, 4, 2, 0].map(read);
    assert.deepEqual(clock(), [0x20, 0x24, 0x02, 0x29, 5, 0x23, 0x59, 0x58], 'BCD, 24 hours');
    bench.now = 2_000_000_000;
    assert.deepEqual(clock(), [0x20, 0x24, 0x03, 0x01, 6, 0x00, 0x00, 0x00]);
    bench.out(0x70, 0x0b);
    bench.out(0x71, 4);
    assert.deepEqual([read(7), read(4)], [1, 12], 'binary, 12 hours');
    assert.equal(read(0x0d), 0x80);
    assert.equal(read(0x0a) & 0x80, 0, 'no update in progress');
  });

  it('CMOS tells the size of memory: 640 KiB, KiB above 1 MiB, 64 KiB blocks above 16 MiB', () => {
    const bench = new Bench();
    const word = (register: number): number => {
      bench.out(0x70, register);
      const low = bench.in(0x71);
      bench.out(0x70, register + 1);
      return low | (bench.in(0x71) << 8);
    };
    assert.deepEqual([word(0x15), word(0x17), word(0x34)], [640, 63 * 1024, 48 * 16]);
  });

  it('keyboard controller: self test, command byte, A20, reset', () => {
    const bench = new Bench();
    bench.out(0x64, 0xaa);
    assert.equal(bench.in(0x64) & 1, 1);
    assert.equal(bench.in(0x60), 0x55);
    assert.equal(bench.in(0x64) & 1, 0);
    bench.out(0x64, 0x60);
    bench.out(0x60, 0x47);
    bench.out(0x64, 0x20);
    assert.equal(bench.in(0x60), 0x47);
    bench.out(0x64, 0xd1);
    bench.out(0x60, 0xdd);
    assert.equal(bench.in(0x92), 0);
    bench.out(0x92, 2);
    bench.out(0x64, 0xd0);
    assert.equal(bench.in(0x60) & 2, 2);
    bench.out(0x60, 0xff);
    assert.deepEqual([bench.in(0x60), bench.in(0x60)], [0xfa, 0xaa]);
    bench.out(0x64, 0xfe);
    bench.out(0x92, 3);
    assert.deepEqual(bench.log, ['reset', 'reset']);
  });

  it('wires timer to IRQ 0 and COM1 to IRQ 4; programming a periodic timer is no interrupt yet', () => {
    const bench = new Bench();
    for (const [port, value] of [
      [0x20, 0x11],
      [0x21, 0x20],
      [0x21, 4],
      [0x21, 1],
    ] as const)
      bench.out(port, value);
    bench.out(0x43, 0x34);
    bench.out(0x40, 0xff);
    bench.out(0x40, 0xff);
    assert.equal(bench.pc.interrupts.pending, false);
    bench.out(0x3fc, 8);
    bench.out(0x3f9, 1);
    assert.equal(bench.pc.receive('com1', Uint8Array.of(65), 10 as Tick), true);
    assert.equal(bench.pc.interrupts.acknowledge(), 0x24);
    bench.out(0x20, 0x20);
    while (!bench.pc.interrupts.pending) {
      const deadline = bench.pc.nextDeadline();
      assert.ok(deadline !== null);
      bench.now = deadline;
      bench.pc.advance(deadline);
    }
    assert.equal(bench.pc.interrupts.acknowledge(), 0x20);
    assert.equal(bench.pc.receive('tclo', Uint8Array.of(65), 10 as Tick), false);
  });
});

/** One thing that a guest or the world does to the devices. */
type Action =
  | { readonly kind: 'in'; readonly port: number; readonly size: number }
  | { readonly kind: 'out'; readonly port: number; readonly size: number; readonly value: number }
  | { readonly kind: 'wait'; readonly ticks: number }
  | { readonly kind: 'receive'; readonly bytes: Uint8Array }
  | { readonly kind: 'acknowledge' };

const port = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(0x20, 0x21, 0xa0, 0xa1, 0x40, 0x41, 0x42, 0x43, 0x61, 0x4d0, 0x4d1) },
  { weight: 6, arbitrary: fc.integer({ min: 0x3f8, max: 0x3ff }) },
  { weight: 3, arbitrary: fc.constantFrom(0x60, 0x64, 0x70, 0x71, 0x92, 0xe9) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 0xffff }) },
);
const size = fc.constantFrom(1, 1, 1, 2, 4);
const value = fc.oneof(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 0xffff_ffff }));
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('out' as const), port, size, value }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('in' as const), port, size }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('wait' as const), ticks: fc.integer({ min: 1, max: 3e6 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('receive' as const), bytes: fc.uint8Array({ maxLength: 40 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('acknowledge' as const) }) },
);

/** Does it, stopping at every deadline as the machine does, and answers everything that could be seen of it. */
function perform(bench: Bench, each: Action): unknown {
  const { pc } = bench;
  switch (each.kind) {
    case 'in':
      return pc.ports.in(each.port, each.size);
    case 'out':
      return pc.ports.out(each.port, each.size, each.value);
    case 'receive':
      return pc.receive('com1', each.bytes, bench.now as Tick);
    case 'acknowledge':
      return pc.interrupts.pending ? pc.interrupts.acknowledge() : null;
    case 'wait': {
      const target = bench.now + each.ticks;
      let stops = 0;
      for (let next = pc.nextDeadline(); next !== null && next <= target; next = pc.nextDeadline()) {
        assert.ok(next > bench.now || stops < 4, 'a deadline lies ahead');
        bench.now = Math.max(bench.now, next);
        pc.advance(bench.now as Tick);
        stops++;
      }
      bench.now = target;
      pc.advance(target as Tick);
      return stops;
    }
  }
}

const observe = (bench: Bench): unknown => [bench.pc.interrupts.pending, bench.pc.nextDeadline(), bench.log.length];

describe('device state', () => {
  it('a restored machine behaves as the one that ran on, from any moment', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), fc.array(action, { maxLength: 60 }), (before, after) => {
        const original = new Bench();
        for (const each of before) perform(original, each);
        const saved: DeviceState = JSON.parse(JSON.stringify(original.pc.save()));
        const restored = new Bench();
        restored.now = original.now;
        restored.pc.load(saved);
        original.log.length = 0;
        assert.deepEqual(restored.pc.save(), original.pc.save());
        for (const each of after) {
          assert.deepEqual(perform(restored, each), perform(original, each));
          assert.deepEqual(observe(restored), observe(original));
        }
        assert.deepEqual(restored.log, original.log);
        assert.deepEqual(restored.pc.save(), original.pc.save());
      }),
      { numRuns: 300 },
    );
  });

  it('a copy is a copy: running on does not change what was saved', () => {
    const bench = new Bench();
    const saved = bench.pc.save();
    const text = JSON.stringify(saved);
    bench.pc.receive('com1', Uint8Array.of(1, 2, 3), 5 as Tick);
    bench.out(0x43, 0x34);
    bench.out(0x21, 0);
    assert.equal(JSON.stringify(saved), text);
  });

  it('refuses a state that does not fit, and says where', () => {
    const bench = new Bench();
    const good = bench.pc.save();
    const pic = good.pic as { readonly master: DeviceState };
    const cases: readonly (readonly [DeviceState, RegExp])[] = [
      [{ ...good, pic: null }, /pic: there is no record of it/],
      [{ ...good, pic: { ...pic, master: { ...pic.master, imr: 256 } } }, /pic\.master\.imr: expected an integer in/],
      [{ ...good, pic: { master: pic.master } }, /pic\.slave: expected a record/],
      [{ ...good, cmos: { ...(good.cmos as DeviceState), bytes: [1] } }, /cmos\.bytes: expected a list of 128/],
    ];
    for (const [state, says] of cases) {
      assert.throws(
        () => new Bench().pc.load(state),
        (error: EngineError) => error instanceof EngineError && error.code === 'BAD_STATE' && says.test(error.message),
      );
    }
  });
});
