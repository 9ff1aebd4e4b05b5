/** Elements made by hand: text is always text, never markup, so nothing that a trace says can become part of the page. */

type Child = Node | string | null;
interface Properties {
  readonly class?: string;
  readonly id?: string;
  readonly title?: string;
  readonly type?: string;
  readonly value?: string;
  readonly role?: string;
  readonly tabindex?: string;
  readonly hidden?: string;
  readonly [attribute: `data-${string}` | `aria-${string}`]: string;
  readonly on?: { readonly [event: string]: (event: Event) => void };
}

export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  const { on = {}, ...attributes } = properties;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  for (const [event, listener] of Object.entries(on)) element.addEventListener(event, listener);
  for (const child of children) if (child !== null) element.append(child);
  return element;
}

/** The element of the page's own markup with this id. */
export function byId<T extends Element>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${id}`);
  return found;
}

export function button(label: string, properties: Properties, press: () => void): HTMLButtonElement {
  return el('button', { type: 'button', ...properties, on: { click: press } }, label);
}

/**
 * Draws a place anew. What has the keyboard in it has it again, where there is still something with the same
 * `data-hold`: a name of what is pressed, whatever else of it changes.
 */
export function redraw(place: HTMLElement, ...children: readonly Node[]): void {
  const focused = document.activeElement;
  const held = focused instanceof HTMLElement && place.contains(focused) ? focused.dataset.hold : undefined;
  place.replaceChildren(...children);
  if (held === undefined) return;
  for (const each of place.querySelectorAll<HTMLElement>('[data-hold]')) {
    if (each.dataset.hold === held) each.focus({ preventScroll: true });
  }
}

const SVG = 'http://www.w3.org/2000/svg';

export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: { readonly [name: string]: string | number } = {},
  text?: string,
): SVGElementTagNameMap[K] {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  if (text !== undefined) element.textContent = text;
  return element;
}
