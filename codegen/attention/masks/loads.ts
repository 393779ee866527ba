// What masks ask of a key alone, or of a query alone, and that costs a load or a division: `doc.at(q) === doc.at(k)` has
// one of each. A box of pairs asks it once for every key and once for every row, not once for every pair.

import { collect, type Linear } from '../../../dsl/analysis/linear.ts';
import {
  and,
  binary,
  canonical,
  children,
  compare,
  type Expression,
  index,
  int,
  mentions,
  or,
  rebuild,
  unary,
} from '../../../dsl/expression.ts';
import { isQuick, scalarText } from '../../expression.ts';
import type { Names } from '../../names.ts';
import { local } from '../../uniforms.ts';

/** A value of a key, or of a query, that an expression stands for. */
interface Load {
  /** A member of `KeyLoads` or `QueryLoads`. */
  readonly member: string;
  readonly expression: Expression;
}

/** Masks whose loads are members of the variables `of_key` and `of_query`; equal loads are one. */
export interface SplitLoads {
  readonly masks: readonly Expression[];
  readonly ofKey: readonly Load[];
  readonly ofQuery: readonly Load[];
}

/** Splits masks; undefined where none has anything to load. */
export function splitLoads(masks: readonly Expression[]): SplitLoads | undefined {
  const known = { of_key: new Map<string, Load>(), of_query: new Map<string, Load>() };
  const stand = (side: Side, node: Expression): Expression => {
    const loads = known[side];
    const name = canonical(node);
    const load = loads.get(name) ?? { member: `value_${loads.size}`, expression: node };
    loads.set(name, load);
    return local(`${side}.${load.member}`, node.kind as 'int' | 'float');
  };
  const visit = (node: Expression): Expression => {
    const side = isWorthIt(node) ? sideOf(node) : undefined;
    if (side) return stand(side, node);
    const args = children(node);
    return args.length === 0 ? node : ({ ...node, args: args.map(visit) } as Expression);
  };
  const split = masks.map((mask) => visit(rebuild(mask, remaindersApart)));
  const [ofKey, ofQuery] = [[...known.of_key.values()], [...known.of_query.values()]];
  return ofKey.length + ofQuery.length === 0 ? undefined : { masks: split, ofKey, ofQuery };
}

/**
 * `(q - k) % n === 0` as a comparison of what is left of q and of k; with a divisor that is known, any `(q - k + constant) % n
 * === rest` too, whose rest has the sign of what is divided.
 */
function remaindersApart(node: Expression): Expression {
  if (node.op !== 'compare' || (node.name !== 'eq' && node.name !== 'ne')) return node;
  const [left, right] = node.args[0].op === 'const' ? node.args.toReversed() : node.args;
  if (right?.op !== 'const' || left?.op !== 'binary' || left.name !== 'rem' || left.kind !== 'int')
    return node;
  const [of, by] = left.args;
  const { q, k, constant, others } = collect(of);
  if (q * k !== -1 || others.length > 0) return node;
  const rest = right.value as number;
  const further = furtherBy({ q, constant }, rest, by);
  if (further === undefined) return node;
  const divisor = by.op === 'const' ? int(Math.abs(by.value as number)) : unary('abs', by);
  const ofQuery = restOfQuery(divisor);
  const moved =
    further === 0 ? ofQuery : binary('rem', binary('add', ofQuery, int(further)), divisor);
  const isSame = compare(node.name, moved, binary('rem', index('k'), divisor));
  if (rest === 0) return isSame;
  const [less, more] = rest > 0 ? [int(0), of] : [of, int(0)];
  return node.name === 'eq'
    ? and(isSame, compare('lt', less, more))
    : or(isSame, compare('le', more, less));
}

/** From 0 on, as that of a key: the first of more queries than keys are at negative positions. */
const restOfQuery = (divisor: Expression): Expression =>
  binary('sub', index('q'), binary('mul', binary('floordiv', index('q'), divisor), divisor));

/** How much further on a query has the rest of the key; undefined where that is not known, or could leave int32. */
function furtherBy(
  { q, constant }: Pick<Linear, 'q' | 'constant'>,
  rest: number,
  by: Expression,
): number | undefined {
  if (by.op === 'const') {
    const divisor = Math.abs(by.value as number);
    if (divisor > 2 ** 30 || Math.abs(rest) >= divisor) return undefined;
    const distance = q * (constant - rest);
    return ((distance % divisor) + divisor) % divisor;
  }
  const isKnown = !['q', 'k', 'row'].some((name) => mentions(by, 'index', name));
  return isKnown && constant === 0 && rest === 0 ? 0 : undefined;
}

type Side = 'of_key' | 'of_query';

/** Floats other than loads are left: comparisons with an integer need more of their digits than a float has. */
const isWorthIt = (node: Expression): boolean =>
  !isQuick(node) && (node.kind === 'int' || node.op === 'at');

/** Which of the two a value depends on, where it is one of them. */
function sideOf(node: Expression): Side | undefined {
  const key = mentions(node, 'index', 'k');
  const query = mentions(node, 'index', 'q') || mentions(node, 'index', 'row');
  return key === query ? undefined : key ? 'of_key' : 'of_query';
}

/** `KeyLoads`, `QueryLoads`, and how to load them. Needs the captured tensors. */
export function loadsText({ ofKey, ofQuery }: SplitLoads, names: Names): string {
  const struct = (name: string, loads: readonly Load[]): string =>
    `struct ${name} {
${loads.map(({ member, expression }) => `  ${expression.kind} ${member};\n`).join('')}};`;
  const made = (loads: readonly Load[], of: string): string => {
    const values = loads.map(({ expression }) => scalarText(expression, names));
    return loads.length === 0
      ? '  return {};'
      : `  const int ${of};\n  return {${values.join(', ')}};`;
  };
  return `// What the mask asks of a key alone, and of a query alone.
${struct('KeyLoads', ofKey)}
${struct('QueryLoads', ofQuery)}
// Columns and rows of a tile that there are not have those of the nearest: integers are proved for no others.
WARPLOOM_DEVICE KeyLoads load_of_key(const Unit& u, int key) {
${made(ofKey, 'k = min(key, u.k_len - 1)')}
}
WARPLOOM_DEVICE QueryLoads load_of_query(const Unit& u, int row) {
${made(ofQuery, 'q = min(max(row, u.offset), u.k_len - 1)')}
}
`;
}

/** `loads_of_lane`: how lanes hand on what each has loaded of a key, or of a query. */
export function handedOnText(
  name: 'KeyLoads' | 'QueryLoads',
  { ofKey, ofQuery }: SplitLoads,
): string {
  const loads = name === 'KeyLoads' ? ofKey : ofQuery;
  const shuffled = loads.map(({ member }) => `__shfl_sync(FULL_WARP, own.${member}, lane)`);
  return `// What a lane has loaded of its ${name === 'KeyLoads' ? 'key' : 'query'}.
WARPLOOM_DEVICE ${name} loads_of_lane(const ${name}& own, int lane) { return {${shuffled.join(', ')}}; }
`;
}
