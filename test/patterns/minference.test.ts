// The published configurations of MInference as calls: all of them, to the counts that their text gives, and
// damaged ones, which are one error that says where.

import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FileError } from '../../dsl/diagnostic.ts';
import { aShape, blockSparse, fromMInference, verticalSlash } from '../../patterns/index.ts';
import { law, runs } from '../laws/settings.ts';

const folder = new URL('../../../shared/data/minference-configs/', import.meta.url);
const textOf = (file: string): string => readFileSync(new URL(file, folder), 'utf8');
const files = readdirSync(folder).sort();

/** How many heads have which pattern and numbers: `1000,6096` of vertical-slash, `SL:100,800` of a-shape. */
function countsOf(file: string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { pattern, params } of fromMInference(textOf(file))) {
    for (const [head, one] of pattern.byHead.entries()) {
      const isSlash = (one as unknown) === verticalSlash;
      const names = isSlash ? ['verticals', 'slashes'] : ['sinks', 'window'];
      const key = `${isSlash ? '' : 'SL:'}${names.map((name) => params[name]![head])}`;
      counts[key] = (counts[key] ?? 0) + 1;
    }
  }
  return counts;
}

/** File (the start of its name), layers, query heads, and heads with these numbers; `…` where the text lists no more. */
const published: readonly (readonly [string, number, number, string])[] = [
  ['GLM_4_9B_1M', 40, 32, '1000,6096×1026 3500,100×145 30,800×77 500,700×18 100,800×14'],
  ['Llama_3.1_70B', 80, 64, '3500,100×2331 1000,6096×818 30,800×777 500,700×698 100,800×380 100,750×116'],
  ['Llama_3.1_8B_Instruct_128k_kv_out_v32_fit_o_best_pattern.json', 32, 32, '100,800×297 1000,6096×279 30,800×175 3500,100×149 500,700×120 100,750×4'],
  ['Llama_3.1_8B_Instruct_128k_kv_out_v32_fit_o_best_pattern_v2', 32, 32, '512,2048×1024'],
  ['Llama_3_70B', 80, 64, '1000,6096×3819 30,800×654 100,800×319 3500,100×221 500,700×106 100,750×1'],
  ['Llama_3_8B', 32, 32, '1000,6096×473 30,800×278 100,800×153 3500,100×89 500,700×31'],
  ['Phi_3_mini', 32, 32, '3500,100×378 1000,6096×277 100,750×184 500,700×92 30,800×50 SL:100,800×43'],
  ['Qwen2.5_14B_Instruct_1M', 48, 40, '1000,6096×1002 3048,8144×264 3500,100×145 30,800×128 5096,10192×113 500,700×73 9192,14288×65 13244,18340×46 100,800×34 5548,2148×19 7596,4196×11 11692,8292×7 15744,12344×5 2148,2848×3 4196,4896×2 8292,8992×2 4126,4896×1'],
  ['Qwen2.5_32B', 64, 40, '1000,6096×1789 3500,100×439 30,800×224 500,700×63 100,800×29 100,750×16'],
  ['Qwen2.5_72B', 80, 64, '1000,6096×5073 30,800×23 3500,100×17 100,800×5 100,750×1 500,700×1'],
  ['Qwen2.5_7B_Instruct_128k', 28, 28, '1000,6096×411 3500,100×202 30,800×91 500,700×50 100,800×24 100,750×6'],
  ['Qwen2.5_7B_Instruct_1M', 28, 28, '1000,6096×321 30,800×72 3048,8144×68 7244,12240×49 11340,16336×48 5096,10192×39 9192,14288×30 100,800×19 500,700×17 13388,18384×16 7596,4196×14 4196,4896×10 9744,6244×9 15436,20432×9 3500,100×7 6274,6944×7 6344,6944×7 5548,2148×6 9292,14288×5 10370,11040×5 13840,10340×4 11692,8292×3 19532,24528×3 10440,11040×3 …'],
  ['Qwen2_7B', 28, 28, '1000,6096×565 30,800×128 100,800×40 3500,100×36 500,700×15'],
  ['Yi_9B', 48, 32, '1000,4096×536 100,800×474 30,800×266 3500,100×200 500,700×60'],
]; // biome-ignore format: a table

