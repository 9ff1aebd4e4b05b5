/**
 * What was given of a processor that cannot be the one of a dump: no processor has both VMX and SVM, so that a list of
 * AMD's says nothing of a VMCS, nor one of Intel's of a VMCB.
 */
import type { Maker } from './makers.js';
import { type Processor, UNKNOWN } from './processor.js';

type Isa = Maker['isa'];

const EXTENSIONS: { readonly [isa in Isa]: string } = { vmx: 'VMX', svm: 'SVM' };

/** How to do better; of processors with SVM no model is known. */
const INSTEAD: { readonly [isa in Isa]: string } = {
  vmx: 'give what the host of this dump itself says with --cpuid, or name its model with --cpu',
  svm: 'give what the host of this dump itself says with --cpuid',
};

/** What of the given processor was held against any of these dumps, by its name; `unknown` where nothing was. */
export function usedOf(given: Processor, reports: readonly { readonly against: string }[]): string {
  const used = new Set(reports.map(({ against }) => against));
  if (used.has(given.name)) return given.name;
  const { capable, said } = given.parts ?? { capable: UNKNOWN, said: UNKNOWN };
  const parts = [capable, said].filter(({ name }) => name !== UNKNOWN.name && used.has(name));
  return parts.length === 0 ? UNKNOWN.name : parts.map(({ name }) => name).join(' with ');
}

export interface Fitting {
  /** What is left of it. */
  readonly processor: Processor;
  /** What is not used, in words, for the reader. */
  readonly unused: readonly string[];
}

const ofMaker = ({ name, isa }: Maker): string =>
  name === null ? `with ${EXTENSIONS[isa]}` : `of ${name}, which has ${EXTENSIONS[isa]}`;

const saysOf = ({ name }: Processor, maker: Maker, isa: Isa): string =>
  `${name} is of a processor ${ofMaker(maker)}, and this dump is judged by the rules of ${EXTENSIONS[isa]}: nothing was decided by it; ${INSTEAD[isa]}.`;

/** What of a given processor can be that of a dump which is judged by the rules of this architecture. */
export function fittingOf(processor: Processor, isa: Isa): Fitting {
  const { capable, said } = processor.parts ?? { capable: UNKNOWN, said: processor };
  const given = [capable, said];
  const fits = given.filter(({ maker }) => maker === undefined || maker.isa === isa);
  if (fits.length === given.length) return { processor, unused: [] };
  return {
    processor: fits.find((one) => one !== UNKNOWN) ?? UNKNOWN,
    unused: given.flatMap((one) =>
      one.maker === undefined || one.maker.isa === isa ? [] : [saysOf(one, one.maker, isa)],
    ),
  };
}
