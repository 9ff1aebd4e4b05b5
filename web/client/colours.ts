/**
 * How each exit reason looks: a hue that eyes can learn, for it is the same in every trace, and a texture where related
 * reasons share a hue. Failures are red alone, and told apart by the shape of their mark. Hues are few, so that they
 * stay apart for colour-blind people too (test/web/colours.test.ts has the distances).
 */
import type { Category } from '../../analyzer/timeline-answers.js';
import { assign, nameOfCategory, type Shape, type Texture } from './marks.js';

/** Hues in light and dark pages; `other` is shared by all reasons that found no mark of their own. */
export const HUES = {
  blue: ['#2b62d9', '#4f8ff7'],
  teal: ['#0f9080', '#20b8a5'],
  orange: ['#f28c28', '#ffa14a'],
  purple: ['#4c2a91', '#7450dc'],
  green: ['#8fd07e', '#aef09a'],
  grey: ['#b3bac2', '#6f7883'],
  pink: ['#c94fb0', '#f49be0'],
  yellow: ['#f2d21b', '#ffe24a'],
  brown: ['#5a3a1c', '#7d5330'],
} as const satisfies { readonly [hue: string]: readonly [light: string, dark: string] };
export type Hue = keyof typeof HUES;

export const FAILURE = ['#d1242f', '#ff5449'] as const;
const LOST = ['#a8821a', '#d9b84a'] as const;
const OTHER = ['#6d7580', '#98a1ac'] as const;

/** How something is drawn: a failure has a shape, anything else a texture. */
export interface Style {
  readonly colour: string;
  readonly texture: Texture;
  readonly shape: Shape | null;
}

/** What of a category decides how it looks. */
export type Looks = Pick<Category, 'failure' | 'reason' | 'kind'>;

export class Palette {
  readonly dark: boolean;
  readonly categories: readonly Looks[];
  /** Reasons that have to share one style. */
  readonly shared: number;
  readonly #styles = new Map<string, Style>();

  constructor(dark: boolean, categories: readonly Looks[] = []) {
    this.dark = dark;
    this.categories = categories;
    const { marks, shapes, shared } = assign(categories);
    for (const [name, { hue, texture }] of marks) {
      this.#styles.set(name, { colour: this.#shade(hue === null ? OTHER : HUES[hue]), texture, shape: null });
    }
    for (const [name, shape] of shapes) this.#styles.set(name, { ...this.failure, shape });
    this.shared = shared;
  }

  /** The same for more categories: those of another trace. */
  with(more: readonly Looks[]): Palette {
    return new Palette(this.dark, [...this.categories, ...more]);
  }

  /** Of failures as such. */
  get failure(): Style {
    return { colour: this.#shade(FAILURE), texture: 'solid', shape: 'triangle' };
  }

  style(category: Looks): Style {
    if (category.kind === 'lost') return { colour: this.#shade(LOST), texture: 'solid', shape: null };
    const found = this.#styles.get(nameOfCategory(category));
    if (found !== undefined) return found;
    return category.failure ? this.failure : { colour: this.#shade(OTHER), texture: 'grid', shape: null };
  }

  #shade([light, dark]: readonly [string, string]): string {
    return this.dark ? dark : light;
  }
}

/** Black or white, whichever is legible on a colour (WCAG 2 relative luminance). */
export function inkOn(colour: string): '#111418' | '#ffffff' {
  const channel = (at: number): number => {
    const value = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5) > 0.19 ? '#111418' : '#ffffff';
}
