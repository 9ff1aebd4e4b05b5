/** The panels below the timeline: profile, flame graph and comparison, each asked for when it is looked at. */
import type { Axis, Domain, Overview, Scope } from '../../analyzer/timeline-answers.js';
import * as api from './api.js';
import type { Palette } from './colours.js';
import { type CompareActions, ComparePanel } from './compare.js';
import { button, byId, redraw } from './dom.js';
import { type FlameActions, FlamePanel } from './flame.js';
import { whyNoExit } from './no-exit.js';
import { type ProfileActions, ProfilePanel } from './profile.js';
import type { PanelName } from './state.js';
import { showTabs } from './tabs.js';

/** What is shown is asked for again this long after the viewport came to rest. */
const REST_MS = 250;

export interface AnswersActions
  extends Omit<ProfileActions, 'of' | 'noExit'>,
    Omit<FlameActions, 'of'>,
    CompareActions {
  panel(panel: PanelName): void;
  scoped(scoped: boolean): void;
}

export interface Asked {
  readonly id: number;
  readonly name: string;
  readonly overview: Overview;
  readonly axis: Axis;
  readonly panel: PanelName;
  readonly scoped: boolean;
  readonly range: Domain;
  readonly vcpus: readonly number[];
  readonly reasons: readonly string[];
  readonly stack: readonly string[];
  readonly other: string | null;
  readonly without: readonly string[];
  readonly traces: readonly api.TraceState[];
}

export class Answers {
  readonly #actions: AnswersActions;
  readonly #profile: ProfilePanel;
  readonly #flame: FlamePanel;
  readonly #compare: ComparePanel;
  #asked: Asked | null = null;
  /** What the panel shows or waits for, so that it is not asked for twice. */
  #latest = '';
  #timer = 0;

  constructor(palette: Palette, actions: AnswersActions) {
    this.#actions = actions;
    const of = (): 'whole trace' | 'in view' => (this.#asked?.scoped === true ? 'in view' : 'whole trace');
    const noExit = (): string => (this.#asked === null ? '' : whyNoExit(this.#asked.overview));
    this.#profile = new ProfilePanel(palette, { ...actions, of, noExit });
    this.#flame = new FlamePanel(palette, { ...actions, of });
    this.#compare = new ComparePanel(palette, actions);
  }

  say(text: string): void {
    this.#latest = '';
    this.#asked = null;
    this.#profile.say(text);
    this.#flame.say(text);
    this.#compare.say(text);
  }

  show(asked: Asked, palette: Palette): void {
    this.#asked = asked;
    const panels: PanelName[] = asked.traces.length > 1 ? ['profile', 'flame', 'compare'] : ['profile', 'flame'];
    const panel = panels.includes(asked.panel) ? asked.panel : 'profile';
    showTabs(panels, panel, (chosen) => this.#actions.panel(chosen));
    this.#showScope(panel, asked.scoped);
    this.#profile.mark(asked.reasons, palette);
    this.#flame.mark(asked.stack, palette);
    this.#compare.mark(asked.reasons, palette);
    const id = JSON.stringify([
      asked.id,
      panel,
      scopeOf(asked),
      panel === 'compare' ? [asked.other, asked.without] : null,
    ]);
    if (id === this.#latest) return;
    const moved = asked.scoped && this.#latest !== '';
    this.#latest = id;
    byId('answers', HTMLElement).dataset.state = 'loading';
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#ask({ ...asked, panel }, id), moved ? REST_MS : 0);
  }

  #showScope(panel: PanelName, scoped: boolean): void {
    const place = byId('scope', HTMLElement);
    place.hidden = panel === 'compare';
    redraw(
      place,
      ...([false, true] as const).map((each) =>
        button(
          each ? 'In view' : 'Whole trace',
          { 'aria-pressed': String(each === scoped), 'data-scoped': String(each), 'data-hold': String(each) },
          () => this.#actions.scoped(each),
        ),
      ),
    );
  }

  async #ask(asked: Asked, id: string): Promise<void> {
    const { panel } = asked;
    const show = {
      profile: () => this.#askProfile(asked),
      flame: () => this.#askFlame(asked),
      compare: () => this.#askCompare(asked),
    };
    try {
      const draw = await show[panel]();
      if (this.#latest !== id) return;
      draw();
      byId('answers', HTMLElement).dataset.state = 'ready';
    } catch (error) {
      if (this.#latest !== id) return;
      const text = error instanceof Error ? error.message : String(error);
      byId('answers', HTMLElement).dataset.state = 'ready';
      ({ profile: this.#profile, flame: this.#flame, compare: this.#compare })[panel].say(text);
    }
  }

  async #askProfile(asked: Asked): Promise<() => void> {
    const table = await api.profileOf(asked.id, scopeOf(asked));
    return () => this.#profile.show(table);
  }

  async #askFlame(asked: Asked): Promise<() => void> {
    const flame = await api.flameOf(asked.id, scopeOf(asked));
    return () => this.#flame.show(flame);
  }

  async #askCompare({ id, name, other, without, traces }: Asked): Promise<() => void> {
    const others = traces.filter((trace) => trace.id !== id);
    const chosen = others.find((trace) => trace.name === other) ?? others[0];
    if (chosen === undefined) return () => this.#compare.say('Only one trace is served.');
    const choices = others.map((trace) => trace.name);
    const about = { names: [name, chosen.name], choices, without } as const;
    this.#compare.tell(about, `Comparing with ${chosen.name} …`);
    try {
      const comparison = await api.compare(id, chosen.id, without);
      return () => this.#compare.show(about, comparison);
    } catch (error) {
      return () => this.#compare.tell(about, error instanceof Error ? error.message : String(error));
    }
  }
}

const scopeOf = ({ scoped, axis, range, vcpus }: Asked): Scope => ({
  window: scoped ? { axis, ...range } : null,
  vcpus: scoped ? vcpus : [],
});
