/** The table of docs/query.md that says which columns the tracepoints of KVM fill. */
import { TRACEPOINTS } from '../../recorder/import/kvm/table.js';
import { CONVERSIONS, type Special, type Tracepoint, type Use, usesOf } from '../../recorder/import/kvm/tracepoint.js';

/** What stands in which column, for uses that are not the column's name. */
const SAYS: { readonly [use in Use]?: (field: string) => readonly [column: string, says: string] } = {
  page: (field) => ['gpa', `${field} << 12`],
  level: (field) => ['code', `level of ${field}`],
  vector: (field) => ['code', `vector of ${field}`],
  destination: (field) => ['value', `destination of ${field}`],
  msi_destination: (field) => ['value', `destination of ${field}`],
  failure: (field) => ['code', field],
  address: (field) => ['gpa`, `gva', field],
  fault: (field) => ['qualification`, `error_code', field],
  access: (field) => ['flags', `write, refused by ${field}`],
  write: (field) => ['flags', `write by ${field}`],
  refused: (field) => ['flags', `refused by ${field}`],
  on: (field) => ['flags', `on by ${field}`],
};
/** Uses that the kind's own columns hold, or none. */
const APART: ReadonlySet<string> = new Set(['vcpu', 'isa', 'info', 'count', 'rare', 'special']);

/** What the special readers fill beside the columns of the fields. */
const SPECIAL: { readonly [name in Special]: string } = {
  emulate: '; `code` csbase unless 0; `bytes` insn',
  interrupt: '`code` vector or irq',
  exception: '; `error_code` error_code',
  userspace: '`code` reason, or `value` errno',
};

function columnsOf({ fields, flags, special }: Tracepoint): string {
  const found = new Map<string, string[]>();
  const add = (column: string, says: string): void => {
    found.set(column, [...(found.get(column) ?? []), says]);
  };
  if (flags === 'write') add('flags', 'write');
  for (const [field, filled] of Object.entries(fields)) {
    for (const [use] of usesOf(filled)) if (!APART.has(use)) add(...(SAYS[use]?.(field) ?? [use, field]));
  }
  const said = [...found].map(([column, says]) => `\`${column}\` ${says.join(column === 'flags' ? ', ' : ' or ')}`);
  return said.join('; ') + (special === undefined ? '' : SPECIAL[special]);
}

const converted = Object.keys(CONVERSIONS).every((use) => SAYS[use as Use] !== undefined);
if (!converted) throw new Error('a conversion has no words');

/** One line a tracepoint, by kind. */
export const TRACEPOINT_DOCS = `## Tracepoints of KVM

Imported events have these kinds, and the fields of the kernel's records in these columns. Where several share a kind,
the column \`tracepoint\` tells them apart: the dictionary, domain \`event\`, has its name, and as JSON the names of the
fields by column. \`text\` has what no column holds: fields without one, and whole words of which a column holds a part. A
tracepoint that is not listed has kind \`other\`, its name in \`tracepoint\`, and its name and all of its fields in \`text\`.

| kind | tracepoint | columns |
|---|---|---|
${Object.entries(TRACEPOINTS)
  .sort(([, { kind: a }], [, { kind: b }]) => (a < b ? -1 : a > b ? 1 : 0))
  .map(([name, tracepoint]) => `| ${tracepoint.kind} | \`${name}\` | ${columnsOf(tracepoint)} |`)
  .join('\n')}
`;
