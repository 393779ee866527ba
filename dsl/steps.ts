// What the steps of the builder are given. The compiler of TypeScript sees to it; in JavaScript nobody does, and what is wrong is
// kept and told when the pattern is used, with all else that is wrong with it.

import type { CallSite } from './declarations.ts';
import { type Diagnostic, diagnostic } from './diagnostic.ts';
import { spanOfSite } from './lift/thrown.ts';
import { isObject, shown } from './shown.ts';

/** What is wrong with a step, and where it was called: the file is looked into when somebody is told. */
export interface StepFinding extends Diagnostic {
  readonly site?: CallSite | undefined;
}

/** As they are told: each at its place. */
export const placed = (findings: readonly StepFinding[]): Diagnostic[] =>
  findings.map(({ site, ...one }) => ({ ...one, span: one.span ?? spanOfSite(site) }));

/** What each step takes, as one writes it. */
const takes = {
  estimate:
    'a function: .estimate(({ q, k }) => ({ keys: q.last(32).dot(k).softmax().sumPerKey().topk(64) }))',
  mask: 'a function: .mask(({ q, k }) => k <= q)',
  score: 'a function: .score(({ s, q, k }) => s - 0.1 * (q - k))',
  rest: 'a function: .rest(({ k, v }) => ({ keys: k.pool(64), values: v.pool(64) }))',
  visit: 'a function: .visit(({ tile, span }) => span(0, tile.q1 + 1))',
  schedule: 'knobs: .schedule({ qTile: 128, kTile: 64 })',
  with: 'numbers by the names of parameters: .with({ window: 512 })',
  and: 'another pattern',
  or: 'another pattern',
} as const;
export type Step = keyof typeof takes;

/** Of a step that is given what it cannot be. */
export const misgiven = (pattern: string, step: Step, value: unknown): Diagnostic =>
  diagnostic('S008', `.${step} of '${pattern}' is given ${shown(value)}`, {
    help: `give it ${takes[step]}`,
  });

/** Of a step that a pattern can have but once. */
export const once = (pattern: string, step: Step): Diagnostic =>
  diagnostic('S008', `'${pattern}' has two .${step} steps`, { help: 'write both into one' });

/** Steps that come after the mask, in any order. */
export const laterSteps = ['score', 'rest', 'visit', 'schedule', 'with', 'and', 'or'] as const;
export type LaterStep = (typeof laterSteps)[number];

/** Of a step on the wrong side of the mask. */
export const misplaced = (pattern: string, step: Step): Diagnostic =>
  diagnostic(
    'S008',
    `.${step} of '${pattern}' comes ${step === 'estimate' ? 'after' : 'before'} its mask`,
    { help: 'begin with .estimate where there is one, then .mask, then all others' },
  );

/** Of what a pattern begins with: its name, and what it is given. */
export function checkStart(name: unknown, given: unknown): Diagnostic[] {
  const findings: Diagnostic[] = [];
  if (typeof name !== 'string')
    findings.push(
      diagnostic('S008', `the name of a pattern is ${shown(name)}`, {
        help: "begin with one: pattern('mine')",
      }),
    );
  if (!isObject(given))
    findings.push(
      diagnostic('S008', `what ${shown(name)} is given is ${shown(given)}`, {
        help: "declare it by name: pattern('mine', { window: z.int() })",
      }),
    );
  return findings;
}
