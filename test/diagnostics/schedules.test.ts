// Law 14 for schedules and composition: every code of group S has a bad pattern, and the mended one.

import { describe, expect, it } from 'vitest';
import { type AnyPattern, byHead, count, f32, pattern } from '../../dsl/index.ts';
import { attend, oracle, refused, refusedByBoth, takenByBoth } from './cases.ts';

const causal = pattern('causal').mask(({ q, k }) => k <= q);
const window = pattern('window', { window: count.default(4) }).mask(
  ({ q, k }, { window }) => k <= q && q - k < window,
);
const columns = pattern('columns')
  .estimate(({ q, k }) => ({
    columns: q.dot(k).causal().softmax().sumPerKey().topk(3),
    blocks: q.pool(4).dot(k.pool(4)).causal().topk(1),
  }))
  .mask(
    ({ q, k }, { columns, blocks }) =>
      k <= q && (columns.has(k) || blocks.has(Math.floor(q / 4), Math.floor(k / 4))),
  );

describe('S001: an unknown or impossible knob', () => {
  it.each([
    ['qTile', 0],
    ['qTile', 1000],
    ['kTile', 1.5],
    ['kTile', Number.NaN],
    ['warps', '4'],
    ['stages', []],
    ['order', 'sideways'],
    ['tile', 64],
  ])('%s: %s', async (name, value) => {
    await refused('S001', () => attend(causal.schedule({ [name]: value } as never)));
  });

  it('says what there is', async () => {
    const make = (name: string) => causal.schedule({ [name]: 64 } as never);
    expect(await refused('S001', () => attend(make('tile')))).toMatchInlineSnapshot(`
      "error[S001]: 'tile' is no knob of a schedule
        --> schedules.test.ts:L:C
        |
      N |     const make = (name: string) => causal.schedule({ [name]: 64 } as never);
        |                                           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        = help: it has qTile, kTile, warps, stages, blocks, qBuffers, boxes, headsPerTile, pingPong, softmax, work, order and gather"
    `);
    expect(
      await refused('S001', () => attend(causal.schedule({ qTile: [64, 512] }))),
    ).toMatchInlineSnapshot(`
      "error[S001]: qTile of 'causal' is 512
        --> schedules.test.ts:L:C
        |
      N |       await refused('S001', () => attend(causal.schedule({ qTile: [64, 512] }))),
        |                                                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        = help: give an integer from 1 to 256, or a list of them"
    `);
    await takenByBoth(make('kTile'));
    await takenByBoth(causal.schedule({ qTile: [3, 256], order: 'descending', warps: 4 }));
  });
});

describe('S002: gather names no set of single keys', () => {
  it('a set of blocks', async () => {
    const make = (gather: 'blocks' | 'columns') => columns.schedule({ gather });
    expect(await refused('S002', () => attend(make('blocks')))).toMatchInlineSnapshot(`
      "error[S002]: gather of 'columns' names 'blocks', which is no set of single keys
        --> schedules.test.ts:L:C
        |
      N |     const make = (gather: 'blocks' | 'columns') => columns.schedule({ gather });
        |                                                            ^^^^^^^^^^^^^^^^^^^^
        = help: name a set that the estimate returns and the mask asks with .has(k)"
    `);
    await takenByBoth(make('columns'));
  });

  it('no set at all', async () => {
    await refused('S002', () => attend(causal.schedule({ gather: 'columns' } as never)));
  });
});

