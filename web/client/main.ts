/** The page: joins the address, the controls, the timeline and the panels. */
import type { Axis, Domain, Filter, Overview, Place, View } from '../../analyzer/timeline-answers.js';
import * as api from './api.js';
import { closeChoices, showChoices } from './choices.js';
import { Palette } from './colours.js';
import { showDetail, showNoDetail } from './detail.js';
import { button, byId, el } from './dom.js';
import { AXIS_NAMES, amount, whole } from './format.js';
import { type Key, listen, showKeys } from './keys.js';
import { showLegend } from './legend.js';
import { ProfilePanel } from './profile.js';
import { fromHash, START, toHash, type ViewState } from './state.js';
import { Strip } from './strip.js';
import { nextTheme, startTheme } from './theme.js';
import { TimelineView } from './timeline.js';

const PAN = 0.2;
const ZOOM = 2;
const NOTHING_CHOSEN = 'Click an event, or press N for the first one in view.';

interface Open {
  readonly id: number;
  readonly name: string;
  readonly overview: Overview;
}

class Page {
  #state: ViewState = START;
  #traces: readonly api.TraceState[] = [];
  #open: Open | null = null;
  #view: View | null = null;
  #palette = new Palette(startTheme((dark) => this.#recolour(dark)));
  #written = '';
  #writing = 0;
  readonly #profile = new ProfilePanel(this.#palette, (reason) => this.#toggleReason(reason));
  readonly #strip = new Strip(this.#palette, (range) => this.#timeline.setRange(range));
  readonly #timeline = new TimelineView(this.#palette, {
    moved: (range) => this.#moved(range),
    answered: (view, range) => this.#answered(view, range),
    failed: (error) => this.#say('The view cannot be shown', error),
    selected: (place) => void this.#select(place, false),
  });
  readonly #keys: readonly Key[] = [
    {
      keys: ['ArrowLeft', 'ArrowRight', 'a', 'd'],
      shown: '← →',
      says: 'pan',
      press: ({ key }) => this.#timeline.panBy(key === 'ArrowLeft' || key === 'a' ? -PAN : PAN),
    },
    {
      keys: ['+', '=', '-', '_', 'w', 's'],
      shown: '+ −',
      says: 'zoom',
      press: ({ key }) => this.#timeline.zoomBy('+=w'.includes(key) ? ZOOM : 1 / ZOOM),
    },
    { keys: ['0'], shown: '0', says: 'the whole trace', press: () => this.#timeline.fit() },
    {
      keys: ['n', 'p', ']', '['],
      shown: 'N P',
      says: 'next, previous event that passes the filter',
      press: ({ key }) => void this.#step('n]'.includes(key) ? 1 : -1, false),
    },
    {
      keys: ['f', 'F'],
      shown: 'F Shift+F',
      says: 'next, previous failure',
      press: ({ key }) => void this.#step(key === 'f' ? 1 : -1, true),
    },
    { keys: ['z', 'Enter'], shown: 'Z', says: 'zoom to the event', press: () => this.#zoomToEvent() },
    { keys: ['/'], shown: '/', says: 'filter', press: () => byId('text', HTMLInputElement).focus() },
    { keys: ['t'], shown: 'T', says: 'light, dark, or as the system', press: () => nextTheme() },
    { keys: ['Escape'], shown: 'Esc', says: 'close, or clear the filter', press: () => this.#escape() },
    { keys: ['?'], shown: '?', says: 'this help', press: () => showKeys(this.#keys) },
  ];

  async start(): Promise<void> {
    listen(this.#keys);
    byId('help', HTMLButtonElement).addEventListener('click', () => showKeys(this.#keys));
    byId('theme', HTMLButtonElement).addEventListener('click', () => nextTheme());
    byId('zoom-in', HTMLButtonElement).addEventListener('click', () => this.#timeline.zoomBy(ZOOM));
    byId('zoom-out', HTMLButtonElement).addEventListener('click', () => this.#timeline.zoomBy(1 / ZOOM));
    byId('zoom-fit', HTMLButtonElement).addEventListener('click', () => this.#timeline.fit());
    document.addEventListener('click', ({ target }) => {
      if (target instanceof Element && target.closest('.choice') === null) closeChoices();
    });
    const text = byId('text', HTMLInputElement);
    let typing = 0;
    text.addEventListener('input', () => {
      clearTimeout(typing);
      typing = setTimeout(() => this.#choose({ text: text.value }), 250);
    });
    const traces = byId('trace', HTMLSelectElement);
    traces.addEventListener('change', () => {
      this.#state = { ...START, trace: traces.value };
      void this.#openTrace();
    });
    addEventListener('hashchange', () => {
      if (location.hash !== this.#written) this.#restore();
    });
    try {
      this.#traces = await api.listTraces();
    } catch (error) {
      this.#say('The traces cannot be listed', error);
      return;
    }
    traces.replaceChildren(...this.#traces.map(({ name }) => el('option', { value: name }, name)));
    if (this.#traces.length === 0) this.#say('No trace is served', 'Start with trapline serve TRACE...');
    else this.#restore();
  }

  get #axis(): Axis {
    const axes = this.#open?.overview.axes ?? {};
    const { axis } = this.#state;
    if (axis !== null && axes[axis] !== undefined) return axis;
    return axes.tick !== undefined ? 'tick' : axes.time !== undefined ? 'time' : 'seq';
  }

  /** Unless the address says otherwise exits are shown, where there are any. */
  get #filter(): Filter {
    const categories = this.#open?.overview.categories ?? [];
    const exits = categories.filter(({ kind }) => kind === 'exit').length > 0 ? ['exit'] : [];
    const { kinds, reasons, vcpus, levels, text } = this.#state;
    return { kinds: kinds ?? exits, reasons, vcpus, levels, text };
  }

  #restore(): void {
    this.#state = fromHash(location.hash);
    const wanted = this.#traces.find(({ name }) => name === this.#state.trace) ?? this.#traces[0];
    if (this.#open === null || wanted?.id !== this.#open.id) void this.#openTrace();
    else this.#show();
  }

  async #openTrace(): Promise<void> {
    const wanted = this.#traces.find(({ name }) => name === this.#state.trace) ?? this.#traces[0];
    if (wanted === undefined) return;
    this.#open = null;
    byId('trace', HTMLSelectElement).value = wanted.name;
    this.#profile.say('Reading …');
    showNoDetail(NOTHING_CHOSEN);
    const stop = this.#reading(wanted.id, wanted.name);
    try {
      const overview = await api.openTrace(wanted.id);
      this.#open = { id: wanted.id, name: wanted.name, overview };
      document.title = `${wanted.name} · Trapline`;
      this.#show();
      void this.#loadProfile(wanted.id);
    } catch (error) {
      this.#profile.say('');
      this.#say(`${wanted.name} cannot be read`, error);
    } finally {
      stop();
    }
  }

  /** Shows how far the server is, while it reads a trace for the first time. */
  #reading(id: number, name: string): () => void {
    const bar = el('progress', { value: '0' });
    this.#message(el('strong', {}, `Reading ${name}`), bar);
    const timer = setInterval(async () => {
      const state = (await api.listTraces().catch(() => [])).find((trace) => trace.id === id);
      if (state !== undefined) bar.value = state.progress;
    }, 300);
    return () => clearInterval(timer);
  }

  async #loadProfile(id: number): Promise<void> {
    try {
      const table = await api.profileOf(id);
      if (this.#open?.id === id) this.#profile.show(table);
    } catch (error) {
      if (this.#open?.id === id) this.#profile.say(error instanceof Error ? error.message : '');
    }
  }

  /** Shows the state on an open trace. */
  #show(): void {
    const open = this.#open;
    if (open === null) return;
    const { overview } = open;
    const axis = this.#axis;
    this.#message();
    const problems = byId('problems', HTMLElement);
    problems.replaceChildren(overview.problems.join(' · '));
    problems.hidden = overview.problems.length === 0;
    const facts = [
      overview.source,
      `${whole(overview.events)} events`,
      ...FACTS.flatMap((name) => overview.facts.find((fact) => fact.name === name)?.value ?? []),
    ];
    byId('facts', HTMLElement).replaceChildren(facts.filter((fact) => fact !== null).join(' · '));
    byId('text', HTMLInputElement).value = this.#state.text;
    this.#showAxes(overview, axis);
    showChoices(overview, this.#filter, (part) => this.#choose(part));
    this.#profile.mark(this.#state.reasons, this.#palette);
    if (overview.events === 0) {
      this.#say(
        'This trace has no events',
        overview.complete
          ? 'Nothing happened, or nothing was recorded.'
          : 'The recording was cut before the first one.',
      );
      return;
    }
    const domain = overview.axes[axis] ?? { from: 0, to: 1 };
    this.#timeline.show({ id: open.id, overview, axis, filter: this.#filter }, this.#state.range);
    this.#strip.show(null, overview.categories, domain);
    void this.#loadStrip(open, axis, domain);
    if (this.#state.event === null) this.#closeEvent();
    else void this.#goTo(this.#state.event, false);
  }

  #showAxes({ axes }: Overview, current: Axis): void {
    const choices = (Object.keys(axes) as Axis[]).sort((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b));
    byId('axis', HTMLElement).replaceChildren(
      ...choices.map((axis) =>
        button(AXIS_NAMES[axis], { 'aria-pressed': String(axis === current), 'data-axis': axis }, () => {
          this.#state = { ...this.#state, axis, range: null };
          this.#show();
        }),
      ),
    );
  }

  async #loadStrip({ id, overview }: Open, axis: Axis, domain: Domain): Promise<void> {
    const filter = this.#filter;
    const width = byId('strip', HTMLElement).clientWidth;
    const view = await api
      .viewOf(id, axis, domain.from, domain.to, Math.max(1, Math.floor(width / 2)), filter)
      .catch(() => null);
    if (this.#open?.id === id && this.#axis === axis) this.#strip.show(view, overview.categories, domain);
  }

  #choose(part: Partial<Filter>): void {
    const open = this.#open;
    this.#state = { ...this.#state, ...part };
    if (open === null) return;
    const filter = this.#filter;
    byId('text', HTMLInputElement).value = this.#state.text;
    showChoices(open.overview, filter, (next) => this.#choose(next));
    this.#profile.mark(filter.reasons, this.#palette);
    this.#timeline.refilter(filter);
    const domain = open.overview.axes[this.#axis];
    if (domain !== undefined) void this.#loadStrip(open, this.#axis, domain);
    this.#write();
  }

  #toggleReason(reason: string): void {
    const { reasons } = this.#state;
    this.#choose({
      reasons: reasons.includes(reason) ? reasons.filter((each) => each !== reason) : [...reasons, reason],
    });
  }

  #moved(range: Domain): void {
    const whole = this.#open?.overview.axes[this.#axis];
    const all = whole !== undefined && range.from <= whole.from && range.to >= whole.to;
    this.#state = { ...this.#state, range: all ? null : range };
    this.#strip.setRange(range);
    this.#write();
  }

  #answered(view: View, range: Domain): void {
    const open = this.#open;
    if (open === null) return;
    this.#view = view;
    let shown = 0;
    for (let i = 1; i < view.totals.length; i += 2) shown += view.totals[i] ?? 0;
    const status = byId('status', HTMLElement);
    const left = view.lanesLeftOut > 0 ? ` · ${view.lanesLeftOut} lanes left out: choose vCPUs` : '';
    const bins = view.detail === 'bins' ? ` · bins of ${amount(view.axis, view.step)}` : '';
    status.textContent = `${whole(shown)} in view · ${amount(view.axis, range.to - range.from)}${bins}${left}`;
    Object.assign(status.dataset, {
      shown: String(shown),
      from: String(range.from),
      to: String(range.to),
      detail: view.detail,
    });
    showLegend(open.overview, view, this.#filter.kinds, this.#state.reasons, this.#palette, (reason) =>
      this.#toggleReason(reason),
    );
    const matches = view.lanes.length > 0 || view.gaps.length > 0;
    byId('timeline', HTMLElement).dataset.state = 'ready';
    status.classList.toggle('nothing', !matches);
    if (!matches) status.textContent = 'Nothing here passes the filter · 0 in view';
  }

  /** Moves to an event by its number. */
  async #goTo(seq: number, reveal: boolean): Promise<void> {
    const open = this.#open;
    if (open === null) return;
    try {
      const detail = await api.detailOf(open.id, seq);
      if (this.#open !== open) return;
      this.#state = { ...this.#state, event: seq };
      this.#timeline.select(detail.place, reveal);
      showDetail(detail, open.overview.categories[detail.place.category], this.#axis, this.#palette, {
        go: (to) => void this.#goTo(to, true),
        step: (direction) => void this.#step(direction, false),
        close: () => this.#closeEvent(),
      });
      this.#write();
    } catch (error) {
      showNoDetail(error instanceof Error ? error.message : String(error));
    }
  }

  async #select(place: Place | null, reveal: boolean): Promise<void> {
    if (place === null) return;
    this.#timeline.select(place, reveal);
    await this.#goTo(place.seq, reveal);
  }

  async #step(direction: 1 | -1, failures: boolean): Promise<void> {
    const open = this.#open;
    if (open === null) return;
    try {
      const from = this.#state.event ?? (await this.#firstInView(open, direction));
      this.#select(await api.stepFrom(open.id, from, direction, this.#filter, failures), true);
    } catch (error) {
      showNoDetail(error instanceof Error ? error.message : String(error));
    }
  }

  /** The event before which stepping starts where none is chosen: the first one in view. */
  async #firstInView({ id, overview }: Open, direction: 1 | -1): Promise<number> {
    const { from, to } = this.#timeline.range;
    const x = direction === 1 ? from : to;
    let best: number | null = null;
    for (const { index } of this.#timeline.rows.slice(0, 64)) {
      const place = await api.nearestTo(id, this.#axis, index, x, this.#filter);
      const at = place?.at[this.#axis];
      if (place === null || at === undefined || at < from || at >= to) continue;
      if (best === null || (place.seq - best) * direction < 0) best = place.seq;
    }
    return best === null ? (direction === 1 ? -1 : overview.events) : best - direction;
  }

  #zoomToEvent(): void {
    const seq = this.#state.event;
    const open = this.#open;
    if (seq === null || open === null) return;
    void api.detailOf(open.id, seq).then(({ place, end }) => {
      const at = place.at[this.#axis];
      if (at === undefined) return;
      const span = Math.max(16, (end?.took[this.#axis] ?? 0) * 4);
      this.#timeline.setRange({ from: at - span / 2, to: at + span / 2 });
    });
  }

  #closeEvent(): void {
    this.#state = { ...this.#state, event: null };
    this.#timeline.select(null, false);
    showNoDetail(NOTHING_CHOSEN);
    delete byId('detail', HTMLElement).dataset.seq;
    this.#write();
  }

  #escape(): void {
    if (closeChoices()) return;
    if (document.activeElement instanceof HTMLInputElement) document.activeElement.blur();
    else if (this.#state.event !== null) this.#closeEvent();
    else this.#choose({ reasons: [], text: '', vcpus: [], levels: [], kinds: [] });
  }

  #recolour(dark: boolean): void {
    this.#palette = new Palette(dark);
    this.#timeline.recolour(this.#palette);
    this.#strip.recolour(this.#palette);
    this.#profile.mark(this.#state.reasons, this.#palette);
    if (this.#view !== null) this.#answered(this.#view, this.#timeline.range);
    if (this.#state.event !== null) void this.#goTo(this.#state.event, false);
  }

  /** Writes the state into the address, at the most every 200 ms: browsers limit how often that may be done. */
  #write(): void {
    if (this.#writing !== 0) return;
    this.#writing = setTimeout(() => {
      this.#writing = 0;
      this.#written = toHash({ ...this.#state, trace: this.#traces.length > 1 ? (this.#open?.name ?? null) : null });
      history.replaceState(null, '', this.#written);
    }, 200);
  }

  #message(...parts: readonly Node[]): void {
    const message = byId('message', HTMLElement);
    message.replaceChildren(...parts);
    message.hidden = parts.length === 0;
    message.classList.remove('error');
    if (parts.length > 0) byId('timeline', HTMLElement).dataset.state = 'loading';
  }

  #say(what: string, why: unknown): void {
    this.#message(el('strong', {}, what), el('span', {}, why instanceof Error ? why.message : String(why)));
    byId('message', HTMLElement).classList.toggle('error', why instanceof Error);
    byId('timeline', HTMLElement).dataset.state = why instanceof Error ? 'error' : 'empty';
  }
}

const FACTS = ['image_name', 'cpu'] as const;
const ORDER: readonly Axis[] = ['tick', 'time', 'seq'];

void new Page().start();
