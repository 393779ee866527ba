// The generator against its published answers, and its normal values against what normal means.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allocate, type Elements, type FloatType } from '../../runtime/dtype.ts';
import { addonStatus } from '../../runtime/native.ts';
import { encodeByParts, encodeNormal, fillNormal, normal, philox } from '../../runtime/random.ts';

const seeds = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });

describe('philox', () => {
  // The known answers of Random123 1.14 (tests/kat_vectors).
  it.each([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ])('gives the published words', (counter, key, words) => {
    const out = new Uint32Array(4);
    philox(new Uint32Array(counter), new Uint32Array(key), out);
    expect([...out]).toEqual(words);
  });
});

describe('normal values', () => {
  it('are a function of seed and index, wherever a slice begins', () => {
    const span = fc.integer({ min: 0, max: 40 });
    fc.assert(
      fc.property(seeds, span, span, (seed, from, length) => {
        const whole = new Float64Array(80);
        const part = new Float64Array(length);
        fillNormal(whole, seed);
        fillNormal(part, seed, from);
        expect(part).toEqual(whole.slice(from, from + length));
      }),
    );
  });

  it('have the same bits on every machine', () => {
    const bits = new BigUint64Array(8);
    fillNormal(new Float64Array(bits.buffer), 42);
    expect([...bits].map((word) => word.toString(16))).toMatchInlineSnapshot(`
      [
        "3fd25ee4fdc0b436",
        "bfb42dc65d29b5bb",
        "bff73bf4292b8628",
        "bfda3f4a5af3d7b5",
        "4001fc5661c73277",
        "bfdcaca1d265552c",
        "3fa1d9c5f4a4f502",
        "bfbd61412d77222a",
      ]
    `);
  });

  it('lie at the quantiles of the distribution', () => {
    // From Python's statistics.NormalDist().inv_cdf((word + 0.5) / 2**32).
    const known: [number, number][] = [
      [0, -6.337957754553789],
      [1, -6.166429517819749],
      [12345, -4.535422762090429],
      [67108864, -2.1538746910933155],
      [322122546, -1.4395314720898171],
      [322122547, -1.4395314704450153],
      [322122548, -1.4395314688002132],
      [1073741824, -0.6744897498297384],
      [2146435072, -0.0006119695399989287],
      [2148532224, 0.0006119701236189126],
      [3221225472, 0.6744897505624251],
      [4294967196, 5.46483676071056],
      [4294967295, 6.337957754553789],
    ];
    for (const [word, value] of known)
      expect(Math.abs(normal(word) / value - 1)).toBeLessThan(1e-14);
  });

  it('are odd about the middle, grow with the word, and are never infinite', () => {
    const words = fc.integer({ min: 0, max: 2 ** 32 - 2 });
    fc.assert(
      fc.property(words, (word) => {
        expect(normal(2 ** 32 - 1 - word)).toBe(-normal(word));
        expect(normal(word + 1)).toBeGreaterThan(normal(word));
        expect(Math.abs(normal(word))).toBeLessThan(6.4);
      }),
    );
    // Where AS241 changes its fractions.
    for (const edge of [Math.floor(0.075 * 2 ** 32), Math.floor(0.925 * 2 ** 32)]) {
      for (let word = edge - 50; word < edge + 50; word++) {
        expect(normal(word + 1)).toBeGreaterThan(normal(word));
      }
    }
  });

  it('have the moments of a standard normal, and no two seeds agree', () => {
    const n = 200_000;
    const [a, b] = [new Float64Array(n), new Float64Array(n)];
    fillNormal(a, 1);
    fillNormal(b, 2 ** 32 + 1);
    const mean = (f: (x: number, i: number) => number) =>
      a.reduce((sum, x, i) => sum + f(x, i), 0) / n;
    // Five standard errors of each.
    const off = 5 / Math.sqrt(n);
    expect(Math.abs(mean((x) => x))).toBeLessThan(off);
    expect(Math.abs(mean((x) => x * x) - 1)).toBeLessThan(off * Math.sqrt(2));
    expect(Math.abs(mean((x) => x ** 3))).toBeLessThan(off * Math.sqrt(15));
    expect(Math.abs(mean((x) => x ** 4) - 3)).toBeLessThan(off * Math.sqrt(96));
    expect(Math.abs(mean((x, i) => x * b[i]!))).toBeLessThan(off);
    expect(Math.abs(mean((x, i) => x * (a[i + 1] ?? 0)))).toBeLessThan(off);
  });

  it('refuse a seed that is no whole number', () => {
    for (const seed of [-1, 0.5, Number.NaN, 2 ** 53]) {
      expect(() => fillNormal(new Float64Array(1), seed)).toThrow('error[T006]');
    }
  });
});

describe('elements made by the native addon', () => {
  const filled = (fill: typeof encodeNormal, of: Drawn): Elements => {
    const elements = allocate(of.dtype, of.at + of.count + 3);
    fill({ elements, dtype: of.dtype, at: of.at, count: of.count }, of.seed, of.from, of.scale);
    return elements;
  };
  interface Drawn {
    readonly dtype: FloatType;
    readonly at: number;
    readonly count: number;
    readonly seed: number;
    readonly from: number;
    readonly scale: number;
  }
  const drawn: fc.Arbitrary<Drawn> = fc.record({
    dtype: fc.constantFrom<FloatType[]>('fp32', 'fp16', 'bf16'),
    at: fc.nat(5),
    count: fc.oneof(fc.nat(9), fc.nat(5000)),
    seed: fc.oneof(fc.nat(), fc.maxSafeNat()),
    from: fc.oneof(fc.nat(100), fc.nat(), fc.integer({ min: 2 ** 33, max: 2 ** 40 })),
    // Large and small: fp16 has infinities and subnormals of these.
    scale: fc.constantFrom(1, -0.3, 1e5, 3e-6, 1e-9, 1e300, 1e-300, 0),
  });

  it('have the bits of those made by TypeScript', () => {
    expect(addonStatus().loaded).toBe(true);
    const check = (of: Drawn): void => {
      expect(bytesIn(filled(encodeNormal, of)).equals(bytesIn(filled(encodeByParts, of)))).toBe(
        true,
      );
    };
    fc.assert(fc.property(drawn, check));
    // So many that threads share them.
    check({ dtype: 'bf16', at: 1, count: 300_001, seed: 7, from: 5, scale: 1 });
  });

  it('are refused where they have no room', () => {
    const range = { elements: new Float32Array(4), dtype: 'fp32', at: 2, count: 3 } as const;
    expect(() => encodeNormal(range, 1, 0, 1)).toThrow("'elements' is too short");
  });
});

const bytesIn = ({ buffer }: Elements): Buffer => Buffer.from(buffer as ArrayBuffer);
