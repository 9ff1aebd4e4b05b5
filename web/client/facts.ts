/** What is known of the trace as such: the line of facts, its problems, its axes. */
import type { Axis, Overview } from '../../analyzer/timeline-answers.js';
import { button, byId, redraw } from './dom.js';
import { AXIS_NAMES, whole } from './format.js';

const MOST_PROBLEMS = 2;
const MOST_NOTES = 2;
const FACTS = ['image_name', 'cpu'] as const;
const ORDER: readonly Axis[] = ['tick', 'time', 'seq'];

export function showFacts({ source, events, facts, problems, notes, lost, gaps }: Overview): void {
  const parts = [
    source,
    `${whole(events)} events`,
    ...FACTS.flatMap((name) => facts.find((fact) => fact.name === name)?.value ?? []),
  ];
  const line = byId('facts', HTMLElement);
  line.textContent = parts.filter((part) => part !== null).join(' · ');
  line.title = facts.map(({ name, value }) => `${name}: ${value}`).join('\n');
  const place = byId('problems', HTMLElement);
  place.textContent = firstOf(problems, MOST_PROBLEMS);
  place.title = problems.join('\n');
  place.hidden = problems.length === 0;
  const loss = byId('loss', HTMLElement);
  const told = [...(gaps === 0 || problems.length > 0 ? [] : [lossOf(gaps, lost)]), ...notes];
  loss.hidden = told.length === 0;
  loss.textContent = firstOf(told, MOST_NOTES);
  loss.title = told.join('\n');
}

function lossOf(gaps: number, lost: number): string {
  const many = `${whole(gaps)} gap${gaps === 1 ? '' : 's'}`;
  return lost > 0
    ? `The recorder lost ${whole(lost)} events in ${many}. Counts and times are of what is left; hatched stretches are unknown.`
    : `This trace has ${many}: of the hatched stretches nothing is known.`;
}

/** The first few of sentences, and how many more there are. */
function firstOf(sentences: readonly string[], most: number): string {
  const more = sentences.length - most;
  const shown = sentences.slice(0, most).map((text) => text.charAt(0).toUpperCase() + text.slice(1));
  return [...shown, ...(more > 0 ? [`and ${more} more`] : [])].join(' · ');
}

/** The choice of axes, and on that of time, of what its labels count from. */
export function showAxes(overview: Overview, current: Axis, absolute: boolean, choose: (axis: Axis) => void): void {
  const choices = (Object.keys(overview.axes) as Axis[]).sort((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b));
  redraw(
    byId('axis', HTMLElement),
    ...choices.map((axis) =>
      button(AXIS_NAMES[axis], { 'aria-pressed': String(axis === current), 'data-axis': axis, 'data-hold': axis }, () =>
        choose(axis),
      ),
    ),
  );
  const name = byId('axis-name', HTMLButtonElement);
  const clock = current === 'time' && overview.timeBase !== null;
  name.disabled = !clock;
  name.textContent = clock ? (absolute ? 'Clock ⇄' : 'Start ⇄') : AXIS_NAMES[current];
  name.title = clock
    ? `Times ${absolute ? 'as the host’s clock had them' : 'since the first event'}: a press shows the others (C)`
    : '';
}
