// Law 14 for calls: every code of group T has a bad call that gives it, and the mended one that does not.

import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { inspect } from '../../dsl/definition.ts';
import { count, f32, fixed, i32, pattern } from '../../dsl/index.ts';
import { compile } from '../../runtime/attend.ts';
import { writeNpy } from '../../runtime/files/npy.ts';
import { writeSafetensors } from '../../runtime/files/safetensors.ts';
import { reference } from '../../runtime/reference/attention.ts';
import { Tensor, tensor } from '../../runtime/tensor.ts';
import { attend, device, oracle, refused, refusedByBoth, takenByBoth, tensors } from './cases.ts';

const { zeros } = tensor;
const window = pattern('window', { window: count.default(4) }).mask(
  ({ q, k }, { window }) => k <= q && q - k < window,
);
const documents = pattern('documents', { doc: i32('batch', 'k') }).mask(
  ({ q, k, batch }, { doc }) => k <= q && doc.at(batch, q) === doc.at(batch, k),
);
const doc = zeros([1, 7], { dtype: 'i32' });

describe('T001: a tensor of the wrong rank', () => {
  it('q has three axes', async () => {
    expect(await refusedByBoth('T001', window, { q: zeros([4, 5, 8]) })).toMatchInlineSnapshot(`
      "error[T001]: 'q' has the shape [4, 5, 8]
        = help: give it four axes: [batch, head, sequence, dim]"
    `);
    await takenByBoth(window, { q: zeros([1, 4, 5, 8]) });
  });

  it('a captured tensor has one axis too few', async () => {
    const bad = { doc: zeros([7], { dtype: 'i32' }) };
    expect(await refusedByBoth('T001', documents, bad)).toMatchInlineSnapshot(`
      "error[T001]: 'doc' has the shape [7], expected 2 axes
        = help: it is declared as [batch, k]"
    `);
    await takenByBoth(documents, { doc });
  });
});

describe('T002: sizes that do not agree', () => {
  it('v is shorter than k', async () => {
    expect(await refusedByBoth('T002', window, { v: zeros([1, 2, 6, 8]) })).toMatchInlineSnapshot(`
      "error[T002]: 'v' has length 6, expected 7
        = help: q is [1, 4, 5, 8], k [1, 2, 7, 8], v [1, 2, 6, 8]"
    `);
    await takenByBoth(window, { v: zeros([1, 2, 7, 8]) });
  });

  it('the head dimension is not what was compiled', async () => {
    const inputs = { q: zeros([1, 4, 5, 16]), k: zeros([1, 2, 7, 16]) };
    expect(await refused('T002', () => attend(window, inputs))).toMatchInlineSnapshot(`
      "error[T002]: headDim is 16, and was compiled as 8
        = help: compile the pattern for the tensors at hand"
    `);
    await attend(window, inputs, {}, { headDim: 16, valueDim: 8 });
  });

  it('a captured tensor has another length', async () => {
    const bad = { doc: zeros([1, 5], { dtype: 'i32' }) };
    expect(await refusedByBoth('T002', documents, bad)).toMatchInlineSnapshot(`
      "error[T002]: 'doc' has 5 along 'k', expected 7 as the call has
        = help: it is declared as [batch, k]"
    `);
  });

  it('the oracle is asked for a row that is not there', async () => {
    const call = (row: number) => () => reference(window, tensors(), {}, { rows: [row] });
    expect(await refused('T002', call(5))).toMatchInlineSnapshot(`
      "error[T002]: no query row 5
        = help: rows are whole numbers from 0 to 4"
    `);
    call(4)();
  });
});

describe('T003: a tensor of the wrong dtype', () => {
  it('k has another dtype than q', async () => {
    const { k } = tensors();
    expect(await refusedByBoth('T003', window, { k: k.to('bf16') })).toMatchInlineSnapshot(`
      "error[T003]: q is fp32, k is bf16 and v is fp32
        = help: convert them to one dtype: k.to('bf16')"
    `);
    await takenByBoth(window, { k: k.to('bf16').to('fp32') });
  });

  it('q holds integers, and nothing else is said', async () => {
    const { q } = tensors();
    const integers = tensor(new Int32Array(q.shape.reduce((a, b) => a * b, 1)), { shape: q.shape });
    expect(await refusedByBoth('T003', window, { q: integers })).toMatchInlineSnapshot(`
      "error[T003]: 'q' has dtype i32
        = help: attention takes fp32, fp16 or bf16"
    `);
  });

  it('a captured tensor holds floats where integers are declared', async () => {
    const bad = { doc: zeros([1, 7]) };
    expect(await refusedByBoth('T003', documents, bad)).toMatchInlineSnapshot(`
      "error[T003]: 'doc' has dtype fp32, expected i32
        = help: 'documents' declares it as i32(...)"
    `);
  });

  it('the function was compiled for another dtype', async () => {
    const call = (dtype: 'fp32' | 'fp16') => () => attend(window, {}, {}, { dtype });
    expect(await refused('T003', call('fp16'))).toMatchInlineSnapshot(`
      "error[T003]: dtype is fp32, and was compiled as fp16
        = help: compile the pattern for the tensors at hand"
    `);
    await call('fp32')();
  });
});

