// Starts the processes of a tuning on the machine that only counts.

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Start } from '../../runtime/tuner/process.ts';
import type { SimulatedFaults } from './tuner-child.ts';

export const simulated =
  (faults: SimulatedFaults = {}): Start =>
  (role) =>
    fork(fileURLToPath(new URL('./tuner-child.ts', import.meta.url)), [...role], {
      execArgv: [
        '--import',
        new URL('../../node_modules/tsx/dist/loader.mjs', import.meta.url).href,
      ],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: { ...process.env, SIMULATED_TUNING: JSON.stringify(faults) },
    });
