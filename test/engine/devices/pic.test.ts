/** Expectations: Intel 8259A data sheet, order number 231468-003. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Pic } from '../../../engine/devices/pic.js';

const MASTER = 0x20;
const SLAVE = 0xa0;
const EOI = 0x20;

const write = (pic: Pic, port: number, ...values: readonly number[]): void => {
  for (const value of values) pic.out(port, 1, value);
};
const writeData = (pic: Pic, port: number, ...values: readonly number[]): void => write(pic, port + 1, ...values);

/** Cascade, vectors 20h and 28h, nothing masked. */
function started(icw4 = 1): Pic {
  const pic = new Pic();
  write(pic, MASTER, 0x11);
  writeData(pic, MASTER, 0x20, 0x04, icw4);
  write(pic, SLAVE, 0x11);
  writeData(pic, SLAVE, 0x28, 0x02, 1);
  return pic;
}
const pulse = (pic: Pic, irq: number): void => {
  pic.drive(irq, false);
  pic.drive(irq, true);
};
const irr = (pic: Pic, port = MASTER): number => {
  write(pic, port, 0x0a);
  return pic.in(port);
};
const isr = (pic: Pic, port = MASTER): number => {
  write(pic, port, 0x0b);
  return pic.in(port);
};

describe('8259A pair', () => {
  it('answers the vector that ICW2 gives, sets ISR and clears IRR on acknowledge', () => {
    const pic = started();
    assert.equal(pic.pending, false);
    pulse(pic, 4);
    assert.equal(pic.pending, true);
    assert.equal(irr(pic), 0x10);
    assert.equal(pic.acknowledge(), 0x24);
    assert.equal(irr(pic), 0);
    assert.equal(isr(pic), 0x10);
    assert.equal(pic.pending, false);
  });

  it('is fully nested: IR0 is the highest priority, and only higher ones interrupt a service', () => {
    const pic = started();
    pulse(pic, 5);
    pulse(pic, 3);
    assert.equal(pic.acknowledge(), 0x23);
    assert.equal(pic.pending, false);
    pulse(pic, 1);
    assert.equal(pic.acknowledge(), 0x21);
    write(pic, MASTER, EOI);
    assert.equal(isr(pic), 0x08);
    write(pic, MASTER, EOI);
    assert.equal(pic.acknowledge(), 0x25);
  });

  it('takes a slave request through line 2 and needs an EOI on both', () => {
    const pic = started();
    pulse(pic, 12);
    assert.equal(pic.acknowledge(), 0x2c);
    assert.equal(isr(pic), 0x04);
    assert.equal(isr(pic, SLAVE), 0x10);
    pulse(pic, 10);
    assert.equal(pic.pending, false, 'line 2 is in service and this is no special fully nested mode');
    write(pic, SLAVE, EOI);
    write(pic, MASTER, EOI);
    assert.equal(pic.acknowledge(), 0x2a);
  });

  it('special fully nested mode does not lock a slave out while its line is in service', () => {
    const pic = started(0x11);
    pulse(pic, 12);
    assert.equal(pic.acknowledge(), 0x2c);
    pulse(pic, 5);
    assert.equal(pic.pending, false);
    pulse(pic, 9);
    assert.equal(pic.acknowledge(), 0x29);
  });

  it('gives default IR7 when the request went away before the acknowledge, with no ISR bit', () => {
    const pic = started();
    pulse(pic, 3);
    pic.drive(3, false);
    assert.equal(pic.pending, false);
    assert.equal(pic.acknowledge(), 0x27);
    assert.equal(isr(pic), 0);
  });

  it('gives the slave its own default IR7, with line 2 in service on the master', () => {
    const pic = started();
    pulse(pic, 10);
    writeData(pic, SLAVE, 0xff);
    pic.drive(10, true);
    // The slave withdrew its request, so the master sees none either.
    assert.equal(pic.pending, false);
  });

  it('does not interrupt for masked lines, and keeps their requests', () => {
    const pic = started();
    writeData(pic, MASTER, 0x10);
    assert.equal(pic.in(MASTER + 1), 0x10);
    pulse(pic, 4);
    assert.equal(pic.pending, false);
    assert.equal(irr(pic), 0x10);
    writeData(pic, MASTER, 0);
    assert.equal(pic.acknowledge(), 0x24);
  });

  it('needs a low-to-high transition after ICW1', () => {
    const pic = started();
    pic.drive(4, true);
    write(pic, MASTER, 0x11);
    writeData(pic, MASTER, 0x20, 0x04, 1);
    assert.equal(pic.pending, false);
    pulse(pic, 4);
    assert.equal(pic.pending, true);
  });

  it('one held edge makes one interrupt; a held level asks again after its EOI', () => {
    const edge = started();
    pulse(edge, 5);
    edge.acknowledge();
    write(edge, MASTER, EOI);
    assert.equal(edge.pending, false);

    const level = started();
    level.out(0x4d0, 1, 0x20);
    assert.equal(level.in(0x4d0), 0x20);
    level.drive(5, true);
    assert.equal(level.acknowledge(), 0x25);
    assert.equal(level.pending, false);
    write(level, MASTER, EOI);
    assert.equal(level.pending, true);
    level.drive(5, false);
    assert.equal(level.pending, false);
  });

  it('keeps lines 0, 1, 2, 8 and 13 edge-triggered', () => {
    const pic = started();
    pic.out(0x4d0, 1, 0xff);
    pic.out(0x4d1, 1, 0xff);
    assert.equal(pic.in(0x4d0), 0xf8);
    assert.equal(pic.in(0x4d1), 0xde);
  });

  it('automatic EOI leaves nothing in service', () => {
    const pic = started(0x03);
    pulse(pic, 4);
    assert.equal(pic.acknowledge(), 0x24);
    assert.equal(isr(pic), 0);
    pulse(pic, 4);
    assert.equal(pic.acknowledge(), 0x24);
  });

  it('rotate in automatic EOI mode gives the served line the lowest priority', () => {
    const pic = started(0x03);
    write(pic, MASTER, 0x80);
    pulse(pic, 1);
    assert.equal(pic.acknowledge(), 0x21);
    pulse(pic, 1);
    pulse(pic, 3);
    assert.equal(pic.acknowledge(), 0x23);
    assert.equal(pic.acknowledge(), 0x21);
  });

  it('rotates on a non-specific and on a specific EOI', () => {
    const pic = started();
    pulse(pic, 4);
    pic.acknowledge();
    write(pic, MASTER, 0xa0);
    pulse(pic, 4);
    pulse(pic, 5);
    assert.equal(pic.acknowledge(), 0x25, 'after rotation IR4 is the lowest, IR5 the highest');
    write(pic, MASTER, 0xe5);
    assert.equal(isr(pic), 0);
    pulse(pic, 6);
    assert.equal(pic.acknowledge(), 0x26);
  });

  it('set priority: "if IR5 is programmed as the bottom priority device, then IR6 will have the highest one"', () => {
    const pic = started();
    write(pic, MASTER, 0xc5);
    pulse(pic, 0);
    pulse(pic, 5);
    pulse(pic, 6);
    assert.deepEqual([pic.acknowledge(), isr(pic)], [0x26, 0x40]);
    write(pic, MASTER, EOI);
    assert.equal(pic.acknowledge(), 0x20);
    write(pic, MASTER, EOI);
    assert.equal(pic.acknowledge(), 0x25);
  });

  it('a specific EOI ends the level it names, whatever the priority', () => {
    const pic = started();
    pulse(pic, 5);
    pic.acknowledge();
    pulse(pic, 2 + 1);
    pic.acknowledge();
    assert.equal(isr(pic), 0x28);
    write(pic, MASTER, 0x65);
    assert.equal(isr(pic), 0x08);
  });

  it('special mask mode lets lower levels interrupt a masked service, and a non-specific EOI spares it', () => {
    const pic = started();
    pulse(pic, 3);
    pic.acknowledge();
    writeData(pic, MASTER, 0x08);
    pulse(pic, 6);
    assert.equal(pic.pending, false);
    write(pic, MASTER, 0x68);
    assert.equal(pic.acknowledge(), 0x26);
    write(pic, MASTER, EOI);
    assert.equal(isr(pic), 0x08);
    write(pic, MASTER, 0x48);
    write(pic, MASTER, EOI);
    assert.equal(isr(pic), 0);
  });

  it('poll: the next read is an acknowledge, "I - - - - W2 W1 W0"', () => {
    const pic = started();
    write(pic, MASTER, 0x0c);
    assert.equal(pic.in(MASTER) & 0x80, 0);
    pulse(pic, 6);
    write(pic, MASTER, 0x0c);
    assert.equal(pic.in(MASTER) & 0x87, 0x86);
    assert.equal(isr(pic), 0x40);
    assert.equal(pic.pending, false);
  });

  it('every line is masked until software programs the pair', () => {
    const pic = new Pic();
    for (let irq = 0; irq < 16; irq++) if (irq !== 2) pulse(pic, irq);
    assert.equal(pic.pending, false);
    assert.equal(pic.in(MASTER + 1), 0xff);
    assert.equal(pic.in(SLAVE + 1), 0xff);
  });
});
