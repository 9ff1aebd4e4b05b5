/** Message channels. Expectations: open-vm-tools lib/message/message.c and lib/include/guest_msg_def.h. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  CHANNELS,
  Channels,
  type Conversation,
  type MessageRegisters,
} from '../../../engine/monitors/vmware/channels.js';

const RPCI = 0x4943_5052;
const TCLO = 0x4f4c_4354;
const COOKIE = 0x8000_0000;
const OP = { open: 0, sendSize: 1, sendPayload: 2, recvSize: 3, recvPayload: 4, recvStatus: 5, close: 6 } as const;
const SUCCESS = 1;
const DORECV = 2;
const CPT = 0x10;

/** Echoes each RPCI message behind `1 `. */
class Echo implements Conversation {
  readonly log: string[] = [];
  received(protocol: string, channel: number, body: Uint8Array): Uint8Array | null {
    this.log.push(`${protocol} ${channel} < ${String.fromCharCode(...body)}`);
    return protocol === 'rpci' ? Uint8Array.of(0x31, 0x20, ...body) : null;
  }
  delivered(protocol: string, channel: number, body: Uint8Array): void {
    this.log.push(`${protocol} ${channel} > ${String.fromCharCode(...body)}`);
  }
}

/** A guest's side of the protocol, as the reference client does it. */
class Client {
  readonly channels: Channels;
  id = 0;
  high = 0;
  low = 0;
  last: MessageRegisters = { eax: 0, ebx: 0, ecx: 0, edx: 0, esi: 0, edi: 0 };

  constructor(channels: Channels) {
    this.channels = channels;
  }

  /** Status bits of the answer. */
  call(operation: number, ebx = 0, id = this.id, high = this.high, low = this.low): number {
    this.last = {
      eax: 0x564d_5868,
      ebx,
      ecx: (operation << 16) | 30,
      edx: ((id << 16) | 0x5658) >>> 0,
      esi: high,
      edi: low,
    };
    this.channels.operate(this.last);
    assert.equal(this.last.ecx & 0xffff, 30, 'the command stays');
    return this.last.ecx >>> 16;
  }

  open(protocol: number): number {
    const status = this.call(OP.open, (protocol | COOKIE) >>> 0, 0, 0, 0);
    if (status & SUCCESS) {
      this.id = this.last.edx >>> 16;
      assert.equal(this.last.edx & 0xffff, 0x5658);
      this.high = this.last.esi;
      this.low = this.last.edi;
    }
    return status;
  }

  send(text: string): number {
    let status = this.call(OP.sendSize, text.length);
    for (let i = 0; i < text.length && status & SUCCESS; i += 4) {
      const piece = [0, 1, 2, 3].map((j) => text.charCodeAt(i + j) || 0);
      status = this.call(
        OP.sendPayload,
        piece.reduceRight((word, byte) => word * 256 + byte, 0),
      );
    }
    return status;
  }

  receive(): string | null {
    const status = this.call(OP.recvSize);
    assert.ok(status & SUCCESS);
    if (!(status & DORECV)) return null;
    assert.equal(this.last.edx >>> 16, OP.sendSize, 'EDX 31:16 is the type, not the id');
    const length = this.last.ebx;
    let text = '';
    while (text.length < length) {
      assert.ok(this.call(OP.recvPayload, SUCCESS) & SUCCESS);
      assert.equal(this.last.edx >>> 16, OP.sendPayload);
      for (let i = 0; i < 4; i++) text += String.fromCharCode((this.last.ebx >>> (8 * i)) & 0xff);
    }
    assert.ok(this.call(OP.recvStatus, SUCCESS) & SUCCESS);
    return text.slice(0, length);
  }
}

const setUp = () => {
  const echo = new Echo();
  const channels = new Channels(echo);
  return { echo, channels, client: new Client(channels) };
};

