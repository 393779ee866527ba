// Law 4: plan forms agree.

import fc from 'fast-check';
import { formsAgree } from './properties/coverage.ts';
import { law, runs } from './settings.ts';

law('derived forms visit the allowed pairs that intervals alone find', () => {
  fc.assert(formsAgree(), runs(500));
});
