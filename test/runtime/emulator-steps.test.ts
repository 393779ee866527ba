// Slopes of all sizes, of distances from anywhere, where a row sees a single key: what the key adds is small, and has to
// be right however much a tile of keys adds. Both back-ends, executed on the CPU with products fused and not, against
// the author's arrow in float64.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, it } from 'vitest';
import { count, f32 } from '../../dsl/given.ts';
import { type AnyPattern, pattern } from '../../dsl/pattern.ts';
import { compile } from '../../runtime/attend.ts';
import { scoreError } from '../../runtime/bound.ts';
import { type Device, openDevice } from '../../runtime/device.ts';
import { tensor } from '../../runtime/tensor.ts';
import { needsFused } from './fusing.ts';

const given = { slopes: f32('head'), far: count.default(0), more: count.default(0) };
const seen = pattern('seen', given).mask(({ q, k }, { far, more }) => q - k === far + more);

/** What is added is of the distance, or of what it is beyond `far`: at most `more`. */
const cases: Readonly<Record<string, AnyPattern>> = {
  'a distance': seen.score(({ s, q, k, head }, { slopes }) => s - slopes.at(head) * (q - k)),
  'a distance from afar': seen.score(({ s, q, k, head }, { slopes, far }) => s - slopes.at(head) * (q - k - far)),
  'a distance beside a function': seen.score(({ s, q, k, head }, { slopes, far }) => Math.max(s, -60) + (k - q + far) * slopes.at(head)),
  'a distance within a function': seen.score(({ s, q, k, head }, { slopes, far }) => 3000 * Math.tanh((s - slopes.at(head) * (q - k - far)) / 3000)),
  'a distance beside a function, within another': seen.score(({ s, q, k, head }, { slopes, far }) => 3000 * Math.tanh((Math.max(s, -60) - slopes.at(head) * (q - k - far)) / 3000)),
  'two distances': seen.score(({ s, q, k, head }, { slopes, far }) => (Math.max(s, -60) * 2 - slopes.at(head) * (q - k - far)) / 2 + (1 - (q - k - far) * slopes.at(head)) / 2),
}; // biome-ignore format: a table

const [heads, rows, dim] = [4, 150, 16] as const;

const slope = fc
  .tuple(fc.constantFrom(1, -1), fc.double({ min: -2, max: 3, noNaN: true }))
  .map(([sign, digits]) => Math.fround(sign * 10 ** digits));

const call = fc.record({
  slopes: fc.array(slope, { minLength: heads, maxLength: heads }),
  far: fc.oneof(fc.nat(200), fc.nat(100_000)),
  more: fc.constantFrom(0, 1, 2, 5),
  seed: fc.nat(2 ** 20),
});

/** Nothing is added, as a difference of what is large: off by far where one of the two products is fused. */
const steep = { slopes: [100, -100, 1000, 3].map(Math.fround), far: 0, more: 0, seed: 1 };

/** Of each row of each head with the key that it sees. */
function logitsOf(
  q: ArrayLike<number>,
  k: ArrayLike<number>,
  length: number,
  distance: number,
): number[] {
  return Array.from({ length: heads * rows }, (_, i) => {
    const [head, row] = [Math.floor(i / rows), i % rows];
    const key = head * length + row + length - rows - distance;
    let sum = 0;
    for (let d = 0; d < dim; d += 1) sum += q[i * dim + d]! * k[key * dim + d]!;
    return sum / Math.sqrt(dim);
  });
}

// Where a distance of 0 is multiplied out, two products cancel, unless one of them is fused.
const fusedCases = ['a distance', 'a distance within a function'];

describe.each([
  ['emulated:sm_80', false],
  ['emulated:sm_90a', false],
  ['emulated:sm_80', true],
  ['emulated:sm_90a', true],
] as const)('on %s, products fused: %s', (name, fma) => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice(name, { fma });
  });
  afterAll(() => device.dispose());
  if (fma) beforeEach(needsFused);

  it.each(Object.entries(cases).filter(([which]) => !fma || fusedCases.includes(which)))(
    'a slope of %s is as exact as it is',
    { timeout: 240_000 },
    async (_, own) => {
      const attend = await compile(own, { heads, headDim: dim, dtype: 'fp16', device });
      const property = fc.asyncProperty(call, async ({ slopes, far, more, seed }) => {
        const length = rows + far + more;
        const random = (qk: number, i: number) =>
          tensor.random([1, heads, qk, dim], { dtype: 'fp16', seed: seed + i });
        const inputs = {
          q: random(rows, 0),
          k: random(length, 1),
          v: random(length, 2),
          slopes: tensor(Float32Array.from(slopes), { shape: [heads] }),
        };
        const { lse } = await attend(inputs as never, { far, more } as never);
        const logits = logitsOf(await inputs.q.read(), await inputs.k.read(), length, more + far);
        const score = own.definition.score!.fn as unknown as (pair: object, given: object) => number;
        const allowed = scoreError(own.definition, length);
        for (const [i, found] of (await lse.read()).entries()) {
          const [head, q] = [Math.floor(i / rows), (i % rows) + far + more];
          const pair = { s: logits[i]!, q, k: q - far - more, head };
          const expected = score(pair, { slopes: { at: (of: number) => slopes[of]! }, far, more });
          const added = slopes[head]! * (own === cases['a distance'] ? far + more : more);
          // Each of two factors, their product, and the sums with it are rounded.
          const bound = allowed + 2 ** -21 * (10 + Math.abs(added));
          const off = Math.abs(found - expected);
          if (!(off <= bound))
            assert.fail(`${JSON.stringify(pair)}, slope ${slopes[head]}: ${found} for ${expected}, off by ${off}, bound ${bound}`);
        }
      });
      await fc.assert(property, { numRuns: 12, examples: [[steep]] });
    },
  );
}); // biome-ignore format: long messages
