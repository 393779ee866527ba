// Runs the program that the command line names: `tsx test/programs/run.ts bench attention --quick`.

import { Terminal } from '../../runtime/commands/terminal.ts';
import { perform } from './index.ts';

const terminal = new Terminal();
const code = await perform(process.argv.slice(2), terminal);
await terminal.flush();
// Threads, processes and timers of a program end with it.
process.exit(code);
