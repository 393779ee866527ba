// The smallest builder that lifts: stands in for pattern(...).mask(...) in the tests of lifting alone.

import type { CallSite, Declarations, Liftable } from '../../../dsl/declarations.ts';
import { render } from '../../../dsl/diagnostic.ts';
import { canonical } from '../../../dsl/expression.ts';
import { captureSite, diagnose } from '../../../dsl/lift/index.ts';

export const declarations: Declarations = {
  params: {
    window: { kind: 'int', lo: 0, hi: Infinity },
    sinks: { kind: 'int', lo: 0, hi: Infinity },
    block: { kind: 'int', lo: 1, hi: Infinity },
    slope: { kind: 'float', lo: 0, hi: 1 },
  },
  tensors: {
    doc: { kind: 'int', rank: 2 },
    bias: { kind: 'float', rank: 1 },
  },
  sets: { columns: { arity: 1 }, blocks: { arity: 2 } },
};

// biome-ignore lint/suspicious/noExplicitAny: the real builder types these; here anything is written
export type Arrow = (pair: any, given: any) => unknown;

export function request(step: Liftable['step'], fn: Arrow, site?: CallSite): Liftable {
  return { step, pattern: 't', fn: fn as Liftable['fn'], site, declarations };
}

export const mask = (fn: Arrow): Liftable => request('mask', fn, captureSite(mask));
export const score = (fn: Arrow): Liftable => request('score', fn, captureSite(score));

/** The canonical form, or the rendered findings. */
export function text(what: Liftable): string {
  const { expression, findings } = diagnose(what);
  return findings.length > 0 || !expression
    ? findings.map(render).join('\n\n')
    : canonical(expression);
}

/** The codes found, in order. */
export const codes = (what: Liftable): string[] => diagnose(what).findings.map((one) => one.code);
