/** Small ELF files for tests, made by the tables of the specification. */

export interface DraftSymbol {
  readonly name: string;
  readonly value: bigint;
  readonly size?: number;
  /** STT_FUNC 2, STT_OBJECT 1, STT_NOTYPE 0. */
  readonly type?: number;
  /** STB_GLOBAL 1, STB_LOCAL 0, STB_WEAK 2. */
  readonly bind?: number;
  /** Index of the section; 1 is executable. */
  readonly section?: number;
}

export interface DraftElf {
  readonly bits: 32 | 64;
  readonly big?: boolean;
  /** ET_EXEC 2, ET_DYN 3, ET_REL 1. */
  readonly type?: number;
  readonly machine?: number;
  /** SHT_SYMTAB 2, SHT_DYNSYM 11. */
  readonly table?: number;
  readonly symbols: readonly DraftSymbol[];
}

/** Sections: null, .text, the symbol table, its names. */
export function elfFile({ bits, big = false, type = 2, machine = 62, table = 2, symbols }: DraftElf): Uint8Array {
  const wide = bits === 64;
  const [headSize, sectionSize, symbolSize] = wide ? [64, 64, 24] : [52, 40, 16];
  const names = Buffer.from(`\0${symbols.map(({ name }) => `${name}\0`).join('')}`);
  const symbolsAt = headSize;
  const namesAt = symbolsAt + symbolSize * (symbols.length + 1);
  const sectionsAt = (namesAt + names.length + 7) & ~7;
  const bytes = new Uint8Array(sectionsAt + 4 * sectionSize);
  const view = new DataView(bytes.buffer);
  const u16 = (at: number, value: number): void => view.setUint16(at, value, !big);
  const u32 = (at: number, value: number): void => view.setUint32(at, value, !big);
  const word = (at: number, value: bigint): void =>
    wide ? view.setBigUint64(at, value, !big) : view.setUint32(at, Number(value), !big);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, big ? 2 : 1, 1]);
  u16(16, type);
  u16(18, machine);
  word(wide ? 40 : 32, BigInt(sectionsAt));
  u16(wide ? 58 : 46, sectionSize);
  u16(wide ? 60 : 48, 4);
  let nameAt = 1;
  symbols.forEach(({ name, value, size = 0, type: kind = 2, bind = 1, section = 1 }, i) => {
    const at = symbolsAt + symbolSize * (i + 1);
    u32(at, nameAt);
    bytes[at + (wide ? 4 : 12)] = (bind << 4) | kind;
    u16(at + (wide ? 6 : 14), section);
    word(at + (wide ? 8 : 4), value);
    word(at + (wide ? 16 : 8), BigInt(size));
    nameAt += Buffer.byteLength(name) + 1;
  });
  bytes.set(names, namesAt);
  const section = (index: number, kind: number, flags: number, offset: number, size: number, link = 0, entry = 0) => {
    const at = sectionsAt + index * sectionSize;
    u32(at + 4, kind);
    word(at + 8, BigInt(flags));
    word(at + (wide ? 24 : 16), BigInt(offset));
    word(at + (wide ? 32 : 20), BigInt(size));
    u32(at + (wide ? 40 : 24), link);
    word(at + (wide ? 56 : 36), BigInt(entry));
  };
  section(1, 1, 6, 0, 0);
  section(2, table, 0, symbolsAt, namesAt - symbolsAt, 3, symbolSize);
  section(3, 3, 0, namesAt, names.length);
  return bytes;
}