describe('T004: a captured tensor is missing', () => {
  it('it is not passed', async () => {
    expect(await refusedByBoth('T004', documents)).toMatchInlineSnapshot(`
      "error[T004]: 'doc' is missing
        = help: pass doc: tensor(data, { shape, dtype })"
    `);
    await takenByBoth(documents, { doc });
  });

  it('v is an array', async () => {
    expect(await refusedByBoth('T004', window, { v: [1, 2] })).toMatchInlineSnapshot(`
      "error[T004]: 'v' is no tensor but of type Array
        = help: pass v: tensor(data, { shape, dtype })"
    `);
  });
});

describe('T005: a name that the pattern does not declare', () => {
  it('the parameter is misspelt', async () => {
    expect(await refusedByBoth('T005', window, {}, { windw: 4 })).toMatchInlineSnapshot(`
      "error[T005]: 'window' has no parameter 'windw'
        = help: it has window"
    `);
    await takenByBoth(window, {}, { window: 4 });
  });

  it('a parameter stands among the tensors, a tensor among the parameters', async () => {
    expect(await refusedByBoth('T005', window, { window: 4 })).toMatchInlineSnapshot(`
      "error[T005]: 'window' takes no tensor 'window'
        = help: parameters go into the second argument"
    `);
    expect(await refusedByBoth('T005', documents, { doc }, { doc })).toMatchInlineSnapshot(`
      "error[T005]: 'doc' is a tensor, not a parameter
        = help: pass it beside q, k and v"
    `);
  });

  it('.with rebinds a default that is not there', async () => {
    const bad = window.with({ windw: 2 } as never);
    expect(await refusedByBoth('T005', bad)).toMatchInlineSnapshot(
      `
      "error[T005]: 'window' has no parameter 'windw'
        --> tensors.test.ts:L:C
        |
      N |     const bad = window.with({ windw: 2 } as never);
        |                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^
        = help: it has window"
    `,
    );
    await takenByBoth(window.with({ window: 2 }));
  });
});

describe('T006: a parameter outside its schema', () => {
  it.each([
    ['negative', -1],
    ['NaN', Number.NaN],
    ['a fraction', 1.5],
    ['a text', '4'],
    ['infinite', Infinity],
  ])('it is %s', async (_, value) => {
    await refusedByBoth('T006', window, {}, { window: value });
  });

  it.each([-1, Number.NaN, 1.5, '4'])('.with is given %j', async (value) => {
    const bad = window.with({ window: value as number });
    expect(await refusedByBoth('T006', bad)).toMatch(/-->/);
    // Whoever gives a number is told of the default as well.
    await refusedByBoth('T006', bad, {}, { window: 4 });
    await takenByBoth(window.with({ window: undefined as never }));
  });

  it('a default that its own schema refuses', async () => {
    const bad = pattern('bad', { window: count.default(-1) }).mask(
      ({ q, k }, { window }) => q - k < window,
    );
    expect(inspect(bad.definition).findings.map(({ code }) => code)).toEqual(['T006']);
    await refusedByBoth('T006', bad);
  });

  it('says what the schema says', async () => {
    expect(await refusedByBoth('T006', window, {}, { window: -1 })).toMatchInlineSnapshot(`
      "error[T006]: parameter 'window' is -1: Too small: expected number to be >=0
        = help: give 'window' an integer from 0"
    `);
    await takenByBoth(window, {}, { window: 0 });
  });

  it('one head of four is wrong', async () => {
    const bad = { window: [1, 2, Number.NaN, 4] };
    expect(await refusedByBoth('T006', window, {}, bad)).toMatchInlineSnapshot(`
      "error[T006]: parameter 'window' is NaN: Invalid input: expected number, received NaN
        = help: give 'window' an integer from 0"
    `);
    await takenByBoth(window, {}, { window: [1, 2, 3, 4] });
  });

  it('it has no default and is not given', async () => {
    const open = pattern('open', { window: count }).mask(({ q, k }, { window }) => q - k < window);
    expect(await refusedByBoth('T006', open)).toMatchInlineSnapshot(`
      "error[T006]: parameter 'window' is missing: Invalid input: expected number, received undefined
        = help: give 'window' an integer from 0"
    `);
    await takenByBoth(open, {}, { window: 3 });
  });

  it('a schema that refuses some numbers between its bounds asks for another', async () => {
    const even = pattern('even', { window: z.number().min(0).lt(9).multipleOf(2) }).mask(
      ({ q, k }, { window }) => q - k < window,
    );
    expect(await refusedByBoth('T006', even, {}, { window: 3 })).toMatchInlineSnapshot(`
      "error[T006]: parameter 'window' is 3: Invalid number: must be a multiple of 2
        = help: give 'window' another integer from 0 to 8"
    `);
    expect(await refusedByBoth('T006', even, {}, { window: -2 })).toMatch(/an integer from 0 to 8/);
    await takenByBoth(even, {}, { window: 4 });
  });

  it('.with binds a default that the schema refuses', async () => {
    expect(await refusedByBoth('T006', window.with({ window: -2 }))).toMatchInlineSnapshot(`
      "error[T006]: parameter 'window' is -2: Too small: expected number to be >=0
        --> tensors.test.ts:L:C
        |
      N |     expect(await refusedByBoth('T006', window.with({ window: -2 }))).toMatchInlineSnapshot(\`
        |                                               ^^^^^^^^^^^^^^^^^^^^
        = help: give 'window' an integer from 0"
    `);
  });
});

