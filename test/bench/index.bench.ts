// Online indices in milliseconds, kernel by kernel: `npm run bench -- index [--device cuda] [--only vertical]
// [--rounds 7] [--round-ms 20] [--json index.json]`. In the bundle: `./warploom bench:index`. Medians of rounds, by
// the device's events. Tensors are random, with `--planted` those of examples/planted, with budgets of their own for
// every head. `--tiny` runs every work at a size for the emulator, to see that it runs.

import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { plantHeads } from '../../examples/planted/heads.ts';
import { openDevice } from '../../index.ts';
import { Inputs } from './attention/inputs.ts';
import { median } from './attention/report.ts';
import { type IndexReport, indexText } from './estimate/report.ts';
import { type IndexCall, type IndexResult, timeWork } from './estimate/stages.ts';
import { graphsOf, type IndexWork, tinyWorks, works } from './estimate/works.ts';
import { plantedOn } from './planted.ts';

const { values: options } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda' },
    only: { type: 'string', multiple: true, default: [] },
    tiny: { type: 'boolean', default: false },
    planted: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '7' },
    'round-ms': { type: 'string', default: '20' },
    json: { type: 'string' },
  },
});
const all = options.tiny ? tinyWorks : works;
const chosen = all.filter(
  ({ name }) => options.only.length === 0 || options.only.some((part) => name.includes(part)),
);
if (chosen.length === 0)
  throw new Error(`no such work; there are: ${all.map(({ name }) => name).join('; ')}`);
const device = await openDevice(options.device);
if (device.kind === 'cpu') throw new Error('this bench is for the kernels: --device cuda');
const results: IndexResult[] = [];
const reportOf = (): IndexReport => ({
  device: device.description,
  date: new Date().toISOString(),
  results,
});
const inputs = new Inputs(device);

/** Random tensors, or planted ones, and with these the budgets that they need. */
async function callOf(work: IndexWork): Promise<IndexCall> {
  const { batch, heads, kvHeads, qLen, kLen, headDim } = work.shape;
  if (options.planted) {
    const planted = plantHeads({ heads, kvHeads, length: kLen, qLen, headDim });
    const { q, k, v } = await plantedOn(device, planted, 'bf16');
    v.dispose();
    return { q, k, graphs: graphsOf(work, planted.params) };
  }
  const q = await inputs.tensor('q', [batch, heads, qLen, headDim], 'bf16');
  const k = await inputs.tensor('k', [batch, kvHeads, kLen, headDim], 'bf16');
  return { q, k, graphs: graphsOf(work) };
}

for (const work of chosen) {
  try {
    const rounds = { rounds: Number(options.rounds), roundMs: Number(options['round-ms']) };
    const call = await callOf(work);
    results.push(await timeWork(device, work, call, rounds));
    if (options.planted) for (const tensor of [call.q, call.k]) tensor.dispose();
  } catch (error) {
    const failure = error instanceof Error ? error.message.split('\n')[0]! : String(error);
    results.push({ work: work.name, stages: [], workspaceBytes: 0, failure });
  }
  await inputs.release();
  const { stages, failure } = results.at(-1)!;
  console.error(work.name, failure ?? `${median(stages[0]!.ms)!.toFixed(3)} ms`);
  // What was found stays, whatever comes after it.
  if (options.json !== undefined)
    writeFileSync(options.json, `${JSON.stringify(reportOf(), null, 1)}\n`);
}
console.log(indexText(reportOf()));
if (results.some(({ failure }) => failure !== null)) process.exitCode = 1;
await device.dispose();
