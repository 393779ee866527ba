// Attention in TFLOP/s: `npm run bench -- attention [--device cuda] [--only causal] [--quick] [--json ours.json]`.
// In the bundle: `./warploom bench:attention`. Medians of rounds that alternate, by the device's events; the
// clock is read on the device. `--tiny` runs every work at a size for the CPU, to see that it is right. The rivals'
// half: attention/rivals.py.

import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { openDevice } from '../../index.ts';
import { besideLines } from './attention/compare.ts';
import { ourReport, runOurs } from './attention/ours.ts';
import { figureCells, figuresOf, type Result, reportText } from './attention/report.ts';
import { tinyWorks } from './attention/tiny.ts';
import { selectWorks, works } from './attention/works.ts';

const { values: options } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda' },
    only: { type: 'string', multiple: true, default: [] },
    quick: { type: 'boolean', default: false },
    tiny: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '7' },
    'round-ms': { type: 'string', default: '60' },
    'no-check': { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const chosen = selectWorks(options.tiny ? tinyWorks : works, options);
if (chosen.length === 0)
  throw new Error(`no such work; there are: ${works.map(({ name }) => name).join('; ')}`);
const device = await openDevice(options.device);
const results: Result[] = [];
// What was found stays, whatever comes after it.
const save = () => {
  if (options.json !== undefined)
    writeFileSync(options.json, `${JSON.stringify(ourReport(device, results), null, 1)}\n`);
};
await runOurs(device, chosen, {
  rounds: Number(options.rounds),
  roundMs: Number(options['round-ms']),
  check: !options['no-check'],
  onResult(result) {
    results.push(result);
    const figures = figureCells(figuresOf(result, ourReport(device, []).device));
    console.error(result.work, result.failure ?? '', figures.join('  '));
    save();
  },
});
const report = ourReport(device, results);
console.log([reportText(report), ...besideLines(report)].join('\n'));
if (results.some(({ failure }) => failure !== null)) process.exitCode = 1;
await device.dispose();
