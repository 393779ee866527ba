// What the builder (pattern.ts) leaves behind: one frozen record per pattern, and what is derived
// from it once and kept: the traced sets, the declarations, the lifted expressions, all findings.

import type { CallSite, Declarations, Liftable, SetDeclaration } from './declarations.ts';
import {
  type Diagnostic,
  diagnostic,
  LiftError,
  PatternError,
  PlanError,
  throwIfAny,
} from './diagnostic.ts';
import { axesOfChosen } from './estimate/node.ts';
import {
  type EstimateGraph,
  type EstimateProgram,
  type RestProgram,
  skeleton,
  traceEstimate,
  traceRest,
} from './estimate/trace.ts';
import { and, bool, type Expression, mentions, or } from './expression.ts';
import {
  checkGiven,
  declareParam,
  defaultOf,
  type Fixed,
  type Given,
  isFixed,
  isTensorInput,
  type NumberSchema,
} from './given.ts';
import { diagnose } from './lift/index.ts';
import { spanOfThrown } from './lift/thrown.ts';
import { reachOf } from './plan/reach.ts';
import { checkKnobs, type Knobs, type VisitProgram } from './schedule.ts';
import { placed, type StepFinding } from './steps.ts';

/** An arrow and where its builder method was called. */
export interface Arrow {
  readonly fn: (pair: never, given: never) => unknown;
  readonly site: CallSite | undefined;
}

/** The arrows of a mask: one, or two patterns combined pointwise. */
export type MaskTree =
  | { readonly op: 'arrow'; readonly arrow: Arrow }
  | { readonly op: 'and' | 'or'; readonly left: MaskTree; readonly right: MaskTree };

export interface Definition {
  readonly name: string;
  readonly given: Given;
  /** Several after `.and` and `.or`; their sets are merged by name. */
  readonly estimates: readonly EstimateProgram[];
  readonly mask: MaskTree;
  readonly score: Arrow | undefined;
  readonly rest: RestProgram | undefined;
  readonly knobs: Knobs;
  /** Where they were stated last. */
  readonly scheduled?: CallSite | undefined;
  readonly visit: VisitProgram | undefined;
  /** What was wrong already while building. */
  readonly findings: readonly StepFinding[];
}

/** The lifted form of a definition. */
export interface Lifted {
  readonly declarations: Declarations;
  readonly mask: Expression;
  readonly score: Expression | undefined;
}

const numbersOf = (given: Given): [string, NumberSchema | Fixed][] =>
  Object.entries(given).filter(
    (entry): entry is [string, NumberSchema | Fixed] => !isTensorInput(entry[1]),
  );

/** Numbers that satisfy the schemas, for looking at an estimate before any call. */
function sampleNumbers(given: Given): Record<string, number> {
  return Object.fromEntries(
    numbersOf(given).map(([name, entry]) => {
      const { lo, hi, kind } = declareParam(entry);
      const usual = kind === 'int' ? 64 : 0.5;
      return [name, defaultOf(entry) ?? Math.min(hi, Math.max(lo, usual))];
    }),
  );
}

/** The sets of all estimates of a definition, traced with these numbers. */
export function traceSets(
  definition: Definition,
  numbers: Readonly<Record<string, number>>,
): EstimateGraph {
  const merged: Record<string, EstimateGraph[string]> = {};
  for (const program of definition.estimates) {
    for (const [name, node] of Object.entries(traceEstimate(program, numbers))) {
      const other = merged[name];
      if (other && JSON.stringify(other) !== JSON.stringify(node)) {
        throw new PlanError([
          diagnostic('S005', `'${definition.name}' has two different sets named '${name}'`, {
            help: 'rename one of them in its own pattern',
          }),
        ]);
      }
      merged[name] = node;
    }
  }
  return merged;
}

/** The pool size of the stand-ins, or undefined without `.rest`. */
export function restSize(
  definition: Definition,
  numbers: Readonly<Record<string, number>>,
): number | undefined {
  return definition.rest && traceRest(definition.rest, numbers);
}

/**
 * A size that changes with a parameter that is not fixed would need another kernel for each value:
 * found by tracing again with that one number changed.
 */
function checkFixed(definition: Definition, numbers: Record<string, number>): Diagnostic[] {
  const findings: Diagnostic[] = [];
  const sizesWith = (values: Record<string, number>) => {
    const { steps, sizes } = skeleton(traceSets(definition, values));
    return { steps, sizes: `${sizes} rest(${restSize(definition, values)})` };
  };
  const usual = sizesWith(numbers);
  for (const [name, entry] of numbersOf(definition.given)) {
    if (isFixed(entry)) continue;
    const { lo, hi, kind } = declareParam(entry);
    const now = numbers[name]!;
    const others =
      kind === 'int' ? [now + 1, now - 1, now * 2] : [now + (hi - now) / 2, now - (now - lo) / 2];
    const other = others.find((value) => value !== now && value >= lo && value <= hi);
    if (other === undefined) continue;
    try {
      const changed = sizesWith({ ...numbers, [name]: other });
      if (changed.steps === usual.steps && changed.sizes !== usual.sizes) {
        findings.push(
          diagnostic(
            'E001',
            `a size in the estimate of '${definition.name}' comes from '${name}', which is not fixed`,
            {
              help: `declare it as ${name}: fixed(${now})`,
            },
          ),
        );
      }
    } catch (error) {
      // A number that only this probe tries may be out of range for a step; the call itself decides.
      if (!(error instanceof PatternError)) throw error;
    }
  }
  return findings;
}

