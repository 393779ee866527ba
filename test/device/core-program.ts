// The CUDA core and the compiler on a real GPU: what the simulated driver cannot prove, and what it costs.

import { type Command, Option } from 'commander';
import { exit } from '../../runtime/commands/failure.ts';
import type { Program } from '../programs/program.ts';

export const program: Program = {
  summary: 'the CUDA core and the compiler on a GPU, one line a claim',
  examples: [''],
  addOptions(command: Command) {
    // What its other process does.
    command.addOption(new Option('--child').hideHelp());
  },
  async act() {
    await import('./core.ts');
    return Number(process.exitCode ?? exit.fine);
  },
};
