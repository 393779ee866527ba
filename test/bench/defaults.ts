// `npm run tune:defaults [-- --budget 9m --dims 128,64 --forms ranges,blocks --lengths 16384,131072 --out file]`: runs
// the tuner over head dimensions, forms of plans and lengths on a Hopper GPU, and writes the table of defaults
// that the code ships. Rows that were not measured stay as they are; Ctrl-C keeps what was.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { rows } from '../../codegen/attention/hopper/defaults.ts';
import { planForms } from '../../codegen/attention/hopper/plan-forms.ts';
import { blockSparse, causal, flashPrefill, verticalSlash } from '../../patterns/index.ts';
import { budgetFrom } from '../../runtime/commands/tune.ts';
import { writeAtomically } from '../../runtime/files/atomic.ts';
import { defaultsText, type FormWork, merged, tuneDefaults } from '../../runtime/tuner/defaults.ts';

// What is chosen for tiles of a single head serves any number of KV heads. Distances drawn at random lie far apart: so many
// that they leave keys out.
const works: readonly FormWork[] = [
  { form: 'ranges', pattern: causal, group: 1 },
  { form: 'blocks', pattern: blockSparse, group: 4 },
  { form: 'distances', pattern: verticalSlash, group: 4, params: { verticals: 1000, slashes: 64 } },
  { form: 'shared', pattern: flashPrefill, group: 4 },
];

const { values } = parseArgs({
  options: {
    budget: { type: 'string', default: '9m' },
    device: { type: 'string' },
    dims: { type: 'string', default: '128,64,96,256,192' },
    forms: { type: 'string', default: planForms.join() },
    lengths: { type: 'string', default: '16384,131072,4096' },
    out: { type: 'string' },
  },
});
const numbers = (text: string): number[] => text.split(',').map(Number);
const inSource = join(import.meta.dirname, '..', '..', 'codegen/attention/hopper/defaults.ts');
const out = values.out ?? (existsSync(inSource) ? inSource : 'defaults.ts');
const forms = values.forms.split(',');
const unknown = forms.find((form) => !(planForms as readonly string[]).includes(form));
const bad = [...numbers(values.dims), ...numbers(values.lengths)].find((n) => !(n > 0));
if (unknown !== undefined || bad !== undefined) {
  console.error(
    `'${unknown ?? bad}': forms are ${planForms.join(', ')}; dims and lengths are numbers`,
  );
  process.exit(2);
}

const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
const start = Date.now();
let count = 0;
const measured = await tuneDefaults({
  works: works.filter(({ form }) => forms.includes(form)),
  dims: numbers(values.dims),
  lengths: numbers(values.lengths),
  device: values.device,
  budgetMs: budgetFrom(values.budget),
  signal: interrupted.signal,
  onFailure(name, error) {
    console.error(`${name}: ${error instanceof Error ? error.message : String(error)}`);
  },
  onResult(name, { best, untuned, candidates }, row) {
    count += 1;
    const timed = candidates.filter(({ rounds }) => rounds > 0).length;
    const time = best.ms === undefined ? '' : `, ${best.ms.toFixed(3)} ms`;
    const gain =
      best.ratio === undefined ? '' : `, ${(100 * best.ratio).toFixed(1)} % of ${untuned.name}`;
    const kept = row ? '' : ' (no row: not compared, of the other back-end, or of no real chip)';
    const seconds = ((Date.now() - start) / 1000).toFixed(0);
    console.log(
      `${seconds.padStart(4)} s  ${name}: ${best.name}${time}${gain}, ${timed} timed${kept}`,
    );
  },
});
if (measured.length === 0) {
  console.error(`none of ${count} searches found a row: is the device a Hopper GPU?`);
  process.exit(1);
}
await writeAtomically(out, defaultsText(merged(rows, measured)));
console.log(`wrote ${measured.length} rows to ${out}`);
