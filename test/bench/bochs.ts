/**
 * Bochs as a second opinion and as a peer of the benchmark: runs a multiboot image headless and says what it printed,
 * how long it took and how many instructions retired. Bochs cannot load multiboot images, so `bochs/boot.asm` does, from
 * a disk that is composed here. The firmware is Debian's, whichever Bochs runs, or that of BXSHARE.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { inPackage } from '../../traces/guests/guest.js';
import { type FoundBochs, findBochs } from './bochs-found.js';

const DATA = process.env.BXSHARE ?? '/usr/share/bochs';
/** Display libraries that need no screen; a build may have one and not the other. */
const DISPLAYS = ['term', 'nogui'] as const;
const SECTOR = 512;
/** What `boot.asm` reads behind itself: one sector of parameters, and the image. */
const IMAGE_SECTORS = 126;
const CYLINDERS = 2;
const DISK_BYTES = CYLINDERS * 16 * 63 * SECTOR;
const HEADER_MAGIC = 0x1bad_b002;

export interface BochsOptions {
  /** RAM, MiB. */
  readonly memory?: number;
  /** Wall-clock limit, seconds. */
  readonly timeout?: number;
  /** One of Bochs's processors. */
  readonly model?: 'corei7_skylake_x' | 'ryzen' | 'wildcat_lake';
}

export interface BochsRun {
  /** What the image printed on COM1. */
  readonly console: string;
  /** Wall-clock time of the whole process: start, firmware, the image. */
  readonly seconds: number;
  /** Bochs's clock at the end: one tick an instruction and an iteration of REP, firmware and idle time included. */
  readonly ticks: number;
}

/** Runs a multiboot image with address fields in its header until it asks for shutdown (lib/console.inc, `exit`). */
export async function runUnderBochs(
  image: Uint8Array,
  commandLine: string,
  { memory = 64, timeout = 120, model = 'corei7_skylake_x' }: BochsOptions = {},
): Promise<BochsRun> {
  const bochs = findBochs();
  if (typeof bochs === 'string') throw new Error(bochs);
  const folder = await mkdtemp(join(tmpdir(), 'trapline-bochs-'));
  try {
    const boot = await readFile(inPackage('test', 'bench', 'bochs', 'boot.img'));
    await writeFile(join(folder, 'disk.img'), composeDisk(boot, image, commandLine));
    await writeFile(join(folder, 'debugger.rc'), 'continue\n');
    const seconds = await start(bochs, folder, timeout, (display) => configuration(bochs, display, memory, model));
    return {
      console: await readFile(join(folder, 'com1.txt'), 'latin1'),
      seconds,
      ticks: lastTick(await readFile(join(folder, 'log.txt'), 'latin1')),
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Time and ticks of `n` iterations of a kernel less those of one, which leaves out firmware and start. */
export async function measureUnderBochs(
  image: Uint8Array,
  n: number,
  options: BochsOptions = {},
): Promise<{ readonly seconds: number; readonly ticks: number }> {
  const one = await runUnderBochs(image, 'kernel n=1', options);
  const all = await runUnderBochs(image, `kernel n=${n}`, options);
  return { seconds: all.seconds - one.seconds, ticks: all.ticks - one.ticks };
}

/**
 * Bochs ends with code 1 when a guest asks for shutdown; only a missing console says that the run failed. Returns the
 * wall-clock time, seconds.
 */
async function start(
  { path, debugger: isDebugger }: FoundBochs,
  folder: string,
  timeout: number,
  configure: (display: string) => string,
): Promise<number> {
  let said = '';
  for (const display of DISPLAYS) {
    await writeFile(join(folder, 'bochsrc'), configure(display));
    const started = performance.now();
    const call = promisify(execFile)(path, ['-q', '-f', 'bochsrc', ...(isDebugger ? ['-rc', 'debugger.rc'] : [])], {
      cwd: folder,
      env: { ...process.env, TERM: 'xterm' },
      timeout: timeout * 1000,
      killSignal: 'SIGKILL',
      maxBuffer: 64 << 20,
    });
    call.child.stdin?.end();
    const end: { killed?: boolean; stdout?: string; stderr?: string } = await call.catch((error) => error);
    if (end.killed) throw new Error(`Bochs did not end within ${timeout} s`);
    if (existsSync(join(folder, 'com1.txt'))) return (performance.now() - started) / 1000;
    said = /exiting with the following message:\s*(.*)/.exec(`${end.stdout}${end.stderr}`)?.[1] ?? 'it said nothing';
    if (!said.includes(`'${display}' not available`)) break;
  }
  throw new Error(`Bochs did not start: ${said}`);
}

function composeDisk(boot: Uint8Array, image: Uint8Array, commandLine: string): Uint8Array {
  if (image.length > IMAGE_SECTORS * SECTOR) throw new RangeError(`image of ${image.length} bytes: too large to boot`);
  const disk = new Uint8Array(DISK_BYTES);
  disk.set(boot);
  const { loadAddress, end, entry } = addressFields(image);
  const parameters = new DataView(disk.buffer, SECTOR, SECTOR);
  for (const [i, value] of [loadAddress, image.length, end, entry].entries()) parameters.setUint32(4 * i, value, true);
  disk.set(new TextEncoder().encode(commandLine).subarray(0, SECTOR - 17), SECTOR + 16);
  disk.set(image, 2 * SECTOR);
  return disk;
}

/** Multiboot 0.6.96, 3.1.3: header_addr, load_addr, load_end_addr, bss_end_addr and entry_addr follow the checksum. */
function addressFields(image: Uint8Array): { loadAddress: number; end: number; entry: number } {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  for (let at = 0; at + 32 <= Math.min(image.length, 8192); at += 4) {
    if (view.getUint32(at, true) !== HEADER_MAGIC) continue;
    const field = (i: number): number => view.getUint32(at + 4 * i, true);
    return { loadAddress: field(3) - at, end: field(6), entry: field(7) };
  }
  throw new Error('no multiboot header in the image');
}

const configuration = (
  { sound, version }: FoundBochs,
  display: string,
  memory: number,
  model: string,
): string => `display_library: ${display}
config_interface: textconfig
cpu: model=${model}, count=1, ips=4000000
memory: guest=${memory}, host=${memory}
romimage: file=${DATA}/BIOS-bochs-latest
vgaromimage: file=${DATA}/VGABIOS-lgpl-latest
boot: disk
ata0: enabled=1
ata0-master: type=disk, path=disk.img, mode=flat, cylinders=${CYLINDERS}, heads=16, spt=63
com1: enabled=1, mode=file, dev=com1.txt
${sound ? 'sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy\n' : ''}plugin_ctrl: speaker=0${sound ? ', gameport=0' : ''}${version.startsWith('2.') ? ', extfpuirq=0' : ''}
clock: sync=none
log: log.txt
panic: action=fatal
`;

/** Every line of the log starts with the clock. */
function lastTick(log: string): number {
  const ticks = [...log.matchAll(/^(\d+)[ipedw]/gm)];
  return Number(ticks.at(-1)?.[1] ?? 0);
}
