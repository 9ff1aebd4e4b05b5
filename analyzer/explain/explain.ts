/**
 * Why an entry failed, as far as a dump says: the violated checks, what could not be decided and what that would take,
 * and what only looks wrong.
 */
import { SVM_MANUAL } from '../../engine/svm/checks/manual.js';
import { MANUAL } from '../../engine/vmx/checks/manual.js';
import { MSR_RULES } from '../../engine/vmx/checks/msr-loading.js';
import { CHECKS } from '../../engine/vmx/checks/table.js';
import { adviceFor } from './advice.js';
import { type Conclusion, conclude } from './conclude.js';
import { type Decoded, decode } from './decode.js';
import { detailOf } from './detail.js';
import { DAMAGES, type Damage, type Dump, FORMATS, type Format } from './dump.js';
import { errorOf, type Judged, judge, type Missing } from './evaluate.js';
import { fittingOf } from './foreign.js';
import { type Host, type Outcome, outcomeOf } from './outcome.js';
import { type Processor, UNKNOWN } from './processor.js';
import { fromQemu } from './qemu.js';
import { type Refuted, refutedBy } from './refuted.js';
import type { Verdict } from './sentences.js';
import { judgeSvm } from './svm.js';
import { trapsOf } from './traps.js';
import { UNLISTED } from './unlisted.js';
import { judgeRefused } from './xen-check.js';

/** A check that did not simply hold. */
export interface Finding {
  readonly id: string;
  readonly stage: string;
  /** The rule, as the processor wants it. */
  readonly says: string;
  readonly cites: string;
  /** The values that it looked at. */
  readonly values: readonly { readonly field: string; readonly value: bigint; readonly line: number }[];
  /** The error or the exit reason and qualification that a violation permits. */
  readonly permits: string;
  /** What of the value breaks the rule, where bits can be named. */
  readonly detail: readonly string[];
  readonly causes: readonly string[];
  readonly missing: readonly Missing[];
  readonly assumes: readonly string[];
  /** The manual leaves it to the processor whether to check this. */
  readonly optional: boolean;
}

export interface DumpReport {
  readonly format: Format;
  readonly title: string;
  readonly isa: 'vmx' | 'svm' | null;
  readonly first: number;
  readonly last: number;
  readonly outcome: Outcome;
  readonly verdict: Verdict;
  /** What is wrong, in one sentence. */
  readonly sentence: string;
  readonly violated: readonly Finding[];
  /** Undecidable, and violated on some processors: in a failed entry, the first to look at. */
  readonly suspects: readonly Finding[];
  readonly undecidable: readonly Finding[];
  readonly holds: number;
  readonly damage: readonly (Damage & { readonly says: string })[];
  readonly traps: readonly string[];
  readonly next: readonly string[];
  readonly decoded: readonly Decoded[];
  /** What of the given processor the dump was held against, by its name; unknown where nothing was. */
  readonly against: string;
}

const FAILURE_OF_STAGE: { readonly [stage: string]: string } = {
  msr: 'exit reason 34 (0x80000022) with the number of the entry as qualification',
  vmcb: 'exit code -1 (VMEXIT_INVALID)',
};

const SVM_FAILURES: { readonly [name: string]: string } = {
  BUSY: 'exit code -2 (VMEXIT_BUSY)',
  IDLE_REQUIRED: 'exit code -3 (VMEXIT_IDLE_REQUIRED)',
  INVALID_PMC: 'exit code -4 (VMEXIT_INVALID_PMC)',
};

function permits({ check }: Judged): string {
  const error = errorOf(check);
  if (error !== null) return `VM-instruction error ${error}`;
  const failure = SVM_FAILURES[check.exit ?? ''] ?? FAILURE_OF_STAGE[check.stage];
  return failure ?? `exit reason 33 (0x80000021), qualification ${check.qualification ?? 0}`;
}

/** What is said of a check that did not simply hold. */
export const findingOf = (judged: Judged, dump: Dump, processor: Processor): Finding => {
  const { check, missing, assumes } = judged;
  const manual = check.stage === 'vmcb' ? SVM_MANUAL : MANUAL;
  return {
    id: check.id,
    stage: check.stage,
    says: check.says,
    cites: `${manual}, ${check.cites.section}, "${check.cites.title}"`,
    values: [...new Set(check.fields)].flatMap((field) => {
      const found = dump.values.get(field);
      return found === undefined ? [] : [{ field, value: found.value, line: found.line }];
    }),
    permits: permits(judged),
    detail: detailOf(check.id, dump, processor),
    causes: check.causes ?? [],
    missing,
    assumes,
    optional: check.optional === true,
  };
};

