// Random masks, minified: the form of the source and that of the minified text are one function, and
// every edit of a number in the source is noticed.

import { transformSync } from 'esbuild';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { render } from '../../../dsl/diagnostic.ts';
import type { Expression } from '../../../dsl/expression.ts';
import { diagnose } from '../../../dsl/lift/index.ts';
import { compareWording } from '../../../dsl/lift/normal.ts';
import type { Arrow } from './builder.ts';
import { Project } from './project.ts';

const project = new Project({});
afterAll(() => project.remove());

const { number, boolean } = fc.letrec<{ number: string; boolean: string }>((tie) => {
  const binary = (operators: string[], part: fc.Arbitrary<string>) =>
    fc.tuple(part, fc.constantFrom(...operators), part).map(([a, o, b]) => `(${a} ${o} ${b})`);
  return {
    number: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constantFrom('q', 'k', 'row', 'head', 'window', 'sinks', 'block', 'SINKS'),
      fc.integer({ min: 0, max: 300 }).map(String),
      binary(['+', '-', '*'], tie('number')),
      binary(['&', '|', '^', '>>'], tie('number')),
      tie('number').map((a) => `Math.floor(${a} / block)`),
      tie('number').map((a) => `(${a} % 7)`),
      fc.tuple(tie('number'), tie('number')).map(([a, b]) => `Math.max(${a}, ${b})`),
      fc
        .tuple(tie('boolean'), tie('number'), tie('number'))
        .map((c) => `(${c[0]} ? ${c[1]} : ${c[2]})`),
      tie('number').map((a) => `doc.at(head, ${a})`),
      tie('number').map((a) => `(-${a.replace(/^-/, '')})`),
    ),
    boolean: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      binary(['<', '<=', '>', '>=', '===', '!=='], tie('number')),
      binary(['&&', '||'], tie('boolean')),
      tie('boolean').map((a) => `!(${a})`),
      tie('number').map((a) => `columns.has(${a})`),
      fc
        .tuple(tie('boolean'), tie('boolean'), tie('boolean'))
        .map((c) => `(${c[0]} ? ${c[1]} : ${c[2]})`),
      fc.constantFrom('true', 'false'),
    ),
  };
});

/** Plain masks, where every edit of a number can show in a result. */
const side = fc
  .tuple(
    fc.constantFrom('q', 'k', 'q - k', 'row', 'doc.at(head, k)', 'Math.floor(q / block)', 'k & 63'),
    fc.constantFrom('+', '-'),
    fc.integer({ min: 0, max: 5000 }),
  )
  .map((all) => all.join(' '));
const plain = fc.letrec<{ mask: string }>((tie) => ({
  mask: fc.oneof(
    { depthSize: 'small', maxDepth: 3, withCrossShrink: true },
    fc
      .tuple(
        side,
        fc.constantFrom('<', '<=', '>', '===', '!=='),
        fc.constantFrom('q', 'k', 'window', '77'),
      )
      .map((all) => `(${all.join(' ')})`),
    fc
      .tuple(tie('mask'), fc.constantFrom('&&', '||'), tie('mask'))
      .map((all) => `(${all.join(' ')})`),
    tie('mask').map((one) => `!${one}`),
  ),
})).mask;

const body = fc.oneof(
  boolean,
  fc.tuple(number, boolean, boolean, boolean).map(
    ([x, a, b, c]) => `{
      const x = ${x};
      if (${a}) return ${b};
      if (x < q) {
        if (${b}) return false;
        if (${c}) return true;
      } else return !(${a});
      return x === k || ${c};
    }`,
  ),
);
const head = '({ q, k, row, head }, { window, sinks, block, doc, columns }) => ';
const before = 'const SINKS = 4;\n';

/** The function as a minifier leaves it. */
function minified(text: string): Arrow {
  const { code } = transformSync(`${before}export const f = ${text};`, {
    loader: 'js',
    minify: true,
    format: 'cjs',
  });
  const module = { exports: {} as { f: Arrow } };
  new Function('module', code)(module);
  return module.exports.f;
}

const runs = Number(process.env.RUNS ?? 60);

test('a minified mask is the mask that was written', () => {
  fc.assert(
    fc.property(body, (text) => {
      const { findings } = diagnose(
        project.standing(head + text, minified(head + text), before, 'spec.js'),
      );
      expect(findings.map(render)).toEqual([]);
    }),
    { numRuns: runs },
  );
});

/** The form of what the file says. */
function formOf(text: string): Expression | undefined {
  return diagnose(project.standing(head + text, minified(head + text), before, 'spec.js'))
    .expression;
}

test('every edit of a number is noticed', () => {
  fc.assert(
    fc.property(plain, fc.nat(), fc.boolean(), (text, at, isUp) => {
      const places = [...text.matchAll(/\b\d+\b/g)];
      fc.pre(places.length > 0);
      const place = places[at % places.length]!;
      const other = String(Math.max(1, Number(place[0]) + (isUp ? 1 : -1)));
      const edited = text.slice(0, place.index) + other + text.slice(place.index + place[0].length);
      const [a, b] = [formOf(text), formOf(edited)];
      fc.pre(a !== undefined && b !== undefined);
      const { findings } = diagnose(
        project.standing(head + edited, minified(head + text), before, 'spec.js'),
      );
      // Exact: whether the edit is noticed does not depend on which points were tried.
      expect(findings.length > 0, `${text} -> ${edited}`).toBe(compareWording(a!, b!) !== 'same');
    }),
    { numRuns: runs },
  );
});
