// Law 14 for lifting: every code of group L has a bad spec that triggers it, and the mended one that does not.

import { afterAll, describe, expect, test } from 'vitest';
import type { Liftable } from '../../dsl/declarations.ts';
import { codes as allCodes, render } from '../../dsl/diagnostic.ts';
import { diagnose } from '../../dsl/lift/index.ts';
import { type Arrow, codes, mask, request, score, text } from '../dsl/lift/builder.ts';
import { Project } from '../dsl/lift/project.ts';

const project = new Project({
  'broken.ts': 'export const SINKS = ;',
  'good.ts': 'export const SINKS = 4;',
});
afterAll(() => project.remove());

/** A mask that runs as `run` and stands in a file that says `written`, below `before`. */
const standing = (written: string, run: Arrow, before = ''): Liftable =>
  project.standing(written, run, before);

let counter = 0;
const down = (n: number): boolean => n < 1 || down(n - 1);
const once = (n: number): boolean => n < 1;
const reachable = (reach: number): Liftable => mask(({ q, k }) => q - k < reach);
const limits = { near: 4 };
class Near {
  near = 4;
  bad = () => mask(({ k }) => k < this.near);
}
const fixedLimits = { near: 4 } as const;
const SINKS = 4;

const table: Partial<
  Record<keyof typeof allCodes, ReadonlyArray<readonly [bad: () => Liftable, good: () => Liftable]>>
