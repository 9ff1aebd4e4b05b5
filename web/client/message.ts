/** What is said over the timeline while there is nothing to show there, and the line above it. */
import * as api from './api.js';
import { byId, el } from './dom.js';

const ASK_MS = 300;

const place = (): HTMLElement => byId('message', HTMLElement);
const state = (name: string): void => {
  byId('timeline', HTMLElement).dataset.state = name;
};

function show(...parts: readonly Node[]): void {
  place().replaceChildren(...parts);
  place().hidden = false;
  place().classList.remove('error');
  state('loading');
}

export function clearMessage(): void {
  place().replaceChildren();
  place().hidden = true;
  place().classList.remove('error');
}

/** Says what is wrong, where `why` is an error, or why there is nothing to see. */
export function say(what: string, why: unknown): void {
  const error = why instanceof Error;
  show(el('strong', {}, what), el('span', {}, error ? why.message : String(why)));
  place().classList.toggle('error', error);
  byId('legend', HTMLElement).replaceChildren();
  byId('status', HTMLElement).replaceChildren();
  state(error ? 'error' : 'empty');
}

/** Shows how far the server is, while it reads a trace for the first time; the result ends that. */
export function sayReading(id: number, name: string): () => void {
  const bar = el('progress', { value: '0', 'aria-label': `Reading ${name}` });
  show(el('strong', {}, `Reading ${name}`), bar);
  const timer = setInterval(async () => {
    const traces = await api.listTraces().catch(() => []);
    bar.value = traces.find((trace) => trace.id === id)?.progress ?? bar.value;
  }, ASK_MS);
  return () => clearInterval(timer);
}

/** Something to know of what the address asked for; nothing where empty. */
export function notice(text: string): void {
  const line = byId('notice', HTMLElement);
  line.textContent = text;
  line.hidden = text === '';
}
