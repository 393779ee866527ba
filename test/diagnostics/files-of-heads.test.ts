// The codes of files that say what heads are and have chosen: for each a bad file and the mended one.

import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fromMInference } from '../../patterns/index.ts';
import { loadChosen } from '../../runtime/files/chosen.ts';
import { writeSafetensors } from '../../runtime/files/safetensors.ts';
import { tensor } from '../../runtime/tensor.ts';
import { badFiles } from './bad-files.ts';

const { folder, thrown } = badFiles();

describe('F006: a damaged file of patterns per head', () => {
  const good = ['vertical_and_slash', 1000, 6096, 0.9];
  const read = async (...layers: unknown[]) => fromMInference(layers, { file: "'heads.json'" });

  it('names the layer, the head and the field', async () => {
    const bad = ['vertical_and_slash', 1000, -6096, 0.9];
    expect(await thrown(read({ 0: good }, { 0: good, 1: bad }))).toMatchInlineSnapshot(`
      "error[F006]: 'heads.json': layer 1, head 1, field 's' is -6096, expected a whole number from 0
        = help: MInference writes a list of layers, each {"0": [type, v, s, score], "1": ...}"
    `);
    expect(await thrown(read({ 0: good }, { 0: good, 1: good }))).toContain(
      'layer 0, head 1 is missing',
    );
    expect(await thrown(read({ 0: good.slice(1) }))).toMatchInlineSnapshot(`
      "error[F006]: 'heads.json': layer 0, head 0 is [1000,6096,0.9], expected [type, v, s, score]
        = help: MInference writes a list of layers, each {"0": [type, v, s, score], "1": ...}"
    `);
    expect(await thrown(read({ zero: good }))).toContain(
      'layer 0, head "zero" is no number of a head',
    );
    expect(await thrown(read({ 0: 'dense' }, []))).toMatchInlineSnapshot(`
      "error[F006]: 'heads.json': layer 0, head 0 is "dense", expected [type, v, s, score]; 1 more place is wrong
        = help: MInference writes a list of layers, each {"0": [type, v, s, score], "1": ...}"
    `);
    expect(await thrown(read())).toContain('F006');
    expect(await thrown(read({}))).toContain('layer 0 has no heads');
    expect(await read({ 0: good, 1: good })).toHaveLength(1);
  });

  it('is about more layers or heads than the model has', async () => {
    const layer = { 0: good, 1: good };
    const sized = async (layers: number, heads: number) =>
      fromMInference([layer, layer], { layers, heads });
    expect(await thrown(sized(1, 2))).toContain('layer 1 is too many: the model has 1 layer');
    expect(await thrown(sized(2, 1))).toContain('layer 0, head 1 is too many');
    expect(await sized(3, 4)).toHaveLength(3);
  });
});

describe('F007: a file that holds no chosen sets, or damaged ones', () => {
  const axes = [{ axis: 'k', size: 1 }];
  const facts = {
    name: 'columns',
    axes,
    perGroup: false,
    units: 2,
    rowFrom: 0,
    rows: 1,
    columns: 40,
  };
  const all = { version: 1, byHead: false, parts: [[facts]] };
  const bits = tensor([[[1, 128]], [[0, 1]]], { dtype: 'i32' });
  const dense = tensor([0, 1], { dtype: 'i32' });
  const good = { 'columns.bits': bits, 'columns.dense': dense };
  const load = async (tensors: object, said: unknown = all) => {
    const path = join(folder, 'sets.safetensors');
    const text = typeof said === 'string' ? said : JSON.stringify(said);
    await writeSafetensors(path, tensors as typeof good, { 'warploom.chosen': text });
    return loadChosen(path);
  };

  it('is another safetensors file', async () => {
    const path = join(folder, 'other.safetensors');
    await writeSafetensors(path, good);
    expect(await thrown(loadChosen(path))).toMatchInlineSnapshot(`
      "error[F007]: 'other.safetensors': it has no metadata 'warploom.chosen'
        = help: saveChosen and \`warploom run --chosen-out\` write such files: write it anew"
    `);
    expect(Object.keys(await load(good))).toEqual(['columns']);
  });

  it('does not say what the words are', async () => {
    expect(await thrown(load(good, 'no JSON'))).toContain('are not JSON');
    expect(await thrown(load(good, { ...all, version: 2 }))).toContain(
      "'warploom.chosen', version",
    );
    const part = [{ ...facts, rows: -1 }];
    expect(await thrown(load(good, { ...all, parts: [part] }))).toMatchInlineSnapshot(`
      "error[F007]: 'sets.safetensors': its metadata 'warploom.chosen', parts.0.0.rows: Too small: expected number to be >=0
        = help: saveChosen and \`warploom run --chosen-out\` write such files: write it anew"
    `);
    expect(await thrown(load({}, { ...all, parts: [] }))).toContain('it has 0 patterns');
    const two = [{ ...facts, rows: 2 }];
    expect(await thrown(load(good, { ...all, parts: [two] }))).toContain('has rows, and one axis');
  });

  it('holds other words than it says', async () => {
    expect(await thrown(load({ 'columns.bits': bits }))).toContain("'columns.dense' is missing");
    expect(await thrown(load({ ...good, more: dense }))).toContain("'more' belongs to no set");
    expect(await thrown(load({ ...good, 'columns.bits': dense }))).toMatchInlineSnapshot(`
      "error[F007]: 'sets.safetensors': 'columns.bits' is I32 [2], expected I32 [2, 1, 2]
        = help: saveChosen and \`warploom run --chosen-out\` write such files: write it anew"
    `);
    const many = tensor([[[1, 256]], [[0, 1]]], { dtype: 'i32' });
    expect(await thrown(load({ ...good, 'columns.bits': many }))).toContain(
      'has members from 40 on',
    );
    const odd = tensor([0, 2], { dtype: 'i32' });
    expect(await thrown(load({ ...good, 'columns.dense': odd }))).toContain(
      'other numbers than 0 and 1',
    );
  });
});