describe('T007: head counts that do not fit', () => {
  it('the query heads do not divide among the KV heads', async () => {
    expect(await refusedByBoth('T007', window, { q: zeros([1, 3, 5, 8]) })).toMatchInlineSnapshot(`
      "error[T007]: 3 query heads do not divide among 2 KV heads
        = help: the query heads are a multiple of the KV heads, both from 1"
    `);
    await takenByBoth(window);
  });

  it('the function was compiled for other heads', async () => {
    const call = (heads: number) => () => attend(window, {}, {}, { heads });
    expect(await refused('T007', call(8))).toMatchInlineSnapshot(`
      "error[T007]: heads is 4, and was compiled as 8
        = help: compile the pattern for the tensors at hand"
    `);
    await call(4)();
  });
});

describe('T008: one number per head is needed', () => {
  it('three numbers for four heads', async () => {
    expect(await refusedByBoth('T008', window, {}, { window: [1, 2, 3] })).toMatchInlineSnapshot(`
      "error[T008]: 'window' has 3 numbers for 4 heads
        = help: give one number, or one per query head"
    `);
    await takenByBoth(window, {}, { window: [1, 2, 3, 4] });
  });

  it('a list for a constant', async () => {
    const blocked = pattern('blocked', { block: fixed(2) }).mask(
      ({ q, k }, { block }) => Math.floor(q / block) === Math.floor(k / block),
    );
    const bad = { block: [2, 2, 2, 2] };
    expect(await refusedByBoth('T008', blocked, {}, bad)).toMatchInlineSnapshot(
      `"error[T008]: 'block' is fixed: one number for all heads, not a list"`,
    );
    await takenByBoth(blocked, {}, { block: 3 });
  });
});

describe('T009: an integer that leaves int32', () => {
  const at2p24 = (mask: typeof far) => async () => {
    const [q, kv] = [
      zeros([1, 1, 1, 1], { dtype: 'fp16' }),
      zeros([1, 1, 2 ** 24, 1], { dtype: 'fp16' }),
    ];
    const call = await compile(mask, { heads: 1, headDim: 1, dtype: 'fp16', device });
    return call({ q, k: kv, v: kv });
  };
  const far = pattern('far').mask(({ q, k }) => q - k < 64 && q * k > 0);
  const mended = pattern('mended').mask(
    ({ q, k }) => q - k < 64 && Math.floor(q / 4096) * Math.floor(k / 4096) > 0,
  );

  it('a product of positions of 2^24 keys', async () => {
    expect(await refused('T009', at2p24(far))).toMatchInlineSnapshot(`
      "error[T009]: 'q * k' in 'far' reaches 281474943156225 with qLen 1 and kLen 16777216
        --> tensors.test.ts:L:C
        |
      N | const far = pattern('far').mask(({ q, k }) => q - k < 64 && q * k > 0);
        |                                                             ^^^^^
        = help: integers on a device have 32 bits: divide before you multiply, or compare the factors"
    `);
    await at2p24(mended)();
  });

  it('the same mask is fine where the sequence is short', () => takenByBoth(far));

  it('a parameter that no device can hold', async () => {
    expect(await refusedByBoth('T009', window, {}, { window: 2 ** 31 })).toMatchInlineSnapshot(`
      "error[T009]: parameter 'window' is 2147483648
        = help: integers are at most 2^31 - 1 in size"
    `);
    await takenByBoth(window, {}, { window: 2 ** 31 - 1 });
  });
});

