// The source file and the function that runs: positions, files edited after they were loaded, odd
// places to stand in.

import { afterAll, expect, test } from 'vitest';
import { parseFrame } from '../../../dsl/lift/callsite.ts';
import { diagnose, lift } from '../../../dsl/lift/index.ts';
import { spanOfSite } from '../../../dsl/lift/thrown.ts';
import { type Arrow, mask, request, text } from './builder.ts';
import { Project, prelude, root, shown } from './project.ts';

const project = new Project({});
afterAll(() => project.remove());

const edited = (written: string, run: Arrow, before = '') =>
  diagnose(project.standing(written, run, before));

test('a file edited after it was loaded is an error that names the difference', () => {
  const { findings } = edited(
    '({ q, k }) => k <= q && q - k < 9',
    ({ q, k }) => k <= q && q - k < 8,
  );
  expect(findings.map((one) => [one.code, one.what])).toEqual([
    ['L009', "the file says '9', and the function that runs says '8'"],
  ]);
});

test.each([
  ['at its name', 13],
  ['behind it, as V8 does where the name is a reserved word', 17],
])('a call that a frame places %s', (_, column) => {
  const text = 'const b = a.with({ w: 3 });\n';
  project.write('plain.mjs', text);
  const span = spanOfSite({ file: project.path('plain.mjs'), line: 1, column });
  expect(text.slice(span?.start, span?.end)).toBe('with({ w: 3 })');
});

test('an edit that does not change the meaning is none', () => {
  const { expression } = edited('({ q: i, k: j }) => !(j > i)', ({ q, k }) => k <= q);
  expect(expression?.span?.source.path).toBe(project.path('spec.ts'));
});

test.each<[string, Arrow]>([
  ['({ q, k }) => k <= q && k !== 70001', ({ q, k }) => k <= q],
  ['({ q, k }) => k <= q && (k !== 70001 || q !== 80000)', ({ q, k }) => k <= q],
  ['({ q, k }) => k <= q || k * 3 === 150000 && q === 49999', ({ q, k }) => k <= q],
  ['({ q, k }, { block }) => Math.floor(q / block) !== 900 || k < q || k > 5000', () => true],
  ['({ q, k }, { window }) => q - k < window', ({ q, k }, { window }) => q - k <= window],
  ['({ q, k }, { doc, batch }) => k < q', ({ q, k }) => q < k],
  ['({ k }, { columns }) => columns.has(k)', ({ q }, { columns }) => columns.has(q)],
  [
    '({ k, batch }, { doc }) => doc.at(batch, k) === 3',
    ({ k, batch }, { doc }) => doc.at(batch, k) === 2,
  ],
])('%s is not what runs', (written, run) => {
  expect(edited(written, run).findings[0]?.code).toMatch(/L009|L017/);
});

test('a constant edited after it was loaded disagrees with the function', () => {
  const SINKS = 4;
  const { findings } = edited('({ k }) => k < SINKS', ({ k }) => k < SINKS, 'const SINKS = 5;\n');
  expect(findings.map((one) => one.code)).toEqual(['L010']);
});

test('two patterns on one line are two patterns', () => {
  const [a, b] = [mask(({ q, k }) => k <= q), mask(({ q, k }) => k < q)];
  expect([text(a!), text(b!)]).toEqual(['le($k,$q)', 'lt($k,$q)']);
});

test('a named function, a local one and one that a function makes are found', () => {
  const here: Arrow = ({ q, k }) => k <= q;
  function there({ q, k }: { q: number; k: number }) {
    return k < q;
  }
  const make =
    (near: number): Arrow =>
    ({ q, k }) =>
      q - k < near;
  expect(text(mask(here))).toBe('le($k,$q)');
  expect(text(mask(there))).toBe('lt($k,$q)');
  expect(text(mask(make(5)))).toBe('lt(sub:int($q,$k),int:5)');
});

test('a function passed through a variable is lifted from its text', () => {
  const all: Arrow[] = [({ q, k }) => k <= q];
  for (const fn of all) expect(text(mask(fn))).toBe('le($k,$q)');
});

test('without a file the text of the function has to do', () => {
  const fn: Arrow = ({ q, k }, { window }) => q - k < window && k < Math.max(4, q);
  const { expression } = diagnose(request('mask', fn));
  expect(expression?.span?.source.path).toBe('<function>');
  const { start, end, source } = expression!.span!;
  expect(source.text.slice(start, end)).toBe('q - k < window && k < Math.max(4, q)');
});

test('methods, functions and minified functions show their text', () => {
  const { near } = {
    near({ q, k }: { q: number; k: number }) {
      return q - k < 4;
    },
  };
  expect(text(request('mask', near))).toBe('lt(sub:int($q,$k),int:4)');
  // biome-ignore lint/complexity/useArrowFunction: the form is what is tested
  const fn: Arrow = function ({ k }) {
    return k < 4;
  };
  expect(text(request('mask', fn))).toBe('lt($k,int:4)');
  const small = new Function(
    'return ({q:t,k:n},{window:a})=>{let e=t-n;return e<0?!1:e<a||n<4?!0:0===n}',
  )() as Arrow;
  expect(text(request('mask', small))).toContain('lt');
});

