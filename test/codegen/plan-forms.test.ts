// Which tiles a call has: by the form of its plan, which its mask and its score make of ranges.

import { expect, test } from 'vitest';
import { z } from 'zod';
import { hopperCandidates } from '../../codegen/attention/hopper/candidates.ts';
import { rows } from '../../codegen/attention/hopper/defaults.ts';
import { type PlanForm, planForms, rangesForm } from '../../codegen/attention/hopper/plan-forms.ts';
import { lifted } from '../../dsl/definition.ts';
import { type AnyPattern, f32, pattern } from '../../index.ts';
import { aShape, causal, documents, slidingWindow } from '../../patterns/index.ts';

const scored = (name: string) =>
  pattern(name, { cap: z.number().default(30), slopes: f32('head') }).mask(({ q, k }) => k <= q);

test.each<[string, AnyPattern]>([
  ['full', pattern('full').mask(() => true)],
  ['causal', causal],
  ['causal', pattern('from behind').mask(({ q, k }) => !(q < k))],
  ['causal', pattern('a little ahead').mask(({ q, k }) => k <= q + 7)],
  ['ranges', pattern('later keys').mask(({ q, k }) => k >= q)],
  ['ranges', pattern('first keys').mask(({ k }) => k < 100)],
  ['ranges', slidingWindow],
  ['ranges', aShape],
  ['ranges', documents],
  [
    'scored',
    scored('leaning').score(({ s, q, k, head }, { slopes }) => s - slopes.at(head) * (q - k)),
  ],
  ['capped', scored('capped').score(({ s }, { cap }) => cap * Math.tanh(s / cap))],
])('%s: the mask and the score say so', (form, { definition }) => {
  expect(rangesForm(lifted(definition))).toBe(form);
});

test('all forms have rows for the dimensions that ranges have them for', () => {
  const dimsOf = (form: PlanForm) =>
    new Set(rows.filter((row) => row.form === form).map(({ dim }) => dim));
  for (const form of planForms) expect([form, dimsOf(form)]).toEqual([form, dimsOf('ranges')]);
});

test('behind the tile of a form come those of ranges, for masks that leave no room for it', () => {
  const tiles = (form: PlanForm) => hopperCandidates(128, 128, 16_384, form);
  expect(tiles('full')[0]).toMatchObject({ qTile: 192 });
  expect(tiles('full').slice(1)).toEqual(tiles('ranges'));
});
