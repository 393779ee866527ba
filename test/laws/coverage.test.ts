// Law 3: coverage. Allowed implies visited, full implies all allowed, no pair is visited twice; for the
// built-in patterns the classification of tiles is exact.

import fc from 'fast-check';
import { builtInsClassifyExactly } from './properties/built-ins.ts';
import { plansCover } from './properties/coverage.ts';
import { law, runs } from './settings.ts';

law('a plan lets every allowed pair through once and no other', () => {
  fc.assert(plansCover(), runs(300));
});

law('the tiles of built-in patterns are full, partial and skipped exactly', () =>
  fc.assert(builtInsClassifyExactly(), runs(200)),
);
