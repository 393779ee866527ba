// Laws 8 and 9 on the CPU device: rows without keys, values and scores of a special kind.

import fc from 'fast-check';
import { arbitraryCall } from './arbitraries.ts';
import { inline } from './attention.ts';
import { checkEmptyRows, checkLinear, checkOnes, checkShift } from './properties/rows.ts';
import { law, runs } from './settings.ts';

law('a row that sees no key gives 0 and a log-sum of -Infinity', () =>
  fc.assert(
    fc.asyncProperty(arbitraryCall({ rest: false }), fc.integer({ min: 2, max: 5 }), (call, n) =>
      checkEmptyRows(inline, call, n),
    ),
    runs(200),
  ),
);

law('values of one give one', () =>
  fc.assert(
    fc.asyncProperty(arbitraryCall(), (call) => checkOnes(inline, call)),
    runs(150),
  ),
);

law('the output is linear in the values', () =>
  fc.assert(
    fc.asyncProperty(arbitraryCall(), (call) => checkLinear(inline, call)),
    runs(150),
  ),
);

law('a constant added to all scores moves only the log-sum', () =>
  fc.assert(
    fc.asyncProperty(
      arbitraryCall({ score: false, rest: false }),
      fc.integer({ min: -8, max: 8 }),
      (call, constant) => checkShift(inline, call, constant),
    ),
    runs(100),
  ),
);
