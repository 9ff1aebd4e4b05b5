/** Which kind of image it is, by its content; and a clear word about those that cannot be started. */
import { EngineError } from '../errors.js';
import { isElf } from './elf.js';
import { BOOT_SECTOR, bootFlat, type FlatPlacement } from './flat.js';
import { bootMultiboot, findMultiboot } from './multiboot.js';
import type { BootRequest, BootState } from './state.js';

interface Known {
  readonly at: number;
  readonly magic: readonly number[];
  readonly says: string;
}

/** Files that people give by mistake, or that are for later. */
const KNOWN: readonly Known[] = [
  { at: 0x202, magic: [0x48, 0x64, 0x72, 0x53], says: 'a Linux kernel (bzImage)' },
  { at: 0x8001, magic: [0x43, 0x44, 0x30, 0x30, 0x31], says: 'a CD image (ISO 9660)' },
  { at: 0, magic: [0x4d, 0x5a], says: 'a Windows or UEFI program' },
  { at: 0, magic: [0x1f, 0x8b], says: 'a gzip archive' },
  { at: 0, magic: [0x28, 0xb5, 0x2f, 0xfd], says: 'a zstd archive' },
  { at: 0, magic: [0x51, 0x46, 0x49, 0xfb], says: 'a QEMU disk image (qcow2)' },
  { at: 0, magic: [0x53, 0x51, 0x4c, 0x69, 0x74, 0x65], says: 'an SQLite database' },
];

const has = (bytes: Uint8Array, { at, magic }: Known): boolean => magic.every((value, i) => bytes[at + i] === value);
const SIGNATURE_AT = 510;
const isBootSector = (bytes: Uint8Array): boolean =>
  bytes.length === 512 && bytes[SIGNATURE_AT] === 0x55 && bytes[SIGNATURE_AT + 1] === 0xaa;

/**
 * The state in which the image starts: as `flat` says where that is given, else as its content says. Throws EngineError
 * with a code of IMAGE_*.
 */
export function boot(request: BootRequest, flat: FlatPlacement | null = null): BootState {
  const { image, name } = request;
  if (image.length === 0) throw new EngineError('IMAGE_EMPTY', name);
  if (flat !== null) return bootFlat(request, flat);
  if (findMultiboot(image) !== null) return bootMultiboot(request);
  const known = KNOWN.find((each) => has(image, each));
  if (known !== undefined) throw new EngineError('IMAGE_UNSUPPORTED', name, `it is ${known.says}`);
  if (isElf(image)) {
    throw new EngineError(
      'IMAGE_UNSUPPORTED',
      name,
      'it is an ELF file without a multiboot header in its first 8192 bytes',
    );
  }
  if (isBootSector(image)) return bootFlat(request, BOOT_SECTOR);
  throw new EngineError('IMAGE_UNKNOWN', name, `no header that Trapline knows in its ${image.length} bytes`);
}
