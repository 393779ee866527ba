// The public types, as an author's editor shows them. What must not compile is in wrong.ts.

import { describe, expectTypeOf, it } from 'vitest';
import { z } from 'zod';
import {
  type Attend,
  type AttendResult,
  byHead,
  type Chosen,
  type Code,
  type CompileOptions,
  causal,
  compile,
  count,
  type Device,
  f32,
  fixed,
  flashPrefill,
  fromMInference,
  type HeadPatterns,
  i32,
  type LayerCall,
  loadChosen,
  openDevice,
  type Pair,
  type ParameterValues,
  type Pattern,
  type PatternError,
  pattern,
  type ReferenceResult,
  reference,
  type ScoredPair,
  saveChosen,
  type Tensor,
  tensor,
  verticalSlash,
} from '../../index.ts';

const given = {
  window: count.default(4),
  share: z.number().min(0).max(1).default(0.5),
  block: fixed(64),
  doc: i32('batch', 'k'),
  slope: f32('head'),
} as const;

describe('a pattern', () => {
  it('shows its mask the pair and what it is given', () => {
    pattern('p', given).mask((pair, values) => {
      expectTypeOf(pair).toEqualTypeOf<Pair>();
      expectTypeOf(values.window).toBeNumber();
      expectTypeOf(values.share).toBeNumber();
      expectTypeOf(values.block).toBeNumber();
      expectTypeOf(values.doc.at).parameters.toEqualTypeOf<[number, number]>();
      expectTypeOf(values.slope.at).parameters.toEqualTypeOf<[number]>();
      expectTypeOf(values.doc.at).returns.toBeNumber();
      expectTypeOf<keyof typeof values>().toEqualTypeOf<keyof typeof given>();
      return true;
    });
  });

  it('shows its mask the sets of its estimate, with as many arguments as they have axes', () => {
    pattern('p', given)
      .estimate(({ q, k }, numbers) => {
        expectTypeOf<keyof typeof numbers>().toEqualTypeOf<'window' | 'share' | 'block'>();
        const weights = q.dot(k).causal().softmax();
        return {
          columns: weights.sumPerKey().topk(numbers.window),
          distances: weights.sumPerDistance().cover(0.9).dilate(64),
          blocks: weights.sumPerBlock(32).sumPerGroup().above(0.1),
        };
      })
      .mask((_, { columns, distances, blocks }) => {
        expectTypeOf(columns.has).parameters.toEqualTypeOf<[number]>();
        expectTypeOf(distances.has).parameters.toEqualTypeOf<[number]>();
        expectTypeOf(blocks.has).parameters.toEqualTypeOf<[number, number]>();
        expectTypeOf(columns.has).returns.toBeBoolean();
        return true;
      });
  });

  it('shows its score the logit as well', () => {
    pattern('p')
      .mask(() => true)
      .score((pair) => {
        expectTypeOf(pair).toEqualTypeOf<ScoredPair>();
        return pair.s;
      });
  });

  it('is its own type after every step, and both after a composition', () => {
    const one = pattern('one', { window: count }).mask(() => true);
    const two = pattern('two', { doc: i32('k') }).mask(() => true);
    expectTypeOf(one.schedule({ qTile: 64 })).toEqualTypeOf(one);
    expectTypeOf(one.with({ window: 4 })).toEqualTypeOf(one);
    expectTypeOf(one.score(({ s }) => s)).toEqualTypeOf(one);
    const both = one.and(two);
    expectTypeOf(both.or(one).name).toBeString();
    both.score((_, values) => {
      expectTypeOf(values.window).toBeNumber();
      expectTypeOf(values.doc.at(0)).toBeNumber();
      return 0;
    });
  });

  it('is one of a list for byHead', () => {
    expectTypeOf(byHead([causal, verticalSlash, flashPrefill])).toEqualTypeOf<HeadPatterns>();
  });
});

