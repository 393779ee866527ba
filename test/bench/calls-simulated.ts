// The bench of calls where no GPU is: `npx tsx test/bench/calls-simulated.ts cuda 1024`. The driver is the
// simulated one, at its barest, so that the host times are those of our own JavaScript and native code.

import { useSimulatedDriver } from '../native/simulated.ts';

useSimulatedDriver({ bare: true });
await import('./calls.bench.ts');
