// What can be timed: a pattern, the pairs that it allows, and what a call of it is given. Which sizes are
// timed is works.ts's.

import { z } from 'zod';
import type { ChosenSetsData } from '../../../dsl/chosen.ts';
import type { LaunchShape } from '../../../dsl/shape.ts';
import {
  type AnyPattern,
  aShape,
  blockSparse,
  causal,
  documents,
  f32,
  flashPrefill,
  pattern,
  slidingWindow,
  type Tensor,
  tensor,
  verticalSlash,
} from '../../../index.ts';
import {
  type BlockLists,
  blocksOfRow,
  blocksOfTile,
  drawBlocks,
  drawDocuments,
  drawTiles,
  drawVerticalSlash,
  grain,
  pairsOfVerticalSlash,
  type VerticalSlash,
} from './draws.ts';
import { emptySets } from './sets.ts';
import type { Work } from './works.ts';

/** All functions take a work of the subject. */
export interface Subject {
  pattern(work: Work): AnyPattern;
  /** Pairs that the mask allows, over all heads. */
  pairs(work: Work): number;
  /** Numbers of the call, where they are not those of the pattern. */
  readonly numbers?: readonly string[];
  /** What the rivals need to know of it as well, as plain data. */
  drawn?(work: Work): unknown;
  captured?(work: Work): Readonly<Record<string, Tensor>>;
  chosen?(work: Work): ChosenSetsData;
}

const full = pattern('full').mask(() => true);
const alibi = pattern('alibi', { slopes: f32('head') })
  .mask(({ q, k }) => k <= q)
  .score(({ s, q, k, head }, { slopes }) => s - slopes.at(head) * (q - k));
/** Random scores are all small beside a cap: `times` as large, they come near it as captured heads' do. */
const softCap = pattern('soft-cap', {
  cap: z.number().positive(),
  times: z.number().positive().default(1),
})
  .mask(({ q, k }) => k <= q)
  .score(({ s }, { cap, times }) => cap * Math.tanh((times * s) / cap));

const triangle = (length: number): number => (length * (length + 1)) / 2;
/** Pairs of the last `window` keys up to each of `length` queries. */
const band = (length: number, window: number): number =>
  length <= window ? triangle(length) : triangle(window) + (length - window) * window;
const causalPairs = ({ heads, length }: Work): number => heads * triangle(length);

/** As in the paper: from 2^(-8 / heads) to 2^-8. */
const slopesOf = ({ heads }: Work): number[] =>
  Array.from({ length: heads }, (_, head) => 2 ** ((-8 * (head + 1)) / heads));

const documentsOf = ({ length, params }: Work): number[] =>
  drawDocuments(length, params.documents!);

/** One draw for every head. */
const verticalSlashOf = ({ heads, length, params }: Work): VerticalSlash[] =>
  Array.from({ length: heads }, (_, head) =>
    drawVerticalSlash(length, params as Record<'columns' | 'near' | 'runs', number>, head),
  );

/** As flash-prefill has them; tiles lie within blocks. */
const [flashBlock, flashTile, flashTail] = [128, 32, 256];

/** With stand-ins for what is dropped, or without. */
function flashPattern({ params }: Work): AnyPattern {
  const { name, definition } = flashPrefill;
  return params.standIns ? flashPrefill : { name, definition: { ...definition, rest: undefined } };
}

const blockPattern = ({ params }: Work) => blockSparse.with({ block: params.block! });

const subjectsByName = {
  causal: { pattern: () => causal, pairs: causalPairs },
  full: { pattern: () => full, pairs: ({ heads, length }) => heads * length ** 2 },
  'a-shape': {
    pattern: () => aShape,
    numbers: ['sinks', 'window'],
    // Beyond the window a query sees the first keys, one more with every query until it sees all of them.
    pairs: ({ heads, length, params }) =>
      heads *
      (band(length, params.window!) + band(Math.max(0, length - params.window!), params.sinks!)),
  },
  'sliding-window': {
    pattern: () => slidingWindow,
    numbers: ['window'],
    pairs: ({ heads, length, params }) => heads * band(length, params.window!),
  },
  documents: {
    pattern: () => documents,
    pairs: (work) => work.heads * documentsOf(work).reduce((sum, one) => sum + triangle(one), 0),
    drawn: documentsOf,
    captured(work) {
      const numbers = documentsOf(work).flatMap((length, i) => new Array<number>(length).fill(i));
      return { doc: tensor(Int32Array.from(numbers), { shape: [1, work.length] }) };
    },
  },
  alibi: {
    pattern: () => alibi,
    pairs: causalPairs,
    drawn: slopesOf,
    captured: (work) => ({ slopes: tensor(slopesOf(work), { shape: [work.heads] }) }),
  },
  'soft-cap': { pattern: () => softCap, numbers: ['cap', 'times'], pairs: causalPairs },
  'block-lists': {
    pattern: blockPattern,
    pairs({ heads, length, params }) {
      const { block } = params as unknown as BlockLists;
      let pairs = 0;
      for (let row = 0; row < length / block; row += 1)
        pairs +=
          (blocksOfRow(row, params as unknown as BlockLists) - 1) * block ** 2 + triangle(block);
      return heads * pairs;
    },
    chosen(work) {
      const sets = emptySets(blockPattern(work), shapeOf(work));
      for (const [head, set] of sets.blocks!.units.entries())
        drawBlocks(set, work.params as unknown as BlockLists, head);
      return sets;
    },
  },
  'flash-prefill': {
    pattern: flashPattern,
    pairs({ heads, length, params }) {
      const { percent = 0 } = params;
      let pairs = 0;
      for (let query = 0; query < length; query += 1) {
        const before = Math.floor(query / flashBlock);
        const own = query - before * flashBlock + 1;
        const isDense = query >= length - flashTail;
        pairs += isDense ? query + 1 : (blocksOfTile(before, percent) - 1) * flashBlock + own;
      }
      return heads * pairs;
    },
    chosen(work) {
      const sets = emptySets(flashPattern(work), shapeOf(work));
      const { percent = 0 } = work.params;
      for (const [kvHead, set] of sets.blocks!.units.entries())
        drawTiles(set, { tile: flashTile, block: flashBlock, percent }, kvHead);
      return sets;
    },
  },
  'vertical-slash': {
    pattern: () => verticalSlash,
    pairs: (work) =>
      verticalSlashOf(work).reduce((sum, one) => sum + pairsOfVerticalSlash(work.length, one), 0),
    drawn: verticalSlashOf,
    chosen(work) {
      const sets = emptySets(verticalSlash, shapeOf(work));
      for (const [head, { columns, runs }] of verticalSlashOf(work).entries()) {
        for (const column of columns) sets.columns!.units[head]!.add(0, column);
        // Widened as the pattern's own `dilate(grain)` does.
        for (const [from, to] of runs)
          sets.distances!.units[head]!.addRange(0, from, to + grain - 1);
      }
      return sets;
    },
  },
} satisfies Record<string, Subject>;

export type SubjectName = keyof typeof subjectsByName;

export const subjects: Readonly<Record<SubjectName, Subject>> = subjectsByName;

export const shapeOf = ({ heads, kvHeads, length, headDim }: Work): LaunchShape => ({
  batch: 1,
  heads,
  kvHeads,
  qLen: length,
  kLen: length,
  headDim,
  valueDim: headDim,
});

/** The numbers of a call. */
export const numbersOf = ({ subject, params }: Work): Record<string, number> =>
  Object.fromEntries((subjects[subject].numbers ?? []).map((name) => [name, params[name]!]));
