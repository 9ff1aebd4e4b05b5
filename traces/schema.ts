/**
 * The trace format: tables, columns and their invariants. Both stores, the logical digest and `query` follow this
 * table; any change to it bumps FORMAT_VERSION, adds an upgrader to `traces/upgrade.ts` and a line to CHANGELOG below.
 *
 * Invariants
 * - `event.seq` counts from 0 without gaps, in the order in which things happened; `tick` of our machine never
 *   falls within a vCPU.
 * - A column that a source does not say is null: nothing is invented on import.
 * - Rows of a table are in the order in which they were appended; the logical digest is taken in that order.
 * - Chunks are cut by row count only (CHUNK_ROWS), so that the digest does not depend on when a store flushed.
 * - The digest is SHA-256 over 128-bit tags of each column of each chunk (GMAC; traces/digest.ts says why and how).
 * - 64-bit integers are two's complement in SQLite, uint64 in Arrow, hex strings in JSON.
 *
 * CHANGELOG
 * - 1: first version.
 * - 2: the fact `memory` names kinds of access; kind `fetch` is recorded.
 * - 3: a chunk's description stands before its rows in SQLite, and in its record batch in Arrow, so that a cut trace
 *   keeps what lies before the cut.
 * - 4: `event.tracepoint` names the tracepoint of an imported event that shares its kind; bit 5 of `flags`; `event.tick`
 *   may hold cycles of a host's TSC.
 * - 5: the facts `stopped` and `damaged`; an import that ended before its source did is not complete.
 * - 6: the fact `silent`.
 * - 7: `event.text` of an event that shares its kind no longer repeats its name and what its columns hold; the dictionary
 *   says which fields those are.
 */
export const FORMAT_VERSION = 7;

/** Rows a chunk holds at the most; the last chunk of a table may hold fewer. */
export const CHUNK_ROWS = { event: 8192, register: 8192, memory: 65_536, other: 1024 } as const;

export type ColumnType = 'u8' | 'u16' | 'u32' | 'u64' | 'i64' | 'text' | 'bytes';

export interface Column {
  readonly name: string;
  readonly type: ColumnType;
  readonly nullable: boolean;
  readonly says: string;
}

export interface Table {
  readonly name: TableName;
  readonly says: string;
  readonly columns: readonly Column[];
}

export const TABLE_NAMES = [
  'run',
  'dictionary',
  'event',
  'register',
  'memory',
  'message',
  'input',
  'output',
  'checkpoint',
  'checkpoint_page',
  'page',
] as const;
export type TableName = (typeof TABLE_NAMES)[number];

const column = (name: string, type: ColumnType, says: string): Column => ({ name, type, nullable: false, says });
const optional = (name: string, type: ColumnType, says: string): Column => ({ name, type, nullable: true, says });

/** General registers in the order of the `register` table: the manual's encoding order, then RFLAGS. */
export const REGISTERS = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
  'rflags',
] as const;