describe('S003: a stated schedule misses an allowed pair', () => {
  it('starts one key too late', async () => {
    const near = window.with({ window: 2 });
    const make = (late: number) =>
      near.visit(({ tile, span }, { window }) => span(tile.q0 - window + 1 + late, tile.q1 + 1));
    expect(await refused('S003', () => attend(make(1)))).toMatchInlineSnapshot(`
      "error[S003]: the mask of 'window' allows (q=2, k=1), but no visited span contains key 1
        = help: widen the spans of .visit, or drop .visit: the schedule is derived from the mask"
    `);
    await takenByBoth(make(0));
  });

  it('ends before the diagonal', async () => {
    const make = (end: number) => causal.visit(({ tile, span }) => span(0, tile.q1 + end));
    await refused('S003', () => attend(make(0)));
    await takenByBoth(make(1));
  });

  it('leaves out the first key alone', async () => {
    await refused('S003', () => attend(causal.visit(({ tile, span }) => span(1, tile.q1 + 1))));
  });

  it('may state a key twice: spans that overlap are one', async () => {
    const twice = causal.visit(({ tile, span }) => [...span(0, tile.q1), ...span(2, tile.q1 + 1)]);
    await takenByBoth(twice);
  });
});

describe('S005: two patterns give one name different meanings', () => {
  it('a parameter with two defaults', async () => {
    const make = (reach: number) =>
      window.or(
        pattern('sinks', { window: count.default(reach) }).mask(({ k }, { window }) => k < window),
      );
    expect(await refused('S005', () => attend(make(2)))).toMatchInlineSnapshot(`
      "error[S005]: 'window' is int 0.. with default 4 in 'window' and int 0.. with default 2 in 'sinks'
        --> schedules.test.ts:L:C
        |
      N |       window.or(
        |              ^^^
        = help: rename one, or make both declarations the same"
    `);
    await takenByBoth(make(4));
  });

  it('a number and a tensor', async () => {
    const other = pattern('other', { window: f32('head') }).mask(
      ({ head }, { window }) => window.at(head) > 0,
    );
    expect(await refused('S005', () => attend(window.and(other)))).toMatchInlineSnapshot(`
      "error[S005]: 'window' is int 0.. with default 4 in 'window' and f32(head) in 'other'
        --> schedules.test.ts:L:C
        |
      N |     expect(await refused('S005', () => attend(window.and(other)))).toMatchInlineSnapshot(\`
        |                                                      ^^^^^^^^^^
        = help: rename one, or make both declarations the same

      error[L016]: the tensor 'window' is not a number
        --> schedules.test.ts:L:C
        |
      N |   ({ q, k }, { window }) => k <= q && q - k < window,
        |                                               ^^^^^^
        = help: write window.at(...)"
    `);
  });

  it('two sets of one name', async () => {
    const make = (keep: number) =>
      pattern('other')
        .estimate(({ q, k }) => ({ columns: q.dot(k).softmax().sumPerKey().topk(keep) }))
        .mask(({ k }, { columns }) => columns.has(k));
    expect(await refused('S005', () => attend(make(1).and(make(2))))).toMatchInlineSnapshot(`
      "error[S005]: 'other and other' has two different sets named 'columns'
        = help: rename one of them in its own pattern"
    `);
    await takenByBoth(make(2).and(make(2)));
  });
});

describe('S006: two patterns both change the score', () => {
  it('two scores', async () => {
    const half = pattern('half')
      .mask(() => true)
      .score(({ s }) => s / 2);
    const capped = pattern('capped')
      .mask(() => true)
      .score(({ s }) => Math.tanh(s));
    expect(await refusedByBoth('S006', half.and(capped))).toMatchInlineSnapshot(`
      "error[S006]: 'half' and 'capped' both change the score
        --> schedules.test.ts:L:C
        |
      N |     expect(await refusedByBoth('S006', half.and(capped))).toMatchInlineSnapshot(\`
        |                                             ^^^^^^^^^^^
        = help: keep the score in one of them"
    `);
    await takenByBoth(half.and(causal));
    await takenByBoth(half.or(half));
  });

  it('two sorts of stand-ins', async () => {
    const rest = (size: number) =>
      causal.rest(({ k, v }) => ({ keys: k.pool(size), values: v.pool(size) }));
    await refusedByBoth('S006', rest(2).and(rest(3)));
    await takenByBoth(rest(2).and(causal));
  });
});