> = {
  L001: [
    [() => mask(({ k }) => [1, 2].includes(k)), () => mask(({ k }) => k === 1 || k === 2)],
    [
      () =>
        mask(({ k }) => {
          for (let i = 0; i < 4; i++) if (k === i) return true;
          return false;
        }),
      () => mask(({ k }) => k < 4),
    ],
    [() => mask(({ k }) => (k ?? 4) < 4), () => mask(({ k }) => k < 4)],
    [
      () => mask(({ k, q }, { doc }) => doc[k] === q),
      () => mask(({ k, q }, { doc }) => doc.at(0, k) === q),
    ],
    [
      () => mask(({ k }, { columns }) => columns?.has(k)),
      () => mask(({ k }, { columns }) => columns.has(k)),
    ],
    [() => mask(([q, k]) => k < q), () => mask(({ q, k }) => k < q)],
    [() => mask(async ({ q, k }) => k < q), () => mask(({ q, k }) => k < q)],
  ],
  // biome-ignore lint/suspicious/noDoubleEquals: what is tested
  L002: [[() => mask(({ q, k }) => q == k), () => mask(({ q, k }) => q === k)]],
  L003: [
    [
      () => standing('({ q }) => k < q', ({ q, k }) => k < q),
      () => standing('({ q, k }) => k < q', ({ q, k }) => k < q),
    ],
    [
      () => standing('({ k }) => k < SINKS', ({ k }) => k < 4),
      () => standing('({ k }) => k < SINKS', ({ k }) => k < 4, 'const SINKS = 4;\n'),
    ],
  ],
  L004: [
    [() => new Near().bad(), () => mask(({ k }, { window }) => k < window)],
    [() => mask(({ k }) => k < counter), () => mask(({ k }) => k < SINKS)],
    [() => mask(({ k }) => k < limits.near), () => mask(({ k }) => k < fixedLimits.near)],
  ],
  L005: [[() => mask(({ k }) => expect.length < k), () => mask(({ k }) => SINKS < k)]],
  L006: [
    [
      () => mask(({ k }) => Math.random() < 0.5 || k < 4),
      () => mask(({ k }, { bias }) => bias.at(k) < 0.5 || k < 4),
    ],
    [
      () =>
        mask(({ k }) => {
          console.debug(k);
          return k < 4;
        }),
      () => mask(({ k }) => k < 4),
    ],
  ],
  L007: [[() => mask(({ k }) => down(k)), () => mask(({ k }) => once(k))]],
  L008: [
    [
      () =>
        mask(({ q, k }) => {
          let near = 4;
          if (q > 9) near = 8;
          return k < near;
        }),
      () =>
        mask(({ q, k }) => {
          const near = q > 9 ? 8 : 4;
          return k < near;
        }),
    ],
    [
      () =>
        mask(({ k }) => {
          counter++;
          return k < 4;
        }),
      () => mask(({ k }) => k < 4),
    ],
  ],
  L009: [
    [
      () => standing('({ k }) => k < 5', ({ k }) => k < 4),
      () => standing('({ k }) => k < 4', ({ k }) => k < 4),
    ],
  ],
  L010: [
    [
      () => standing('({ k }) => k < SINKS', ({ k }) => k < SINKS, 'const SINKS = 5;\n'),
      () => standing('({ k }) => k < SINKS', ({ k }) => k < SINKS, 'const SINKS = 4;\n'),
    ],
  ],
  L011: [[() => reachable(5), () => mask(({ q, k }, { window }) => q - k < window)]],
  L012: [
    [() => request('mask', ({ k }) => k < SINKS), () => request('mask', ({ k }) => k < 4)],
    [() => request('mask', mask.bind(undefined) as Arrow), () => request('mask', ({ k }) => k < 4)],
  ],
  L013: [
    [() => mask(({ q, k }) => q / 2 < k), () => mask(({ q, k }) => Math.floor(q / 2) < k)],
    [
      () => mask(({ k }, { bias, slope }) => bias.at(k) * slope < 0.5),
      () => score(({ s, k }, { bias, slope }) => s + bias.at(k) * slope),
    ],
  ],
  L014: [
    [
      () => mask(({ k }, { bias }) => bias.at(k) < 0.1),
      () => mask(({ k }, { bias }) => bias.at(k) < Math.fround(0.1)),
    ],
    [() => mask(({ k }) => k < 3e9), () => mask(({ k }) => k < Infinity)],
  ],
  L015: [
    [
      () => mask(({ q, k }, { window }) => Math.floor(q / window) === k),
      () => mask(({ q, k }, { block }) => Math.floor(q / block) === k),
    ],
    [
      () => mask(({ q, k }, { window }) => q % window === k),
      () => mask(({ q, k }, { window }) => q % Math.max(1, window) === k),
    ],
    [
      () => mask(({ q, k, kvHead }) => k % kvHead === 0 || k % (q + 3) === 0),
      () => mask(({ k, kvHead }) => k % (kvHead + 3) === 0 || k % (k + 1) === 0),
    ],
  ],
  L016: [
    [() => mask(({ q, k }) => q - k), () => mask(({ q, k }) => q - k !== 0)],
    [() => mask(({ q, k }) => 0 < k < q), () => mask(({ q, k }) => 0 < k && k < q)],
    [
      () => mask(({ q, k }, { columns }) => columns.has(q / 2) || k < 4),
      () => mask(({ q, k }, { columns }) => columns.has(q >> 1) || k < 4),
    ],
    [() => score(({ q, k }) => q < k), () => score(({ q, k }) => (q < k ? 1 : 0))],
    [
      () =>
        mask(({ q, k }) => {
          if (q < k) return false;
        }),
      () =>
        mask(({ q, k }) => {
          if (q < k) return false;
          return true;
        }),
    ],
    [() => mask(({ k }, { doc }) => doc < k), () => mask(({ k }, { doc }) => doc.at(0, k) < k)],
  ],
  L017: [
    [() => mask(({ key }) => key < 4), () => mask(({ k }) => k < 4)],
    [() => mask(({ k, s }) => s < k), () => score(({ k, s }) => s * k)],
    [() => mask(({ k }, { reach }) => k < reach), () => mask(({ k }, { window }) => k < window)],
  ],
  L018: [
    [
      () => standing('({ k }) => k < 4', evil('throw new Error("no luck")')),
      () => standing('({ k }) => k < 4', evil('')),
    ],
  ],
  L019: [
    [() => mask(({ q, k }) => Math.hypot(q, k) < 4), () => mask(({ q, k }) => q * q + k * k < 16)],
    [
      () => mask(({ q, k }) => Math.trunc(q / 4) < k),
      () => mask(({ q, k }) => Math.floor(q / 4) < k),
    ],
    [() => score(({ s }) => Math.round(s)), () => score(({ s }) => Math.floor(s + 0.5))],
  ],
  L020: [
    [
      () => mask(({ k }, { doc }) => doc.at(k) === 1),
      () => mask(({ k, batch }, { doc }) => doc.at(batch, k) === 1),
    ],
    [
      () => mask(({ q, k }, { blocks }) => blocks.has(q, k, 1)),
      () => mask(({ q, k }, { blocks }) => blocks.has(q, k)),
    ],
    // @ts-expect-error: what is tested
    [() => mask(({ k }) => once(k, k)), () => mask(({ k }) => once(k))],
    [() => mask(({ k }) => k < Math.min()), () => mask(({ k }) => k < Math.min(4))],
  ],
  L021: [
    [
      () =>
        standing(
          '({ k }) => k < SINKS',
          ({ k }) => k < SINKS,
          "import { SINKS } from './broken.ts';\n",
        ),
      () =>
        standing(
          '({ k }) => k < SINKS',
          ({ k }) => k < SINKS,
          "import { SINKS } from './good.ts';\n",
        ),
    ],
    [
      () =>
        standing(
          '({ k }) => k < SINKS',
          ({ k }) => k < SINKS,
          "import { SINKS } from './absent.ts';\n",
        ),
      () =>
        standing(
          '({ k }) => k < SINKS',
          ({ k }) => k < SINKS,
          "import { SINKS } from './good.ts';\n",
        ),
    ],
    [
      () => standing('({ k }) => k < SINKS', ({ k }) => k < SINKS, 'const SINKS = ;\n'),
      () => standing('({ k }) => k < SINKS', ({ k }) => k < SINKS, 'const SINKS = 4;\n'),
    ],
  ],
  L022: [
    // Every second call differs, and then every fourth: two equal wrong answers are impure all the same.
    ...[2, 4].map(
      (period) =>
        [
          () => {
            (globalThis as { calls?: number }).calls = 0;
            return standing(
              '({ k }) => k < 4',
              evil(`if (globalThis.calls++ % ${period} < ${period / 2}) return true`),
            );
          },
          () => standing('({ k }) => k < 4', evil('')),
        ] as const,
    ),
  ],
};