describe('the values of an estimate', () => {
  it('know their axes', () => {
    pattern('p').estimate(({ q, k }) => {
      const pooled = q.pool(64).dot(k.pool(64));
      expectTypeOf(pooled.topk(4)).toEqualTypeOf<Chosen<['qBlock', 'kBlock']>>();
      expectTypeOf(q.dot(k).topk(4)).toEqualTypeOf<Chosen<['q', 'k']>>();
      const sums = q.last(64).dot(k).softmax().sumPerKey();
      expectTypeOf(sums.topk(4)).toEqualTypeOf<Chosen<['k']>>();
      expectTypeOf(sums.pool(64).topk(4)).toEqualTypeOf<Chosen<['kBlock']>>();
      return { columns: sums.topk(4) };
    });
  });
});

describe('a call', () => {
  it('takes the parameters of its pattern, each a number or one per head', () => {
    expectTypeOf<ParameterValues<typeof given>>().toEqualTypeOf<{
      readonly window?: number | readonly number[];
      readonly share?: number | readonly number[];
      readonly block?: number | readonly number[];
    }>();
  });

  it('gives tensors, and the sets that were used', () => {
    expectTypeOf<AttendResult['out']>().toExtend<Tensor>();
    expectTypeOf<AttendResult['lse']['dtype']>().toEqualTypeOf<'fp32' | 'fp16' | 'bf16'>();
    expectTypeOf<Awaited<ReturnType<Attend['estimate']>>>().toEqualTypeOf<AttendResult['chosen']>();
    expectTypeOf(
      reference<Record<never, never>, Record<never, never>>,
    ).returns.toEqualTypeOf<ReferenceResult>();
    expectTypeOf<ReferenceResult['out']>().toEqualTypeOf<Float64Array>();
  });

  it('is compiled for the best device unless one is named', () => {
    expectTypeOf<CompileOptions['device']>().toEqualTypeOf<Device | undefined>();
    expectTypeOf(openDevice(process.env.DEVICE)).resolves.toEqualTypeOf<Device>();
    expectTypeOf(compile).toBeFunction();
    expectTypeOf<Pattern>().toHaveProperty('definition');
  });

  it('fails with errors that are data', () => {
    expectTypeOf<PatternError>().toExtend<Error>();
    expectTypeOf<PatternError['code']>().toEqualTypeOf<Code>();
    expectTypeOf<'L001'>().toExtend<Code>();
  });
});

describe('a tensor', () => {
  it('holds floats or int32', () => {
    expectTypeOf(tensor([1, 2])).toExtend<Tensor>();
    expectTypeOf<Tensor['shape']>().toEqualTypeOf<readonly number[]>();
    expectTypeOf<Tensor['dtype']>().toEqualTypeOf<'fp32' | 'fp16' | 'bf16' | 'i32'>();
    expectTypeOf(tensor.load).returns.resolves.toEqualTypeOf<Tensor>();
  });
});

describe('heads of a model', () => {
  it('are calls, layer by layer, whose sets are lists', () => {
    expectTypeOf(fromMInference).returns.toEqualTypeOf<readonly LayerCall[]>();
    const attend = () => compile({} as LayerCall['pattern'], {} as CompileOptions);
    type Layer = Awaited<ReturnType<typeof attend>>;
    expectTypeOf<LayerCall['params']>().toExtend<NonNullable<Parameters<Layer>[1]>>();
    expectTypeOf<Awaited<ReturnType<Layer['estimate']>>>().toEqualTypeOf<
      readonly AttendResult['chosen'][]
    >();
  });

  it('have sets that files keep, of one pattern unless a list is asked for', () => {
    type Sets = AttendResult['chosen'];
    expectTypeOf(() => loadChosen('a')).returns.resolves.toEqualTypeOf<Sets>();
    expectTypeOf(() => loadChosen<readonly Sets[]>('a')).returns.resolves.toEqualTypeOf<
      readonly Sets[]
    >();
    expectTypeOf(saveChosen).parameter(1).toEqualTypeOf<Sets | readonly Sets[]>();
  });
});
