// The search that drives a walk over the keys: `keys(u, q0, q1, k)` is the first key from k on that some
// query of [q0, q1] may attend to. Linear constraints give bounds, chosen sets are searched bit by bit, no further than
// other parts of the mask leave keys to be found: a set that a head leaves empty has no end otherwise. What is not
// understood lets every key through, and the tiles are then judged one by one.

import { atomsOf, type Formula, formulaOf } from '../dsl/analysis/formula.ts';
import { collect } from '../dsl/analysis/linear.ts';
import { binary, type Expression, index, int, mentions, rebuild } from '../dsl/expression.ts';
import { keyArgument } from '../dsl/plan/spans.ts';
import { printExpression } from '../dsl/print.ts';
import { boundsText } from './bounds.ts';
import { scalarText } from './expression.ts';
import type { Names } from './names.ts';

/** `q*Q + k*K + rest <= 0`, its rest the same for all pairs of a unit. */
export interface Constraint {
  readonly q: number;
  readonly k: number;
  readonly rest: string;
}

/** `row` as a query position, which the analysis of sums understands. */
export const positional = (node: Expression): Expression =>
  rebuild(node, (part) =>
    part.op === 'index' && part.name === 'row'
      ? binary('sub', index('q'), binary('sub', index('kLen'), index('qLen')))
      : part,
  );

/** Does the mask ask a set at a distance from the query? Its tiles then start where its members are. */
export function isUnaligned(mask: Expression): boolean {
  return atomsOf(formulaOf(positional(mask))).some((atom) => {
    const search = atom.op === 'has' ? searchOf(atom) : undefined;
    return search?.form === 'shift' && mentions(search.rest, 'index', 'q');
  });
}

/** Does the mask itself refuse keys behind the last query, and so those that there are not? */
export function endsAtQuery(mask: Expression): boolean {
  const formula = formulaOf(positional(mask));
  const parts = formula.op === 'and' ? formula.parts : [formula];
  return parts.some(
    (part) => part.op === 'linear' && part.q === -1 && part.k === 1 && part.constant >= 0,
  );
}

/** CUDA C functions; the last one is named `name`. */
export function keysText(name: string, mask: Expression, names: Names): string {
  const functions: string[] = [];
  let parts = 0;
  const put = (title: string, formula: Formula, most?: string): string => {
    const body = bodyOf(formula, names, (part) => put(`${name}_${++parts}`, part, 'most'), most);
    functions.push(
      `WARPLOOM_DEVICE int ${title}(const Unit& u, int q0, int q1, int k${most ? `, int ${most}` : ''}) {\n${body}\n}`,
    );
    return title;
  };
  put(name, formulaOf(positional(mask)));
  return functions.join('\n');
}

/** A CUDA C function: no key beyond it is allowed to any query of [q0, q1]. What is not understood bounds nothing. */
export function lastText(name: string, mask: Expression, names: Names): string {
  const bound = lastOf(formulaOf(positional(mask)), names);
  const last = bound === undefined ? '(i64)u.k_len - 1' : `min((i64)u.k_len - 1, (i64)${bound})`;
  return `WARPLOOM_DEVICE int ${name}(const Unit& u, int q0, int q1) { return clamp_int(${last}); }`;
}

function lastOf(formula: Formula, names: Names): string | undefined {
  switch (formula.op) {
    case 'true':
      return undefined;
    case 'false':
      return '-1';
    case 'and':
    case 'or': {
      const parts = formula.parts.map((part) => lastOf(part, names));
      const known = parts.filter((part) => part !== undefined);
      if (known.length === 0 || (formula.op === 'or' && known.length < parts.length))
        return undefined;
      const choose = formula.op === 'and' ? 'min' : 'max';
      return known.reduce((all, part) => `${choose}((i64)${all}, (i64)${part})`);
    }
    case 'linear':
    case 'atom': {
      const uppers = (constraintsOf(formula, names) ?? []).filter(({ k }) => k > 0);
      const bounds = uppers.map(({ q, rest }) => `(${q < 0 ? 'q1 ' : ''}- ${rest})`);
      return bounds.length === 0
        ? undefined
        : bounds.reduce((all, bound) => `min((i64)${all}, (i64)${bound})`);
    }
  }
}

