/** The keyboard: a table of keys, from which the help is made as well. */
import { button, byId, el } from './dom.js';

export interface Key {
  readonly keys: readonly string[];
  readonly shown: string;
  readonly says: string;
  readonly press: (event: KeyboardEvent) => void;
}

/** Listens for the keys while no field is being written in; Escape is heard everywhere. */
export function listen(keys: readonly Key[]): void {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { target } = event;
    // an open dialog has its own keys, Escape among them
    if (byId('keys', HTMLDialogElement).open) return;
    const writing = target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
    if (writing && event.key !== 'Escape') return;
    // Enter presses what has the focus
    if (event.key === 'Enter' && target instanceof Element && target.closest('button, summary, a') !== null) return;
    const found = keys.find((each) => each.keys.includes(event.key));
    if (found === undefined) return;
    event.preventDefault();
    found.press(event);
  });
}

export function showKeys(keys: readonly Key[]): void {
  const dialog = byId('keys', HTMLDialogElement);
  const list = el('dl');
  for (const { shown, says } of keys) {
    list.append(el('dt', {}, ...shown.split(' ').flatMap((key) => [el('kbd', {}, key), ' '])), el('dd', {}, says));
  }
  for (const [how, says] of [
    ['wheel', 'zoom (with Ctrl where lanes scroll), Shift pans'],
    ['drag', 'pan; in the strip above: choose a range'],
    ['click', 'look at an event'],
  ] as const) {
    list.append(el('dt', {}, el('kbd', {}, how)), el('dd', {}, says));
  }
  dialog.setAttribute('aria-label', 'Keys');
  dialog.replaceChildren(
    el(
      'div',
      { class: 'head' },
      el('h2', {}, 'Keys'),
      button('×', { 'aria-label': 'Close' }, () => dialog.close()),
    ),
    list,
  );
  dialog.showModal();
  dialog.addEventListener('click', () => dialog.close(), { once: true });
}
