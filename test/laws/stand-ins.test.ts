// Law 13: stand-ins. With pools of one key they are dense attention on the hull; constant blocks make any
// pool as good.

import fc from 'fast-check';
import * as x from '../../dsl/expression.ts';
import { hullOf } from '../../dsl/plan/split.ts';
import { arbitraryCall, arbitraryKnobs, inputsOf, paramsOf, patternOf } from './arbitraries.ts';
import { assertClose, attendWith, boundOf, largest, overwrite, times } from './attention.ts';
import { law, runs } from './settings.ts';

law('pools of one key give dense attention on the hull', () =>
  fc.assert(
    fc.asyncProperty(
      arbitraryCall({ score: false, rest: false }),
      arbitraryKnobs,
      async ({ pattern, data }, knobs) => {
        const [inputs, params] = [inputsOf(data), paramsOf(data)];
        const rested = await attendWith(patternOf({ ...pattern, rest: 1 }), data, inputs, params);
        // A mask that asks for what a set lacks may allow pairs outside of the hull.
        const mask = x.or(hullOf(pattern.mask), pattern.mask);
        const dense = await attendWith(
          patternOf({ ...pattern, mask, knobs }),
          data,
          inputs,
          params,
        );
        const bound = boundOf(data, largest(await inputs.v.read()));
        assertClose(rested, dense, times(bound, 2), data.shape);
      },
    ),
    runs(150),
  ),
);

const block = (index: 'q' | 'k') => x.binary('floordiv', x.index(index), x.int(16));

law('blocks of one key and value make every pool as good as all keys', () =>
  fc.assert(
    fc.asyncProperty(
      arbitraryCall({ score: false, rest: false }),
      fc.constantFrom(1, 2, 4, 8, 16),
      async ({ pattern, data }, rest) => {
        const inputs = inputsOf(data);
        const firstOf = async (name: 'k' | 'v') => {
          const numbers = await inputs[name].read();
          const [, heads = 0, length = 0, dim = 0] = inputs[name].shape;
          return overwrite(
            inputs[name],
            (b, h, at) => numbers[((b * heads + h) * length + Math.floor(at / 16) * 16) * dim],
          );
        };
        const constant = { ...inputs, k: await firstOf('k'), v: await firstOf('v') };
        const mask = x.has('blocks', [block('q'), block('k')]);
        const params = paramsOf(data);
        const rested = await attendWith(
          patternOf({ ...pattern, mask, rest }),
          data,
          constant,
          params,
        );
        const dense = await attendWith(
          patternOf({ ...pattern, mask: x.bool(true) }),
          data,
          constant,
          params,
        );
        const bound = boundOf(data, largest(await inputs.v.read()));
        // Equal numbers in all dimensions of a key: its norm is up to 6.4 sqrt(dim), as the bound has it.
        assertClose(rested, dense, times(bound, 2), data.shape);
      },
    ),
    runs(100),
  ),
);