describe('the published files', () => {
  it('are all in the table', () => {
    const named = published.map(([name]) => files.filter((file) => file.startsWith(name)));
    expect(named.flat().sort()).toEqual(files);
    expect(named.every(({ length }) => length === 1)).toBe(true);
  });

  it.each(published)('%s: %i layers of %i heads', (name, layers, heads, counts) => {
    const file = files.find((one) => one.startsWith(name))!;
    const calls = fromMInference(textOf(file), { layers, heads });
    expect(calls).toHaveLength(layers);
    for (const { pattern, params } of calls) {
      expect(pattern.byHead).toHaveLength(heads);
      for (const numbers of Object.values(params)) expect(numbers).toHaveLength(heads);
    }
    const wanted = counts.split(' ').filter((one) => one !== '…');
    const found = countsOf(file);
    const expected = Object.fromEntries(
      wanted.map((one) => [one.split('×')[0]!, Number(one.split('×')[1])]),
    );
    expect(found).toMatchObject(expected);
    const total = Object.values(found).reduce((sum, n) => sum + n, 0);
    expect(total).toBe(layers * heads);
    if (!counts.includes('…')) {
      expect(found).toEqual(expected);
      return;
    }
    const others = Object.entries(found).filter(([key]) => !Object.hasOwn(expected, key));
    expect(others).toHaveLength(10);
    expect(others.every(([, n]) => n <= 2)).toBe(true);
    expect(others.map(([key]) => key)).toContain('22032,18532');
  });

  it('share one object where layers have the same patterns', () => {
    const calls = fromMInference(textOf(files.find((file) => file.startsWith('Phi'))!));
    const mixed = calls.flatMap(({ pattern }, layer) =>
      new Set(pattern.byHead).size > 1 ? [layer] : [],
    );
    expect([Math.min(...mixed), Math.max(...mixed)]).toEqual([8, 13]);
    expect(new Set(calls.map(({ pattern }) => pattern)).size).toBeLessThanOrEqual(1 + mixed.length);
  });
});

const vs = (v: number, s: number) => ['vertical_and_slash', v, s, null] as const;

describe('what becomes of an entry', () => {
  it('each pattern has its own, and numbers for its own heads alone', () => {
    const [call] = fromMInference([
      { 0: vs(7, 9), 1: ['stream_llm', 3, 5, 0.5], 2: ['block_sparse', 1, 2, 14] },
    ]);
    expect(call!.pattern.byHead).toEqual([verticalSlash, aShape, blockSparse]);
    expect(call!.params).toEqual({
      verticals: [7, 0, 0],
      slashes: [9, 0, 0],
      sinks: [0, 3, 0],
      window: [0, 5, 0],
    });
  });

  it('heads and layers that are left out are the usual ones, where the model is known', () => {
    const [first, second] = fromMInference([{ 1: vs(7, 9) }], { layers: 2, heads: 3 });
    expect(first!.params).toEqual({ verticals: [1000, 7, 1000], slashes: [6096, 9, 6096] });
    expect(second!.params).toEqual({ verticals: [1000, 1000, 1000], slashes: [6096, 6096, 6096] });
  });
});

/** The error of a file. */
function errorOf(json: unknown, options = {}): FileError {
  try {
    fromMInference(json, options);
  } catch (error) {
    if (error instanceof FileError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** Ways to damage one field, and what is no value of it. */
const wrong: Readonly<Record<'type' | 'v' | 's' | 'score', fc.Arbitrary<unknown>>> = {
  type: fc.oneof(fc.string(), fc.integer(), fc.constant(null), fc.constant('vertical_slash')),
  v: fc.oneof(fc.integer({ max: -1 }), fc.constant(2 ** 31), fc.constant(1.5), fc.string()),
  s: fc.oneof(fc.integer({ max: -1 }), fc.constant(0.1), fc.constant(null), fc.constant([])),
  score: fc.oneof(fc.string(), fc.boolean(), fc.constant({})),
};
const fields = Object.keys(wrong) as (keyof typeof wrong)[];

describe('a damaged file', () => {
  const { length } = files;
  const place = fc.record({ file: fc.nat(length - 1), layer: fc.nat(), head: fc.nat() });
  const damage = fc
    .constantFrom(...fields)
    .chain((field) => fc.record({ field: fc.constant(field), bad: wrong[field] }));
  law('is one error that names layer, head and field', () => {
    fc.assert(
      fc.property(place, damage, (at, { field, bad }) => {
        const json = JSON.parse(textOf(files[at.file]!));
        const layer = at.layer % json.length;
        const head = at.head % Object.keys(json[layer]).length;
        json[layer][head][fields.indexOf(field)] = bad;
        const error = errorOf(json, { file: 'heads.json' });
        expect(error.diagnostics).toHaveLength(1);
        expect(error.code).toBe('F006');
        const where = `heads.json: layer ${layer}, head ${head}, field '${field}' is `;
        expect(error.diagnostics[0]!.what).toContain(where);
      }),
      runs(60),
    );
  });

  law('without a head names it', () => {
    fc.assert(
      fc.property(place, (at) => {
        const json = JSON.parse(textOf(files[at.file]!));
        const layer = at.layer % json.length;
        const head = at.head % Object.keys(json[layer]).length;
        delete json[layer][head];
        expect(errorOf(json).message).toContain(`layer ${layer}, head ${head} is missing`);
      }),
      runs(20),
    );
  });

  law('never gives anything but that error, whatever is in it', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (json) => {
        try {
          expect(fromMInference(json).length).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toBeInstanceOf(FileError);
        }
      }),
      runs(200),
    );
  });

  it('cut anywhere, is not JSON', () => {
    const text = JSON.stringify([{ 0: vs(1, 2), 1: vs(3, 4) }]);
    for (let length = 0; length < text.length; length += 1)
      expect(errorOf(text.slice(0, length)).code).toBe('F006');
  });
});
