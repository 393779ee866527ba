// Law 7 on the CPU device: poison in what a mask refuses.

import fc from 'fast-check';
import { arbitraryCall } from './arbitraries.ts';
import { inline } from './attention.ts';
import { checkSpoiled, checkUnseen } from './properties/poison.ts';
import { law, runs } from './settings.ts';

law('NaN in keys and values that no query may see changes no bit', () =>
  fc.assert(
    fc.asyncProperty(arbitraryCall(), (call) => checkUnseen(inline, call)),
    runs(200),
  ),
);

law('a huge value changes only rows that may see it', () =>
  fc.assert(
    fc.asyncProperty(arbitraryCall({ rest: false }), (call) => checkSpoiled(inline, call)),
    runs(150),
  ),
);
