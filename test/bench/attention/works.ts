// The works of `npm run bench -- attention`: the one list, for our half and for the rivals'. What each means is
// subjects.ts's.

import type { FloatType } from '../../../index.ts';
import { worksNamed } from '../../programs/program.ts';
import type { SubjectName } from './subjects.ts';

/** One thing to time: batch 1, as many keys as queries, values as wide as keys. */
export interface Work {
  readonly name: string;
  readonly subject: SubjectName;
  /** Numbers of the subject: of its pattern, or of what is drawn for it. */
  readonly params: Readonly<Record<string, number>>;
  readonly heads: number;
  readonly kvHeads: number;
  readonly length: number;
  readonly headDim: number;
  readonly dtype: FloatType;
  /** By name of a rival: how many times its rate ours has to be. */
  readonly bars?: Readonly<Record<string, number>>;
  /** Another work, and how many times its rate the rate of this one has to be. */
  readonly beside?: { readonly work: string; readonly bar: number };
}

type Sizes = Partial<Pick<Work, 'heads' | 'kvHeads' | 'headDim' | 'dtype' | 'bars' | 'beside'>>;

function work(
  subject: SubjectName,
  length: number,
  params: Work['params'] = {},
  { heads = 32, kvHeads = heads, headDim = 128, dtype = 'bf16', ...bars }: Sizes = {},
  label: string = subject,
): Work {
  const sizes = [
    lengthText(length),
    ...(headDim === 128 ? [] : [`D${headDim}`]),
    ...(dtype === 'bf16' ? [] : [dtype]),
    ...(kvHeads === heads ? [] : [`${heads}/${kvHeads}`]),
  ];
  const name = [label, ...sizes].join(' ');
  return { name, subject, params, heads, kvHeads, length, headDim, dtype, ...bars };
}

/** 4096 is 4K, 1048576 is 1M. */
const lengthText = (length: number): string =>
  length >= 2 ** 20 ? `${length / 2 ** 20}M` : `${length / 1024}K`;

const overCudnn = { cuDNN: 1.05 };
const overFlex = { FlexAttention: 1.3 };
const besideCausal = (bar: number) => ({ work: 'causal 16K', bar });
const [short, long] = [16 * 1024, 128 * 1024];

export const works: readonly Work[] = [
  ...[4, 8, 16, 32, 128].map((kilo) => work('causal', kilo * 1024, {}, { bars: overCudnn })),
  work('full', short, {}, { bars: overCudnn }),
  ...[64, 96, 192, 256].map((headDim) =>
    work('causal', short, {}, { headDim, heads: headDim > 128 ? 16 : 32, bars: { cuDNN: 1 } }),
  ),
  work('causal', short, {}, { dtype: 'fp16', beside: besideCausal(0.95) }),
  ...[32, 128].map((kilo) =>
    work('a-shape', kilo * 1024, { sinks: 128, window: 4096 }, { bars: { FlexAttention: 1.6 } }),
  ),
  ...[16, 64, 128].map((kilo) =>
    work('sliding-window', kilo * 1024, { window: 4096 }, { bars: overFlex }),
  ),
  work('documents', 64 * 1024, { documents: 32 }, { bars: overFlex }),
  // Scores may cost 8 % and 15 % of the time.
  work('alibi', short, {}, { bars: overFlex, beside: besideCausal(1 / 1.08) }),
  work('soft-cap', short, { cap: 30, times: 1 }, { beside: besideCausal(1 / 1.15) }),
  work('soft-cap', short, { cap: 30, times: 4 }, {}, 'soft-cap of scores times 4'),
  work('block-lists', long, { block: 128, percent: 10, shared: 0 }, {}, 'blocks 128, 10 %'),
  work('block-lists', long, { block: 64, blocks: 100, shared: 0 }, {}, 'blocks 64, top 100'),
  work(
    'block-lists',
    long,
    { block: 64, blocks: 100, shared: 0.7 },
    {},
    'blocks 64, top 100, 70 % shared',
  ),
  // At most 11.5 and 14 ms.
  ...[0, 1].map((standIns) =>
    work(
      'flash-prefill',
      long,
      { percent: 4.7, standIns },
      { kvHeads: 8 },
      `flash-prefill 4.7 %${standIns ? ' with stand-ins' : ''}`,
    ),
  ),
  ...[long, 2 ** 20].map((length) =>
    work('vertical-slash', length, { columns: 1000, near: 2048, runs: 64 }, { kvHeads: 8 }),
  ),
  work('causal', 2 ** 20, {}, { heads: 8, kvHeads: 2, beside: { work: 'causal 128K', bar: 0.97 } }),
];

/**
 * Works that have one of the texts in their names; the short ones alone where they are asked for.
 * Throws UsageError for a text that is in none.
 */
export function selectWorks(
  all: readonly Work[],
  { only, quick = false }: { only?: readonly string[]; quick?: boolean },
): Work[] {
  return worksNamed(
    all.filter(({ length }) => !quick || length <= short),
    only,
  );
}
