// Law 6: devices agree. The CPU device gives what the float64 oracle gives; test/long runs it overnight.

import fc from 'fast-check';
import { arbitraryCallData, arbitraryPattern } from './arbitraries.ts';
import { inline } from './attention.ts';
import { builtInsAgree } from './properties/built-ins.ts';
import { devicesAgree } from './properties/devices.ts';
import { checkHeads } from './properties/heads.ts';
import { law, runs } from './settings.ts';

law('random patterns on the CPU device agree with the oracle', () =>
  fc.assert(devicesAgree(inline), runs(400)),
);

law('built-in patterns on the CPU device agree with the oracle, selections and attention', () =>
  fc.assert(builtInsAgree(inline), runs(250)),
);

law('a head of byHead is the head of its own pattern, to the bit', () =>
  fc.assert(
    fc.asyncProperty(
      fc.tuple(arbitraryPattern(), arbitraryPattern()),
      arbitraryCallData(),
      fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }),
      (pair, data, isSecond) => checkHeads(inline, pair, data, isSecond),
    ),
    runs(80),
  ),
);
