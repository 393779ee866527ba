// Law 11 on the CPU device: splitting the keys and merging by log-sum equals not splitting.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { lifted } from '../../dsl/definition.ts';
import * as x from '../../dsl/expression.ts';
import { arbitraryCall, patternOf } from './arbitraries.ts';
import { inline } from './attention.ts';
import { before, checkSplit } from './properties/splitting.ts';
import { law, runs } from './settings.ts';

law('splitting the keys and merging by log-sum equals not splitting', () =>
  fc.assert(
    fc.asyncProperty(
      arbitraryCall({ score: false, rest: false, depth: 2 }),
      fc.nat(70),
      (call, cut) => checkSplit(inline, call, cut),
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
