/**
 * What the page asks of a trace, and what it is answered. Types alone, so that the page's code may import them:
 * everything here travels as JSON. Lists that can be long are flat arrays of numbers, described by their stride.
 */

/** What the x-axis counts. A trace has those of which its events say something; `seq` is always there. */
export const AXES = ['tick', 'time', 'seq'] as const;
export type Axis = (typeof AXES)[number];

/** A range of an axis: ticks, nanoseconds since the first event, or events; `to` is exclusive. */
export interface Domain {
  readonly from: number;
  readonly to: number;
}

/** Events of one kind, and of one reason where the kind has reasons: what a colour stands for. */
export interface Category {
  /** Name of the kind: exit, entry, vmwrite, ... */
  readonly kind: string;
  /** Name of the exit reason; null where the kind has none. */
  readonly reason: string | null;
  /** 1 VMX, 2 SVM; null where the source does not say. */
  readonly isa: number | null;
  /** A VM entry that failed, or an instruction that ended in VMfail: never hidden by a filter of kinds or reasons. */
  readonly failure: boolean;
  /** Events of this category in the whole trace. */
  readonly count: number;
}

/** Events of one vCPU at one level. */
export interface Lane {
  readonly vcpu: number;
  /** Null where the source does not say. */
  readonly level: number | null;
  readonly name: string;
  readonly count: number;
  /** Indexes of the categories that its events have. */
  readonly categories: readonly number[];
}

/** A stretch of the trace of which nothing is known. */
export interface Gap {
  /** Null: all lanes. */
  readonly vcpu: number | null;
  readonly from: number;
  readonly to: number;
  /** The `lost` event, or the first row after the hole; null at the end of a trace that was cut. */
  readonly seq: number | null;
  /** Events that the source says it lost; null where it does not say how many. */
  readonly lost: number | null;
  /** How many gaps this one stands for at this level of detail. */
  readonly gaps: number;
  readonly says: string;
}

export interface Overview {
  readonly name: string;
  readonly store: 'sqlite' | 'arrow';
  readonly source: string | null;
  readonly complete: boolean;
  readonly events: number;
  readonly axes: { readonly [axis in Axis]?: Domain };
  /** What the host's clock said where the time axis begins, in nanoseconds, decimal; null where the trace has no time. */
  readonly timeBase: string | null;
  /** Whether symbols were given, so that the guest's functions are known. */
  readonly symbols: boolean;
  readonly lanes: readonly Lane[];
  readonly categories: readonly Category[];
  readonly gaps: number;
  /** Events that the source says it lost. */
  readonly lost: number;
  readonly failures: number;
  /** Facts of the run, for people: CPU model, image, outcome, ... */
  readonly facts: readonly { readonly name: string; readonly value: string }[];
  /** What could not be read, and what the page therefore cannot show. */
  readonly problems: readonly string[];
  /** What its importer has to say of all of the trace. */
  readonly notes: readonly string[];
}

/** Which events are shown. An empty list of a field lets all through; the fields are joined by AND. */
export interface Filter {
  readonly kinds: readonly string[];
  /** Names of reasons; they restrict the kinds that have reasons. */
  readonly reasons: readonly string[];
  readonly vcpus: readonly number[];
  readonly levels: readonly number[];
  /** Words, joined by AND: part of a name or of the event's text, or a number (0x...) that one of its fields holds. */
  readonly text: string;
  /** Frames of the flame graph from the root down: exits whose stack begins with them. */
  readonly stack: readonly string[];
}

export interface LaneView {
  /** Index into Overview.lanes. */
  readonly lane: number;
  /** Bins: (bin, category, count) times n, bins ascending. */
  readonly cells: readonly number[];
  /** Bins: (bin, seq of the first failure in it, count) times n. */
  readonly failures: readonly number[];
  /**
   * Events: (seq, category, x, end) times n in the order of x. `end` is where the guest of this lane ran again; -1
   * where the event is a moment, or its end is not known. An event before the viewport is there if it reaches into it.
   */
  readonly events: readonly number[];
}