describe('message channels', () => {
  it('carry any message there and back', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 40, unit: 'binary-ascii' }), { maxLength: 5 }), (texts) => {
        const { client, echo } = setUp();
        assert.ok(client.open(RPCI) & SUCCESS);
        for (const text of texts) {
          assert.ok(client.send(text) & SUCCESS);
          assert.equal(client.receive(), `1 ${text}`);
          assert.equal(client.receive(), null, 'consumed');
        }
        assert.equal(client.call(OP.close) & SUCCESS, SUCCESS);
        assert.equal(echo.log.length, 2 * texts.length);
      }),
    );
  });

  it('refuse unknown protocols, a wrong cookie, a wrong channel, a closed channel', () => {
    const { client } = setUp();
    assert.equal(client.open(0x1234) & SUCCESS, 0);
    client.open(RPCI);
    assert.equal(client.call(OP.sendSize, 4, client.id, client.high ^ 1, client.low) & SUCCESS, 0);
    assert.equal(client.call(OP.sendSize, 4, client.id, client.high, client.low ^ 1) & SUCCESS, 0);
    assert.equal(client.call(OP.sendSize, 4, client.id + 1) & SUCCESS, 0);
    assert.equal(client.call(OP.sendSize, 4) & SUCCESS, SUCCESS);
    client.call(OP.close);
    assert.equal(client.call(OP.sendSize, 4) & SUCCESS, 0);
  });

  it('are 128 at the most, and a closed one is free again', () => {
    const { channels } = setUp();
    const clients = Array.from({ length: 129 }, () => new Client(channels));
    const opened = clients.map((client) => client.open(RPCI) & SUCCESS);
    assert.equal(opened.filter(Boolean).length, 128);
    assert.equal(opened[128], 0);
    assert.equal(new Set(clients.slice(0, 128).map((client) => client.id)).size, 128);
    clients[77]?.call(OP.close);
    assert.equal((clients[128]?.open(RPCI) ?? 0) & SUCCESS, SUCCESS);
    assert.equal(clients[128]?.id, 77);
  });

  it('take 64 KiB at the most', () => {
    const { client } = setUp();
    client.open(RPCI);
    assert.equal(client.call(OP.sendSize, 0x1_0001) & SUCCESS, 0);
    assert.equal(client.call(OP.sendSize, 0xffff_ffff) & SUCCESS, 0);
    assert.equal(client.call(OP.sendSize, 0x1_0000) & SUCCESS, SUCCESS);
  });

  it('work without a cookie for a guest that asks for none', () => {
    const { client } = setUp();
    assert.equal(client.call(OP.open, RPCI, 0, 7, 8) & SUCCESS, SUCCESS);
    assert.deepEqual([client.last.esi, client.last.edi], [7, 8]);
    client.id = client.last.edx >>> 16;
    assert.equal(client.send('ping') & SUCCESS, SUCCESS);
  });

  it('deliver a message again where the guest could not take it', () => {
    const { client } = setUp();
    client.open(RPCI);
    client.send('abcdef');
    client.call(OP.recvSize);
    client.call(OP.recvPayload, SUCCESS);
    client.call(OP.recvStatus, 0);
    assert.equal(client.receive(), '1 abcdef');
  });

  it('answer CHECKPOINT once when interrupted, and the transfer starts over', () => {
    const { channels, client } = setUp();
    client.open(RPCI);
    client.call(OP.sendSize, 6);
    client.call(OP.sendPayload, 0x64636261);
    channels.interrupt();
    const status = client.call(OP.sendPayload, 0x6665);
    assert.equal(status & (SUCCESS | CPT), CPT);
    assert.ok(client.send('abcdef') & SUCCESS);
    channels.interrupt();
    assert.equal(client.call(OP.recvSize) & (SUCCESS | CPT), CPT);
    assert.equal(client.receive(), '1 abcdef', 'the reply is still there');
  });

  it('hand messages of the host to TCLO in order, one a time', () => {
    const { channels, client, echo } = setUp();
    client.open(TCLO);
    assert.ok(client.send('') & SUCCESS);
    assert.equal(client.receive(), null);
    for (const text of ['reset', 'ping']) assert.ok(channels.post(Uint8Array.from(text, (c) => c.charCodeAt(0))));
    assert.equal(client.receive(), 'reset');
    client.send('OK ATR toolbox');
    assert.equal(client.receive(), 'ping');
    client.send('OK ');
    assert.equal(client.receive(), null);
    assert.deepEqual(echo.log, [
      'tclo 0 < ',
      'tclo 0 > reset',
      'tclo 0 < OK ATR toolbox',
      'tclo 0 > ping',
      'tclo 0 < OK ',
    ]);
  });

  it('bound what the host may post', () => {
    const { channels } = setUp();
    assert.equal(channels.post(new Uint8Array(0x1_0001)), false);
    let taken = 0;
    while (channels.post(Uint8Array.of(1)) && taken < 5000) taken++;
    assert.equal(taken, 1024);
  });
});

/** Calls of a guest that has read no documentation. */
const wild = fc.record({
  operation: fc.integer({ min: 0, max: 8 }),
  ebx: fc.oneof(
    fc.constantFrom(RPCI, TCLO, (RPCI | COOKIE) >>> 0, (TCLO | COOKIE) >>> 0, 0, 1, 4, 0x1_0000),
    fc.integer({ min: 0, max: 0xffff_ffff }),
  ),
  id: fc.integer({ min: 0, max: 3 }),
  honest: fc.boolean(),
});
type Wild = typeof wild extends fc.Arbitrary<infer T> ? T : never;

describe('hostile guests and restored state', () => {
  /** The answer; an honest guest shows the right cookie. */
  const perform = (channels: Channels, { operation, ebx, id, honest }: Wild): MessageRegisters => {
    const known = channels.state.open.find((each) => each.id === id);
    const [esi, edi] = honest && known ? [known.cookieHigh, known.cookieLow] : [1, 2];
    const r = { eax: 0, ebx, ecx: ((operation << 16) | 30) >>> 0, edx: id << 16, esi, edi };
    channels.operate(r);
    return r;
  };

  it('never throw, never keep more than they may, always answer 32-bit registers', () => {
    fc.assert(
      fc.property(fc.array(wild, { maxLength: 200 }), (calls) => {
        const { channels } = setUp();
        for (const call of calls) {
          const answer = perform(channels, call);
          for (const word of Object.values(answer)) assert.equal(word, word >>> 0);
        }
        assert.ok(channels.state.open.length <= 128);
        // Saved state is within the bounds that loading demands.
        CHANNELS.read(channels.state, 'channels');
      }),
      { numRuns: 300 },
    );
  });

  it('go on from a saved state as if nothing had happened', () => {
    fc.assert(
      fc.property(fc.array(wild, { maxLength: 80 }), fc.array(wild, { maxLength: 80 }), (before, after) => {
        const original = setUp().channels;
        original.post(Uint8Array.of(1, 2, 3, 4, 5));
        for (const call of before) perform(original, call);
        const restored = setUp().channels;
        restored.state = CHANNELS.read(JSON.parse(JSON.stringify(original.state)), 'channels');
        for (const call of after) assert.deepEqual(perform(restored, call), perform(original, call));
        assert.deepEqual(restored.state, original.state);
      }),
      { numRuns: 200 },
    );
  });
});
