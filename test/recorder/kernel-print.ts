/**
 * Prints a record as the kernel does: the `print fmt` of a format file, which is printk with expressions of C over the
 * fields of the record. Knows as much of C as the formats of kvm and kvmmmu use.
 */

export type Values = { readonly [field: string]: bigint | string | Uint8Array };
type Value = bigint | string;

/** Enumerators that the formats name; their values are those of the kernel's headers. */
const ENUMERATORS: { readonly [name: string]: bigint } = {
  VDSO_CLOCKMODE_NONE: 0n,
  VDSO_CLOCKMODE_TSC: 1n,
  VMXERR_VMLAUNCH_NONCLEAR_VMCS: 4n,
  VMXERR_VMRESUME_NONLAUNCHED_VMCS: 5n,
  VMXERR_VMRESUME_AFTER_VMXOFF: 6n,
  VMXERR_ENTRY_INVALID_CONTROL_FIELD: 7n,
  VMXERR_ENTRY_INVALID_HOST_STATE_FIELD: 8n,
  VMXERR_ENTRY_EVENTS_BLOCKED_BY_MOV_SS: 26n,
};

const TOKEN =
  /\s*("(?:[^"\\]|\\.)*"|0[xX][0-9a-fA-F]+|\d+|[A-Za-z_]\w*|->|<<|>>|<=|>=|==|!=|&&|\|\||[-+~!?:,(){}<>&|])/y;

/** Binary operators of C by their precedence. */
const BINARY: { readonly [operator: string]: readonly [number, (a: bigint, b: bigint) => bigint] } = {
  '||': [1, (a, b) => (a !== 0n || b !== 0n ? 1n : 0n)],
  '&&': [2, (a, b) => (a !== 0n && b !== 0n ? 1n : 0n)],
  '|': [3, (a, b) => a | b],
  '&': [4, (a, b) => a & b],
  '==': [5, (a, b) => (a === b ? 1n : 0n)],
  '!=': [5, (a, b) => (a !== b ? 1n : 0n)],
  '<': [6, (a, b) => (a < b ? 1n : 0n)],
  '>': [6, (a, b) => (a > b ? 1n : 0n)],
  '<<': [7, (a, b) => a << b],
  '>>': [7, (a, b) => a >> b],
  '-': [8, (a, b) => a - b],
  '+': [8, (a, b) => a + b],
};
const CASTS: { readonly [type: string]: number } = { u8: 8, u16: 16, u32: 32, u64: 64 };

class Expressions {
  readonly #tokens: string[] = [];
  readonly #values: Values;
  #at = 0;

  constructor(text: string, values: Values) {
    this.#values = values;
    TOKEN.lastIndex = 0;
    for (let end = 0; ; end = TOKEN.lastIndex) {
      const token = TOKEN.exec(text);
      if (token === null) {
        if (text.slice(end).trim() !== '') throw new Error(`no C that is known: ${text.slice(end, end + 40)}`);
        return;
      }
      this.#tokens.push(token[1] as string);
    }
  }

  /** The list to its end. */
  all(): Value[] {
    const values: Value[] = [];
    while (this.#at < this.#tokens.length) {
      values.push(this.#conditional());
      if (this.#at < this.#tokens.length) this.#expect(',');
    }
    return values;
  }

  #take(): string {
    const token = this.#tokens[this.#at];
    if (token === undefined) throw new Error('the format ends early');
    this.#at += 1;
    return token;
  }

  #accept(token: string): boolean {
    if (this.#tokens[this.#at] !== token) return false;
    this.#at += 1;
    return true;
  }

  #expect(token: string): void {
    const found = this.#take();
    if (found !== token) throw new Error(`${found} where ${token} belongs`);
  }

  #conditional(): Value {
    const condition = this.#binary(1);
    if (!this.#accept('?')) return condition;
    const yes = this.#conditional();
    this.#expect(':');
    const no = this.#conditional();
    return condition !== 0n ? yes : no;
  }

  #binary(least: number): Value {
    let left = this.#unary();
    for (;;) {
      const [precedence = 0, of] = BINARY[this.#tokens[this.#at] ?? ''] ?? [];
      if (of === undefined || precedence < least) return left;
      this.#at += 1;
      const right = this.#binary(precedence + 1);
      left = of(BigInt(left), BigInt(right));
    }
  }

