// Law 13 on the CPU device: stand-ins of one key, and of constant blocks.

import fc from 'fast-check';
import { arbitraryCall, arbitraryKnobs } from './arbitraries.ts';
import { inline } from './attention.ts';
import { checkConstantBlocks, checkSinglePools } from './properties/stand-ins.ts';
import { law, runs } from './settings.ts';

law('pools of one key give dense attention on the hull', () =>
  fc.assert(
    fc.asyncProperty(arbitraryCall({ score: false, rest: false }), arbitraryKnobs, (call, knobs) =>
      checkSinglePools(inline, call, knobs),
    ),
    runs(150),
  ),
);

law('blocks of one key and value make every pool as good as all keys', () =>
  fc.assert(
    fc.asyncProperty(
      arbitraryCall({ score: false, rest: false }),
      fc.constantFrom(1, 2, 4, 8, 16),
      (call, rest) => checkConstantBlocks(inline, call, rest),
    ),
    runs(100),
  ),
);
