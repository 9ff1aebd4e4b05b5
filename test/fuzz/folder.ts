/** Files of a folder as one input: their names and sizes in a line of JSON, and then what they hold. */

export type Files = ReadonlyMap<string, Buffer>;

export const pack = (files: Files): Buffer =>
  Buffer.concat([
    Buffer.from(`${JSON.stringify([...files].map(([name, { length }]) => [name, length]))}\n`),
    ...files.values(),
  ]);

export function unpack(input: Uint8Array): Files {
  const bytes = Buffer.from(input.buffer, input.byteOffset, input.byteLength);
  const end = bytes.indexOf(0x0a);
  const sizes = JSON.parse(bytes.toString('utf8', 0, end)) as [name: string, size: number][];
  let at = end + 1;
  return new Map(
    sizes.map(([name, size]) => {
      at += size;
      return [name, bytes.subarray(at - size, at)];
    }),
  );
}
