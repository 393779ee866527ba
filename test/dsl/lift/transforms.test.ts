// One file of masks, run by the tools that people use: every one gives the same expressions.

import { afterAll, describe, expect, test } from 'vitest';
import { Project, prelude, type Shown, shown } from './project.ts';

const sizes = `
export const SINKS = 4;
const BASE = 16;
export const NEAR = BASE * 2 + 1;
export const limits = { far: 4096, nested: { deep: 7 } } as const;
export enum Kind { Text, Image = 4, Sound }
export function isNear(distance: number, reach: number): boolean {
  if (distance < 0) return false;
  return distance < reach;
}
export const inBlock = (pair: { q: number; k: number }, size: number) =>
  Math.floor(pair.q / size) === Math.floor(pair.k / size);
export default 9;
`;

const masks = `
${prelude}
import nine, { SINKS as sinkTokens, NEAR, limits, Kind, isNear, inBlock } from './sizes.ts';
import * as all from './again.ts';
const local = 11, HALF = 1 / 2;
export const near = ({ q, k }: any, { window }: any) => q - k < window /* near */;
show({
  aShape: mask(({ q, k }, { window, sinks }) => k <= q && (k < sinks || q - k < window)),
  imported: mask(({ q, k }) => k < sinkTokens || (q - k < NEAR && k >= limits.nested.deep) || k === local),
  enums: mask(({ k, batch, q }, { doc }) => doc.at(batch, k) === Kind.Sound || doc.at(batch, q) !== Kind.Text),
  helper: mask(({ q, k }, { window }) => k < sinkTokens || isNear(q - k, window)),
  pairHelper: mask((pair, { block }) => inBlock(pair, block)),
  namespaces: mask(({ q, k }) => k <= all.NEAR + all.limit && q > all.nine),
  nine: mask(({ k }) => k < nine),
  named: mask(near),
  branches: mask(({ q, k, row, head }, { window, columns }) => {
    const distance = (q as number) - k;
    if (distance < 0) return false;
    if (head % 2 === 0) {
      if (columns.has(k)) return true;
    } else if (row > 5) return distance < window;
    return k === 0 || !(k > 3);
  }),
  half: score(({ s, q, k }, { slope }) => s * HALF - slope * (q - k) + Math.fround(0.1)),
  two: mask(({ q, k }) => k <= q), one: mask(({ q, k }) => k < q),
});
`;

const again = `
export * from './sizes.ts';
export { SINKS as limit, default as nine } from './sizes.ts';
`;

const project = new Project({ 'sizes.ts': sizes, 'masks.ts': masks, 'again.ts': again });
afterAll(() => project.remove());

const bundle = [
  'esbuild',
  'masks.ts',
  '--bundle',
  '--platform=node',
  '--external:ts-morph',
  '--log-level=error',
] as const;
const byTsx = shown(project.tool('tsx', 'masks.ts'));

test('under tsx every mask lifts, with spans in the TypeScript file', () => {
  expect(Object.values(byTsx).flatMap((one) => one.whats)).toEqual([]);
  for (const [name, one] of Object.entries(byTsx)) {
    const places = name.endsWith('elper') ? /^(masks|sizes)\.ts$/ : /^masks\.ts$/;
    expect(one.from, name).toMatch(places);
  }
  expect(forms(byTsx)).toMatchInlineSnapshot(`
    {
      "aShape": "and(le($k,$q),or(lt($k,?int:sinks),lt(sub:int($q,$k),?int:window)))",
      "branches": "select(lt(sub:int($q,$k),int:0),bool:false,select(eq(rem:int($head,int:2),int:0),select(columns.has($k),bool:true,or(eq($k,int:0),not(lt(int:3,$k)))),select(lt(int:5,$row),lt(sub:int($q,$k),?int:window),or(eq($k,int:0),not(lt(int:3,$k))))))",
      "enums": "or(eq(doc.at:int($batch,$k),int:5),ne(doc.at:int($batch,$q),int:0))",
      "half": "add:float(sub:float(mul:float($s,div:float(float(int:1),float(int:2))),mul:float(?float:slope,float(sub:int($q,$k)))),float:0.10000000149011612)",
      "helper": "or(lt($k,int:4),select(lt(sub:int($q,$k),int:0),bool:false,lt(sub:int($q,$k),?int:window)))",
      "imported": "or(lt($k,int:4),and(lt(sub:int($q,$k),add:int(mul:int(int:16,int:2),int:1)),le(int:7,$k)),eq($k,int:11))",
      "named": "lt(sub:int($q,$k),?int:window)",
      "namespaces": "and(le($k,add:int(add:int(mul:int(int:16,int:2),int:1),int:4)),lt(int:9,$q))",
      "nine": "lt($k,int:9)",
      "one": "lt($k,$q)",
      "pairHelper": "eq(floordiv:int($q,?int:block),floordiv:int($k,?int:block))",
      "two": "le($k,$q)",
    }
  `);
});

const forms = (all: Record<string, Shown>): Record<string, string | undefined> =>
  Object.fromEntries(Object.entries(all).map(([name, one]) => [name, one.form]));

describe('the same expressions come from', () => {
  const cases: Record<string, { flags: readonly string[]; node?: readonly string[] }> = {
    'an esbuild bundle': { flags: ['--format=esm', '--outfile=out/plain.mjs'] },
    'an esbuild bundle in CommonJS': { flags: ['--format=cjs', '--outfile=out/plain.cjs'] },
    'a bundle with source maps': {
      flags: ['--format=esm', '--sourcemap', '--outfile=out/mapped.mjs'],
      node: ['--enable-source-maps'],
    },
    'a minified bundle': { flags: ['--format=esm', '--minify', '--outfile=out/small.mjs'] },
    'a minified bundle with source maps': {
      flags: ['--format=esm', '--minify', '--sourcemap', '--outfile=out/smallmapped.mjs'],
      node: ['--enable-source-maps'],
    },
  };
  for (const [name, { flags, node = [] }] of Object.entries(cases)) {
    test(name, () => {
      const [tool, ...args] = bundle;
      project.tool(tool, ...args, ...flags);
      const file = flags.at(-1)!.replace('--outfile=', '');
      const all = shown(project.node(...node, file));
      expect(Object.values(all).flatMap((one) => one.whats)).toEqual([]);
      if (name.includes('with source maps')) {
        expect(all.aShape?.from).toBe('masks.ts');
        expect(forms(all)).toEqual(forms(byTsx));
      }
      if (!name.includes('minified')) expect(forms(all)).toEqual(forms(byTsx));
    });
  }
});
