/** The Backdoor itself: commands, messages and transfers, whichever way the guest called. */
import type { Cpu } from '../../cpu/cpu.js';
import { gpr } from '../../cpu/layout.js';
import { TICKS_PER_SECOND } from '../../devices/clock.js';
import { list, record, text, type ValueOf } from '../../devices/state.js';
import { EVENT_FLAGS } from '../../observer.js';
import type { Level, Tick } from '../../types.js';
import { R } from '../guest.js';
import type { GuestMemory } from '../guest-memory.js';
import { COST, type MonitorSetup } from '../monitor.js';
import { CHANNELS, Channels, type Conversation, type ProtocolName } from './channels.js';
import { type BackdoorHost, type BackdoorRegisters, COMMAND, MAGIC, REFUSED, runCommand } from './commands.js';
import { tscHz } from './processor.js';
import { Rpci } from './rpci.js';
import { type Transfer, transfer } from './transfer.js';

const VARIABLE = record({ name: text(1 << 20), value: text(1 << 20) });
export const BACKDOOR = record({ channels: CHANNELS, variables: list(VARIABLE, 1 << 16) });

/** Registers of a command, and where they come from. EAX comes back whatever the command does. */
const OPERANDS = [
  ['ebx', R.rbx],
  ['ecx', R.rcx],
  ['edx', R.rdx],
  ['esi', R.rsi],
  ['edi', R.rdi],
] as const;

const latin1 = (bytes: Uint8Array): string => Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
const bytesOf = (value: string): Uint8Array => Uint8Array.from(value, (character) => character.charCodeAt(0) & 0xff);
const low = (cpu: Cpu, n: number): number => cpu.u32(gpr(n));

export class Backdoor implements Conversation {
  readonly #setup: MonitorSetup;
  readonly #memory: GuestMemory;
  readonly #channels = new Channels(this);
  readonly #rpci: Rpci;
  /** The CPU whose call is being answered. */
  #cpu: Cpu | null = null;

  constructor(setup: MonitorSetup, memory: GuestMemory) {
    this.#setup = setup;
    this.#memory = memory;
    this.#rpci = new Rpci(new Map(Object.entries(setup.options.guestinfo)), (line) => {
      this.#tell('log', 0, 0, bytesOf(line));
    });
  }

  /** One command, with its registers. `write`: the guest called by OUT. */
  call(cpu: Cpu, write: boolean): void {
    this.#cpu = cpu;
    cpu.spend(COST.command);
    const r: BackdoorRegisters = {
      eax: low(cpu, R.rax),
      ebx: low(cpu, R.rbx),
      ecx: low(cpu, R.rcx),
      edx: low(cpu, R.rdx),
      esi: low(cpu, R.rsi),
      edi: low(cpu, R.rdi),
    };
    const before = { ...r };
    const command = r.ecx & 0xffff;
    if (r.eax !== MAGIC) r.eax = REFUSED;
    else if (command === COMMAND.message) this.#channels.operate(r);
    else runCommand(command, r, this.#host(cpu));
    const refused = r.eax === REFUSED ? EVENT_FLAGS.refused : 0;
    this.#record(cpu, command, before.ebx, (write ? EVENT_FLAGS.write : 0) | refused);
    // IN EAX clears the high half of RAX; registers that no command changed keep theirs.
    cpu.setU32(gpr(R.rax), r.eax);
    for (const [name, n] of OPERANDS) if (r[name] !== before[name]) cpu.setU32(gpr(n), r[name]);
  }

  #host(cpu: Cpu): BackdoorHost {
    const passed = Math.floor(cpu.tick / TICKS_PER_SECOND);
    const rest = cpu.tick - passed * TICKS_PER_SECOND;
    return {
      seconds: this.#setup.options.epoch + passed,
      microseconds: Math.floor((rest * 1_000_000) / TICKS_PER_SECOND),
      tscHz: tscHz(cpu),
      memoryBytes: this.#setup.guestBytes,
    };
  }

  /** A whole body at once; false: the guest gets a page fault, and will come again. */
  transfer(cpu: Cpu, how: Transfer, user: boolean): boolean {
    this.#cpu = cpu;
    cpu.spend(COST.command);
    const flags = EVENT_FLAGS.string | EVENT_FLAGS.rep | (how.input ? 0 : EVENT_FLAGS.write);
    this.#record(cpu, COMMAND.message, low(cpu, R.rbx), flags);
    return transfer(cpu, this.#channels, this.#memory, how, user);
  }

  #record(cpu: Cpu, command: number, ebx: number, flags: number): void {
    cpu.begin('backdoor').set('code', command).set('value', ebx).set('flags', flags);
    cpu.commit();
  }

  received(protocol: ProtocolName, channel: number, body: Uint8Array): Uint8Array | null {
    // An empty message on TCLO says "I am alive", again and again.
    if (body.length > 0) this.#tell(protocol, channel, 0, body);
    if (protocol !== 'rpci') return null;
    const { ok, text: answer } = this.#rpci.answer(latin1(body));
    return bytesOf(`${ok ? '1' : '0'} ${answer}`);
  }

  delivered(protocol: ProtocolName, channel: number, body: Uint8Array): void {
    this.#tell(protocol, channel, 1, body);
  }

  #tell(protocol: string, channel: number, direction: 0 | 1, body: Uint8Array): void {
    const cpu = this.#cpu;
    if (cpu === null) return;
    const level = (cpu.level + 1) as Level;
    cpu.observer.message({ tick: cpu.tick as Tick, vcpu: cpu.index, level, protocol, channel, direction, body });
  }

  /** `tclo`: a message for the guest. `checkpoint`: whatever is being transferred must start over. */
  receive(port: string, bytes: Uint8Array): boolean {
    if (port === 'tclo') return this.#channels.post(bytes);
    if (port !== 'checkpoint') return false;
    this.#channels.interrupt();
    return true;
  }

  save(where: string): ValueOf<typeof BACKDOOR> {
    const variables = Array.from(this.#rpci.variables, ([name, value]) => ({ name, value }));
    return BACKDOOR.read({ channels: this.#channels.state, variables }, where);
  }

  load(state: unknown, where: string): void {
    const { channels, variables } = BACKDOOR.read(state, where);
    this.#channels.state = channels;
    this.#rpci.variables = new Map(variables.map(({ name, value }) => [name, value]));
  }
}
