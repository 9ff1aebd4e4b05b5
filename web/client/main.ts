/** The page: joins the address, the controls, the timeline and the panels. */
import type { Axis, Domain, Filter, Overview, View } from '../../analyzer/timeline-answers.js';
import { Answers } from './answers.js';
import * as api from './api.js';
import { closeChoices, showChoices } from './choices.js';
import { Palette } from './colours.js';
import { byId, el } from './dom.js';
import { showAxes, showFacts } from './facts.js';
import { Hint } from './hint.js';
import { type Key, listen, showKeys } from './keys.js';
import { showLegend } from './legend.js';
import { clearMessage, notice, say, sayReading } from './message.js';
import { Selection } from './selection.js';
import { fromHash, START, served, toHash, type ViewState } from './state.js';
import { showStatus } from './status.js';
import { Strip } from './strip.js';
import { nextTheme, startTheme } from './theme.js';
import { TimelineView } from './timeline.js';

const PAN = 0.2;
const ZOOM = 2;
/** Characters of a name that the page was asked for and does not have. */
const MOST_NAME = 80;

interface Open {
  readonly id: number;
  readonly name: string;
  readonly overview: Overview;
}

class Page {
  #state: ViewState = START;
  #traces: readonly api.TraceState[] = [];
  #open: Open | null = null;
  /** The trace that was asked for last: answers about others come too late. */
  #opening = -1;
  #view: View | null = null;
  #palette = new Palette(startTheme((dark) => this.#recolour(dark)));
  #written = '';
  #writing = 0;
  readonly #answers = new Answers(this.#palette, {
    reason: (reason) => this.#toggleReason(reason),
    text: (text) => this.#choose({ text: this.#state.text === text ? '' : text }),
    stack: (stack) => this.#choose({ stack }),
    panel: (panel) => this.#arrange({ panel }),
    scoped: (scoped) => this.#arrange({ scoped }),
    other: (other) => this.#arrange({ other }),
    without: (without) => this.#arrange({ without }),
    go: (side, seq) => this.#lookAt(side, seq),
    swap: (other) => this.#enter({ trace: other, panel: 'compare', other: this.#open?.name ?? null }),
  });
  readonly #hint = new Hint((range) => this.#timeline.setRange(range));
  readonly #strip = new Strip(this.#palette, (range) => this.#timeline.setRange(range));
  readonly #timeline = new TimelineView(this.#palette, {
    moved: (range) => this.#moved(range),
    answered: (view, range) => this.#answered(view, range),
    failed: (error) => say('The view cannot be shown', error),
    selected: (place) => {
      if (place !== null) this.#selection.choose(place, false);
    },
  });
  readonly #selection = new Selection(
    this.#timeline,
    () =>
      this.#open === null ? null : { ...this.#open, axis: this.#axis, filter: this.#filter, palette: this.#palette },
    (event) => {
      this.#state = { ...this.#state, event };
      this.#write();
    },
  );
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
    {
      keys: ['0'],
      shown: '0',
      says: 'the whole trace',
      press: () => this.#timeline.showAll(),
    },
    { keys: ['b'], shown: 'B', says: 'the busy part, where most events are', press: () => this.#hint.go() },
    {
      keys: ['n', 'p', ']', '['],
      shown: 'N P',
      says: 'next, previous event that passes the filter',
      press: ({ key }) => this.#selection.step('n]'.includes(key) ? 1 : -1, false),
    },
    {
      keys: ['f', 'F'],
      shown: 'F Shift+F',
      says: 'next, previous failure',
      press: ({ key }) => this.#selection.step(key === 'f' ? 1 : -1, true),
    },
    { keys: ['z', 'Enter'], shown: 'Z', says: 'zoom to the event', press: () => this.#selection.zoom() },
    { keys: ['c'], shown: 'C', says: 'times from the start, or of the host’s clock', press: () => this.#toggleClock() },
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
    byId('zoom-all', HTMLButtonElement).addEventListener('click', () => this.#timeline.showAll());
    byId('axis-name', HTMLButtonElement).addEventListener('click', () => this.#toggleClock());
    byId('stack', HTMLButtonElement).addEventListener('click', () => this.#choose({ stack: [] }));
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
      this.#enter({ trace: traces.value });
    });
    addEventListener('hashchange', () => {
      if (location.hash !== this.#written) this.#restore();
    });
    try {
      this.#traces = await api.listTraces();
    } catch (error) {
      say('The traces cannot be listed', error);
      return;
    }
    traces.replaceChildren(...this.#traces.map(({ name }) => el('option', { value: name }, name)));
    if (this.#traces.length === 0) say('No trace is served', 'Start with trapline serve TRACE...');
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
    const { kinds, reasons, vcpus, levels, text, stack } = this.#state;
    return { kinds: kinds ?? exits, reasons, vcpus, levels, text, stack };
  }

  #restore(): void {
    const { state, missing } = served(
      fromHash(location.hash),
      this.#traces.map(({ name }) => name),
    );
    this.#state = state;
    const wanted = this.#wanted;
    if (this.#open === null || wanted?.id !== this.#open.id) void this.#openTrace();
    else this.#show();
    const shown = state.trace !== null ? '' : ` This is ${wanted?.name}.`;
    notice(missing === null ? '' : `No trace named ${missing.slice(0, MOST_NAME)} is served.${shown}`);
  }

  get #wanted(): api.TraceState | undefined {
    return this.#traces.find(({ name }) => name === this.#state.trace) ?? this.#traces[0];
  }

  async #openTrace(): Promise<void> {
    const wanted = this.#wanted;
    if (wanted === undefined) return;
    notice('');
    this.#open = null;
    this.#opening = wanted.id;
    const { event } = this.#state;
    this.#selection.close();
    this.#state = { ...this.#state, event };
    byId('trace', HTMLSelectElement).value = wanted.name;
    this.#answers.say('Reading …');
    const stop = sayReading(wanted.id, wanted.name);
    try {
      const overview = await api.openTrace(wanted.id);
      if (this.#opening !== wanted.id) return;
      this.#open = { id: wanted.id, name: wanted.name, overview };
      document.title = `${wanted.name} · Trapline`;
      this.#palette = new Palette(this.#palette.dark, overview.categories);
      this.#timeline.recolour(this.#palette);
      this.#strip.recolour(this.#palette);
      this.#show();
    } catch (error) {
      if (this.#opening !== wanted.id) return;
      this.#answers.say('');
      say(`${wanted.name} cannot be read`, error);
    } finally {
      stop();
    }
  }

  /** Shows the state on an open trace. */
  #show(): void {
    const open = this.#open;
    if (open === null) return;
    const { overview } = open;
    const axis = this.#axis;
    clearMessage();
    showFacts(overview);
    byId('text', HTMLInputElement).value = this.#state.text;
    showAxes(overview, axis, this.#state.absolute, (chosen) => this.#chooseAxis(chosen));
    this.#showFilter();
    if (overview.events === 0) {
      say(
        'This trace has no events',
        overview.complete
          ? 'Nothing happened, or nothing was recorded.'
          : 'The recording was cut before the first one.',
      );
      return;
    }
    this.#strip.show(null, overview.categories, overview.axes[axis] ?? { from: 0, to: 1 });
    void this.#showTimeline(open, axis);
  }

  async #showTimeline(open: Open, axis: Axis): Promise<void> {
    const { id, overview } = open;
    const { range, absolute, event } = this.#state;
    this.#timeline.show({ id, overview, axis, filter: this.#filter, absolute }, range);
    if (event === null) this.#selection.close();
    else if (event === this.#selection.seq) this.#selection.redraw();
    else void this.#selection.goTo(event, range === null);
    await this.#loadStrip(open, axis);
  }

  async #loadStrip({ id, overview }: Open, axis: Axis): Promise<void> {
    const domain = overview.axes[axis] ?? { from: 0, to: 1 };
    const bins = Math.max(1, Math.floor(byId('strip', HTMLElement).clientWidth / 2));
    const view = await api.viewOf(id, axis, domain.from, domain.to, bins, this.#filter).catch(() => null);
    if (this.#open?.id !== id || this.#axis !== axis) return;
    this.#strip.show(view, overview.categories, domain);
    this.#hint.show(view, domain, this.#timeline.range);
  }

  #showFilter(): void {
    const open = this.#open;
    if (open === null) return;
    const { text, stack } = this.#state;
    byId('text', HTMLInputElement).value = text;
    showChoices(open.overview, this.#filter, (part) => this.#choose(part));
    const chip = byId('stack', HTMLButtonElement);
    chip.hidden = stack.length === 0;
    chip.textContent = `${stack.join(' › ')} ×`;
    this.#showAnswers();
  }

  #showAnswers(): void {
    const open = this.#open;
    if (open === null) return;
    const { panel, scoped, vcpus, reasons, stack, other, without, range } = this.#state;
    const axis = this.#axis;
    const whole = open.overview.axes[axis] ?? { from: 0, to: 1 };
    const asked = { ...open, axis, panel, scoped, vcpus, reasons, stack, other, without, range: range ?? whole };
    this.#answers.show({ ...asked, traces: this.#traces }, this.#palette);
  }

  /** Arranges the panels, which changes nothing of the timeline. */
  #arrange(part: Partial<Pick<ViewState, 'panel' | 'scoped' | 'other' | 'without'>>): void {
    this.#state = { ...this.#state, ...part };
    this.#showAnswers();
    this.#write();
  }

  /** An event of this trace, or of the one that it is compared with. */
  #lookAt(side: 0 | 1, seq: number): void {
    const others = this.#traces.filter(({ id }) => id !== this.#open?.id);
    const other = others.find(({ name }) => name === this.#state.other) ?? others[0];
    if (side === 0 || other === undefined) {
      void this.#selection.goTo(seq, true);
      return;
    }
    this.#enter({ trace: other.name, event: seq, panel: 'compare', other: this.#open?.name ?? null });
  }

  /** Opens a trace as it is seen at first, but for what is given. */
  #enter(part: Partial<ViewState>): void {
    this.#state = { ...START, ...part };
    void this.#openTrace();
  }

  #toggleClock(): void {
    const open = this.#open;
    if (open === null) return;
    const absolute = !this.#state.absolute;
    this.#state = { ...this.#state, absolute };
    this.#timeline.setAbsolute(absolute);
    showAxes(open.overview, this.#axis, absolute, (axis) => this.#chooseAxis(axis));
    this.#write();
  }

  #chooseAxis(axis: Axis): void {
    this.#state = { ...this.#state, axis, range: null };
    this.#show();
    this.#write();
  }

  #choose(part: Partial<ViewState>): void {
    const open = this.#open;
    this.#state = { ...this.#state, ...part };
    if (open === null) return;
    this.#showFilter();
    this.#timeline.refilter(this.#filter);
    void this.#loadStrip(open, this.#axis);
    this.#write();
  }

  #toggleReason(reason: string): void {
    const { reasons } = this.#state;
    this.#choose({
      reasons: reasons.includes(reason) ? reasons.filter((each) => each !== reason) : [...reasons, reason],
    });
  }

  #toggleKind(kind: string): void {
    const { kinds } = this.#filter;
    this.#choose({ kinds: kinds.includes(kind) ? kinds.filter((each) => each !== kind) : [...kinds, kind] });
  }

  #moved(range: Domain): void {
    const { from, to } = this.#open?.overview.axes[this.#axis] ?? { from: 0, to: 1 };
    const whole = Math.abs(range.from - from) + Math.abs(range.to - to) < (to - from) * 1e-9;
    this.#state = { ...this.#state, range: whole ? null : range };
    byId('zoom-all', HTMLButtonElement).disabled = whole;
    this.#strip.setRange(range);
    this.#hint.moved(range);
    if (this.#state.scoped) this.#showAnswers();
    this.#write();
  }

  #answered(view: View, range: Domain): void {
    const open = this.#open;
    if (open === null) return;
    this.#view = view;
    clearMessage();
    showStatus(view, range, this.#filter);
    showLegend(open.overview, view, this.#filter.kinds, this.#state.reasons, this.#palette, (name, isReason) =>
      isReason ? this.#toggleReason(name) : this.#toggleKind(name),
    );
    byId('timeline', HTMLElement).dataset.state = 'ready';
  }

  #escape(): void {
    if (closeChoices()) return;
    if (document.activeElement instanceof HTMLInputElement) document.activeElement.blur();
    else if (this.#state.stack.length > 0) this.#choose({ stack: [] });
    else if (this.#selection.seq !== null) this.#selection.close();
    else this.#choose({ reasons: [], text: '', vcpus: [], levels: [], kinds: null });
  }

  #recolour(dark: boolean): void {
    this.#palette = new Palette(dark, this.#open?.overview.categories ?? []);
    this.#timeline.recolour(this.#palette);
    this.#strip.recolour(this.#palette);
    this.#showAnswers();
    if (this.#view !== null) this.#answered(this.#view, this.#timeline.range);
    this.#selection.redraw();
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
}

void new Page().start();
