// Heads whose sets turned out so large that dense attention is cheaper: their members are counted and compared with
// limits once sets are selected, and their sets become full once attention has run. What runs for which heads:
// codegen/attention/turns.ts; the limits: dsl/estimate/limits.ts.

import { denseCost, type FallbackLimits, memberCost } from '../../dsl/estimate/limits.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import type { Buffer, Kernel, LaunchList, Place } from '../kernel.ts';
import type { Field, FieldValues } from '../struct.ts';
import { unitFields, unitText, wordThreads } from './bitmaps.ts';
import { at, Launches } from './launches.ts';
import type { PassContext } from './places.ts';
import { runsOfEqual } from './runs.ts';
import { unitsOf, unitsPerBatch, wordsOf } from './sets.ts';
import { address, kernelOf } from './text.ts';
import type { SetPlan, Tree } from './trees.ts';

/** [batch * heads] u32: not 0 where a query head attends to the hull of its mask. */
export const fallenBuffer = 'fallen';

/** The buffer that says which units of a set are full, of whatever set. */
export const denseOf = ({ bits, dense }: Tree): string => dense ?? `${bits} dense`;

/** Words that a block counts. */
const countedWords = 16 * wordThreads;

/** grid: [words of a unit / countedWords, units]. */
function countKernel(): Kernel {
  return kernelOf({
    name: 'estimate_count',
    about: ['The members of each unit: bits [units, words] to counts [units], which begin at 0.'],
    primitives: ['estimate-reduce'],
    fields: [
      address('bits', 'const u32*', '[units, words]'),
      { name: 'words', type: 'i32', comment: 'of a unit' },
      address('counts', 'u32*', '[units]'),
    ],
    threads: wordThreads,
    body: [
      'const u32* bits = p.bits + (i64)blockIdx.y * p.words;',
      `const int from = blockIdx.x * ${countedWords}, to = min(from + ${countedWords}, p.words);`,
      'u32 own = 0;',
      'for (int word = from + threadIdx.x; word < to; word += blockDim.x) own += __popc(bits[word]);',
      'own = __reduce_add_sync(FULL_WARP, own);',
      'if ((threadIdx.x & 31) == 0 && own != 0) atomicAdd(&p.counts[blockIdx.y], own);',
    ],
  });
}

const setFields = (i: number): Field[] => [
  address(`counts${i}`, 'const u32*', `[query heads / span${i}]`),
  { name: `span${i}`, type: 'i32', comment: 'query heads that share a set' },
  { name: `limit${i}`, type: 'i64', comment: 'members that cost as much as dense attention' },
  { name: `cost${i}`, type: 'i64', comment: 'of a member' },
];

/** grid: [units / wordThreads], a unit being the heads that fall back together. */
function fallbackKernel(sets: number): Kernel {
  const each = Array.from({ length: sets }, (_, i) => i);
  return kernelOf({
    name: 'estimate_fallback',
    about: [
      'Which query heads attend to the hull of their mask: those whose members cost as much as dense attention,',
      `all ${sets} sets together; heads of a unit when all of them do. To fallen [batch * heads].`,
    ],
    primitives: [],
    fields: [
      ...each.flatMap(setFields),
      address('fallen', 'u32*', '[batch * heads]'),
      { name: 'span', type: 'i32', comment: 'query heads of a unit' },
      { name: 'count', type: 'i32', comment: 'units of the launch' },
      ...unitFields,
    ],
    threads: wordThreads,
    body: [
      'const int own = blockIdx.x * blockDim.x + threadIdx.x;',
      'if (own >= p.count) return;',
      `const int first = (${unitText('own')}) * p.span;`,
      'u32 falls = 1;',
      'for (int head = first; head < first + p.span; ++head) {',
      '  i64 cost = 0;',
      ...each.map(
        (i) => `  cost += min((i64)p.counts${i}[head / p.span${i}], p.limit${i}) * p.cost${i};`,
      ),
      `  if (cost < ${denseCost}ll) falls = 0;`,
      '}',
      'for (int head = first; head < first + p.span; ++head) p.fallen[head] = falls;',
    ],
  });
}