/** A viewport at the level of detail that its width asks for. */
export interface View {
  readonly axis: Axis;
  /** `bins`: lanes have cells; `events`: few enough to be sent one by one. */
  readonly detail: 'bins' | 'events';
  /** Bin i covers [start + i * step, start + (i + 1) * step); together they cover the viewport. */
  readonly start: number;
  readonly step: number;
  readonly bins: number;
  readonly lanes: readonly LaneView[];
  /** Lanes that pass the filter and were left out, because an answer is bounded. */
  readonly lanesLeftOut: number;
  readonly gaps: readonly Gap[];
  /** From the first to the last event of the whole trace that passes the filter; null where none does. */
  readonly extent: Domain | null;
  /** Events of the whole trace that pass the filter. */
  readonly passing: number;
  /** Events in exactly the viewport that pass the filter, by category: (category, count) times n. */
  readonly totals: readonly number[];
}

/** Where an event is. */
export interface Place {
  readonly seq: number;
  readonly lane: number;
  readonly category: number;
  /** On each axis that the trace has. */
  readonly at: { readonly [axis in Axis]?: number };
}

/** A value for people: `value` in hex or as it was written, `says` what it means. */
export interface Said {
  readonly name: string;
  readonly value: string;
  readonly says: string | null;
}

export interface Register {
  readonly name: string;
  /** 16 hex digits; null where no exit has told it yet. */
  readonly value: string | null;
  /** Whether it differs from the exit before. */
  readonly changed: boolean;
}

/** A field that a check reads, as it was when the entry failed. */
export interface CheckedField {
  readonly name: string;
  /** Hex; null where the trace does not tell it. */
  readonly value: string | null;
  /** Its bits in words. */
  readonly says: string | null;
  /** Hex of what it was before the last VMWRITE; null where there was none. */
  readonly old: string | null;
  /** Seq of that VMWRITE; null where there is none in the trace. */
  readonly by: number | null;
  /** An exit came after it, which may have saved another value. */
  readonly stale: boolean;
}

/** A rule that an entry violated. */
export interface ViolatedCheck {
  readonly id: string;
  /** The rule in words; null where the trace does not say. */
  readonly says: string | null;
  readonly cites: string | null;
  /** What usually causes it. */
  readonly causes: readonly string[];
  readonly fields: readonly CheckedField[];
}

/** One event with all that the trace says of it. */
export interface Detail {
  readonly place: Place;
  readonly lane: string;
  readonly kind: string;
  readonly title: string;
  /** Columns that have a value. */
  readonly fields: readonly Said[];
  /** Exit information by its bits, after the architecture of the event. */
  readonly decoded: readonly Said[];
  /** Registers as of the exit; null where the trace has none for this vCPU. */
  readonly registers: readonly Register[] | null;
  /** Instruction bytes, disassembled in each mode: the trace does not say which the guest was in. */
  readonly code: {
    readonly bytes: string;
    /** The mode that the trace's text names, else 64. */
    readonly bits: 16 | 32 | 64;
    readonly decodings: readonly { readonly bits: 16 | 32 | 64; readonly text: string }[];
  } | null;
  /** Rules that a failed entry violated. */
  readonly checks: readonly ViolatedCheck[];
  /** What a guest and a monitor said to each other with this event. */
  readonly messages: readonly Said[];
  /** The exit that this work serves, the one that that serves, and so on up. */
  readonly parents: readonly { readonly seq: number; readonly title: string; readonly lane: string }[];
  /** The entry that ended the handling of this exit. */
  readonly end: { readonly seq: number; readonly took: { readonly [axis in Axis]?: number } } | null;
}

/** What handler times count: ticks (deterministic runs), nanoseconds or cycles (real hosts); null where the source tells no times. */
export type HandlerUnit = 'ticks' | 'cycles' | 'ns' | null;

