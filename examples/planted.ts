// Heads with known contents: what each pattern finds of the sinks, single keys, bands of distances and needles
// that were planted into them, how much it computes and how much of the attention it keeps. Run it with
// `npx tsx examples/planted.ts`. examples/planted/ makes such heads, of any length, for tests and benchmarks.

import {
  type AnyPattern,
  blockSparse,
  causal,
  compile,
  explain,
  flashPrefill,
  flexPrefill,
  openDevice,
  recall,
  verticalSlash,
  xAttention,
} from '../index.ts';
import { foundBy } from './planted/found.ts';
import { plantHeads } from './planted/heads.ts';
import { plantedTensors } from './planted/rows.ts';

const planted = plantHeads({ heads: 4, kvHeads: 2, length: 4096, headDim: 64, density: 0.3 });
const { q, k, v } = plantedTensors(planted, 'fp32');
const sizes = { heads: 4, kvHeads: 2, headDim: 64, dtype: 'fp32' as const };

const runs: readonly (readonly [AnyPattern, Record<string, number | readonly number[]>])[] = [
  [verticalSlash, planted.params],
  [blockSparse, { blocksPerRow: 20 }],
  [xAttention, {}],
  [flexPrefill, { mass: 0.6 }],
  [flashPrefill, {}],
];

const percent = (x: number): string => `${(100 * x).toFixed(1)}%`.padStart(9);
const names = ['density', 'mass', 'sinks', 'verticals', 'bands', 'needles'];
console.log(['pattern'.padEnd(15), 'head', ...names.map((name) => name.padStart(9))].join(' '));

const device = await openDevice('cpu');
try {
  const dense = await compile(causal, { ...sizes, device });
  const { lse: all } = await dense({ q, k, v });
  for (const [pattern, params] of runs) {
    const attend = await compile(pattern, { ...sizes, device });
    const { lse, chosen } = await attend({ q, k, v }, params);
    const { parts } = await explain(pattern, { q, k, v, chosen }, params);
    const kept = await recall(lse, all);
    for (const [head, found] of foundBy(pattern, planted, chosen, params).entries()) {
      const { summary } = parts[0]!.launch.groups.find(({ units }) => units.includes(head))!;
      const { sinks, verticals, bands, needles } = found;
      const numbers = [summary.density, kept[head]!.mean, sinks, verticals, bands, needles];
      console.log(
        [pattern.name.padEnd(15), `${head}`.padStart(4), ...numbers.map(percent)].join(' '),
      );
    }
  }
} finally {
  await device.dispose();
}
