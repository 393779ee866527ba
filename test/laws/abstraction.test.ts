// Law 2: abstraction. What intervals, zone maps and sets say of many points holds at each of them.

import fc from 'fast-check';
import {
  answersAreTrue,
  operationsBound,
  pointsLieInIntervals,
  setsCount,
  singlePairsAreExact,
  smallBoxesAreDecided,
  zonesBound,
} from './properties/abstraction.ts';
import { law, runs } from './settings.ts';

law('the value at a point lies in the interval of every box around it', () => {
  fc.assert(pointsLieInIntervals(), runs(300));
});

law("'no' is never contradicted by a scan, and 'yes' comes with a true witness", () => {
  fc.assert(answersAreTrue(), runs(2000));
});

law('zone maps bound every range of a captured tensor', () => {
  fc.assert(zonesBound(), runs(300));
});

law('sets answer for ranges and rows what their members say', () => {
  fc.assert(setsCount(), runs(500));
});

law('the interval of every operation holds its results, on any two ranges', () => {
  fc.assert(operationsBound(), runs(3000));
});

law('the interval of a single pair is its value', () => {
  fc.assert(singlePairsAreExact(), runs(300));
});

law('a question about a few pairs is always answered', () => {
  fc.assert(smallBoxesAreDecided(), runs(500));
});