describe('T010: a number that is not finite', () => {
  /** The tensors with NaN in one row of one of them. */
  const spoiled = (name: 'q' | 'k' | 'v', row: number) => {
    const inputs = tensors();
    inputs[name].data[row * 8] = Number.NaN;
    return inputs;
  };
  const seen = pattern('seen').mask(({ k }) => k !== 3);

  it.each(['q', 'k', 'v'] as const)('NaN in %s where the mask allows', async (name) => {
    await refused('T010', () => attend(seen, spoiled(name, 2)));
  });

  it('says which row', async () => {
    expect(await refused('T010', () => attend(seen, spoiled('q', 2)))).toMatchInlineSnapshot(`
      "error[T010]: the output of batch 0, head 0, row 2 is not a number
        = help: its query, or a key or value of a tile that it visits, is NaN or infinite, or the score is"
    `);
    await takenByBoth(seen);
  });

  it('a row whose every score is NaN is not taken for an empty one', async () => {
    const causal = pattern('causal').mask(({ q, k }) => k <= q);
    // After them come keys that the mask leaves out.
    expect(await refused('T010', () => attend(causal, spoiled('q', 2)))).toContain('row 2 is not');
    expect(await refused('T010', () => attend(causal, spoiled('k', 0)))).toContain('row 0 is not');
  });

  it('NaN in a key that no query may see changes nothing', async () => {
    const clean = await (await attend(seen)).out.read();
    const { out } = await attend(seen, { k: spoiled('k', 3).k });
    expect(await out.read()).toEqual(clean);
  });

  it('NaN in values of tiles that no query visits changes nothing', async () => {
    const early = pattern('early')
      .mask(({ k }) => k < 3)
      .schedule({ kTile: 3 });
    const clean = await (await attend(early)).out.read();
    const { out } = await attend(early, { v: spoiled('v', 5).v });
    expect(await out.read()).toEqual(clean);
  });

  it('a score function that gives NaN', async () => {
    const bad = pattern('root')
      .mask(() => true)
      .score(({ s }) => Math.sqrt(s - 1000));
    expect(await refused('T010', () => oracle(bad))).toMatchInlineSnapshot(`
      "error[T010]: the score of 'root' is NaN at (q 2, k 0, row 0, head 0, batch 0, s -0.5515367560357091)
        = help: return a finite number, or -Infinity to leave it out"
    `);
    await refused('T010', () => attend(bad));
    await takenByBoth(
      pattern('root')
        .mask(() => true)
        .score(({ s }) => Math.sqrt(s * s + 1)),
    );
  });

  it('an integer tensor of NaN', async () => {
    const make = (value: number) => () => tensor([value], { dtype: 'i32' });
    expect(await refused('T010', make(Number.NaN))).toMatchInlineSnapshot(`
      "error[T010]: element 0 is NaN
        = help: an i32 is a whole number in [-2^31, 2^31); use a float dtype for others"
    `);
    make(3)();
  });
});

describe('T012: data that do not fit the shape', () => {
  it.each([undefined, null, 5, {}, { shape: [1] }])('what is written is %j', async (value) => {
    const given = value as never;
    const code = value && typeof value === 'object' && 'shape' in value ? 'T003' : 'T012';
    await refused(code, () => writeNpy('nowhere.npy', given));
    await refused(code, () => writeSafetensors('nowhere.safetensors', { q: given }));
    await refused('T003', () => new Tensor({ data: given, shape: [1], dtype: 'fp32' }));
  });

  it.each([null, 3, 'fp16'])('options that are %j', async (options) => {
    await refused('T012', () => tensor([1], options as never));
    await refused('T012', () => tensor.zeros([1], options as never));
    await refused('T012', () => tensor.random([1], options as never));
  });

  it('five numbers for six places', async () => {
    const make = (data: number[]) => () => tensor(data, { shape: [2, 3] });
    expect(await refused('T012', make([1, 2, 3, 4, 5]))).toMatchInlineSnapshot(`
      "error[T012]: 5 elements
        = help: the shape [2, 3] takes 6"
    `);
    make([1, 2, 3, 4, 5, 6])();
  });
});

describe('T013: a declaration that is not a schema or a tensor', () => {
  it.each([
    ['a schema of text', z.string()],
    ['a bare number', 64],
    ['a nullable number', z.number().nullable()],
    ['nothing', undefined],
  ])('%s', async (_, schema) => {
    const bad = pattern('bad', { window: schema } as never).mask(() => true);
    await refused('T013', () => attend(bad));
  });

  it('says what to write', async () => {
    const make = (schema: unknown) =>
      pattern('declared', { window: schema } as never).mask(() => true);
    expect(await refused('T013', () => attend(make(64)))).toMatchInlineSnapshot(`
      "error[T013]: 'window' of 'declared' is neither a schema of one number nor a tensor
        = help: write z.int(), z.number(), fixed(64), i32('batch', 'k') or f32('head')"
    `);
    await takenByBoth(make(fixed(64)));
    await takenByBoth(make(f32('head')), { window: zeros([4]) });
  });
});