function declare(definition: Definition, sets: Record<string, SetDeclaration>): Declarations {
  const params = Object.fromEntries(
    numbersOf(definition.given).map(([name, entry]) => [name, declareParam(entry)]),
  );
  const tensors = Object.fromEntries(
    Object.entries(definition.given)
      .filter(([, entry]) => isTensorInput(entry))
      .map(([name, entry]) => {
        const input = entry as { dtype: string; dims: readonly string[] };
        return [
          name,
          {
            kind: input.dtype === 'i32' ? ('int' as const) : ('float' as const),
            rank: input.dims.length,
          },
        ];
      }),
  );
  return { params, tensors, sets };
}

const kept = new WeakMap<
  Definition,
  { lifted: Lifted | undefined; findings: readonly Diagnostic[] }
>();

/** Everything that can be known of a pattern before a call: its lifted form, and all findings at once. */
export function inspect(definition: Definition): {
  lifted: Lifted | undefined;
  findings: readonly Diagnostic[];
} {
  const known = kept.get(definition);
  if (known) return known;
  const result = inspectOnce(definition);
  kept.set(definition, result);
  return result;
}

/**
 * The pattern that allows all that the other could: its mask is the reach of the other's, and it has no estimate and nothing
 * to stand in. The same one for the same definition. throws: what `lifted` throws.
 */
export function hullDefinition(definition: Definition): Definition {
  const known = hulls.get(definition);
  if (known) return known;
  const { declarations, mask, score } = lifted(definition);
  // What is stated of schedules is for a mask that asks sets.
  const hull = Object.freeze({
    ...definition,
    estimates: [],
    rest: undefined,
    knobs: {},
    visit: undefined,
  });
  const own = { declarations: { ...declarations, sets: {} }, mask: reachOf(mask), score };
  kept.set(hull, { lifted: own, findings: [] });
  hulls.set(definition, hull);
  return hull;
}

const hulls = new WeakMap<Definition, Definition>();

function inspectOnce(definition: Definition): {
  lifted: Lifted | undefined;
  findings: readonly Diagnostic[];
} {
  const { name, given } = definition;
  const findings: Diagnostic[] = [...placed(definition.findings), ...checkGiven(name, given)];
  const sets: Record<string, SetDeclaration> = {};
  if (!findings.some(({ code }) => code === 'T013')) {
    try {
      const numbers = sampleNumbers(given);
      for (const [set, node] of Object.entries(traceSets(definition, numbers))) {
        sets[set] = { arity: axesOfChosen(node).length };
        if (Object.hasOwn(given, set)) {
          findings.push(
            diagnostic('S005', `'${set}' of '${name}' is both given and a set of the estimate`, {
              help: 'rename one of them',
            }),
          );
        }
      }
      findings.push(...checkFixed(definition, numbers));
    } catch (error) {
      findings.push(...asFindings(error, name));
    }
  }
  const declarations = declare(definition, sets);
  const ofKnobs = checkKnobs(name, definition.knobs, (set) => sets[set]?.arity);
  findings.push(...placed(ofKnobs.map((one) => ({ ...one, site: definition.scheduled }))));
  // Without its sets a mask cannot be judged: every `.has` would be reported as well.
  if (definition.estimates.length > 0 && Object.keys(sets).length === 0)
    return { lifted: undefined, findings };

  const liftArrow = (arrow: Arrow, step: 'mask' | 'score'): Expression | undefined => {
    // What is no function was found in the builder.
    if (typeof arrow.fn !== 'function') return undefined;
    const request: Liftable = { step, pattern: name, fn: arrow.fn, site: arrow.site, declarations };
    const { expression, findings: found } = diagnose(request);
    findings.push(...found);
    return expression;
  };
  const liftTree = (tree: MaskTree): Expression => {
    if (tree.op === 'arrow') return liftArrow(tree.arrow, 'mask') ?? bool(false);
    const [left, right] = [liftTree(tree.left), liftTree(tree.right)];
    return tree.op === 'and' ? and(left, right) : or(left, right);
  };
  const mask = liftTree(definition.mask);
  const score = definition.score && liftArrow(definition.score, 'score');
  if (
    definition.rest &&
    score &&
    ['k', 'q', 'row'].some((index) => mentions(score, 'index', index))
  ) {
    findings.push(
      diagnostic('E009', `the score of '${name}' depends on positions, and stand-ins have none`, {
        span: score.span,
        help: 'use only s, head and parameters in a score beside .rest',
      }),
    );
  }
  const failed = findings.some(({ severity }) => severity === 'error');
  return { lifted: failed ? undefined : { declarations, mask, score }, findings };
}

function asFindings(error: unknown, name: string): readonly Diagnostic[] {
  if (error instanceof PatternError) return error.diagnostics;
  const why = error instanceof Error ? error.message : String(error);
  return [
    diagnostic('E003', `the estimate of '${name}' throws: ${why}`, {
      span: spanOfThrown(error),
      help: 'build it from q and k with the steps of the estimate language',
    }),
  ];
}

/** The lifted form; throws one error with everything that is wrong. */
export function lifted(definition: Definition): Lifted {
  const { lifted: result, findings } = inspect(definition);
  const isLift = findings.some(
    ({ code, severity }) => severity === 'error' && code.startsWith('L'),
  );
  throwIfAny(findings, isLift ? LiftError : PlanError);
  return result!;
}

/** The author's own functions as one predicate: what the oracle runs. */
export function nativeMask(tree: MaskTree): (pair: never, given: never) => unknown {
  if (tree.op === 'arrow') return tree.arrow.fn;
  const [left, right] = [nativeMask(tree.left), nativeMask(tree.right)];
  return tree.op === 'and'
    ? (pair, given) => left(pair, given) && right(pair, given)
    : (pair, given) => left(pair, given) || right(pair, given);
}