/** grid: [words of a unit / wordThreads, units]. */
function fullKernel(): Kernel {
  return kernelOf({
    name: 'estimate_full',
    about: [
      'The sets of heads that attended to the hull of their mask have every member: bits [units, rows * words],',
      'and say so: dense [units].',
    ],
    primitives: [],
    fields: [
      address('fallen', 'const u32*', '[units * span]'),
      { name: 'span', type: 'i32', comment: 'query heads that share a set' },
      address('bits', 'u32*', '[units, rows, words]'),
      { name: 'rows', type: 'i32' },
      { name: 'words', type: 'i32', comment: 'of a row' },
      { name: 'columns', type: 'i32' },
      address('dense', 'u32*', '[units]'),
    ],
    threads: wordThreads,
    body: [
      'if (p.fallen[blockIdx.y * p.span] == 0) return;',
      'const int at = blockIdx.x * blockDim.x + threadIdx.x;',
      'if (at == 0) p.dense[blockIdx.y] = 1;',
      'if (at >= p.rows * p.words) return;',
      'const int left = p.columns - at % p.words * 32;',
      'p.bits[(i64)blockIdx.y * p.rows * p.words + at] = left < 32 ? (1u << left) - 1u : 0xffffffffu;',
    ],
  });
}

const spanOf = ({ perGroup }: { readonly perGroup: boolean }, shape: LaunchShape): number =>
  perGroup ? shape.heads / shape.kvHeads : 1;

const wordsOfUnit = ({ domain }: Tree): number => domain.rows * wordsOf(domain);

/** Counts the members of the sets that cost anything, and writes `fallenBuffer`. */
export function decideFallback(
  plans: readonly SetPlan[],
  { heads, isShared }: FallbackLimits,
  { shape, launches }: Pick<PassContext, 'shape' | 'launches'>,
): Buffer {
  const flags: Buffer = { name: fallenBuffer, bytes: 4 * shape.batch * shape.heads };
  launches.fill(at(fallenBuffer), flags.bytes, 0);
  const names = new Set([...heads.values()].flatMap((limits) => Object.keys(limits)));
  const counted = plans
    .filter(({ name }) => names.has(name))
    .map(({ name, tree }) => {
      const units = unitsOf(tree, shape);
      const counts = at(launches.need(`members of ${name}`, 4 * units));
      launches.fill(counts, 4 * units, 0);
      launches.launch(
        countKernel(),
        [Math.ceil(wordsOfUnit(tree) / countedWords), units, 1],
        { words: wordsOfUnit(tree) },
        { bits: at(tree.bits), counts },
      );
      return { name, tree, counts };
    });
  const numbersOf = (head: number): FieldValues =>
    Object.fromEntries(
      counted.flatMap(({ name }, i) => {
        const limit = heads.get(head)![name];
        return [
          [`limit${i}`, limit ?? 0],
          [`cost${i}`, limit === undefined ? 0 : memberCost(limit)],
        ];
      }),
    );
  const runs = runsOfEqual({ perGroup: isShared, numbersOf }, shape, new Set(heads.keys()));
  for (const { from, to, numbers } of runs) {
    const count = (to - from) * shape.batch;
    const spans = counted.map(({ tree }, i) => [`span${i}`, spanOf(tree, shape)]);
    const places = counted.map(({ counts }, i): [string, Place] => [`counts${i}`, counts]);
    launches.launch(
      fallbackKernel(counted.length),
      [Math.ceil(count / wordThreads), 1, 1],
      {
        ...numbers,
        ...Object.fromEntries(spans),
        span: spanOf({ perGroup: isShared }, shape),
        count,
        unit: from,
        units: to - from,
        batch_units: unitsPerBatch(isShared, shape),
      },
      { ...Object.fromEntries(places), fallen: at(fallenBuffer) },
    );
  }
  return flags;
}

/** Fills the sets of the heads that fell back: once attention has read what others chose. */
export function fullSetsList(plans: readonly SetPlan[], shape: LaunchShape): LaunchList {
  const launches = new Launches();
  for (const { tree } of plans)
    launches.launch(
      fullKernel(),
      [Math.ceil(wordsOfUnit(tree) / wordThreads), unitsOf(tree, shape), 1],
      {
        span: spanOf(tree, shape),
        rows: tree.domain.rows,
        words: wordsOf(tree.domain),
        columns: tree.domain.columns,
      },
      { fallen: at(fallenBuffer), bits: at(tree.bits), dense: at(denseOf(tree)) },
    );
  return launches.list;
}
