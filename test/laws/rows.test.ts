// Laws 8 and 9: rows without keys, and what attention does to values and scores of a special kind.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import * as x from '../../dsl/expression.ts';
import { queryOffset } from '../../dsl/shape.ts';
import { tensor } from '../../runtime/tensor.ts';
import { numbersFrom } from '../arbitraries.ts';
import { arbitraryCall, inputsOf, paramsOf, patternOf } from './arbitraries.ts';
import { assertClose, attendWith, boundOf, largest, times } from './attention.ts';
import { law, runs } from './settings.ts';

law('a row that sees no key gives 0 and a log-sum of -Infinity', () =>
  fc.assert(
    fc.asyncProperty(
      arbitraryCall({ rest: false }),
      fc.integer({ min: 2, max: 5 }),
      async ({ pattern, data }, n) => {
        const { shape } = data;
        const isOpen = x.compare('ne', x.binary('rem', x.index('q'), x.int(n)), x.int(0));
        const mask = x.and(pattern.mask, isOpen);
        const { out, lse } = await attendWith(
          patternOf({ ...pattern, mask }),
          data,
          inputsOf(data),
          paramsOf(data),
        );
        for (const [row, value] of lse.entries()) {
          const q = (row % shape.qLen) + queryOffset(shape);
          const isEmpty = q % n === 0 || shape.kLen === 0;
          if (isEmpty) assert.equal(value, -Infinity);
          const values = out.subarray(row * shape.valueDim, (row + 1) * shape.valueDim);
          if (value === -Infinity) for (const one of values) assert.equal(Math.abs(one), 0);
          else for (const one of values) assert.ok(Number.isFinite(one));
        }
      },
    ),
    runs(200),
  ),
);

law('values of one give one', () =>
  fc.assert(
    fc.asyncProperty(arbitraryCall(), async ({ pattern, data }) => {
      const { batch, kvHeads, kLen, valueDim } = data.shape;
      const ones = tensor.full([batch, kvHeads, kLen, valueDim], 1, { dtype: data.dtype });
      const inputs = { ...inputsOf(data), v: ones };
      const { out, lse } = await attendWith(patternOf(pattern), data, inputs, paramsOf(data));
      const bound = boundOf({ ...data, scale: 0 }, 1);
      for (const [at, value] of out.entries()) {
        const expected = lse[Math.floor(at / valueDim)] === -Infinity ? 0 : 1;
        assert.ok(Math.abs(value - expected) <= bound.out, `${value} for ${expected}`);
      }
    }),
    runs(150),
  ),
);

law('the output is linear in the values', () =>
  fc.assert(
    fc.asyncProperty(arbitraryCall(), async (call) => {
      const data = { ...call.data, dtype: 'fp32' as const };
      const { batch, kvHeads, kLen, valueDim } = data.shape;
      const sizes = [batch, kvHeads, kLen, valueDim];
      // Whole numbers times powers of two, so that their sums are exact.
      const next = numbersFrom(data.seed);
      const whole = () =>
        Float32Array.from(
          { length: batch * kvHeads * kLen * valueDim },
          () => Math.floor(next() * 64) - 32,
        );
      const [a, b] = [whole(), whole()];
      const both = a.map((value, i) => 2 * value - b[i]! / 2);
      const [made, inputs, params] = [patternOf(call.pattern), inputsOf(data), paramsOf(data)];
      const results = [];
      for (const values of [a, b, both]) {
        const v = tensor(values, { shape: sizes });
        results.push(await attendWith(made, data, { ...inputs, v }, params));
      }
      const [first, second, third] = results;
      const sum = first!.out.map((value, i) => 2 * value - second!.out[i]! / 2);
      const bound = times(boundOf({ ...data, scale: 0 }, largest(a) + largest(b)), 4);
      assertClose({ ...third!, out: sum }, third!, bound, data.shape);
    }),
    runs(150),
  ),
);

law('a constant added to all scores moves only the log-sum', () =>
  fc.assert(
    fc.asyncProperty(
      arbitraryCall({ score: false, rest: false }),
      fc.integer({ min: -8, max: 8 }),
      async ({ pattern, data }, constant) => {
        const score = x.binary('add', x.index('s'), x.real(constant));
        const [inputs, params] = [inputsOf(data), paramsOf(data)];
        const plain = await attendWith(patternOf(pattern), data, inputs, params);
        const moved = await attendWith(patternOf({ ...pattern, score }), data, inputs, params);
        const bound = boundOf(data, largest(await inputs.v.read()));
        const lse = moved.lse.map((value) => value - constant);
        assertClose({ ...moved, lse }, plain, times(bound, 2), data.shape);
      },
    ),
    runs(100),
  ),
);
