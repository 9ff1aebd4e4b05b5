/** Files that a compressor wrote, told by their first bytes: who reads traces or logs says what unpacks them. */

export interface Compression {
  /** What wrote it. */
  readonly name: string;
  /** The command that prints what is in it. */
  readonly unpacks: string;
}

/** gzip (RFC 1952, 2.3.1), zstd (RFC 8878, 3.1.1), xz (The .xz File Format, 2.1.1.1). */
const MAGIC: readonly (Compression & { readonly bytes: readonly number[] })[] = [
  { bytes: [0x1f, 0x8b], name: 'gzip', unpacks: 'zcat' },
  { bytes: [0x28, 0xb5, 0x2f, 0xfd], name: 'zstd', unpacks: 'zstdcat' },
  { bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a], name: 'xz', unpacks: 'xzcat' },
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