/** A CUDA C function: the keys that the linear conjuncts of a mask leave to any query of [q0, q1]. */
export function keyBoundsText(name: string, mask: Expression, names: Names): string {
  const formula = formulaOf(positional(mask));
  const parts = formula.op === 'and' ? formula.parts : [formula];
  const lines = parts.flatMap((part) => (constraintsOf(part, names) ?? []).map(boundText));
  return `WARPLOOM_DEVICE Bounds ${name}(const Unit& u, int q0, int q1) {
  i64 low = 0, high = (i64)u.k_len - 1;
${lines.join('\n').replaceAll('return NO_MEMBER;', 'return {1, 0};')}
  return {clamp_int(low), clamp_int(high)};
}`;
}

/** Emits the function of a part, which has another parameter, `most`: keys beyond it need not be found. */
type Emit = (formula: Formula) => string;

function bodyOf(formula: Formula, names: Names, emit: Emit, most?: string): string {
  switch (formula.op) {
    case 'true':
      return '  return k;';
    case 'false':
      return '  return NO_MEMBER;';
    case 'or': {
      const parts = [...formula.parts].sort((a, b) => costOf(a) - costOf(b)).map(emit);
      return [
        '  int found = NO_MEMBER;',
        ...parts.map((part, i) => {
          const sooner = i === 0 ? (most ?? 'NO_MEMBER') : most ? `min(found, ${most})` : 'found';
          return `  found = min(found, ${part}(u, q0, q1, k, ${sooner}));`;
        }),
        '  return found;',
      ].join('\n');
    }
    case 'linear':
    case 'and':
      return conjunction(formula.op === 'and' ? formula.parts : [formula], names, emit, most);
    case 'atom':
      return constraintsOf(formula, names)
        ? conjunction([formula], names, emit, most)
        : searchText(formula.expression, names, most);
  }
}

/** How long a search of a part may take: bits of blocks are fewer than those of keys or distances. */
function costOf(part: Formula): number {
  if (part.op === 'and' || part.op === 'or') return Math.max(0, ...part.parts.map(costOf));
  if (part.op !== 'atom' || part.expression.op !== 'has') return 0;
  return searchOf(part.expression)?.form === 'shift' ? 2 : 1;
}

/** Bounds from the constraints; then the other parts push the key forward until all of them agree. */
function conjunction(
  parts: readonly Formula[],
  names: Names,
  emit: Emit,
  most = 'NO_MEMBER - 1',
): string {
  const lines = [`  i64 low = k, high = ${most};`];
  const others: string[] = [];
  for (const part of parts) {
    const constraints = constraintsOf(part, names);
    if (constraints) lines.push(...constraints.map(boundText));
    else if (!letsAllThrough(part)) others.push(emit(part));
  }
  lines.push('  if (low > high) return NO_MEMBER;');
  if (others.length === 0) return [...lines, '  return (int)low;'].join('\n');
  const [only] = others;
  if (others.length === 1)
    return [
      ...lines,
      `  const int found = ${only}(u, q0, q1, (int)low, (int)high);`,
      '  return found > high ? NO_MEMBER : found;',
    ].join('\n');
  return [
    ...lines,
    '  int found = (int)low;',
    '  for (;;) {',
    '    const int before = found;',
    ...others.map(
      (other) => `    if (found <= high) found = ${other}(u, q0, q1, found, (int)high);`,
    ),
    '    if (found > high) return NO_MEMBER;',
    '    if (found == before) return found;',
    '  }',
  ].join('\n');
}

/** Nothing is known of it, so it never moves the key. */
const letsAllThrough = (part: Formula): boolean =>
  part.op === 'atom' && (part.expression.op !== 'has' || !searchOf(part.expression));

/** What a constraint says of the keys, given any query of [q0, q1]. */
function boundText({ q, k, rest }: Constraint): string {
  if (q === 0) return k > 0 ? `  high = min(high, -(${rest}));` : `  low = max(low, ${rest});`;
  if (k === 0) {
    const fails = q > 0 ? `q0 + ${rest} > 0` : `${rest} - q1 > 0`;
    return `  if (${fails}) return NO_MEMBER;`;
  }
  return q > 0 ? `  low = max(low, q0 + ${rest});` : `  high = min(high, q1 - (${rest}));`;
}

