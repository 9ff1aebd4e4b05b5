/**
 * Message channels of the Backdoor (command MESSAGE): how bytes of a message travel in registers, four a time, or at once
 * over the high-bandwidth port. What the messages mean is no matter of this file. Source: open-vm-tools,
 * lib/message/message.c and lib/include/guest_msg_def.h.
 */
import { byte, flag, integer, list, optional, record, text, type ValueOf } from '../../devices/state.js';

/** Kinds of operation, in ECX 31:16. */
export const OPERATION = {
  open: 0,
  sendSize: 1,
  sendPayload: 2,
  receiveSize: 3,
  receivePayload: 4,
  receiveStatus: 5,
  close: 6,
} as const;

/** Bits of the answer, in ECX 31:16. */
export const STATUS = { success: 1, receive: 2, closed: 4, unsent: 8, checkpoint: 0x10, highBandwidth: 0x80 } as const;
const FAILED = 0;

export const PROTOCOL = { rpci: 0x4943_5052, tclo: 0x4f4c_4354 } as const;
export type ProtocolName = keyof typeof PROTOCOL;
const PROTOCOLS: ReadonlyMap<number, ProtocolName> = new Map([
  [PROTOCOL.rpci, 'rpci'],
  [PROTOCOL.tclo, 'tclo'],
]);
/** Bit of the protocol number in EBX: the guest will show a cookie. */
const WITH_COOKIE = 0x8000_0000;

export const MAX_CHANNELS = 128;
export const MAX_MESSAGE = 0x1_0000;
/** Messages of the host that may wait for their guest. */
const MAX_WAITING = 1024;

const WORD = integer(0xffff_ffff);
const BYTES = list(byte(), MAX_MESSAGE);

const CHANNEL = record({
  id: integer(MAX_CHANNELS - 1),
  protocol: text(4),
  cookieHigh: WORD,
  cookieLow: WORD,
  withCookie: flag(),
  /** Bytes of the message that the guest is sending; null: none. */
  expected: optional(integer(MAX_MESSAGE)),
  received: BYTES,
  /** The message that the guest may fetch; null: none. */
  reply: optional(BYTES),
  /** Bytes of it that the guest has. */
  taken: integer(MAX_MESSAGE),
  /** The next operation answers CHECKPOINT: the guest starts its transfer over. */
  interrupted: flag(),
});
export type Channel = ValueOf<typeof CHANNEL>;

export const CHANNELS = record({
  open: list(CHANNEL, MAX_CHANNELS),
  /** Cookies given so far. */
  cookies: integer(0xffff_ffff),
  /** Messages from the host to the guest's TCLO channel. */
  waiting: list(BYTES, MAX_WAITING),
});

/** The registers that carry an operation: low 32 bits. */
export interface MessageRegisters {
  eax: number;
  ebx: number;
  ecx: number;
  edx: number;
  esi: number;
  edi: number;
}

/** What the channels tell of: a whole message came, or went. */
export interface Conversation {
  /** A message of the guest; answers the reply, or null where there is none. */
  received(protocol: ProtocolName, channel: number, body: Uint8Array): Uint8Array | null;
  /** The guest has acknowledged a message of the host. */
  delivered(protocol: ProtocolName, channel: number, body: Uint8Array): void;
}

