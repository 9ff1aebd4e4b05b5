import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { VMX_EXIT_REASONS } from '../../engine/vmx/exit-reasons.js';
import { FAILURE, HUES, Palette } from '../../web/client/colours.js';
import { SHAPES, TEXTURES } from '../../web/client/marks.js';

type Vector = readonly [number, number, number];
type Matrix = readonly [Vector, Vector, Vector];

/** Machado, Oliveira, Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency" (2009), severity 1. */
const VISION: { readonly [name: string]: { readonly matrix: Matrix; readonly least: number } } = {
  usual: {
    matrix: [
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ],
    least: 0.1,
  },
  protanopia: {
    matrix: [
      [0.152286, 1.052583, -0.204868],
      [0.114503, 0.786281, 0.099216],
      [-0.003882, -0.048116, 1.051998],
    ],
    least: 0.055,
  },
  deuteranopia: {
    matrix: [
      [0.367322, 0.860646, -0.227968],
      [0.280085, 0.672501, 0.047413],
      [-0.01182, 0.04294, 0.968881],
    ],
    least: 0.055,
  },
  tritanopia: {
    matrix: [
      [1.255528, -0.076749, -0.178779],
      [-0.078411, 0.930809, 0.147602],
      [0.004733, 0.691367, 0.3039],
    ],
    least: 0.04,
  },
};

const linear = (colour: string): Vector => {
  const channel = (at: number): number => {
    const value = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  return [channel(1), channel(3), channel(5)];
};
const times = (rows: Matrix, [r, g, b]: Vector): Vector => {
  const row = ([x, y, z]: Vector): number => Math.max(0, x * r + y * g + z * b);
  return [row(rows[0]), row(rows[1]), row(rows[2])];
};
/** OKLab (Ottosson 2020): 0.02 is a difference that is just seen. */
const lab = (rgb: Vector): Vector => {
  const lms = times(
    [
      [0.4122214708, 0.5363325363, 0.0514459929],
      [0.2119034982, 0.6806995451, 0.1073969566],
      [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    rgb,
  ).map(Math.cbrt);
  const [l = 0, m = 0, s = 0] = lms;
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
};
const apart = (a: string, b: string, matrix: Matrix): number => {
  const [x, y] = [lab(times(matrix, linear(a))), lab(times(matrix, linear(b)))];
  return Math.hypot(x[0] - y[0], x[1] - y[1], x[2] - y[2]);
};

const exit = (reason: string, failure = false): { kind: string; reason: string; failure: boolean } => ({
  kind: 'exit',
  reason,
  failure,
});
const looks = (palette: Palette, reason: string, failure = false): string =>
  JSON.stringify(palette.style(exit(reason, failure)));

describe('colours of reasons', () => {
  for (const [theme, name] of ['light', 'dark'].entries()) {
    for (const [vision, { matrix, least }] of Object.entries(VISION)) {
      it(`are apart in a ${name} page, seen with ${vision} vision`, () => {
        const all = [...Object.values(HUES), FAILURE].map((shades) => shades[theme] ?? '');
        for (const [i, a] of all.entries()) {
          for (const b of all.slice(i + 1)) {
            assert.ok(apart(a, b, matrix) >= least, `${a} and ${b}: ${apart(a, b, matrix).toFixed(3)}`);
          }
        }
      });
    }
  }

  it('never come twice, until there are more reasons than hues with textures, and then the palette says so', () => {
    const room = Object.keys(HUES).length * TEXTURES.length;
    fc.assert(
      fc.property(fc.uniqueArray(fc.string({ minLength: 1, maxLength: 12 }), { maxLength: 90 }), (names) => {
        const palette = new Palette(
          false,
          names.map((name) => exit(name)),
        );
        const different = new Set(names.map((name) => looks(palette, name)));
        if (names.length <= room) assert.equal(different.size, names.length);
        assert.equal(palette.shared, names.length > room + 1 ? names.length - room : 0);
      }),
      { numRuns: 60, seed: 11 },
    );
  });

  it('tell every reason of VMX apart, and every failure by its shape', () => {
    const names = VMX_EXIT_REASONS.map(({ name }) => name).slice(0, 60);
    const palette = new Palette(
      true,
      names.map((name) => exit(name)),
    );
    assert.equal(new Set(names.map((name) => looks(palette, name))).size, names.length);
    const failed = names.slice(0, SHAPES.length);
    const failures = new Palette(
      false,
      failed.map((name) => exit(name, true)),
    );
    assert.equal(new Set(failed.map((name) => failures.style(exit(name, true)).shape)).size, SHAPES.length);
  });

  it('of known reasons are the same in every trace', () => {
    const some = ['CPUID', 'EPT_VIOLATION', 'MSR_READ', 'HLT', 'WRITE_CR4', 'VMRUN'];
    const alone = some.map((name) => looks(new Palette(false, [exit(name)]), name));
    const more = ['NEW_REASON', 'ANOTHER', ...some, 'X'].reverse().map((name) => exit(name));
    const together = new Palette(false, more);
    assert.deepEqual(
      some.map((name) => looks(together, name)),
      alone,
    );
  });
});
