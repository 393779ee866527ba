// The launches that finish sets after the passes: dense units, dilations, choices. And the bytes of them.

import type { SetDomain } from '../../dsl/chosen.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import type { FieldValues } from '../struct.ts';
import { choiceKernel, dilateKernel, verdictKernel, wordThreads } from './bitmaps.ts';
import { selectSpec } from './kernels.ts';
import { at, type Launches, type Place } from './launches.ts';
import type { PassPlan, ReadingPlan } from './passes.ts';
import { keptPlace, type PassContext } from './places.ts';
import { runsOfEqual } from './runs.ts';
import { fillKernel, leafArguments } from './select.ts';
import { gridArguments } from './text.ts';
import type { Choice, Dilation, Selection, Tree } from './trees.ts';

export const wordsOf = (domain: SetDomain): number => Math.ceil(domain.columns / 32);

export const unitsPerBatch = (perGroup: boolean, { heads, kvHeads }: LaunchShape): number =>
  perGroup ? kvHeads : heads;

export const unitsOf = ({ perGroup }: { perGroup: boolean }, shape: LaunchShape): number =>
  shape.batch * unitsPerBatch(perGroup, shape);

export const bytesOf = (tree: Pick<Tree, 'perGroup' | 'domain'>, shape: LaunchShape): number =>
  4 * unitsOf(tree, shape) * tree.domain.rows * wordsOf(tree.domain);

const gridOfWords = ({ domain }: Tree, units: number): [number, number, number] => [
  units * domain.rows,
  Math.ceil(wordsOf(domain) / wordThreads),
  1,
];

const placeInSet = ({ domain }: Tree): FieldValues => ({
  words: wordsOf(domain),
  set_from: domain.rowFrom,
  set_rows: domain.rows,
});

/** Units in which a row exceeded its capacity become all that they see. */
export function fillDense(
  pass: PassPlan,
  reading: ReadingPlan,
  selection: Selection,
  { shape, launches, needed }: PassContext,
): void {
  const { dense, bits, perGroup, leaves } = selection;
  if (!dense) return;
  // Budgets no longer count: what is always a member does.
  const numbersOf = (head: number): FieldValues => {
    const { always_first, always_last } = leafArguments(leaves[head]!);
    return { always_first: always_first!, always_last: always_last! };
  };
  const kernel = fillKernel(selectSpec(pass, reading, selection));
  for (const { from, to, numbers } of runsOfEqual({ perGroup, numbersOf }, shape, needed)) {
    launches.launch(
      kernel,
      gridOfWords(selection, (to - from) * shape.batch),
      {
        ...gridArguments(pass.grid),
        ...numbers,
        ...placeInSet(selection),
        units: to - from,
        unit: from,
        batch_units: unitsPerBatch(perGroup, shape),
      },
      { bits: at(bits), dense: at(dense) },
    );
  }
}

export function dilate(tree: Dilation, shape: LaunchShape, launches: Launches): void {
  launches.launch(
    dilateKernel(tree.size),
    gridOfWords(tree, unitsOf(tree, shape)),
    { source_words: wordsOf(tree.of.domain), words: wordsOf(tree.domain) },
    { source: at(tree.of.bits), bits: at(tree.bits) },
  );
}

/** How many units of a bitmap share one of another that may be one per KV head. */
const span = (own: boolean, other: boolean, { heads, kvHeads }: LaunchShape): number =>
  other && !own ? heads / kvHeads : 1;

/** The verdict of each unit, then the words of the set that it names. */
export function choose(tree: Choice, readings: readonly ReadingPlan[], context: PassContext): void {
  const { shape, launches, needed } = context;
  const readingOf = (key: string) => readings.find(({ want }) => want.key === key)!;
  const [left, right] = [readingOf(tree.left.key), readingOf(tree.right.key)];
  const perGroup = left.want.group && right.want.group;
  const [a, b] = [keptPlace(left, shape), keptPlace(right, shape)];
  const units = unitsOf({ perGroup }, shape);
  const verdicts = at(launches.need('verdicts', 4 * units));
  launches.fill(verdicts, 4 * units, 0);
  const limits = (head: number): FieldValues => ({ limit: tree.limits[head]! });
  for (const { from, to, numbers } of runsOfEqual({ perGroup, numbersOf: limits }, shape, needed)) {
    launches.launch(
      verdictKernel(),
      [(to - from) * shape.batch, 1, 1],
      {
        left_stride: a.stride,
        left_span: span(perGroup, left.want.group, shape),
        right_stride: b.stride,
        right_span: span(perGroup, right.want.group, shape),
        members: a.members,
        ...numbers,
        unit: from,
        units: to - from,
        batch_units: unitsPerBatch(perGroup, shape),
      },
      { left: at(a.buffer), right: at(b.buffer), verdicts },
    );
  }
  const args: Record<string, number> = {};
  const buffers: Record<string, Place> = { verdicts, bits: at(tree.bits) };
  if (tree.dense) buffers.dense = at(tree.dense);
  for (const name of ['yes', 'no'] as const) {
    const side = tree[name];
    if (!side) continue;
    args[`${name}_words`] = wordsOf(side.domain);
    args[`${name}_from`] = side.domain.rowFrom;
    args[`${name}_rows`] = side.domain.rows;
    args[`${name}_span`] = span(tree.perGroup, side.perGroup, shape);
    buffers[name] = at(side.bits);
    if (side.dense) buffers[`${name}_dense`] = at(side.dense);
  }
  const sideOf = (side: Tree | undefined) => ({
    isThere: side !== undefined,
    hasDense: side?.dense !== undefined,
  });
  launches.launch(
    choiceKernel(sideOf(tree.yes), sideOf(tree.no)),
    gridOfWords(tree, unitsOf(tree, shape)),
    {
      verdict_span: span(tree.perGroup, perGroup, shape),
      ...args,
      ...placeInSet(tree),
    },
    buffers,
  );
}
