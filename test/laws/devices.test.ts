// Law 6: devices agree. The CPU device gives what the float64 oracle gives; test/long runs it overnight.

import fc from 'fast-check';
import { inline } from './attention.ts';
import { builtInsAgree } from './properties/built-ins.ts';
import { devicesAgree } from './properties/devices.ts';
import { law, runs } from './settings.ts';

law('random patterns on the CPU device agree with the oracle', () =>
  fc.assert(devicesAgree(inline), runs(400)));

law('built-in patterns on the CPU device agree with the oracle, selections and attention', () =>
  fc.assert(builtInsAgree(inline), runs(250)));
