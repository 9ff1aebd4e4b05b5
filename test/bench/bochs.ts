/**
 * Debian's Bochs as a second opinion and as a peer of the benchmark: runs a multiboot image headless and says what it
 * printed, how long it took and how many instructions retired. Bochs cannot load multiboot images, so `bochs/boot.asm`
 * does, from a disk that is composed here.
 */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { inPackage } from '../../traces/guests/guest.js';

const BOCHS = '/usr/bin/bochs';
const DATA = '/usr/share/bochs';
const LIBRARIES = '/usr/lib';
const DISPLAY = 'bochs/plugins/libbx_term_gui.so';
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
  readonly model?: 'corei7_skylake_x' | 'ryzen';
}

export interface BochsRun {
  /** What the image printed on COM1. */
  readonly console: string;
  /** Wall-clock time of the whole process: start, firmware, the image. */
  readonly seconds: number;
  /** Bochs's clock at the end: one tick an instruction and an iteration of REP, firmware and idle time included. */
  readonly ticks: number;
}

/** Why Bochs cannot be used here, or null where it can: it takes the packages `bochs` and `bochs-term`. */
export function bochsMissing(): string | null {
  if (!existsSync(BOCHS)) return `${BOCHS} is not installed`;
  const display = readdirSync(LIBRARIES).some((arch) => existsSync(join(LIBRARIES, arch, DISPLAY)));
  return display ? null : 'the display library of the package bochs-term is not installed';
}

/** Runs a multiboot image with address fields in its header until it asks for shutdown (lib/console.inc, `exit`). */
export async function runUnderBochs(
  image: Uint8Array,
  commandLine: string,
  { memory = 64, timeout = 120, model = 'corei7_skylake_x' }: BochsOptions = {},
): Promise<BochsRun> {
  const folder = await mkdtemp(join(tmpdir(), 'trapline-bochs-'));
  try {
    const boot = await readFile(inPackage('test', 'bench', 'bochs', 'boot.img'));
    await writeFile(join(folder, 'disk.img'), composeDisk(boot, image, commandLine));
    await writeFile(join(folder, 'debugger.rc'), 'continue\n');
    await writeFile(join(folder, 'bochsrc'), configuration(memory, model));
    const started = performance.now();
    await start(folder, timeout);
    const seconds = (performance.now() - started) / 1000;
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

/** Bochs ends with code 1 when a guest asks for shutdown; only a missing console says that the run failed. */
async function start(folder: string, timeout: number): Promise<void> {
  const call = promisify(execFile)(BOCHS, ['-q', '-f', 'bochsrc', '-rc', 'debugger.rc'], {
    cwd: folder,
    env: { ...process.env, TERM: 'xterm' },
    timeout: timeout * 1000,
    killSignal: 'SIGKILL',
    maxBuffer: 64 << 20,
  });
  call.child.stdin?.end();
  const failure = await call.then(
    () => null,
    (error: { killed?: boolean }) => error,
  );
  if (failure?.killed) throw new Error(`Bochs did not end within ${timeout} s`);
  if (!existsSync(join(folder, 'com1.txt'))) throw new Error('Bochs did not start: its log is lost with its folder');
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

const configuration = (memory: number, model: string): string => `display_library: term
config_interface: textconfig
cpu: model=${model}, count=1, ips=4000000
memory: guest=${memory}, host=${memory}
romimage: file=${DATA}/BIOS-bochs-latest
vgaromimage: file=${DATA}/VGABIOS-lgpl-latest
boot: disk
ata0: enabled=1
ata0-master: type=disk, path=disk.img, mode=flat, cylinders=${CYLINDERS}, heads=16, spt=63
com1: enabled=1, mode=file, dev=com1.txt
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
plugin_ctrl: speaker=0, gameport=0, extfpuirq=0
clock: sync=none
log: log.txt
panic: action=fatal
`;

/** Every line of the log starts with the clock. */
function lastTick(log: string): number {
  const ticks = [...log.matchAll(/^(\d+)[ipedw]/gm)];
  return Number(ticks.at(-1)?.[1] ?? 0);
}
