/** Files that a compressor wrote, told by their first bytes: who reads traces or logs says what unpacks them. */

export interface Compression {
  /** What wrote it. */
  readonly name: string;
  /** The command that prints what is in it. */
  readonly unpacks: string;
}

/**
 * gzip (RFC 1952, 2.3.1), zstd (RFC 8878, 3.1.1), xz (The .xz File Format, 2.1.1.1), lz4 (LZ4 Frame format, "General
 * Structure of LZ4 Frame format" and "Legacy frame"), zip (APPNOTE.TXT, 4.3.7).
 */
const MAGIC: readonly (Compression & { readonly bytes: readonly number[] })[] = [
  { bytes: [0x1f, 0x8b], name: 'gzip', unpacks: 'zcat' },
  { bytes: [0x28, 0xb5, 0x2f, 0xfd], name: 'zstd', unpacks: 'zstdcat' },
  { bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a], name: 'xz', unpacks: 'xzcat' },
  { bytes: [0x04, 0x22, 0x4d, 0x18], name: 'lz4', unpacks: 'lz4 -dc' },
  { bytes: [0x02, 0x21, 0x4c, 0x18], name: 'lz4', unpacks: 'lz4 -dc' },
  { bytes: [0x50, 0x4b, 0x03, 0x04], name: 'zip', unpacks: 'unzip -p' },
  // The bits of a code, 9 to 16, and whether the table may be cleared, which all but the oldest allow (ncompress).
  ...Array.from({ length: 8 }, (_, i) => ({
    bytes: [0x1f, 0x9d, 0x89 + i],
    name: 'compress',
    unpacks: 'uncompress -c',
  })),
  // No magic: lc = 3, lp = 0 and pb = 2, as every tool writes, and a dictionary of whole 64 KiB (LZMA SDK, lzma.txt).
  { bytes: [0x5d, 0x00, 0x00], name: 'lzma', unpacks: 'xz --format=lzma -dc' },
  // The digit of its level is followed by that of the first block, 3.1415926 in decimal.
  ...Array.from({ length: 9 }, (_, i) => ({
    bytes: [0x42, 0x5a, 0x68, 0x31 + i, 0x31, 0x41, 0x59, 0x26],
    name: 'bzip2',
    unpacks: 'bzcat',
  })),
];

/** Bytes that tell it. */
export const COMPRESSED_HEAD = Math.max(...MAGIC.map(({ bytes }) => bytes.length));

/** How a file is compressed that begins so; null where it is not. */
export const compressionOf = (head: Uint8Array): Compression | null =>
  MAGIC.find(({ bytes }) => bytes.every((byte, i) => head[i] === byte)) ?? null;

/** What to do about it, where a command takes what is in it. */
export const unpackFor = ({ unpacks }: Compression, command: string): string =>
  `run \`${unpacks} FILE | trapline ${command} -\``;
