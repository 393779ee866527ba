// The bench of calls where no GPU is: `npx tsx test/bench/calls-simulated.ts --length 1024`. The driver is the
// simulated one, at its barest, so that the host times are those of our own JavaScript and native code.

import { Terminal } from '../../runtime/commands/terminal.ts';
import { useSimulatedDriver } from '../native/simulated.ts';
import { perform } from '../programs/index.ts';

useSimulatedDriver({ bare: true });
process.exit(await perform(['bench:calls', ...process.argv.slice(2)], new Terminal()));
