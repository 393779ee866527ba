// Law 1: the lift. An arrow, its lifted form and what devices run mean the same.

import fc from 'fast-check';
import { afterAll } from 'vitest';
import {
  compiledSetsAgree,
  filesLift,
  Modules,
  meaningsAgree,
  textLifts,
} from './properties/lift.ts';
import { law, runs } from './settings.ts';

const modules = new Modules();
afterAll(() => modules.remove());

law('a printed arrow without a file lifts to what it was printed from', () => {
  fc.assert(textLifts(), runs(400));
});

law('a printed arrow in a file lifts to what it was printed from', () =>
  fc.assert(filesLift(modules), runs(20)),
);

law('arrow, definition and compiled mask agree at every pair', () => {
  fc.assert(meaningsAgree(), runs(300));
});

law('a compiled set answers as the set does, beyond the edges of its domain too', () => {
  fc.assert(compiledSetsAgree(), runs(200));
});
