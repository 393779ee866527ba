// Composition of two patterns, pointwise by `and` or `or`.

import type { CallSite } from './declarations.ts';
import type { Definition } from './definition.ts';
import { type Diagnostic, diagnostic } from './diagnostic.ts';
import { declareParam, defaultOf, type Given, isFixed, isTensorInput } from './given.ts';

/** The facts of a declaration as text: equal text, identical meaning. */
function facts(entry: Given[string]): string {
  if (isTensorInput(entry)) return `${entry.dtype}(${entry.dims.join(',')})`;
  const { kind, lo, hi } = declareParam(entry);
  const [from, to] = [lo, hi].map((bound) =>
    Math.abs(bound) < Number.MAX_SAFE_INTEGER ? bound : '',
  );
  const [value, isConstant] = [defaultOf(entry), isFixed(entry)];
  const given = value === undefined ? 'without a default' : `with default ${value}`;
  return `${isConstant ? 'fixed ' : ''}${kind} ${from}..${to} ${given}`;
}

/** The definition of `left and right` or `left or right`, written at `site`. Conflicts are kept as findings. */
export function combine(
  op: 'and' | 'or',
  left: Definition,
  right: Definition,
  site: CallSite | undefined,
): Definition {
  const findings: Diagnostic[] = [];
  for (const [name, entry] of Object.entries(right.given)) {
    const other = left.given[name];
    if (other !== undefined && facts(other) !== facts(entry)) {
      findings.push(
        diagnostic(
          'S005',
          `'${name}' is ${facts(other)} in '${left.name}' and ${facts(entry)} in '${right.name}'`,
          {
            help: `rename one, or make both declarations the same`,
          },
        ),
      );
    }
  }
  if (left.score && right.score && left.score.fn !== right.score.fn) {
    findings.push(
      diagnostic('S006', `'${left.name}' and '${right.name}' both change the score`, {
        help: 'keep the score in one of them',
      }),
    );
  }
  if (left.rest && right.rest && left.rest !== right.rest) {
    findings.push(
      diagnostic('S006', `'${left.name}' and '${right.name}' both have stand-ins`, {
        help: 'keep .rest in one of them',
      }),
    );
  }
  return {
    name: `${left.name} ${op} ${right.name}`,
    given: { ...left.given, ...right.given },
    estimates: [...new Set([...left.estimates, ...right.estimates])],
    mask: { op, left: left.mask, right: right.mask },
    score: left.score ?? right.score,
    rest: left.rest ?? right.rest,
    knobs: {},
    visit: undefined,
    findings: [...left.findings, ...right.findings, ...findings.map((one) => ({ ...one, site }))],
  };
}
