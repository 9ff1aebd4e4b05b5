/** JSON as every command prints it: 64-bit values (bigint) as hex strings, bytes as hex, maps as objects. */
export function toJson(value: unknown): string {
  return JSON.stringify(
    value,
    (_key, cell: unknown) => {
      if (typeof cell === 'bigint') return `0x${BigInt.asUintN(64, cell).toString(16)}`;
      if (cell instanceof Uint8Array) return Buffer.from(cell).toString('hex');
      if (cell instanceof Map) return Object.fromEntries(cell);
      return cell;
    },
    2,
  );
}
