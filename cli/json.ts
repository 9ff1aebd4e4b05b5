const REPLACE = (_key: string, cell: unknown): unknown => {
  if (typeof cell === 'bigint') return `0x${BigInt.asUintN(64, cell).toString(16)}`;
  if (cell instanceof Uint8Array) return Buffer.from(cell).toString('hex');
  if (cell instanceof Map) return Object.fromEntries(cell);
  return cell;
};

/** JSON as every command prints it: 64-bit values (bigint) as hex strings, bytes as hex, maps as objects. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, REPLACE, 2);
}

/** The same on one line, for commands that print one document after the other. */
export function toJsonLine(value: unknown): string {
  return JSON.stringify(value, REPLACE);
}