export const TABLES: { readonly [name in TableName]: Table } = {
  run: {
    name: 'run',
    says: 'One row a fact of the run: what it takes to replay it anywhere. Keys are listed in RUN_KEYS.',
    columns: [
      column('key', 'text', 'name of the fact'),
      optional('text', 'text', 'its value as text or JSON'),
      optional('bytes', 'bytes', 'its value as bytes (the image)'),
    ],
  },
  dictionary: {
    name: 'dictionary',
    says: 'Names of the numbers that the other tables use, so that a trace explains itself.',
    columns: [
      column('domain', 'text', 'kind, reason.vmx, reason.svm, field, check, register, access, vcpu, msr, ...'),
      column('code', 'u64', 'the number'),
      column('name', 'text', 'its name'),
      optional(
        'says',
        'text',
        'a sentence, a citation, or JSON (domain vcpu: {"vm","thread","vcpu"}; domain event: the fields by column or flag)',
      ),
    ],
  },
  event: {
    name: 'event',
    says: 'What happened, in order.',
    columns: [
      column('seq', 'u64', 'position in the run, from 0 without gaps'),
      optional('tick', 'u64', 'machine time (deterministic runs), or cycles of the TSC (real hosts that tell no time)'),
      column('vcpu', 'u32', 'lane; dictionary domain vcpu says which VM, thread and vCPU it is'),
      optional('step', 'u64', 'retired instructions of the vCPU (deterministic runs)'),
      optional('time_ns', 'i64', 'host time in nanoseconds (real hosts)'),
      column('kind', 'u8', 'dictionary domain kind'),
      optional(
        'tracepoint',
        'u32',
        'dictionary domain event: what the source calls an event whose kind does not say it',
      ),
      optional('isa', 'u8', '1 VMX, 2 SVM: the table that decodes reason'),
      optional('from_level', 'u8', 'level that was running'),
      optional('to_level', 'u8', 'level that runs next'),
      optional('parent', 'u64', 'seq of the exit that this work serves'),
      optional('vmcs', 'u64', 'physical address of the current VMCS or VMCB'),
      optional('reason', 'u64', 'exit reason with all its bits (VMX), exit code (SVM)'),
      optional('qualification', 'u64', 'exit qualification (VMX), EXITINFO1 (SVM)'),
      optional('info2', 'u64', 'EXITINFO2 (SVM), or the second information word of the source'),
      optional('intr_info', 'u32', 'interruption information'),
      optional('error_code', 'u32', 'its error code'),
      optional('rip', 'u64', 'guest RIP'),
      optional('cr3', 'u64', 'guest CR3'),
      optional('gva', 'u64', 'guest linear address'),
      optional('gpa', 'u64', 'guest physical address'),
      optional('code', 'u64', 'what the event is about: field, port, MSR, vector, error number, command, leaf, check'),
      optional('old', 'u64', 'value before'),
      optional('value', 'u64', 'value after, written or read'),
      optional('size', 'u8', 'bytes of an access'),
      optional('flags', 'u32', 'bit 0 write, 1 string, 2 rep, 3 refused, 4 implied, 5 on: set, new, entering'),
      optional('bytes', 'bytes', 'instruction bytes, 15 at the most'),
      optional('text', 'text', 'fields of the source that have no column, as it wrote them'),
    ],
  },
  register: {
    name: 'register',
    says: 'General registers that changed since the previous exit of the same vCPU; null: unchanged.',
    columns: [column('seq', 'u64', 'the exit'), ...REGISTERS.map((name) => optional(name, 'u64', 'value at the exit'))],
  },
  memory: {
    name: 'memory',
    says:
      'Guest memory accesses. The same rows come from recording them and from a later replay. A fetch is an instruction ' +
      'that begins, with its bytes; a repeated string instruction is fetched again only where something came between.',
    columns: [
      column('tick', 'u64', 'machine time'),
      column('vcpu', 'u8', 'lane'),
      column('level', 'u8', 'whose code'),
      column('kind', 'u8', 'dictionary domain access: load, store, fetch, walk'),
      column('size', 'u8', 'bytes, 64 at the most'),
      optional('gva', 'u64', 'linear address; null for a walk'),
      column('gpa', 'u64', 'physical address as that level sees it'),
      column('value', 'u64', 'the first 8 bytes, little-endian'),
      optional('wide', 'bytes', 'all bytes of an access of more than 8'),
    ],
  },
  message: {
    name: 'message',
    says: 'Decoded conversations between guests and monitors.',
    columns: [
      optional('seq', 'u64', 'the event that completed it'),
      optional('tick', 'u64', 'machine time'),
      column('vcpu', 'u32', 'lane'),
      optional('level', 'u8', 'level of the guest'),
      column('protocol', 'text', 'rpci, tclo, vmcall, log, ...'),
      column('channel', 'u32', 'channel number'),
      column('direction', 'u8', '0 guest to host, 1 host to guest'),
      column('body', 'bytes', 'what was said'),
    ],
  },
  input: {
    name: 'input',
    says: 'What came from outside the machine, stamped with the tick at which it arrived.',
    columns: [
      column('tick', 'u64', 'machine time of arrival'),
      column('port', 'text', 'com1, tclo, ...'),
      column('bytes', 'bytes', 'what arrived'),
    ],
  },
  output: {
    name: 'output',
    says: 'What the guest sent to the outside.',
    columns: [
      column('tick', 'u64', 'machine time'),
      column('port', 'text', 'com1, debugcon, log, ...'),
      column('bytes', 'bytes', 'what was sent'),
    ],
  },
  checkpoint: {
    name: 'checkpoint',
    says: 'States from which replay can start. RAM is in checkpoint_page and page.',
    columns: [
      column('id', 'u32', 'counts from 0; 0 is the state before the first tick'),
      column('tick', 'u64', 'machine time'),
      column('seq', 'u64', 'seq of the next event'),
      column('state', 'bytes', 'CPU state, one block a vCPU'),
      column('devices', 'text', 'JSON: one record a device, and the monitor'),
      column('digest', 'text', 'hex digest of CPU, devices and all of RAM'),
    ],
  },
  checkpoint_page: {
    name: 'checkpoint_page',
    says: 'Pages that changed since the previous checkpoint.',
    columns: [
      column('checkpoint', 'u32', 'its id'),
      column('number', 'u32', 'page frame number'),
      column('hash', 'text', 'page.hash; empty: the page is all zero'),
    ],
  },
  page: {
    name: 'page',
    says: 'Contents of 4 KiB pages, each once.',
    columns: [column('hash', 'text', 'SHA-256 of the content, hex'), column('content', 'bytes', '4096 bytes')],
  },
};

/** Keys of the `run` table. */
export const RUN_KEYS = {
  format: 'FORMAT_VERSION as decimal text',
  source: 'engine, or the name of the importer',
  semantics: 'version of the engine semantics that recorded it (source engine)',
  cpu: 'CPU model',
  configuration: 'JSON: everything that the run is a function of, besides image and inputs',
  memory:
    'JSON: which memory accesses were recorded: "off", or {"ranges","kinds"}: "all" or [{"from","to"}], names of kinds',
  image: 'the image itself, as bytes',
  image_name: 'its name, for people',
  complete: '1 once the recorder closed the trace in order, and of an import once it read its source to the end',
  stopped: 'JSON: what ended an import before its source did, {"code","what","where","why","advice"}',
  damaged: 'lines or places of the source of an import that could not be read, decimal; absent: none',
  silent:
    'JSON: names, as ["kvm:kvm_userspace_exit"], of the tracepoints of which the source of an import says that all their events were recorded, and of which it has none; absent: it says it of none',
  ticks: 'machine time at the end',
  state: 'digest of the machine at the end, made as those of checkpoints',
  outcome: 'JSON: how the run ended',
  digest: 'logical digest over all tables but run, dictionary and memory',
  notes: 'JSON: what the importer has to tell its user',
} as const;