  #unary(): Value {
    if (this.#accept('!')) return this.#unary() === 0n ? 1n : 0n;
    if (this.#accept('-')) return -BigInt(this.#unary());
    if (this.#accept('~')) return ~BigInt(this.#unary());
    return this.#primary();
  }

  #primary(): Value {
    const token = this.#take();
    if (token.startsWith('"')) {
      let text = JSON.parse(token) as string;
      while (this.#tokens[this.#at]?.startsWith('"')) text += JSON.parse(this.#take()) as string;
      return text;
    }
    if (/^\d/.test(token)) {
      if (/^[uUlL]+$/.test(this.#tokens[this.#at] ?? '')) this.#at += 1;
      return BigInt(token);
    }
    if (token === '(') {
      const bits = CASTS[this.#tokens[this.#at] ?? ''];
      if (bits !== undefined) {
        this.#at += 1;
        this.#expect(')');
        return BigInt.asUintN(bits, BigInt(this.#unary()));
      }
      const value = this.#conditional();
      this.#expect(')');
      return value;
    }
    if (token === 'REC') {
      this.#expect('->');
      const value = this.#values[this.#take()];
      if (typeof value !== 'bigint') throw new Error('no number of the record');
      return value;
    }
    return token.startsWith('__') ? this.#call(token) : this.#enumerator(token);
  }

  #enumerator(name: string): bigint {
    const value = ENUMERATORS[name];
    if (value === undefined && !name.startsWith('APICV_INHIBIT_REASON_')) throw new Error(`no enumerator ${name}`);
    return value ?? 63n; // no bit that a record here has: their names are of no matter
  }

  #call(name: string): string {
    this.#expect('(');
    if (name === '__get_str') {
      const value = this.#values[this.#take()];
      this.#expect(')');
      return String(value);
    }
    if (name === '__print_hex') return this.#hex();
    const value = BigInt(this.#conditional());
    this.#expect(',');
    const delimiter = name === '__print_flags' ? String(this.#conditional()) : null;
    if (delimiter !== null) this.#expect(',');
    const names = this.#names();
    if (delimiter === null) return names.find(([of]) => of === value)?.[1] ?? `0x${value.toString(16)}`;
    let rest = value;
    const set = names.flatMap(([mask, of]) => {
      if ((rest & mask) !== mask) return [];
      rest &= ~mask;
      return [of];
    });
    return [...set, ...(rest === 0n ? [] : [`0x${rest.toString(16)}`])].join(delimiter);
  }

  /** `{ value, "name" }, ... )` */
  #names(): (readonly [bigint, string])[] {
    const names: (readonly [bigint, string])[] = [];
    while (!this.#accept(')')) {
      this.#expect('{');
      if (!this.#accept('}')) {
        const value = BigInt(this.#conditional());
        this.#expect(',');
        names.push([value, String(this.#conditional())]);
        this.#expect('}');
      }
      this.#accept(',');
    }
    return names;
  }

  #hex(): string {
    this.#expect('REC');
    this.#expect('->');
    const bytes = this.#values[this.#take()];
    this.#expect(',');
    const length = Number(this.#conditional());
    this.#expect(')');
    if (!(bytes instanceof Uint8Array)) throw new Error('no bytes of the record');
    return [...bytes.subarray(0, length)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  }
}

const SPECIFIER = /%(#?)(0?)(\d*)(?:ll|l|h{0,2})([duxsp])/g;

/** What one specifier of printk makes of a value of `bits`. */
function written(value: Value, sharp: boolean, zero: boolean, width: number, type: string, long: boolean): string {
  if (typeof value === 'string') return value;
  const bits = long ? 64 : 32;
  const number = type === 'd' ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value);
  const digits = type === 'x' || type === 'p' ? number.toString(16) : number.toString();
  const prefix = (sharp && number !== 0n) || type === 'p' ? '0x' : '';
  return prefix + (zero ? digits.padStart(Math.max(0, width - prefix.length), '0') : digits);
}

/** The text that the kernel prints of a record, by the `print fmt` of its format file. */
export function printed(format: string, values: Values): string {
  const [, text = '', list = ''] =
    /^print fmt: ("(?:[^"\\]|\\.)*"(?:\s*"(?:[^"\\]|\\.)*")*),?\s*(.*)$/m.exec(format) ?? [];
  const pattern = [...text.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, part]) => part).join('');
  const rest = new Expressions(list, values).all();
  return pattern.replaceAll(SPECIFIER, (specifier, sharp: string, zero: string, width: string, type: string) => {
    const value = rest.shift();
    if (value === undefined) throw new Error('more specifiers than values');
    return written(value, sharp !== '', zero !== '', Number(width), type, specifier.includes('l') || type === 'p');
  });
}