describe('S007: patterns per head that do not fit', () => {
  it('three patterns for four heads', async () => {
    const make = (heads: number) => byHead(Array.from({ length: heads }, () => causal)) as never;
    expect(await refused('S007', () => attend(make(3)))).toMatchInlineSnapshot(`
      "error[S007]: byHead lists 3 patterns for 4 heads
        = help: give one pattern per query head"
    `);
    await refused('S007', () => oracle(make(3)));
    await takenByBoth(make(4));
  });
});

describe('S008: a step of the builder that is out of place, given twice, or what it cannot be', () => {
  it('two scores', async () => {
    const once = causal.score(({ s }) => s / 2);
    expect(
      await refusedByBoth(
        'S008',
        once.score(({ s }) => s * 2),
      ),
    ).toMatchInlineSnapshot(`
      "error[S008]: 'causal' has two .score steps
        --> schedules.test.ts:L:C
        |
      N |         once.score(({ s }) => s * 2),
        |              ^^^^^^^^^^^^^^^^^^^^^^^
        = help: write both into one"
    `);
    await takenByBoth(once);
  });

  // As in JavaScript, where nobody has looked.
  type Steps = Readonly<Record<string, (value: unknown) => never>>;
  const start = pattern as unknown as (...begin: unknown[]) => Steps;
  const begun = start('a');
  it.each<[string, () => AnyPattern]>([
    ['the name of a pattern is 3', () => start(3).mask!(() => true)],
    ["what 'a' is given is 3", () => start('a', 3).mask!(() => true)],
    [".mask of 'a' is given 'k <= q'", () => begun.mask!('k <= q')],
    [".estimate of 'a' is given null", () => (begun.estimate!(null) as Steps).mask!(() => true)],
    ...['score', 'rest', 'visit', 'schedule', 'with', 'and', 'or'].flatMap((name) =>
      [undefined, 3].map((value): [string, () => AnyPattern] => [
        `.${name} of 'causal' is given ${value}`,
        () => (causal as unknown as Steps)[name]!(value),
      ]),
    ),
  ])('%s', async (what, make) => {
    const text = await refusedByBoth('S008', make());
    expect(text).toContain('\n  = help: ');
    expect(text.split('\n')[0]).toBe(`error[S008]: ${what}`);
  });

  const [found] = columns.definition.estimates;
  it.each<[string, () => AnyPattern]>([
    ...['score', 'rest', 'visit', 'schedule', 'with', 'and', 'or'].map(
      (name): [string, () => AnyPattern] => [
        `.${name} of 'a' comes before its mask`,
        () => (begun[name]!(() => true) as Steps).mask!(() => true),
      ],
    ),
    [
      ".estimate of 'causal' comes after its mask",
      () => (causal as unknown as Steps).estimate!(() => ({})),
    ],
    ["'causal' has two .mask steps", () => (causal as unknown as Steps).mask!(() => true)],
    [
      "'a' has two .estimate steps",
      () => ((begun.estimate!(found) as Steps).estimate!(found) as Steps).mask!(() => true),
    ],
  ])('%s', async (what, make) => {
    const text = await refusedByBoth('S008', make());
    expect(text).toContain('\n  = help: ');
    expect(text.split('\n')[0]).toBe(`error[S008]: ${what}`);
  });

  it.each([null, 5, {}, [5], [{ from: 0 }], [{ from: '0', to: 9 }]])(
    'spans of .visit that are %j',
    async (spans) => {
      await refused('S008', () => attend(causal.visit(() => spans as never)));
    },
  );

  it('two sorts of stand-ins', async () => {
    const once = causal.rest(({ k, v }) => ({ keys: k.pool(2), values: v.pool(2) }));
    await refusedByBoth(
      'S008',
      once.rest(({ k, v }) => ({ keys: k.pool(3), values: v.pool(3) })),
    );
    await takenByBoth(once);
  });
});