/** A cookie from a counter: nobody can guess it by accident, and every run gives the same. (MurmurHash3's finalizer.) */
function cookie(counter: number): number {
  let x = (counter * 0x9e37_79b1) >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x85eb_ca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2_ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

const high = (word: number): number => word >>> 16;
const withHigh = (word: number, value: number): number => ((value << 16) | (word & 0xffff)) >>> 0;
const isProtocol = (name: string): name is ProtocolName => name in PROTOCOL;

export class Channels {
  state = CHANNELS.first();
  readonly #conversation: Conversation;

  constructor(conversation: Conversation) {
    this.#conversation = conversation;
  }

  /** A message for whoever has the TCLO channel; false: too long, or too many are waiting. */
  post(body: Uint8Array): boolean {
    if (body.length > MAX_MESSAGE || this.state.waiting.length >= MAX_WAITING) return false;
    this.state.waiting.push([...body]);
    return true;
  }

  /** Every transfer under way must start over, as after a checkpoint of the virtual machine. */
  interrupt(): void {
    for (const channel of this.state.open) channel.interrupted = true;
  }

  /** Does the operation that the registers ask for and leaves the answer in them. */
  operate(r: MessageRegisters): void {
    const operation = high(r.ecx);
    r.ecx = withHigh(r.ecx, operation === OPERATION.open ? this.#open(r) : this.#onChannel(operation, r));
  }

  #open(r: MessageRegisters): number {
    const { open } = this.state;
    const protocol = PROTOCOLS.get((r.ebx & ~WITH_COOKIE) >>> 0);
    const id = Array.from({ length: MAX_CHANNELS }, (_, i) => i).find((i) => open.every((each) => each.id !== i));
    if (protocol === undefined || id === undefined) return FAILED;
    const withCookie = (r.ebx & WITH_COOKIE) !== 0;
    const channel = { ...CHANNEL.first(), id, protocol, withCookie };
    if (withCookie) {
      this.state.cookies = (this.state.cookies + 1) >>> 0;
      channel.cookieHigh = cookie(2 * this.state.cookies);
      channel.cookieLow = cookie(2 * this.state.cookies + 1);
      r.esi = channel.cookieHigh;
      r.edi = channel.cookieLow;
    }
    open.push(channel);
    r.edx = withHigh(r.edx, id);
    return STATUS.success;
  }

  #find(id: number, cookieHigh: number, cookieLow: number): Channel | null {
    const channel = this.state.open.find((each) => each.id === id);
    if (channel === undefined) return null;
    const shown = channel.cookieHigh === cookieHigh && channel.cookieLow === cookieLow;
    return shown || !channel.withCookie ? channel : null;
  }

  #onChannel(operation: number, r: MessageRegisters): number {
    const channel = this.#find(high(r.edx), r.esi, r.edi);
    if (channel === null) return FAILED;
    if (channel.interrupted && operation !== OPERATION.close) return restart(channel);
    switch (operation) {
      case OPERATION.sendSize:
        return this.#sendSize(channel, r.ebx);
      case OPERATION.sendPayload:
        return this.#sendPayload(channel, [r.ebx & 0xff, (r.ebx >>> 8) & 0xff, (r.ebx >>> 16) & 0xff, r.ebx >>> 24]);
      case OPERATION.receiveSize:
        return this.#receiveSize(channel, r);
      case OPERATION.receivePayload:
        return receivePayload(channel, r);
      case OPERATION.receiveStatus:
        return this.#receiveStatus(channel, r.ebx);
      case OPERATION.close:
        this.state.open = this.state.open.filter((each) => each !== channel);
        return STATUS.success;
      default:
        return FAILED;
    }
  }

  #sendSize(channel: Channel, size: number): number {
    if (size > MAX_MESSAGE) return FAILED;
    channel.expected = size;
    channel.received = [];
    channel.reply = null;
    if (size === 0) this.#complete(channel);
    return STATUS.success | STATUS.highBandwidth;
  }

  #sendPayload(channel: Channel, bytes: readonly number[]): number {
    if (channel.expected === null) return FAILED;
    // "The last piece" is padded: what is beyond the size is no part of the message.
    for (const each of bytes.slice(0, channel.expected - channel.received.length)) channel.received.push(each);
    if (channel.received.length === channel.expected) this.#complete(channel);
    return STATUS.success;
  }

  #complete(channel: Channel): void {
    const body = Uint8Array.from(channel.received);
    channel.expected = null;
    channel.received = [];
    if (!isProtocol(channel.protocol)) return;
    const reply = this.#conversation.received(channel.protocol, channel.id, body);
    channel.reply = reply === null ? null : [...reply.subarray(0, MAX_MESSAGE)];
    channel.taken = 0;
  }

  #receiveSize(channel: Channel, r: MessageRegisters): number {
    if (channel.reply === null && channel.protocol === 'tclo') channel.reply = this.state.waiting.shift() ?? null;
    if (channel.reply === null) return STATUS.success;
    channel.taken = 0;
    r.ebx = channel.reply.length;
    // "EDX 31:16 returns the type, not the id": what the host would do to send.
    r.edx = withHigh(r.edx, OPERATION.sendSize);
    return STATUS.success | STATUS.receive | STATUS.highBandwidth;
  }

  #receiveStatus(channel: Channel, ok: number): number {
    if (channel.reply === null) return FAILED;
    if (!(ok & STATUS.success)) {
      channel.taken = 0;
      return STATUS.success;
    }
    const body = Uint8Array.from(channel.reply);
    channel.reply = null;
    if (isProtocol(channel.protocol)) this.#conversation.delivered(channel.protocol, channel.id, body);
    return STATUS.success;
  }

  // High bandwidth: a whole body at once.

  /** Bytes that the guest may send now on a channel; null: none, the transfer fails. */
  sendable(id: number, cookieHigh: number, cookieLow: number, length: number): Channel | null {
    const channel = this.#find(id, cookieHigh, cookieLow);
    if (channel === null || channel.expected === null) return null;
    return channel.received.length + length === channel.expected ? channel : null;
  }

  sendAll(channel: Channel, body: Uint8Array): number {
    if (channel.interrupted) return restart(channel);
    return this.#sendPayload(channel, [...body]);
  }

  /** The rest of the reply, if its length is `length`; null: the transfer fails. */
  receivable(id: number, cookieHigh: number, cookieLow: number, length: number): Channel | null {
    const channel = this.#find(id, cookieHigh, cookieLow);
    if (channel === null || channel.reply === null) return null;
    return channel.reply.length - channel.taken === length ? channel : null;
  }

  /** Status, and the bytes where it says success. */
  receiveAll(channel: Channel): { readonly status: number; readonly body: Uint8Array } {
    if (channel.interrupted || channel.reply === null) return { status: restart(channel), body: new Uint8Array(0) };
    const body = Uint8Array.from(channel.reply.slice(channel.taken));
    channel.taken = channel.reply.length;
    return { status: STATUS.success, body };
  }
}

/** "CPT: client restarts whole send/receive". */
function restart(channel: Channel): number {
  channel.interrupted = false;
  channel.expected = null;
  channel.received = [];
  channel.taken = 0;
  return STATUS.checkpoint;
}

/** Four bytes of the reply, filled up with zeros. EBX 0 says that the guest could not take the piece before. */
function receivePayload(channel: Channel, r: MessageRegisters): number {
  const { reply } = channel;
  if (reply === null) return FAILED;
  if (!(r.ebx & STATUS.success)) {
    channel.taken = 0;
    return STATUS.success;
  }
  if (channel.taken >= reply.length) return FAILED;
  const [a = 0, b = 0, c = 0, d = 0] = reply.slice(channel.taken, channel.taken + 4);
  channel.taken = Math.min(channel.taken + 4, reply.length);
  r.ebx = (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
  r.edx = withHigh(r.edx, OPERATION.sendPayload);
  return STATUS.success;
}
