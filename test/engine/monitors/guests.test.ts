/** The monitors with their guests on the whole machine. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LOGO } from '../../../engine/monitors/ymir/logo.js';
import { GUESTS } from '../../../traces/guests/catalogue.js';
import { type Values, valuesOf } from '../../../traces/guests/guest.js';
import { type Bench, guestBench } from './bench.js';

const BUDGET = 5_000_000;
const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

/** What the guest's console must say by itself. */
const expectedConsole = (name: string, values: Values = {}): string => {
  const guest = GUESTS.get(name);
  assert.ok(guest);
  return guest.console(valuesOf(guest, values));
};

describe('ymir with its guest', () => {
  const HELLO = `[INFO ] vmc     | GREETINGS FROM VMX-ROOT...\n${LOGO.join('\n')}\n\n[INFO ] vmc     | This OS is hypervisored by Ymir.\n\n`;
  const unknown = (number: bigint | number): string => `[ERROR] vmc     | Unhandled VMCALL: nr=${number}\n`;

  it('the logo has nine lines of its own', () => {
    assert.equal(LOGO.length, 9);
    assert.ok(LOGO.every((line) => /^[ -~]{1,60}$/.test(line)));
  });

  it('greets for VMCALL 0 from any ring, logs other numbers, keeps every register', () => {
    const bench = guestBench('ymir-hello', { hello: 2, number: 7, calls: 3 });
    assert.equal(bench.run(BUDGET), 'exit');
    assert.equal(bench.machine.exitStatus, 1);
    const calls = unknown(7).repeat(3);
    assert.equal(bench.console, `${HELLO}${HELLO}${calls}ring 0 done\n${HELLO}${calls}ring 3 done\nregisters kept\n`);
  });

  it('prints the number in decimal, all 64 bits', () => {
    const number = 2n ** 64n - 2n;
    const bench = guestBench('ymir-hello', { number, calls: 1 });
    bench.run(BUDGET);
    assert.ok(bench.console.includes(unknown(number)));
  });

  it('leaves an event and a message a VMCALL, with the exit that they serve', () => {
    const bench = guestBench('ymir-hello', { hello: 4, number: 9, calls: 5 });
    bench.run(BUDGET);
    assert.equal(bench.count('vmcall', 0n), 5, 'four from ring 0, one from ring 3');
    assert.equal(bench.count('vmcall', 9n), 10);
    const exits = bench.events.filter(({ kind, fields }) => kind === 'exit' && fields.reason === 18n);
    assert.equal(exits.length, 15);
    for (const event of bench.events.filter(({ kind }) => kind === 'vmcall')) {
      assert.equal(bench.events[Number(event.fields.parent)]?.fields.reason, 18n);
    }
    const said = bench.messages.filter(({ protocol }) => protocol === 'vmcall').map(({ body }) => latin1(body));
    assert.deepEqual(said, [...Array(4).fill('0'), ...Array(5).fill('9'), '0', ...Array(5).fill('9')]);
  });

  it('runs a console guest: COM1 is the host’s, the rest of the PC is emulated', () => {
    const bench = guestBench('echo', {}, 'ymir');
    assert.equal(bench.run(BUDGET), 'exit');
    assert.equal(bench.console, expectedConsole('echo'));
  });

  it('aborts where Ymir does: a non-specific EOI is unknown to its interrupt controller', () => {
    const bench = guestBench('echo', { irq: 1 }, 'ymir');
    assert.equal(bench.run(BUDGET), 'idle');
    assert.match(bench.console, /^\[ERROR\] vmio {4}\| Unhandled I\/O-out port: 0x20: qualification=0x/m);
    assert.match(bench.console, /=== vCPU Information ===/);
    assert.match(bench.console, /RIP: 0x00000000001[0-9A-F]{5}\n/);
    assert.match(bench.console, /=== Guest Stack Trace ===\n.*#00: 0x[0-9A-F]{16}\n/);
  });
});

describe('vmware with its guest', () => {
  const variants: readonly Values[] = [
    {},
    { hb: 1 },
    { tclo: 0 },
    { tclo: 1, hb: 1 },
    { value: 'x' },
    { value: 'Zyxwvuts', hb: 1, tclo: 0 },
  ];
  for (const values of variants) {
    it(`answers everything right: ${JSON.stringify(values)}`, () => {
      const bench = guestBench('backdoor', values);
      assert.equal(bench.run(BUDGET), 'exit');
      assert.equal(bench.console, expectedConsole('backdoor', values));
      assert.equal(bench.machine.exitStatus, 1);
    });
  }

  it('tells both directions of every conversation', () => {
    const bench = guestBench('backdoor', { value: 'abc' });
    bench.run(BUDGET);
    const said = bench.messages.map(({ protocol, direction, body }) => `${protocol} ${direction} ${latin1(body)}`);
    assert.deepEqual(said, [
      'rpci 0 info-set guestinfo.x abc',
      'rpci 1 1 ',
      'rpci 0 info-get guestinfo.x',
      'rpci 1 1 abc',
      'rpci 0 info-get guestinfo.none',
      'rpci 1 0 No value found',
      'rpci 0 no-such-command',
      'rpci 1 0 Unknown command',
      'tclo 1 reset',
      'tclo 0 OK ATR toolbox',
      'tclo 1 ping',
      'tclo 0 OK ',
    ]);
    assert.ok(bench.messages.every(({ level }) => level === 1));
  });

  it('every Backdoor call came by a #GP from ring 3; the one other #GP went back to the guest', () => {
    const bench = guestBench('backdoor', { tclo: 0 });
    bench.run(BUDGET);
    const faults = bench.events.filter(({ kind, fields }) => kind === 'exit' && fields.reason === 0n);
    assert.equal(bench.count('backdoor') + 1, faults.length);
    assert.ok(faults.every(({ fields }) => fields.intr_info === 0x8000_0b0dn && fields.error_code === 0n));
    const injected = bench.events.filter(({ kind, fields }) => kind === 'entry' && fields.intr_info !== undefined);
    assert.deepEqual(
      injected.map(({ fields }) => [fields.intr_info, fields.error_code]),
      [[0x8000_0b0dn, 0n]],
    );
    for (const { fields } of bench.events.filter(({ kind }) => kind === 'backdoor')) {
      assert.equal(bench.events[Number(fields.parent)]?.fields.reason, 0n);
    }
  });

  it('leaves interrupts, devices and HLT to the guest', () => {
    const bench = guestBench('echo', { irq: 1 }, 'vmware');
    assert.equal(bench.run(BUDGET), 'exit');
    assert.equal(bench.console, expectedConsole('echo'));
    assert.equal(bench.count('exit'), 0);
  });

  it('runs guests that know nothing of it', () => {
    for (const name of ['cpuid', 'echo']) {
      const bench = guestBench(name, {}, 'vmware');
      assert.equal(bench.run(BUDGET), 'exit', name);
      assert.equal(bench.console, expectedConsole(name), name);
    }
    const cpuid = guestBench('cpuid', { n: 25 }, 'vmware');
    cpuid.run(BUDGET);
    assert.equal(cpuid.count('exit'), 25);
  });

  it('a triple fault of the guest shuts the machine down', () => {
    assert.equal(guestBench('triple', {}, 'vmware').run(BUDGET), 'shutdown');
  });

  it('guests that never end use up their budget and nothing else', () => {
    for (const name of ['spin', 'refault']) assert.equal(guestBench(name, {}, 'vmware').run(50_000), 'limit', name);
    assert.equal(guestBench('halt', {}, 'vmware').run(50_000), 'idle');
    assert.equal(guestBench('halt', {}, 'ymir').run(50_000), 'idle');
  });
});

describe('a monitor restored in the middle', () => {
  /** Moves a running machine's state into another, as a checkpoint does. */
  const copyInto = (from: Bench, to: Bench): void => {
    const saved = JSON.parse(JSON.stringify(from.machine.save().devices));
    to.machine.memory.copyIn(0, from.machine.memory.copyOut(0, from.machine.memory.size));
    to.machine.load({ cpu: from.machine.save().cpu, devices: saved });
  };
  /** The end of a run, from `tick` on. */
  const finish = (bench: Bench): unknown => {
    bench.events.length = 0;
    bench.messages.length = 0;
    bench.console = '';
    const stop = bench.run(BUDGET);
    return [
      stop,
      bench.machine.exitStatus,
      bench.console,
      bench.events,
      bench.messages.map(({ body }) => latin1(body)),
    ];
  };

  for (const [name, monitor, values] of [
    ['ymir-hello', 'ymir', {}],
    ['echo', 'ymir', {}],
    ['backdoor', 'vmware', { hb: 0 }],
    ['backdoor', 'vmware', { hb: 1 }],
  ] as const) {
    it(`${name} under ${monitor} goes on as the one that ran on`, () => {
      const whole = guestBench(name, values, monitor);
      whole.run(BUDGET);
      const end = whole.machine.now;
      for (const share of [0.13, 0.5, 0.87]) {
        const first = guestBench(name, values, monitor);
        assert.equal(first.run(Math.floor(end * share)), 'limit');
        const second = guestBench(name, values, monitor);
        copyInto(first, second);
        assert.deepEqual(finish(second), finish(first));
      }
    });
  }
});
