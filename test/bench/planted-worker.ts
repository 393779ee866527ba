// A thread that makes planted rows, one head at a time, into memory that it shares with the one who asks: planted.ts.

import { parentPort } from 'node:worker_threads';
import type { Planted } from '../../examples/planted/heads.ts';
import { PlantedRows } from '../../examples/planted/rows.ts';
import type { FloatType } from '../../index.ts';
import { elementsOver } from '../../runtime/dtype.ts';

/** Which rows of which query head or KV head. */
export interface PlantedOrder {
  readonly rows: 'queries' | 'keys' | 'values';
  readonly unit: number;
  readonly dtype: FloatType;
  readonly memory: SharedArrayBuffer;
}

let made: PlantedRows | undefined;

/** The first message says what is planted. */
parentPort?.on('message', (message: Planted | PlantedOrder) => {
  if ('planted' in message) {
    made = new PlantedRows(message);
    return;
  }
  const { rows, unit, dtype, memory } = message;
  made![rows](unit, dtype, elementsOver(dtype, memory));
  parentPort!.postMessage(unit);
});
