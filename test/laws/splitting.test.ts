// Law 11: splitting the keys and merging by log-sum equals not splitting.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { lifted } from '../../dsl/definition.ts';
import * as x from '../../dsl/expression.ts';
import { count } from '../../dsl/given.ts';
import { pattern } from '../../dsl/pattern.ts';
import { arbitraryCall, inputsOf, paramsOf, patternOf } from './arbitraries.ts';
import { assertClose, attendWith, boundOf, largest, type Numbers } from './attention.ts';
import { law, runs } from './settings.ts';

const before = pattern('before', { cut: count }).mask(({ k }, { cut }) => k < cut);
const after = pattern('after', { cut: count }).mask(({ k }, { cut }) => k >= cut);

/** Two results over disjoint keys as one. */
function merge(a: Numbers, b: Numbers, dim: number): Numbers {
  const lse = a.lse.map((one, row) => {
    const other = b.lse[row]!;
    const most = Math.max(one, other);
    return most === -Infinity
      ? most
      : most + Math.log(Math.exp(one - most) + Math.exp(other - most));
  });
  const out = a.out.map((_, at) => {
    const row = Math.floor(at / dim);
    if (lse[row] === -Infinity) return 0;
    const weigh = (part: Numbers) => Math.exp(part.lse[row]! - lse[row]!) * part.out[at]!;
    return weigh(a) + weigh(b);
  });
  return { out, lse };
}

law('splitting the keys and merging by log-sum equals not splitting', () =>
  fc.assert(
    fc.asyncProperty(
      arbitraryCall({ score: false, rest: false, depth: 2 }),
      fc.nat(70),
      async ({ pattern: random, data }, cut) => {
        const { valueDim } = data.shape;
        const [inputs, own] = [inputsOf(data), paramsOf(data)];
        const params = { ...own, cut };
        const made = patternOf(random);
        const knobs = random.knobs as never;
        const whole = await attendWith(made, data, inputs, own);
        const left = await attendWith(made.and(before).schedule(knobs), data, inputs, params);
        const right = await attendWith(made.and(after).schedule(knobs), data, inputs, params);
        const value = largest(await inputs.v.read());
        const bound = boundOf(data, value);
        // A log-sum that is off by e changes the weight of its half by a factor within e^-2e .. e^2e.
        const out = 2 * bound.out + value * Math.expm1(2 * bound.lse);
        assertClose(merge(left, right, valueDim), whole, { out, lse: 2 * bound.lse }, data.shape);
      },
    ),
    runs(60),
  ),
);

law('the halves are the mask and a comparison', () => {
  fc.assert(
    fc.property(arbitraryCall({ score: false, rest: false, depth: 1 }), ({ pattern: random }) => {
      const { mask } = lifted(patternOf(random).and(before).definition);
      const cut = x.compare('lt', x.index('k'), x.param('cut', 'int'));
      assert.equal(mask.op, 'and');
      assert.ok('args' in mask && x.equal(mask.args[1]!, cut));
    }),
    runs(20),
  );
});
