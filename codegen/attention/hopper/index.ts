// The Hopper back-end (sm_90a): boxes copied by the tensor memory accelerator into a ring of slots, products of
// warpgroups, a block for each multiprocessor that draws its tiles of queries. Sections in the order of reading.

import { type Expression, walk } from '../../../dsl/expression.ts';
import { passFields, rowFields, tensorFields } from '../arguments.ts';
import type { AttentionBackend, KernelContext } from '../backend.ts';
import { elementsText } from '../elements.ts';
import { askedWhole, type MaskWay } from '../masks/index.ts';
import type { KernelPass } from '../passes.ts';
import { scoresText } from '../scores.ts';
import { accumulatorsText } from '../softmax.ts';
import { walkText } from '../walk.ts';
import { consumerText } from './consumer.ts';
import { controlBytes, controlText } from './control.ts';
import { copierText } from './copier.ts';
import {
  boxKeys,
  groupsOf,
  type HopperKnobs,
  hopperProblem,
  hopperRegisterProblem,
  isApart,
  sharedLayout,
  threadsOf,
} from './knobs.ts';
import { launchOf } from './launch.ts';
import { constantsText, mainText, tilesText } from './main.ts';
import { tensorMapFields } from './maps.ts';
import { distancesOf, memberFields, memberText } from './members.ts';
import { pairsProblem, pairText } from './pairs.ts';
import { poolsText } from './pools.ts';
import { productsText } from './products.ts';
import { canRamp, rampText } from './ramp.ts';
import { applyText } from './scores.ts';
import { hopperSoftmaxText } from './softmax.ts';
import { judgesApart, standInsText } from './stand-ins.ts';
import { tileRowsText } from './tile-rows.ts';
import { walkerText } from './walker.ts';
import { isLarge, walkOf } from './walks.ts';

const layoutOf = (context: KernelContext<HopperKnobs>) =>
  sharedLayout(
    context.knobs,
    context.headDim,
    context.valueDim,
    controlBytes(context, judgesApart(context)),
  );

export const hopper: AttentionBackend<HopperKnobs> = {
  primitives: ['shared', 'barrier', 'tensor-copy', 'warpgroup'],
  relative: true,
  ramps: canRamp,
  problem: (context) =>
    noPasses(context.passes) ??
    headsProblem(context) ??
    textProblem(context) ??
    (isApart(context.knobs) ? pairsProblem(context.passes, context.knobs) : undefined) ??
    hopperRegisterProblem(context.knobs, context.valueDim) ??
    hopperProblem(
      context.knobs,
      context.headDim,
      context.valueDim,
      controlBytes(context, judgesApart(context)),
    ),
  threads: ({ knobs }) => threadsOf(knobs),
  sharedBytes: (context) => layoutOf(context).bytes + 1024,
  fields: (context) => [
    ...tensorMapFields(context.passes, isApart(context.knobs)),
    ...tensorFields(['out']),
    ...rowFields,
    ...orderFields,
    ...passFields(context.passes),
    ...(distancesOf(context) ? memberFields : []),
  ],
  constants: (context) =>
    `${constantsText(context, layoutOf(context))}${distancesOf(context) ? `${memberText}\n` : ''}`,
  body: (context) => {
    if (noPasses(context.passes)) return '';
    const layout = layoutOf(context);
    const { passes, knobs } = context;
    // Whose mask warps that compute ask for: of stand-ins they are told.
    const asked = judgesApart(context)
      ? { ...context, passes: passes.filter(({ kind }) => kind !== 'rest') }
      : context;
    const way: MaskWay = isApart(knobs) ? { left: leftOf(context) } : 'boxes';
    return [
      isApart(knobs) ? pairText : walkText(passes),
      controlText(context),
      tilesText(context),
      tileRowsText(knobs),
      walkerText(context, layout),
      copierText(context),
      elementsText(context, askedWhole(asked, way), true),
      scoresText(context, way, applyText, poolsText, asked),
      ...(judgesApart(context) ? [standInsText(context)] : []),
      accumulatorsText,
      productsText(context),
      ...(context.score?.ramp ? [rampText(context)] : []),
      hopperSoftmaxText(context),
      consumerText(context, layout),
      mainText(context, layout),
    ].join('\n\n');
  },
  launch: launchOf,
};

/** What walks by boxes leave of the masks. */
const leftOf = ({ passes, knobs }: KernelContext<HopperKnobs>): Expression[] =>
  passes.map((pass) => walkOf(pass, boxKeys(knobs)).own);

/** In which order tiles are drawn. */
const orderFields = [
  {
    name: 'counter',
    type: 'address',
    pointer: 'int*',
    comment: 'tiles drawn so far; 0 between launches',
  },
  { name: 'units', type: 'i32', comment: 'heads of all batch entries, those of a tile as one' },
  { name: 'section', type: 'i32', comment: 'units whose keys and values fit L2 together' },
] as const;

/** Rows of several heads read the same keys. */
const headsProblem = ({ knobs, headsAlike }: KernelContext<HopperKnobs>): string | undefined =>
  knobs.headsPerTile > 1 && !headsAlike
    ? 'the query heads of a KV head do not attend to the same keys'
    : undefined;

/** The text of a score is there for every pair of a thread: with more look-ups it compiles for minutes. */
const mostLookUps = 1;

/** Why mask and score are too much: for all but two warpgroups the compiler has no more than 128 registers a thread. */
const textProblem = ({ knobs, passes, score }: KernelContext<HopperKnobs>): string | undefined => {
  const lookUps = score?.value ? [...walk(score.value)].filter(isLookUp).length : 0;
  if (lookUps > mostLookUps) return `a score that looks up ${lookUps} things compiles for minutes`;
  return groupsOf(knobs) !== 2 && isLarge(passes)
    ? `the mask is too large for tiles of ${knobs.qTile} rows: it would compile for minutes`
    : undefined;
};

/** What is asked of a set or a tensor at each pair. */
const isLookUp = (part: Expression): boolean =>
  (part.op === 'has' || part.op === 'at') &&
  part.args.some((arg) =>
    [...walk(arg)].some((one) => one.op === 'index' && ['q', 'k', 'row'].includes(one.name)),
  );

/** A mask that allows nothing has nothing to walk over. */
const noPasses = (passes: readonly KernelPass[]): string | undefined =>
  passes.length === 0 ? 'the mask allows no pair' : undefined;
