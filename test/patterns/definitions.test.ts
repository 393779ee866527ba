// Every built-in pattern against a second definition, by sets of keys: which keys does a query see? The
// sets are written as unions of ranges, not as predicates, so that a slip is not made twice.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { pointEnvironment } from '../../dsl/analysis/binding.ts';
import type { BitSet } from '../../dsl/chosen.ts';
import { evaluate } from '../../dsl/evaluate.ts';
import { type LaunchShape, queryOffset } from '../../dsl/shape.ts';
import { patterns } from '../../patterns/index.ts';
import { planCall } from '../../runtime/plans.ts';
import { tensorsOfCall } from '../../runtime/testing/calls.ts';
import { builtInCalls } from '../laws/properties/built-ins.ts';
import { law, runs } from '../laws/settings.ts';

/** What a definition knows of one query. */
interface Query {
  readonly q: number;
  readonly row: number;
  readonly batch: number;
  readonly shape: LaunchShape;
  readonly params: Readonly<Record<string, number>>;
  readonly sets: Readonly<Record<string, BitSet>>;
  readonly documents: (position: number) => number;
}

type Keys = Iterable<number>;

function* range(from: number, to: number, step = 1): Keys {
  for (let k = from; k < to; k += step) yield k;
}

/** Keys up to the query's own. */
function* past(q: number, ...parts: readonly Keys[]): Keys {
  for (const part of parts) for (const k of part) if (k <= q) yield k;
}

/** The keys of the chosen blocks of one row of a set. */
function* inBlocks(set: BitSet, row: number, size: number): Keys {
  const { rowFrom, rows } = set.domain;
  if (row < rowFrom || row >= rowFrom + rows) return;
  for (const block of set.members(row)) yield* range(block * size, (block + 1) * size);
}

const blocksOf = ({ q, params, sets }: Query, name: string, rowSize: number): Keys =>
  past(q, inBlocks(sets[name]!, Math.floor(q / rowSize), params.block!));

const isTail = ({ row, shape, params }: Query): boolean => row >= shape.qLen - params.tail!;

const definitions: Readonly<Record<string, (query: Query) => Keys>> = {
  causal: ({ q }) => range(0, q + 1),
  'sliding-window': ({ q, params }) => range(q + 1 - params.window!, q + 1),
  'a-shape': ({ q, params }) =>
    past(q, range(0, params.sinks!), range(q + 1 - params.window!, q + 1)),
  'tri-shape': (query) => {
    const { q, params } = query;
    if (isTail(query)) return range(0, q + 1);
    return past(q, range(0, params.sinks!), range(q + 1 - params.window!, q + 1));
  },
  dilated: ({ q, params }) =>
    Array.from({ length: params.window! }, (_, i) => q - i * params.step!),
  'prefix-lm': ({ q, params }) => [...range(0, q + 1), ...range(0, params.prefix!)],
  documents: ({ q, documents, shape }) => {
    const same = (k: number) => documents(k) === documents(q);
    return [...range(0, Math.min(q + 1, shape.kLen))].filter(same);
  },
  'alibi-softcap': ({ q }) => range(0, q + 1),
  'vertical-slash': ({ q, params, sets }) => {
    const end = Math.floor(q / params.grain!) * params.grain! + params.grain!;
    const slashes = Array.from(sets.distances!.members(), (d) => end - 1 - d);
    return past(q, sets.columns!.members(), slashes);
  },
  'block-sparse': (query) => blocksOf(query, 'blocks', query.params.block!),
  'x-attention': (query) => blocksOf(query, 'blocks', query.params.block!),
  'flex-prefill': (query) => {
    const { q, sets } = query;
    const slashes = Array.from(sets.distances!.members(), (d) => q - d);
    const blocks = blocksOf(query, 'blocks', query.params.block!);
    return past(q, sets.columns!.members(), slashes, blocks);
  },
  'flash-prefill': (query) =>
    isTail(query) ? range(0, query.q + 1) : blocksOf(query, 'blocks', query.params.tile!),
  'nsa-selection': (query) =>
    past(
      query.q,
      range(query.q + 1 - query.params.window!, query.q + 1),
      blocksOf(query, 'chosen', 1),
    ),
};

test('every built-in pattern has a second definition', () => {
  expect(Object.keys(definitions).sort()).toEqual([...patterns.keys()].sort());
});

for (const [name, keysOf] of Object.entries(definitions)) {
  law(`${name} lets each query see the keys of its definition`, () =>
    fc.assert(
      fc.asyncProperty(
        builtInCalls([name], { longest: 80, tile: 16, groups: 2, kvHeads: 2 }),
        async ({ call }) => {
          const pattern = patterns.get(name)!;
          const inputs = tensorsOfCall(pattern.definition, call);
          const planned = await planCall(pattern, inputs, call.params);
          for (const { binding } of planned.parts[0]!.plans.slice(-3)) {
            const { shape, params, sets, captured, unit } = binding;
            const mask = planned.parts[0]!.plans.find((plan) => plan.binding === binding)!.mask;
            const documents = (k: number) => captured.doc?.at([unit.batch, k]) ?? 0;
            for (let row = 0; row < shape.qLen; row += 1) {
              const q = row + queryOffset(shape);
              const query = { q, row, batch: unit.batch, shape, params, sets, documents };
              const keys = new Set(keysOf(query));
              for (let k = 0; k < shape.kLen; k += 1) {
                const isSeen = evaluate(mask, pointEnvironment(binding, q, k));
                if (isSeen !== keys.has(k)) assert.fail(`query ${q} and key ${k}`);
              }
            }
          }
        },
      ),
      runs(25),
    ),
  );
}

test('a pattern takes at most 40 lines', () => {
  const folder = new URL('../../patterns/', import.meta.url);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    // The table of all patterns and the forms that the build writes are no patterns.
    const file = entry.name;
    if (!entry.isFile() || file === 'index.ts' || file === 'lifted.ts') continue;
    const lines = readFileSync(new URL(file, folder), 'utf8').trimEnd().split('\n').length;
    expect(lines, file).toBeLessThanOrEqual(40);
  }
});