test('frames of every form are read', () => {
  const site = { file: '/a (b)/c d.ts', line: 3, column: 14 };
  for (const frame of [
    '    at mask (/a (b)/c d.ts:3:14)',
    '    at /a (b)/c d.ts:3:14',
    '    at async Promise.all (/a (b)/c d.ts:3:14)',
    '    at async file:///a%20(b)/c%20d.ts:3:14',
    '    at new A (file:///a%20(b)/c%20d.ts:3:14)',
    '    at Object.<anonymous> (/a (b)/c d.ts:3:14)',
    '    at f [as mask] (/a (b)/c d.ts:3:14)',
  ]) {
    expect(parseFrame(frame), frame).toEqual(site);
  }
  for (const frame of [
    '    at REPL1:1:5',
    '    at node:internal/main:1:5',
    '    at f (native)',
    '    at <anonymous>',
    '    at eval (eval at f (/a.ts:1:1), <anonymous>:1:1)',
  ]) {
    expect(parseFrame(frame), frame).toBeUndefined();
  }
});

test('capturing a call site costs microseconds and restores the limit', () => {
  const limit = Error.stackTraceLimit;
  const sites = Array.from({ length: 2000 }, () => mask(() => true).site);
  const start = performance.now();
  for (let i = 0; i < 2000; i++) mask(() => true);
  expect(((performance.now() - start) * 1000) / 2000).toBeLessThan(200);
  expect(Error.stackTraceLimit).toBe(limit);
  expect(sites[0]?.file).toMatch(/source\.test\.ts$/);
});

declare const missing: number;

test('lift throws everything that is wrong at once', () => {
  // biome-ignore lint/suspicious/noDoubleEquals: what is tested
  const it = mask(({ q, k }) => q == k && missing < k && Math.random() < 0.5);
  expect(() => lift(it)).toThrow(/L002.*L003.*L006/s);
});

test('a compiled package without source maps lifts from its JavaScript', () => {
  // As tsc writes it: `var` and a function for the enum, no `as const`, no types.
  project.write(
    'deps/node_modules/pkg/sizes.js',
    `export var Kind;
(function (Kind) {
    Kind[Kind["A"] = 3] = "A";
    Kind[Kind["B"] = 4] = "B";
})(Kind || (Kind = {}));
export const SIZES = { sinks: 4, deep: { far: 9 } };
export var near = (d) => d < SIZES.deep.far;
`,
  );
  project.write('deps/node_modules/pkg/package.json', '{ "type": "module" }');
  project.write(
    'deps/node_modules/pkg/index.js',
    `${prelude}
import { Kind, near, SIZES } from './sizes.js';
show({ it: mask(({ q, k }) => k < SIZES.sinks || near(q - k) || k === Kind.B) });`,
  );
  const { it } = shown(project.tool('tsx', project.path('deps/node_modules/pkg/index.js')));
  expect(it).toEqual({
    form: 'or(lt($k,int:4),lt(sub:int($q,$k),int:9),eq($k,int:4))',
    from: 'index.js',
    codes: [],
    whats: [],
  });
});

test('counters of istanbul coverage are looked through', () => {
  const counted = new Function(
    'cov_1a',
    'return ({ q, k }) => { cov_1a().f[0]++; cov_1a().s[0]++; return (cov_1a().b[0][0]++, k <= q) && (cov_1a().b[0][1]++, q - k < 4); }',
  )(() => ({ f: [0], s: [0], b: [[0, 0]] })) as Arrow;
  const { expression, findings } = edited('({ q, k }) => k <= q && q - k < 4', counted);
  expect(findings).toEqual([]);
  expect(expression?.span?.source.path).toMatch(/spec\.ts$/);
});

test('a file that cannot be read or has no call there leaves the text of the function', () => {
  for (const line of [1, 99]) {
    project.write('other.ts', '// nothing\nconst x = 1;\n');
    const site = { file: project.path(line === 1 ? 'other.ts' : 'gone.ts'), line, column: 1 };
    const { expression } = diagnose(request('mask', ({ q, k }) => k <= q, site));
    expect(expression?.span?.source.path).toBe('<function>');
  }
});

test('stored forms are found by their key, survive JSON, and need no parser', () => {
  project.write(
    'stored.ts',
    `${prelude}
import { createRequire } from 'node:module';
import { lift, liftKey, registerLifted, storable } from '${root}dsl/lift/index.ts';
const it = mask(({ q, k }, { slope }) => k <= q && slope < Infinity);
const other = { ...it, declarations: { ...it.declarations, sets: {} } };
const left = { op: 'const', kind: 'float', value: -Infinity };
const form = { op: 'compare', kind: 'bool', name: 'lt', args: [left, { ...left, value: -0 }] };
registerLifted(JSON.parse(JSON.stringify({ [liftKey(it)]: storable(form) })));
const found = canonical(lift(it));
const loaded = Object.keys(createRequire(import.meta.url).cache).some((path) => path.includes('ts-morph'));
console.log(JSON.stringify({ found, loaded, same: liftKey(it) === liftKey(other) }));`,
  );
  expect(JSON.parse(project.tool('tsx', 'stored.ts'))).toEqual({
    found: 'lt(float:-Infinity,float:-0)',
    loaded: false,
    same: false,
  });
});

test('where the stack cannot be limited there is no call site', () => {
  const output = project.node(
    '--input-type=module',
    '--import=tsx',
    '-e',
    `Object.defineProperty(Error, 'stackTraceLimit', { value: 10, writable: false });
     const { captureSite } = await import('${root}dsl/lift/index.ts');
     const own = () => captureSite(own);
     console.log(own());`,
  );
  expect(output.trim()).toBe('undefined');
});
