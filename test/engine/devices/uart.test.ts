/** Expectations: National Semiconductor PC16550D data sheet, June 1995. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Uart } from '../../../engine/devices/uart.js';
import type { Tick } from '../../../engine/types.js';

const BASE = 0x3f8;
const R = { data: 0, ier: 1, iir: 2, fcr: 2, lcr: 3, mcr: 4, lsr: 5, msr: 6, scratch: 7 } as const;
const OUT2 = 8;
const LOOP = 0x10;

function setUp() {
  const sent: number[] = [];
  const line = { high: false, edges: 0 };
  const uart = new Uart(
    'com1',
    BASE,
    (high) => {
      if (high && !line.high) line.edges++;
      line.high = high;
    },
    (port, bytes) => {
      assert.equal(port, 'com1');
      sent.push(...bytes);
    },
  );
  return {
    uart,
    sent,
    line,
    read: (register: number) => uart.in(BASE + register),
    write: (register: number, value: number) => uart.out(BASE + register, 1, value),
    receive: (...bytes: readonly number[]) => uart.receive(Uint8Array.from(bytes)),
  };
}

describe('16550A', () => {
  it('sends bytes, and its transmitter is empty again at once', () => {
    const { sent, read, write } = setUp();
    write(R.lcr, 3);
    write(R.data, 0x41);
    assert.equal(read(R.lsr), 0x60);
    write(R.data, 0x42);
    assert.deepEqual(sent, [0x41, 0x42]);
  });

  it('sends only the bits of a character', () => {
    const { sent, write } = setUp();
    write(R.lcr, 2);
    write(R.data, 0xc1);
    assert.deepEqual(sent, [0x41], '7 bits');
  });

  it('the divisor latch hides behind LCR bit 7', () => {
    const { sent, read, write } = setUp();
    write(R.lcr, 0x83);
    write(0, 0x34);
    write(1, 0x12);
    assert.deepEqual([read(0), read(1)], [0x34, 0x12]);
    write(R.lcr, 3);
    assert.equal(read(R.ier), 0);
    assert.deepEqual(sent, []);
  });

  it('keeps a scratch byte, and four bits of IER, five of MCR', () => {
    const { read, write } = setUp();
    write(R.scratch, 0xa5);
    write(R.ier, 0xff);
    write(R.mcr, 0xff);
    assert.deepEqual([read(R.scratch), read(R.ier), read(R.mcr)], [0xa5, 0x0f, 0x1f]);
  });

  it('says in IIR bits 7:6 that it has FIFOs, once they are enabled', () => {
    const { read, write } = setUp();
    assert.equal(read(R.iir), 0x01);
    write(R.fcr, 1);
    assert.equal(read(R.iir), 0xc1);
    write(R.fcr, 0xc0);
    assert.equal(read(R.iir), 0x01);
  });

  it('without FIFOs, one byte at a time raises "received data available"', () => {
    const { line, read, write, receive } = setUp();
    write(R.lcr, 3);
    write(R.mcr, OUT2);
    write(R.ier, 1);
    receive(1, 2);
    assert.equal(read(R.lsr) & 1, 1);
    assert.equal(read(R.iir), 0x04);
    assert.equal(line.high, true);
    assert.equal(read(R.data), 1);
    assert.equal(read(R.data), 2);
    assert.equal(read(R.lsr) & 1, 0);
    assert.equal(line.high, false);
  });

  it('with FIFOs, interrupts at the trigger level, and 4 character times after the last byte below it', () => {
    const { uart, line, read, write, receive } = setUp();
    write(R.lcr, 0x83);
    write(0, 1);
    write(1, 0);
    write(R.lcr, 3);
    write(R.mcr, OUT2);
    write(R.fcr, 0x41);
    write(R.ier, 1);
    receive(1, 2, 3);
    assert.equal(line.high, false, 'the trigger level is 4');
    // 4 characters of 10 bits at 115200 baud are 347222.2 ns.
    assert.equal(uart.nextDeadline(), 347_223);
    uart.advance(347_222 as Tick);
    assert.equal(line.high, false);
    uart.advance(347_223 as Tick);
    assert.equal(read(R.iir), 0xcc, 'character timeout');
    assert.equal(read(R.data), 1);
    assert.equal(read(R.iir), 0xc1);
    receive(4, 5);
    assert.equal(read(R.iir), 0xc4);
    for (const expected of [2, 3, 4, 5]) assert.equal(read(R.data), expected);
    assert.equal(uart.nextDeadline(), null);
  });

  it('loses nothing from outside: bytes wait for room', () => {
    const { read, write, receive } = setUp();
    write(R.lcr, 3);
    write(R.fcr, 1);
    const bytes = Array.from({ length: 100 }, (_, i) => i);
    receive(...bytes);
    const got: number[] = [];
    while (read(R.lsr) & 1) got.push(read(R.data));
    assert.deepEqual(got, bytes);
    assert.equal(read(R.lsr) & 2, 0, 'no overrun');
  });

  it('takes a paste of a million bytes in its stride, and refuses what nobody could ever read', () => {
    const { uart, read, write } = setUp();
    write(R.fcr, 1);
    const bytes = Uint8Array.from({ length: 1_000_000 }, (_, i) => i % 251);
    const started = performance.now();
    assert.equal(uart.receive(bytes), true);
    assert.ok(bytes.every((each) => read(R.data) === each));
    assert.equal(read(R.lsr) & 1, 0);
    assert.ok(performance.now() - started < 20_000);
    const big = new Uint8Array(1 << 23);
    assert.deepEqual([uart.receive(big), uart.receive(big), uart.receive(big)], [true, true, false]);
  });

  it('THRE: raised when enabled, reset by reading IIR, raised again when a byte has left', () => {
    const { line, read, write } = setUp();
    write(R.mcr, OUT2);
    write(R.ier, 2);
    assert.equal(line.high, true);
    assert.equal(read(R.iir), 0x02);
    assert.equal(read(R.iir), 0x01);
    assert.equal(line.high, false);
    write(R.data, 0x41);
    assert.equal(line.high, true);
    const edges = line.edges;
    write(R.data, 0x42);
    assert.equal(line.edges, edges + 1, 'writing THR resets it, the empty THR raises it: a new edge');
  });

  it('a higher interrupt hides THRE, and reading IIR then does not reset THRE', () => {
    const { read, write, receive } = setUp();
    write(R.lcr, 3);
    write(R.ier, 3);
    receive(9);
    assert.equal(read(R.iir), 0x04);
    assert.equal(read(R.data), 9);
    assert.equal(read(R.iir), 0x02);
  });

  it('OUT2 gates the interrupt line of a PC', () => {
    const { line, read, write } = setUp();
    write(R.ier, 2);
    assert.equal(line.high, false);
    write(R.mcr, OUT2);
    assert.equal(line.high, true);
    write(R.mcr, OUT2 | LOOP);
    assert.equal(line.high, false);
    assert.equal(read(R.iir), 0x02, 'interrupts still work inside');
  });

  it('loopback: what is sent is received, modem outputs come back as inputs, nothing leaves', () => {
    const { sent, read, write } = setUp();
    write(R.lcr, 3);
    write(R.mcr, LOOP);
    read(R.msr);
    write(R.data, 0xae);
    assert.equal(read(R.data), 0xae);
    assert.deepEqual(sent, []);
    write(R.mcr, LOOP | 0x02);
    assert.equal(read(R.msr), 0x11, 'RTS is CTS, which changed');
    write(R.mcr, LOOP | 0x0f);
    assert.equal(read(R.msr), 0xf0 | 0x02 | 0x08, 'DTR is DSR, OUT1 is RI, OUT2 is DCD');
    write(R.mcr, LOOP | 0x0b);
    assert.equal(read(R.msr), 0xb0 | 0x04, 'TERI: the trailing edge of RI');
  });

  it('loopback: a full receiver overruns; line status has the highest priority and is reset by reading LSR', () => {
    const { read, write } = setUp();
    write(R.lcr, 3);
    write(R.mcr, LOOP);
    write(R.ier, 0x0f);
    write(R.data, 1);
    write(R.data, 2);
    assert.equal(read(R.iir), 0x06);
    assert.equal(read(R.lsr) & 3, 3);
    assert.equal(read(R.lsr) & 2, 0);
    assert.equal(read(R.data), 2, 'without FIFOs the older byte is destroyed');
    write(R.fcr, 1);
    for (let i = 0; i < 17; i++) write(R.data, i);
    assert.equal(read(R.lsr) & 2, 2);
    for (let i = 0; i < 16; i++) assert.equal(read(R.data), i, 'with FIFOs the newer byte is lost');
    assert.equal(read(R.lsr) & 1, 0);
  });

  it('a terminal is always there: CTS, DSR and DCD', () => {
    const { read } = setUp();
    assert.equal(read(R.msr), 0xb0);
  });
});
