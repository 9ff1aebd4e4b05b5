/** Which of several rows that fit one place of a line stands there. */
import type { Builder } from './builder.js';
import type { Hit } from './hits.js';
import type { Family, Row } from './row.js';

const widthOf = ({ digits }: Row): number => digits.reduce((sum, n) => sum + n, 0);

/** The families of which a line begins a dump: those whose widths it has; one that two print alike is Xen's where it says so. */
export function familiesByWidth(rivals: readonly Hit[], xen: boolean): Family[] {
  const whole = rivals.filter(({ fit: { taken } }) => taken.every(({ lost }) => lost === null));
  const widest = Math.max(...whole.map(({ row }) => widthOf(row)));
  const closest = new Set(whole.filter(({ row }) => widthOf(row) === widest).map(({ row }) => row.family));
  return [...closest].filter((family) => closest.size === 1 || (family === 'xen-vmcb') === xen);
}

/**
 * Of the rows that fit one place: that of the section in progress, else one whose section is beyond doubt. Lines that came
 * in the wrong order may be behind the heading of the next section.
 */
export function choose(hits: readonly Hit[], builder: Builder | undefined): Hit | null {
  const here = hits.find(({ row }) => row.section === builder?.section);
  if (here !== undefined) return here;
  const left = builder === undefined ? hits : hits.filter(({ row }) => !builder.has(row));
  const sections = new Set((left.length > 0 ? left : hits).map(({ row }) => row.section));
  return sections.size === 1 ? (left[0] ?? hits[0] ?? null) : null;
}
