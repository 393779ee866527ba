// Deliberate faults, each of which some test must notice; run.ts tries them one by one. A fault is a text
// that stands once in a file, and what takes its place. No fault here means the same as the right text.

import { codegen } from './codegen.ts';
import { cpu } from './cpu.ts';
import { dsl } from './dsl.ts';
import { emulator } from './emulator.ts';
import { heads } from './heads.ts';
import { masks } from './masks.ts';
import type { Mutation } from './mutation.ts';

export type { Mutation };

export const mutations: readonly Mutation[] = [
  ...dsl,
  ...cpu,
  ...codegen,
  ...masks,
  ...emulator,
  ...heads,
];