/** The constraints that a part stands for; undefined where it is something else. */
export function constraintsOf(part: Formula, names: Names): Constraint[] | undefined {
  if (part.op === 'linear') {
    const { q, k, constant } = part;
    return [{ q, k, rest: `${constant}ll` }];
  }
  if (part.op !== 'atom' || part.expression.op !== 'compare') return undefined;
  const { name, args } = part.expression;
  if ((name !== 'le' && name !== 'eq') || args[0].kind !== 'int') return undefined;
  const sum = collect(binary('sub', args[0], args[1]));
  if (sum.others.some(([, other]) => isPerPair(other))) return undefined;
  const known =
    (sum.q === 0 || Math.abs(sum.q) === 1) &&
    (sum.k === 0 || Math.abs(sum.k) === 1) &&
    (sum.q === 0 || sum.k === 0 || sum.q === -sum.k);
  if (!known || (sum.q === 0 && sum.k === 0)) return undefined;
  const terms = (sign: 1 | -1): string =>
    [
      `${sign * sum.constant}ll`,
      ...sum.others.map(([factor, other]) => `${sign * factor}ll * ${scalarText(other, names)}`),
    ].join(' + ');
  const upper = { q: sum.q, k: sum.k, rest: `(${terms(1)})` };
  if (name === 'le') return [upper];
  return [upper, { q: -sum.q, k: -sum.k, rest: `(${terms(-1)})` }];
}

const isPerPair = (node: Expression): boolean =>
  mentions(node, 'index', 'q') || mentions(node, 'index', 'k') || mentions(node, 'index', 'row');

/** A `has` that asks for member `rest + sign * key`. */
export interface ShiftSearch {
  readonly form: 'shift';
  readonly sign: 1 | -1;
  readonly rest: Expression;
}

/** How the member that a `has` asks for depends on the key. */
type Search =
  | { readonly form: 'block'; readonly block: number; readonly shift: number }
  | ShiftSearch;

/** The search of a `has` whose member moves with the key. */
export function shiftOf(node: Expression): ShiftSearch | undefined {
  const atom = positional(node);
  const search = atom.op === 'has' ? searchOf(atom) : undefined;
  return search?.form === 'shift' ? search : undefined;
}

function searchOf(node: Expression & { op: 'has' }): Search | undefined {
  const argument = keyArgument(node.args.at(-1)!);
  if (!argument || (node.args.length === 2 && mentions(node.args[0]!, 'index', 'k')))
    return undefined;
  if (argument.form === 'block') return argument;
  // Everything of the argument but the key, written without it: bounds of `a + k - k` would be too wide.
  const { q, constant, others } = collect(node.args.at(-1)!);
  const terms = [
    ...others.map(([factor, other]) => scaled(factor, other)),
    ...(q === 0 ? [] : [scaled(q, index('q'))]),
  ];
  const rest = terms.reduce((sum, term) => binary('add', sum, term), int(constant));
  return { form: 'shift', sign: argument.sign, rest };
}

/** A `has` of blocks of keys: `floor((k + shift) / block)`. */
export function blockOf(node: Expression): { block: number; shift: number } | undefined {
  const atom = positional(node);
  const search = atom.op === 'has' ? searchOf(atom) : undefined;
  return search?.form === 'block' ? { block: search.block, shift: search.shift } : undefined;
}

const scaled = (factor: number, node: Expression): Expression =>
  factor === 1 ? node : binary('mul', int(factor), node);

function searchText(atom: Expression, names: Names, most = 'NO_MEMBER'): string {
  const search = atom.op === 'has' ? searchOf(atom) : undefined;
  if (atom.op !== 'has' || !search) return '  return k;';
  const set = `u.${names('set', atom.set)}`;
  const lines = [`  // ${printExpression(atom)}`, '  const Bounds q = {q0, q1};'];
  if (atom.args.length === 2)
    lines.push(`  const Bounds row = ${boundsText(atom.args[0]!, names)};`);
  else lines.push('  const Bounds row = bounds_of(0);');
  if (search.form === 'block') {
    const { block, shift } = search;
    lines.push(
      `  const int found = set_next(${set}, row.lo, row.hi, floor_div(clamp_int((i64)k + ${shift}), ${block}), floor_div(clamp_int((i64)${most} + ${shift}), ${block}));`,
      `  return found == NO_MEMBER ? NO_MEMBER : max(k, clamp_int((i64)found * ${block} - ${shift}));`,
    );
    return lines.join('\n');
  }
  lines.push(`  const Bounds rest = ${boundsText(search.rest, names)};`);
  if (search.sign === 1)
    lines.push(
      `  const int found = set_next(${set}, row.lo, row.hi, clamp_int((i64)rest.lo + k), clamp_int((i64)rest.hi + ${most}));`,
      '  return found == NO_MEMBER ? NO_MEMBER : max(k, clamp_int((i64)found - rest.hi));',
    );
  else
    lines.push(
      `  const int found = set_previous(${set}, row.lo, row.hi, clamp_int((i64)rest.hi - k), clamp_int((i64)rest.lo - ${most}));`,
      '  return found < 0 ? NO_MEMBER : max(k, clamp_int((i64)rest.lo - found));',
    );
  return lines.join('\n');
}
