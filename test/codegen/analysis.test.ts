// Laws 1, 2 and 3 for generated code: what the kernels compute of a mask is what the mask means. Many masks
// share one kernel, so that the compiler runs twice in all.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'vitest';
import { pointEnvironment } from '../../dsl/analysis/binding.ts';
import type { BitSet } from '../../dsl/chosen.ts';
import type { Declarations } from '../../dsl/declarations.ts';
import { evaluate } from '../../dsl/evaluate.ts';
import type { Expression } from '../../dsl/expression.ts';
import { splitColumns } from '../../dsl/plan/split.ts';
import { printExpression } from '../../dsl/print.ts';
import { queryOffset } from '../../dsl/shape.ts';
import { capturedParts } from '../../runtime/launch.ts';
import { arbitraryMask, arbitraryShape, numbersFrom } from '../arbitraries.ts';
import {
  arbitraryCallData,
  arbitraryPlannedMask,
  type CallData,
  capturedOf,
  chosenOf,
  declarations as known,
  paramsOf,
} from '../laws/arbitraries.ts';
import {
  type Answers,
  type AskedCall,
  type AskedMask,
  bindingsOf,
  kTile,
  Questions,
  qTile,
} from './questions.ts';

/** Those of the laws, and floats for every key, of which any may be NaN or infinite. */
const declarations: Declarations = {
  ...known,
  tensors: { ...known.tensors, noise: { kind: 'float', rank: 1 } },
};
const seed = Number(process.env.WARPLOOM_SEED ?? Math.floor(Math.random() * 2 ** 30));
const scale = Number(process.env.WARPLOOM_RUNS ?? 1);

/** Boxes of pairs inside a shape: many of one pair, one row or one tile. */
function boxesOf({ shape, seed: own }: CallData, count: number): AskedCall['boxes'] {
  const next = numbersFrom(own + 7);
  const offset = queryOffset(shape);
  const range = (low: number, high: number): [number, number] => {
    const from = low + Math.floor(next() * (high - low + 1));
    const sizes = [1, 1, 2, kTile, qTile, high - low + 1];
    return [from, Math.min(high, from + sizes[Math.floor(next() * sizes.length)]! - 1)];
  };
  return Array.from({ length: count }, () => [
    ...range(offset, shape.kLen - 1),
    ...range(0, shape.kLen - 1),
  ]);
}

function callOf(data: CallData): AskedCall {
  const next = numbersFrom(data.seed + 8);
  const odd = [NaN, Infinity, -Infinity, -0];
  const noise = Float32Array.from({ length: data.shape.kLen }, () => {
    const u = next();
    return u < 0.02 ? odd[Math.floor(u * 200)]! : Math.floor(next() * 64 - 32) / 4;
  });
  const tensors = capturedOf(data);
  const captured = capturedParts({ captured: tensors } as never);
  return {
    shape: data.shape,
    params: paramsOf(data),
    captured: { ...captured, noise: { kind: 'float', shape: [noise.length], data: noise } },
    sets: chosenOf(data),
    boxes: boxesOf(data, 60),
  };
}

interface Case extends AskedMask {
  /** For each unit: what the mask means, [qLen, kLen]. */
  readonly where: string;
}

const column = (set: BitSet, entry: number): number | undefined => set.members()[entry];