/** Handler times, in the unit that the answer names: see analyzer/profile/profile.ts. */
export interface ProfileTimes {
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  readonly total: number;
}

/** Exits of a line that were about the same: a port, an MSR, a page. */
export interface ProfileKeyLine {
  readonly label: string;
  readonly count: number;
  readonly times: ProfileTimes | null;
}

export interface ProfileLine {
  readonly level: number | null;
  readonly isa: number | null;
  readonly reason: string;
  readonly failure: boolean;
  readonly count: number;
  /** Of all exits, 0 to 1. */
  readonly share: number;
  /** Of all handler time, 0 to 1. */
  readonly timeShare: number;
  readonly times: ProfileTimes | null;
  readonly keys: readonly ProfileKeyLine[];
  /** Keys that were left out. */
  readonly keysLeft: number;
  /** Handler times: (least, beyond the greatest, count) times n, ascending, each a bucket or some neighbours. */
  readonly histogram: readonly number[];
}

/** An instruction that exits often. */
export interface ProfileRipLine {
  readonly rip: string;
  readonly level: number | null;
  readonly reason: string;
  readonly count: number;
  readonly share: number;
  readonly total: number;
  readonly instruction: string | null;
  /** `name+0x1a`, where symbols were given and have the address. */
  readonly symbol: string | null;
}

/** What a profile is made of: exits that begin in a stretch of an axis (null: all), of these vCPUs (empty: all). */
export interface Scope {
  readonly window: (Domain & { readonly axis: Axis }) | null;
  readonly vcpus: readonly number[];
}

/** Where the time of a VM, a level or a vCPU went (profile/spent.ts). */
export interface ProfileSpentLine {
  readonly name: string;
  readonly exits: number;
  readonly guest: number;
  readonly outside: number;
  /** The part of `outside` for HLT and MWAIT. */
  readonly halted: number;
  /** What is neither; null where that is not known: of a level, and of a part of the trace. */
  readonly unobserved: number | null;
}

export const SPENT_BY = ['VM', 'level', 'vCPU'] as const;
export interface ProfileSpent {
  readonly by: (typeof SPENT_BY)[number];
  /** The busiest outside their guest first. */
  readonly lines: readonly ProfileSpentLine[];
  readonly left: number;
}

export interface ProfileTable {
  readonly exits: number;
  readonly unit: HandlerUnit;
  /** Exits that no entry followed: they count, and have no time. */
  readonly open: number;
  readonly lost: number;
  /** What could not be read, and is missing therefore. */
  readonly problem: string | null;
  /** Time of the handlers of these exits; that here and in lines is whole, also where it ends behind the stretch. */
  readonly handled: number;
  readonly lines: readonly ProfileLine[];
  /** Lines that were left out, because an answer is bounded. */
  readonly left: number;
  readonly rips: readonly ProfileRipLine[];
  /** Time in the guest and outside within the stretch, also before its first exit; null where none is known. */
  readonly time: { readonly guest: number; readonly outside: number } | null;
  /** The same by what there are several of. */
  readonly spent: readonly ProfileSpent[];
}

/** A frame of the flame graph. */
export interface FlameFrame {
  /** Index of the frame below, which comes before this one; -1 of the root. */
  readonly parent: number;
  /** Level, function (with symbols), reason, sub-key. */
  readonly name: string;
  /** Name of the exit reason that the frame is of, or lies on. */
  readonly reason: string | null;
  readonly failure: boolean;
  readonly exits: number;
  /** Handler time, in ticks or nanoseconds. */
  readonly time: number;
}

export interface Flame {
  readonly unit: HandlerUnit;
  readonly frames: readonly FlameFrame[];
  /** Frames that were left out, the smallest ones, because an answer is bounded. */
  readonly left: number;
  /** What could not be read, and is missing therefore. */
  readonly problem: string | null;
}