/** Rules of the MSR-load area over the entries that a dump prints; whether WRMSR accepts a value is not known. */
function judgeMsrs({ msrs }: Dump): Judged[] {
  return msrs
    .filter(({ list }) => list === 'guest')
    .flatMap(({ index, msr, reserved, value }) =>
      MSR_RULES.map((rule): Judged => {
        let unknown = false;
        const holds = rule.holds({
          index: msr,
          reserved: reserved === null ? 0 : Number(reserved & 0xffff_ffffn),
          refused: () => {
            unknown = true;
            return false;
          },
        });
        return {
          check: {
            ...rule,
            stage: 'msr',
            says: `entry ${index} (MSR ${msr.toString(16)}H, value 0x${value.toString(16)}): ${rule.says}`,
            fields: [],
          },
          answer: unknown ? 'undecidable' : holds ? 'holds' : 'violated',
          missing: unknown ? [{ kind: 'processor', name: 'what WRMSR accepts' }] : [],
          assumes: [],
          depends: false,
        };
      }),
    );
}

const GOT_PAST = 'the processor got past this stage';

/** What a failed entry got past holds, whatever the dump lacks; of spliced pieces it is not known which one failed. */
const settle = (judged: readonly Judged[], { passed }: Outcome, { pieces }: Dump): Judged[] =>
  judged.map((one) =>
    one.answer === 'undecidable' && pieces === 1 && passed.includes(one.check.stage)
      ? { ...one, answer: 'holds', missing: [], assumes: [GOT_PAST], depends: false }
      : one,
  );

function judgeAll(dump: Dump, processor: Processor): Judged[] {
  if (dump.format === 'report') return [];
  if (dump.format === 'xen-check') return judgeRefused(dump);
  if (FORMATS[dump.format].isa === 'svm') return judgeSvm(dump, processor);
  const state = dump.format === 'qemu' ? fromQemu(dump) : dump;
  return [...judge([...CHECKS, ...UNLISTED], state, processor), ...judgeMsrs(dump)];
}

/** What a dump comes to, and what of it is beyond doubt. */
export interface Judgement {
  readonly dump: Dump;
  readonly outcome: Outcome;
  readonly conclusion: Conclusion;
  readonly judged: readonly Judged[];
  /** What was given of the processor and can be that of the dump. */
  readonly processor: Processor;
  /** What was given and cannot be, in words. */
  readonly unused: readonly string[];
  /** The capabilities that were given are not those of the host. */
  readonly refuted: Refuted | null;
}

/** Judges one dump. */
export function judgeDump(dump: Dump, chosen: Processor, host: Host = null): Judgement {
  const outcome = outcomeOf(dump, host);
  const isSvm = outcome.isa === 'svm';
  const judgeAs = (known: Processor): Judged[] =>
    dump.format === 'qemu' && isSvm ? [] : settle(judgeAll(dump, known), outcome, dump);
  const { processor, unused } = fittingOf(chosen, isSvm ? 'svm' : 'vmx');
  const given = judgeAs(processor);
  const refuted = refutedBy(processor, given, dump, outcome, judgeAs);
  const judged = refuted?.judged ?? given;
  const conclusion = conclude(dump, outcome, judged);
  // What has no checks was not to be decided by anything.
  return { dump, outcome, conclusion, judged, processor, unused: judged.length > 0 ? unused : [], refuted };
}

/** A refusal is judged by the line that Xen printed, and asks nothing of a processor (xen-check.ts). */
const asksProcessor = ({ dump, judged }: Judgement): boolean => judged.length > 0 && dump.format !== 'xen-check';

/** Judges one dump, and says what it comes to. */
export function explainDump(dump: Dump, chosen: Processor, host: Host = null): DumpReport {
  const judgement = judgeDump(dump, chosen, host);
  const { outcome, conclusion, judged, unused, refuted } = judgement;
  const processor = refuted?.processor ?? judgement.processor;
  const state = dump.format === 'qemu' && outcome.isa !== 'svm' ? fromQemu(dump) : dump;
  const find = (list: readonly Judged[]): Finding[] => list.map((one) => findingOf(one, state, processor));
  const notThat = refuted === null ? [] : [refuted.says];
  return {
    format: dump.format,
    title: FORMATS[dump.format].says,
    isa: outcome.isa,
    first: dump.first,
    last: dump.last,
    outcome,
    verdict: conclusion.verdict,
    sentence: conclusion.sentence,
    violated: find(conclusion.violated),
    suspects: find(conclusion.suspects),
    undecidable: find(conclusion.undecidable),
    holds: judged.filter(({ answer }) => answer === 'holds').length,
    damage: dump.damage.map((damage) => ({ ...damage, says: DAMAGES[damage.kind] })),
    traps: [...unused, ...notThat, ...trapsOf(dump, outcome, judged)],
    next: adviceFor(dump, outcome, conclusion, host),
    decoded: decode(dump),
    against: asksProcessor(judgement) ? processor.name : UNKNOWN.name,
  };
}