/** A function that does something else than its text says: no honest transform makes one. */
function evil(first: string): Arrow {
  const fn = new Function('pair', `${first}; return pair.k < 4;`) as Arrow;
  fn.toString = () => '({ k }) => k < 4';
  return fn;
}

describe.each(Object.entries(table))('%s', (code, pairs) => {
  test.each(pairs.map((pair, i) => [i + 1, pair] as const))('case %i', (_, [bad, good]) => {
    expect(new Set(codes(bad())), text(bad())).toContain(code);
    expect(diagnose(good()).findings.map(render)).toEqual([]);
  });

  test('says what to write', () => {
    for (const [bad] of pairs) {
      for (const { help, span, what } of diagnose(bad()).findings) {
        expect(help, what).toBeTruthy();
        expect(span, what).toBeDefined();
        expect(what).not.toMatch(/\.$|^[A-Z][a-z]+ (?!\.)/);
      }
    }
  });
});

test('every code of lifting is here', () => {
  const lifting = Object.keys(allCodes).filter((code) => code.startsWith('L'));
  expect(lifting.filter((code) => !(code in table))).toEqual([]);
});

const firstOf = (code: keyof typeof allCodes, i = 0): string =>
  text(table[code]![i]![0]())
    .replaceAll(/--> .*\//g, '--> .../')
    .replaceAll(/:\d+:\d+$/gm, ':L:C')
    .replaceAll(/^\d+ \|/gm, 'N |');

test('an assignment', () =>
  expect(firstOf('L008')).toMatchInlineSnapshot(`
  "error[L008]: an assignment changes something
    --> .../lift.test.ts:L:C
     |
  N |           if (q > 9) near = 8;
     |                      ^^^^^^^^
    = help: give a new const its value: const near = c ? a : b"
`));
test('a changing variable', () =>
  expect(firstOf('L004', 1)).toMatchInlineSnapshot(`
  "error[L004]: 'counter' can change, so the source does not say its value
    --> .../lift.test.ts:L:C
     |
  N |     [() => mask(({ k }) => k < counter), () => mask(({ k }) => k < SINKS)],
     |                                ^^^^^^^
    = note: declared here
    --> .../lift.test.ts:L:C
     |
  N | let counter = 0;
     |     ^^^^^^^^^^^
    = help: write const counter = ..., or declare it: pattern('t', { counter: count })"
`));
test('an edited file', () =>
  expect(firstOf('L009')).toMatchInlineSnapshot(`
  "error[L009]: the file says '5', and the function that runs says '4'
   --> .../spec.ts:L:C
    |
  N | mask(({ k }) => k < 5);
    |                     ^
    = note: the text of the function that runs
   --> <function>:L:C
    |
  N | ({ k }) => k < 4
    |                ^
    = help: run again: the file was edited after it was loaded, or its source map is wrong"
`));
test('a value of an enclosing function', () =>
  expect(firstOf('L011')).toMatchInlineSnapshot(`
  "error[L011]: 'reach' comes from an enclosing function, so its value is not in the source
    --> .../lift.test.ts:L:C
     |
  N | e = (reach: number): Liftable => mask(({ q, k }) => q - k < reach);
     |                                                             ^^^^^
    = note: it is given here
    --> .../lift.test.ts:L:C
     |
  N | const reachable = (reach: number): Liftable => mask(({ q, k }) => q - k < reach);
     |                    ^^^^^^^^^^^^^
    = help: declare it: pattern('t', { reach: count.default(reach) })"
`));
test('no source', () =>
  expect(firstOf('L012')).toMatchInlineSnapshot(`
  "error[L012]: 'SINKS' is not declared, and there is no source to find it in
   --> <function>:L:C
    |
  N | ({ k }) => k < SINKS
    |                ^^^^^
    = note: the call was not made from a file
    = help: write its value into the function, or declare it: pattern('t', { SINKS: count })"
`));
test('a divisor', () =>
  expect(firstOf('L015')).toMatchInlineSnapshot(`
  "error[L015]: the divisor may be zero
     --> .../lift.test.ts:L:C
      |
  N |       () => mask(({ q, k }, { window }) => Math.floor(q / window) === k),
      |                               ^^^^^^
    = help: give the parameter a lower bound: pattern('t', { window: z.int().min(1) })"
`));
test('a broken import', () =>
  expect(firstOf('L021')).toMatchInlineSnapshot(`
    "error[L021]: './broken.ts' cannot be parsed, so the value of 'SINKS' is not known
     --> .../spec.ts:L:C
      |
    N | mask(({ k }) => k < SINKS);
      |                     ^^^^^
      = note: imported here
     --> .../spec.ts:L:C
      |
    N | import { SINKS } from './broken.ts';
      |          ^^^^^
      = note: expression expected
     --> .../broken.ts:L:C
      |
    N | export const SINKS = ;
      |                      ^
      = help: a relative import of a .ts or .js file can be followed"
  `));
