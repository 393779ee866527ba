// Law 12: renaming or reformatting a mask changes neither its canonical text nor its CUDA text nor a hash of them.

import fc from 'fast-check';
import { afterAll } from 'vitest';
import { Modules, writingChangesNothing } from './properties/lift.ts';
import { law, runs } from './settings.ts';

const modules = new Modules();
afterAll(() => modules.remove());

law('names, parentheses, comments and line breaks change nothing', () =>
  fc.assert(writingChangesNothing(modules), runs(25)),
);
