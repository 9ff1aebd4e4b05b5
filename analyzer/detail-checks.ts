/**
 * Why an entry failed: the rules that it violated, and the fields that they read as they were then, with the VMWRITE
 * that gave each its value.
 */
import { EVENT_KINDS } from '../engine/observer.js';
import { MANUAL } from '../engine/vmx/checks/manual.js';
import { CHECKS } from '../engine/vmx/checks/table.js';
import { FIELDS, fieldAt } from '../engine/vmx/fields.js';
import { CHUNK_ROWS } from '../traces/schema.js';
import type { TraceReader } from '../traces/store.js';
import { decodeBits } from './explain/decode.js';
import type { CheckedField, ViolatedCheck } from './timeline-answers.js';
import type { EventIndex } from './timeline-index.js';

const MAX = { says: 200, rule: 4000, fields: 12, chunks: 64 } as const;
const COLUMNS = ['kind', 'vmcs', 'code', 'old', 'value'] as const;
const ENCODINGS = new Map(FIELDS.map(({ name, encoding }) => [name as string, BigInt(encoding)]));

/** A value that a field got. */
interface Write {
  readonly value: bigint;
  readonly old: bigint | null;
  readonly by: number;
  readonly stale: boolean;
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** Names of the fields that a rule of our own tables reads; none where the rule is another tool's. */
function fieldsOf(id: string): string[] {
  const check = CHECKS.find((each) => each.id === id);
  return [
    ...new Set((check?.reads ?? []).flatMap((read) => (typeof read === 'number' ? [fieldAt(read)?.name ?? ''] : []))),
  ]
    .filter((name) => name !== '')
    .slice(0, MAX.fields);
}

/** The rules, from their names and what the trace's dictionary says of them. */
export function violatedChecks(
  reader: TraceReader,
  index: EventIndex,
  checks: readonly { readonly id: string; readonly says: string | null }[],
  failed: { readonly seq: number; readonly vmcs: bigint | null },
): ViolatedCheck[] {
  const wanted = new Set(checks.flatMap(({ id }) => fieldsOf(id)));
  const written =
    wanted.size === 0 || failed.vmcs === null ? new Map() : writesOf(reader, index, wanted, failed.seq, failed.vmcs);
  return checks.map(({ id, says }) => {
    const check = CHECKS.find((each) => each.id === id);
    return {
      id: id.slice(0, MAX.says),
      says: (check?.says ?? says)?.slice(0, MAX.rule) ?? null,
      cites: check === undefined ? null : `${MANUAL}, ${check.cites.section}, "${check.cites.title}"`,
      causes: check?.causes ?? [],
      fields: fieldsOf(id).map((name) => checkedField(name, written.get(name) ?? null)),
    };
  });
}

function checkedField(name: string, write: Write | null): CheckedField {
  if (write === null) return { name, value: null, says: null, old: null, by: null, stale: false };
  const { value, old, by, stale } = write;
  const says = decodeBits(name, value).join(', ').slice(0, MAX.says);
  return { name, value: hex(value), says: says === '' ? null : says, old: old === null ? null : hex(old), by, stale };
}

/** The latest VMWRITEs of some fields of a VMCS before an event, looked for backwards. */
function writesOf(
  reader: TraceReader,
  index: EventIndex,
  wanted: ReadonlySet<string>,
  seq: number,
  vmcs: bigint,
): Map<string, Write> {
  const left = new Map(
    [...wanted].flatMap((name) => {
      const encoding = ENCODINGS.get(name);
      return encoding === undefined ? [] : [[encoding, name] as const];
    }),
  );
  const found = new Map<string, Write>();
  let exited = false;
  let to = seq;
  for (let n = 0; n < MAX.chunks && to > 0 && left.size > 0; n++) {
    const from = Math.floor((to - 1) / CHUNK_ROWS.event) * CHUNK_ROWS.event;
    for (const chunk of [...reader.chunks('event', { from, to, columns: COLUMNS })].reverse()) {
      const [kinds, vmcses, codes, olds, values] = COLUMNS.map((name) => chunk.column(name));
      for (let i = Math.min(chunk.rows, to - chunk.first) - 1; i >= 0 && left.size > 0; i--) {
        const row = chunk.first + i;
        const kind = kinds?.numbers?.[i];
        const ofThis = vmcses?.big?.[i] === vmcs && (vmcses.valid === null || vmcses.valid[i] === 1);
        if (kind === EVENT_KINDS.exit && (ofThis || sameVcpu(index, row, seq))) exited = true;
        if (kind !== EVENT_KINDS.vmwrite || !ofThis) continue;
        const code = codes?.big?.[i] ?? -1n;
        const name = left.get(code);
        if (name === undefined) continue;
        left.delete(code);
        const old = olds?.valid === null || olds?.valid[i] === 1 ? (olds?.big?.[i] ?? null) : null;
        // an exit saves fields of the guest area alone
        const stale = exited && FIELDS.find((field) => field.name === name)?.type === 'guest';
        found.set(name, { value: values?.big?.[i] ?? 0n, old, by: row, stale });
      }
    }
    to = from;
  }
  return found;
}

const sameVcpu = ({ lane, lanes }: EventIndex, row: number, other: number): boolean =>
  lanes[lane[row] ?? 0]?.vcpu === lanes[lane[other] ?? 0]?.vcpu;
