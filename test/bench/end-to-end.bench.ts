// Whole calls on planted heads, from q, k and v to the output: `npm run bench -- end-to-end [--device cuda]
// [--only 128K] [--rounds 5] [--round-ms 20] [--json whole.json]`. In the bundle: `./warploom bench:end-to-end`.
// `--tiny` runs every work at a size for a slow device. `bench compare whole.json rivals.json` holds the results
// against the rivals' dense attention.

import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { openDevice } from '../../index.ts';
import { ourReport } from './attention/ours.ts';
import { median, type Result } from './attention/report.ts';
import { wholeText } from './end-to-end/report.ts';
import { runWhole, type WholeResult } from './end-to-end/run.ts';
import { tinyWholeWorks, wholeWorks } from './end-to-end/works.ts';

const { values: options } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda' },
    only: { type: 'string', multiple: true, default: [] },
    tiny: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    'round-ms': { type: 'string', default: '20' },
    json: { type: 'string' },
  },
});
const works = (options.tiny ? tinyWholeWorks : wholeWorks).filter(
  ({ name }) => options.only.length === 0 || options.only.some((part) => name.includes(part)),
);
if (works.length === 0)
  throw new Error(`no such work; there are: ${wholeWorks.map(({ name }) => name).join('; ')}`);
const device = await openDevice(options.device);
const found: WholeResult[] = [];

/** A result as the bench of attention reports it: of the pairs that dense attention has. */
function asResult({ work, ms, error, failure }: WholeResult): Result {
  const { shape } = works.find(({ name }) => name === work)!;
  const pairs = (shape.heads * shape.kLen * (shape.kLen + 1)) / 2;
  const plain = { work, contender: 'warploom', pairs, headDim: shape.headDim };
  return { ...plain, ms: [...ms], megahertz: [], error, preparationMs: null, failure };
}

await runWhole(device, works, {
  rounds: Number(options.rounds),
  roundMs: Number(options['round-ms']),
  onResult(result) {
    found.push(result);
    console.error(result.work, result.failure ?? `${median(result.ms)!.toFixed(3)} ms`);
    // What was found stays, whatever comes after it.
    if (options.json === undefined) return;
    const report = { ...ourReport(device, found.map(asResult)), whole: found };
    writeFileSync(options.json, `${JSON.stringify(report, null, 1)}\n`);
  },
});
console.log([device.description, wholeText(found, works)].join('\n'));
if (found.some(({ failure }) => failure !== null)) process.exitCode = 1;
await device.dispose();