/** Everything that answers about one mask in one unit have to satisfy. */
function check(
  call: AskedCall,
  { mask, gather, restSize, where }: Case,
  unit: number,
  answers: Answers,
) {
  const { shape, boxes } = call;
  const { qLen, kLen } = shape;
  const offset = queryOffset(shape);
  const binding = bindingsOf(call)[unit]!;
  const tableOf = (node: Expression): Uint8Array =>
    Uint8Array.from({ length: qLen * kLen }, (_, at) =>
      Number(evaluate(node, pointEnvironment(binding, offset + Math.floor(at / kLen), at % kLen))),
    );
  const meant = tableOf(mask);
  const fail = (what: string): never =>
    assert.fail(
      `${what}\n  of ${printExpression(mask)}\n  in unit ${unit} of ${where} ${JSON.stringify(shape)}` +
        `\n  with ${JSON.stringify(binding.params)}`,
    );
  const tables = new Map<string, Uint8Array>();
  for (const { pass, allowed, truths, keys } of answers.passes) {
    const table = tableOf(pass.mask);
    tables.set(pass.kind, table);
    for (const [at, value] of table.entries())
      if (allowed[at] !== value)
        fail(
          `allowed_${pass.kind} is ${allowed[at]} at q=${offset + Math.floor(at / kLen)}, k=${at % kLen}`,
        );
    for (const [i, [q0, q1, k0, k1]] of boxes.entries()) {
      let [some, all] = [false, true];
      const isAllowed = (q: number, k: number) => table[(q - offset) * kLen + k] === 1;
      for (let q = q0; q <= q1; q += 1)
        for (let k = k0; k <= k1; k += 1) {
          some ||= isAllowed(q, k);
          all &&= isAllowed(q, k);
        }
      const truth = truths[i]!;
      const box = `q=${q0}..${q1}, k=${k0}..${k1}`;
      if ((truth & 1) === 0 && some) fail(`judge_${pass.kind} says 'never' of ${box}`);
      if ((truth & 2) === 0 && !all) fail(`judge_${pass.kind} says 'always' of ${box}`);
      if (truth === 0) fail(`judge_${pass.kind} says nothing of ${box}`);
      if (!keys) continue;
      const key = keys[i]!;
      if (key < k0) fail(`keys_${pass.kind} goes back to ${key} from ${box}`);
      for (let k = k0; k < Math.min(key, kLen); k += 1)
        for (let q = q0; q <= q1; q += 1)
          if (isAllowed(q, k))
            fail(`keys_${pass.kind} jumps to ${key} over q=${q}, k=${k} from ${box}`);
    }
  }
  const seen = new Uint8Array(qLen * kLen);
  const first = Math.floor(offset / qTile);
  for (const [tile, walk] of answers.walks.entries()) {
    const q0 = Math.max((first + tile) * qTile, offset);
    const q1 = Math.min((first + tile + 1) * qTile, kLen) - 1;
    const pools = new Set<number>();
    for (const { kind, at, full } of walk) {
      const table = tables.get(kind)!;
      const isAllowed = (q: number, k: number) => table[(q - offset) * kLen + k] === 1;
      /** Does a row have the whole pool dropped? */
      const isReplaced = (q: number, pool: number): boolean => {
        for (let k = pool * restSize!; k < Math.min((pool + 1) * restSize!, kLen); k += 1)
          if (!isAllowed(q, k)) return false;
        return true;
      };
      for (let i = at; i < at + kTile; i += 1) {
        const key =
          kind === 'columns'
            ? column(binding.sets[gather!]!, i)
            : kind === 'tiles'
              ? i
              : i * restSize!;
        const isThere = key !== undefined && key < kLen;
        if (full && !isThere) fail(`a full visit of ${kind} at ${at} goes beyond the end`);
        if (!isThere) continue;
        if (kind === 'rest' && pools.size === pools.add(i).size) fail(`pool ${i} is visited twice`);
        for (let q = q0; q <= q1; q += 1) {
          const isWeighed = kind === 'rest' ? isReplaced(q, i) : isAllowed(q, key);
          if (full && !isWeighed)
            fail(`a full visit of ${kind} at ${at} has q=${q} and not ${key}`);
          if (kind !== 'rest' && isWeighed) seen[(q - offset) * kLen + key]! += 1;
        }
      }
    }
    if (restSize === undefined) continue;
    const table = tables.get('rest')!;
    for (let pool = 0; pool * restSize < kLen; pool += 1) {
      for (let q = q0; q <= q1 && !pools.has(pool); q += 1) {
        let isReplaced = true;
        for (let k = pool * restSize; k < Math.min((pool + 1) * restSize, kLen); k += 1)
          isReplaced &&= table[(q - offset) * kLen + k] === 1;
        if (isReplaced) fail(`pool ${pool} stands in for q=${q} and is not visited`);
      }
    }
  }
  for (const [at, times] of seen.entries())
    if (times !== meant[at])
      fail(`q=${offset + Math.floor(at / kLen)}, k=${at % kLen} is weighed ${times} times`);
}

async function checkAll(masks: readonly Case[], calls: readonly AskedCall[]): Promise<void> {
  const questions = new Questions(declarations, masks);
  for (const [i, call] of calls.entries()) {
    const answers = await questions.ask(call, i);
    for (const [at, units] of answers.entries())
      for (const [unit, one] of units.entries()) check(call, masks[at]!, unit, one);
  }
}

const shapes = fc.oneof(
  { weight: 4, arbitrary: arbitraryShape({ tile: 16, most: 40, least: 1, heads: 3 }) },
  {
    weight: 1,
    arbitrary: arbitraryShape({ tile: 16, most: 300, least: 1, heads: 1 }).map((shape) => ({
      ...shape,
      batch: 1,
      qLen: Math.min(shape.qLen, 20),
      kLen: Math.max(shape.kLen, 280),
    })),
  },
);

describe('random masks', () => {
  it.each([0, 1])('mean on the device what they mean, group %d', async (group) => {
    const own = seed + group;
    const draw = <T>(arbitrary: fc.Arbitrary<T>, count: number): T[] =>
      fc.sample(arbitrary, { numRuns: count, seed: own });
    const masks = draw(
      fc.tuple(
        group === 0 ? arbitraryMask(declarations) : arbitraryPlannedMask,
        fc.boolean(),
        fc.option(fc.integer({ min: 1, max: 9 }), { nil: undefined, freq: 4 }),
      ),
      12,
    ).map(([mask, gathers, restSize]): Case => {
      const gather = gathers && splitColumns(mask, 'columns') ? 'columns' : undefined;
      return { mask, gather, restSize, where: `seed ${own},` };
    });
    await checkAll(masks, draw(arbitraryCallData(shapes), 8 * scale).map(callOf));
  });
});
