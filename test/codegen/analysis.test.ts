// Laws 1, 2 and 3 for generated code: what the kernels compute of a mask is what the mask means. Many masks
// share one kernel, so that the compiler runs twice in all.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Binding, pointEnvironment } from '../../dsl/analysis/binding.ts';
import type { BitSet } from '../../dsl/chosen.ts';
import type { Declarations } from '../../dsl/declarations.ts';
import { lifted } from '../../dsl/definition.ts';
import { evaluate } from '../../dsl/evaluate.ts';
import type { Expression } from '../../dsl/expression.ts';
import * as x from '../../dsl/expression.ts';
import { f32 } from '../../dsl/given.ts';
import { pattern } from '../../dsl/pattern.ts';
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
  given,
  declarations as known,
  paramsOf,
} from '../laws/arbitraries.ts';
import { law, runs } from '../laws/settings.ts';
import { estimate } from '../laws/written.ts';
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
const { numRuns, seed = Math.floor(Math.random() * 2 ** 30) } = runs(8);

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
  /** Where the mask comes from, for messages. */
  readonly where: string;
}

const column = (set: BitSet, entry: number): number | undefined => set.members()[entry];

/** What the answers about one mask in one unit have to satisfy. */
function check(
  call: AskedCall,
  { mask, gather, restSize, where }: Case,
  binding: Binding,
  answers: Answers,
) {
  const { shape, boxes } = call;
  const { qLen, kLen } = shape;
  const offset = queryOffset(shape);
  const tableOf = (node: Expression): Uint8Array =>
    Uint8Array.from({ length: qLen * kLen }, (_, at) =>
      Number(evaluate(node, pointEnvironment(binding, offset + Math.floor(at / kLen), at % kLen))),
    );
  // Mostly there is one pass, with the whole mask.
  const [only, ...others] = answers.passes;
  const isWhole = others.length === 0 && only !== undefined && x.equal(only.pass.mask, mask);
  const meant = isWhole ? only.allowed : tableOf(mask);
  const fail = (what: string): never =>
    assert.fail(
      `${what}\n  of ${printExpression(mask)}\n  in ${JSON.stringify(binding.unit)} of ${where} ${JSON.stringify(shape)}` +
        `\n  with ${JSON.stringify(binding.params)}`,
    );
  const tables = new Map<string, Uint8Array>();
  for (const { pass, allowed, truths, keys, words } of answers.passes) {
    const table = tableOf(pass.mask);
    tables.set(pass.kind, table);
    for (const [at, value] of table.entries())
      if (allowed[at] !== value)
        fail(
          `allowed_${pass.kind} is ${allowed[at]} at q=${offset + Math.floor(at / kLen)}, k=${at % kLen}`,
        );
    // Of stand-ins a bit is a pool, all of whose keys are asked.
    const size = pass.kind === 'rest' ? pass.size : 1;
    for (const [multiple, bits] of words.entries())
      for (const [at, bit] of bits?.entries() ?? []) {
        const [row, first] = [Math.floor(at / kLen), (at % kLen) * size];
        const keysOf = table.subarray(
          row * kLen + first,
          row * kLen + Math.min(first + size, kLen),
        );
        const isWhole = first < kLen && keysOf.every((value) => value === 1);
        if ((bit === 1) !== isWhole)
          fail(`word ${multiple} of ${pass.kind} has ${bit} at q=${offset + row}, ${at % kLen}`);
      }
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
    const bindings = bindingsOf(call);
    for (const [at, units] of answers.entries())
      for (const [unit, one] of units.entries()) check(call, masks[at]!, bindings[unit]!, one);
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

// ---- masks by hand ----

const pairs = { ...given, noise: f32('k') };
type Mask = Parameters<ReturnType<typeof blank>['mask']>[0];
const blank = () => pattern('by-hand', pairs).estimate(estimate);
const written = (mask: Mask): Expression => lifted(blank().mask(mask).definition).mask;

const most = 2 ** 31 - 1;

/** Where integers, floats and sets end. */
const edges: Readonly<Record<string, Mask>> = {
  'a window that nothing leaves': ({ q, k }, { window }) => q - k < window,
  'a key beyond all keys': ({ k }, { window, columns }) =>
    k >= window && columns.has(Math.floor((k + 9) / 8)),
  'rows of a set that are not known': ({ q, k }, { blocks }) =>
    blocks.has(q | 0, Math.floor(k / 16)),
  'columns of a set that are not known': ({ q, k }, { blocks, columns }) =>
    blocks.has(Math.floor(q / 16), k ^ 3) || columns.has(k | 1),
  'a quotient of what can be anything': ({ q, k }) => Math.floor((q | k) / -1) < -9,
  'a rest of what can be anything': ({ q, k }, { block }) => (q ^ k) % block === 2,
  'the sign bit': ({ q, k }) => 1 << (k & 31) < 0 || q << 27 < 0,
  'shifts without a sign': ({ k }, { window }) => k >>> 1 > (window >>> 3) % 40,
  'members below the domain': ({ q, k }, { columns, distances }) =>
    columns.has(k - 20) || distances.has(q - k) || columns.has(-k),
  'members beyond the domain': ({ q, k }, { columns, blocks, window }) =>
    columns.has(2147483647 - k) || columns.has(window) || blocks.has(-q, k),
  'members that move with the query': ({ q, k }, { columns }) => columns.has(k + q - 40),
  'members that move against the query': ({ q, k }, { distances }) => distances.has(40 + k - q),
  'distances from the end of a group': ({ q, k }, { distances }) =>
    k <= q && distances.has((Math.floor(q / 8) + 1) * 8 - 1 - k),
  'integers that float32 does not have': ({ k }, { noise }) =>
    noise.at(k) >= 16777217 || noise.at(k + 1) === 16777216 + (k % 2),
  'an integer beside a float': ({ k }, { noise, window }) => noise.at(k) < window,
  'what is not a number': ({ k }, { noise, level }) =>
    !(noise.at(k) < level) || noise.at(k + 1) !== noise.at(1 + k),
  'the lesser of two floats': ({ q, k }, { noise, level }) =>
    Math.min(noise.at(k), noise.at(q)) < level || Math.max(noise.at(k), level) <= level,
  'a choice of floats': ({ q, k }, { noise, level }) => (k < q ? noise.at(k) : level) >= level,
  'what belongs to heads': ({ q, k, head, kvHead, batch }, { weight }) =>
    k <= q - 3 * head + kvHead && weight.at(head) < k + batch,
  'queries up to the first of a tile, and from the last on': ({ q, k }) =>
    (q <= 16 && k < 9) || (q >= 31 && k > 30),
  'one value of a zone': ({ k, batch }, { doc }) => doc.at(batch, k) < 1000,
  'one value of the next zone': ({ k, batch }, { doc }) => doc.at(batch, k) > -1000,
  'values beyond the end': ({ k, batch }, { doc }) => doc.at(batch, k + 20) === 0,
  'values before the start': ({ k, batch }, { doc }) => doc.at(batch, k - 20) === 0,
  'rows outside': ({ q, k, batch }, { doc }) => doc.at(batch - 1, k) === 0 && doc.at(q, k) < 9,
  'rows and lengths': ({ row, k, qLen, kLen }) => row >= qLen - 5 || kLen - k <= row,
  'equal truths': ({ q, k }, { columns }) => columns.has(k) === (q % 3 === 1),
  'blocks of a word': ({ q, k }, { blocks }) => blocks.has(Math.floor(q / 16), Math.floor(k / 32)),
};

/** With stand-ins for the keys of so many that the mask drops. */
const pooled: Readonly<Record<string, readonly [restSize: number, mask: Mask]>> = {
  'all keys from one on': [4, ({ q, k }) => k > q - 9],
  'keys up to one, and from another on': [4, ({ q, k }) => k > q - 9 && k <= q + 2],
  'blocks as large as pools': [
    8,
    ({ q, k }, { blocks }) => k > q || blocks.has(Math.floor(q / 16), Math.floor(k / 8)),
  ],
  'nothing of some queries': [2, ({ q }) => q % 3 === 0],
};

describe('masks at the edges', () => {
  it.each([
    ['more keys than queries', { qLen: 37, kLen: 90 }],
    ['more queries than keys', { qLen: 90, kLen: 37 }],
  ])(
    'mean on the device what they mean: %s',
    async (_, lengths) => {
      const masks = [
        ...Object.entries(edges).map(([where, mask]): Case => ({ mask: written(mask), where })),
        ...Object.entries(pooled).map(
          ([where, [restSize, mask]]): Case => ({ mask: written(mask), restSize, where }),
        ),
      ];
      const calls = Array.from({ length: 3 }, (__, i) => {
        const shape = {
          batch: i === 2 ? 2 : 1,
          heads: i === 2 ? 2 : 4,
          kvHeads: 2,
          headDim: 8,
          valueDim: 8,
          ...lengths,
        };
        const data = {
          shape,
          dtype: 'bf16',
          layouts: ['bhsd', 'bhsd', 'bhsd'],
          seed: i,
          scale: 1,
        } as const;
        const call = callOf(data);
        const noise = call.captured.noise!.data.map((value, at) =>
          at % 7 === i ? [16777216, 16777215, 2147483648, Number.NaN][at % 4]! : value,
        );
        // The last of a zone is unlike all others, and so is the first of the next; or none is 0.
        const doc = call.captured.doc!.data.map((value, at) => {
          if (i === 1) return Math.abs(value) + 1;
          const key = at % shape.kLen;
          return key === 63 ? 2000 : key === 64 ? -2000 : value;
        });
        return {
          ...call,
          params: {
            window: [[most, most - 7, 0, 17], [3, 0, most - 1, 40], most][i]!,
            block: [256, [1, 2, 3, 255], 7][i]!,
            level: [0, [-0, 4, -4, 0.25], 1][i]!,
          },
          captured: {
            ...call.captured,
            noise: { ...call.captured.noise!, data: noise },
            doc: { ...call.captured.doc!, data: doc },
          },
        };
      });
      await checkAll(masks, calls);
      // The compiler alone takes 10 s.
    },
    120_000,
  );
});

/** Masks whose boxes intervals judge exactly, so that no tile is visited or masked for nothing. */
const exact: Readonly<Record<string, Mask>> = {
  causal: ({ q, k }) => k <= q,
  'a window': ({ q, k }, { window }) => k <= q && q - k < window,
  'sinks and a window': ({ q, k }, { window }) => k <= q && (k < 8 || q - k < window),
  'a prefix': ({ q, k }, { block }) => k <= q || k < block * 8,
  blocks: ({ q, k }, { blocks }) => k <= q && blocks.has(Math.floor(q / 16), Math.floor(k / 16)),
  'distances from the end of a tile': ({ q, k }, { distances }) =>
    k <= q && distances.has((Math.floor(q / 16) + 1) * 16 - 1 - k),
};

/** Of these the next key alone is known: a tile that begins at a distance may lie in two blocks. */
const searched: Readonly<Record<string, Mask>> = {
  'distances, and blocks': ({ q, k }, { distances, blocks }) =>
    k <= q &&
    (distances.has((Math.floor(q / 16) + 1) * 16 - 1 - k) ||
      blocks.has(Math.floor(q / 16), Math.floor(k / 16))),
};

it('the next key is found, no tile is visited for nothing, and full ones are known', async () => {
  const named = Object.entries({ ...exact, ...searched });
  const masks = named.map(([, mask]): AskedMask => ({ mask: written(mask) }));
  const questions = new Questions(declarations, masks);
  for (const [qLen, kLen] of [
    [120, 120],
    [33, 300],
    [60, 25],
    [20, 9000],
  ] as const) {
    const shape = { batch: 1, heads: 2, kvHeads: 1, qLen, kLen, headDim: 8, valueDim: 8 };
    const layouts = ['bhsd', 'bhsd', 'bhsd'] as const;
    const drawn = callOf({ shape, dtype: 'bf16', layouts, seed: kLen, scale: 1 });
    const offset = queryOffset(shape);
    const first = Math.floor(offset / qTile);
    const boxOf = (tile: number, k: number): AskedCall['boxes'][number] => [
      Math.max((first + tile) * qTile, offset),
      Math.min((first + tile + 1) * qTile, kLen) - 1,
      k,
      k,
    ];
    const tiles = Array.from({ length: Math.floor((kLen - 1) / qTile) - first + 1 }, (_, i) => i);
    const isLong = kLen > 1024;
    const from = isLong ? [0, 17, 1500, 5000, 7900] : [0, 9, 17];
    const boxes = tiles.flatMap((tile) => from.map((k) => boxOf(tile, k)));
    const call = { ...drawn, boxes, params: { window: [17, 40], block: 3, level: 0 } };
    // Few and far between: words of the bitmap without a member lie between them.
    for (const set of call.sets.distances!.units) {
      set.bits.fill(0);
      for (let distance = 20; distance < kLen; distance += isLong ? 3000 : 70)
        set.addRange(0, distance, distance + 9);
    }
    // A search of distances looks at 1,024 at a time: it must not end before those that it needs.
    if (isLong)
      for (const [head, { bits, domain, stride }] of call.sets.blocks!.units.entries()) {
        bits.fill(0);
        for (let row = 0; row < domain.rows; row += 1) bits[row * stride + 9] = head << row;
      }
    for (const [at, units] of (await questions.ask(call)).entries()) {
      for (const { walks, passes } of units) {
        const { allowed: table, keys } = passes[0]!;
        for (const [i, [q0, q1, k0]] of boxes.entries()) {
          const isSeen = (k: number) => {
            for (let q = q0; q <= q1; q += 1) if (table[(q - offset) * kLen + k]) return true;
            return false;
          };
          let key = k0;
          while (key < kLen && !isSeen(key)) key += 1;
          const where = `${named[at]![0]}, q=${q0}..${q1}, k from ${k0} of ${kLen}`;
          expect(Math.min(keys![i]!, kLen), where).toBe(key);
        }
        if (named[at]![0] in searched) continue;
        for (const [tile, walk] of walks.entries()) {
          const [q0, q1] = boxOf(tile, 0);
          for (const visit of walk) {
            let [pairs, allowed] = [0, 0];
            for (let q = q0; q <= q1; q += 1)
              for (let k = visit.at; k < visit.at + kTile; k += 1, pairs += 1)
                if (k < kLen) allowed += table[(q - offset) * kLen + k]!;
            const where = `${named[at]![0]}, q=${q0}..${q1}, k from ${visit.at} of ${kLen}`;
            expect(allowed, where).toBeGreaterThan(0);
            expect(visit.full, where).toBe(allowed === pairs);
          }
        }
      }
    }
  }
});

describe.each([
  ['random masks', arbitraryMask(declarations), seed],
  ['random masks that plans have forms for', arbitraryPlannedMask, seed + 1],
] as const)('%s', (_, arbitrary, own) => {
  law('mean on the device what they mean', async () => {
    const draw = <T>(arbitrary: fc.Arbitrary<T>, count: number): T[] =>
      fc.sample(arbitrary, { numRuns: count, seed: own });
    const masks = draw(
      fc.tuple(
        arbitrary,
        fc.boolean(),
        fc.option(fc.integer({ min: 1, max: 9 }), { nil: undefined, freq: 4 }),
      ),
      12,
    ).map(([mask, gathers, restSize]): Case => {
      const gather = gathers && splitColumns(mask, 'columns') ? 'columns' : undefined;
      return { mask, gather, restSize, where: `seed ${own},` };
    });
    await checkAll(masks, draw(arbitraryCallData(shapes), numRuns).map(callOf));
  });
});
