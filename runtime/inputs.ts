// Whether the tensors, numbers and chosen sets of a call fit a pattern and each other: the one check that
// every device and the oracle run. Collects all findings, computes nothing.

import { type ChosenSet, type ChosenSetsData, isChosenSet, type SetDomain } from '../dsl/chosen.ts';
import { type Definition, traceSets } from '../dsl/definition.ts';
import {
  type Code,
  type Diagnostic,
  diagnostic,
  PlanError,
  ShapeError,
  throwIfAny,
} from '../dsl/diagnostic.ts';
import { domainOf } from '../dsl/estimate/domain.ts';
import type { NeededRows } from '../dsl/estimate/needed.ts';
import { axesOfChosen, isPerGroup } from '../dsl/estimate/node.ts';
import type { EstimateGraph } from '../dsl/estimate/trace.ts';
import {
  type BoundParameters,
  bindParameters,
  declareParam,
  isTensorInput,
  parametersOf,
  type TensorInput,
} from '../dsl/given.ts';
import type { LaunchShape } from '../dsl/shape.ts';
import { isObject, shown } from '../dsl/shown.ts';
import { showShape } from './dtype.ts';
import { isPlacedSet } from './memory.ts';
import {
  checkSegments,
  checkStatic,
  packedShape,
  type Segments,
  type SegmentsInput,
} from './segments.ts';
import { Tensor } from './tensor.ts';

/** Tensors of a call; captured tensors under the names that the pattern declares. */
export interface AttentionInputs<Sets = ChosenSetsData> {
  /** shape: [batch, heads, qLen, headDim] */
  readonly q: Tensor;
  /** shape: [batch, kvHeads, kLen, headDim] */
  readonly k: Tensor;
  /** shape: [batch, kvHeads, kLen, valueDim] */
  readonly v: Tensor;
  /** Sets to use instead of running the estimate. */
  readonly chosen?: Sets | undefined;
  /**
   * Sequences packed one after another, each an attention call of its own: batch is 1, qLen and kLen are
   * the rows of all. Their number takes the place of batch for `pair.batch` and for captured tensors.
   */
  readonly segments?: SegmentsInput | undefined;
  readonly [captured: string]: Tensor | Sets | SegmentsInput | undefined;
}

/** The same before it is checked: `q`, `k`, `v`, captured tensors by name, perhaps `chosen` and `segments`. */
export type CallInputs = Readonly<Record<string, unknown>>;

/** A call that fits. */
export interface CheckedInputs {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  /** With segments: `batch` is their number, `qLen` and `kLen` the longest. */
  readonly shape: LaunchShape;
  readonly segments?: Segments | undefined;
}

/** What one pattern is given in a call. */
export interface CheckedGiven {
  readonly params: BoundParameters;
  readonly captured: Readonly<Record<string, Tensor>>;
}

type Report = (code: Code, what: string, help?: string) => void;

/**
 * Sizes, parameters and captured tensors of a call of one pattern. `params` has a number or one number
 * per query head for each name. throws: ShapeError with all of T001 .. T009 that apply.
 */
export function checkInputs(
  definition: Definition,
  inputs: CallInputs,
  params: Readonly<Record<string, unknown>> = {},
): CheckedInputs & CheckedGiven {
  const { given, ...call } = checkAllInputs([definition], inputs, params);
  return { ...call, ...given[0]! };
}

/**
 * The same for a call of several patterns (byHead): each takes the names it declares, and a name that
 * none declares is an error. `given` is in the order of the definitions, and so are their `own` heads, all when left out.
 */
export function checkAllInputs(
  definitions: readonly Definition[],
  inputs: CallInputs,
  params: Readonly<Record<string, unknown>> = {},
  own: readonly (readonly number[])[] = [],
): CheckedInputs & { readonly given: readonly CheckedGiven[] } {
  const findings: Diagnostic[] = [];
  const report: Report = (code, what, help) => {
    if (findings.some((known) => known.what === what)) return;
    findings.push(diagnostic(code, what, help === undefined ? {} : { help }));
  };
  const main = checkPacked(definitions, inputs, checkMain(inputs, report), report);
  const heads = main?.shape.heads;
  const given = definitions.map((definition, i): CheckedGiven => {
    const captured = checkCaptured(definition, inputs, main, report);
    return {
      captured,
      params: checkParameters(definition, params, heads, own[i], report, findings),
    };
  });
  checkNames(definitions, inputs, params, report);
  throwIfAny(findings, ShapeError);
  return { ...main!, given };
}

/** q, k and v: ranks, dtypes, and sizes that agree; undefined when the sizes cannot be known. */
function checkMain(inputs: CallInputs, report: Report): CheckedInputs | undefined {
  const known = ['q', 'k', 'v'].map((name) => {
    const value = tensorOf(name, inputs[name], report);
    if (!value) return undefined;
    if (value.dtype === 'i32') {
      report('T003', `'${name}' has dtype i32`, 'attention takes fp32, fp16 or bf16');
    }
    if (value.shape.length === 4) return value;
    const rank = `'${name}' has the shape ${showShape(value.shape)}`;
    report('T001', rank, `give it four axes: [batch, head, sequence, dim]`);
    return undefined;
  });
  const [q, k, v] = known;
  if (!q || !k || !v) return undefined;
  const dtypes = [q, k, v].map(({ dtype }) => dtype);
  // One of another kind has been reported, and says all.
  if (new Set(dtypes).size > 1 && !dtypes.includes('i32')) {
    const what = `q is ${q.dtype}, k is ${k.dtype} and v is ${v.dtype}`;
    report('T003', what, "convert them to one dtype: k.to('bf16')");
  }
  const [batch = 0, heads = 0, qLen = 0, headDim = 0] = q.shape;
  const [, kvHeads = 0, kLen = 0] = k.shape;
  const valueDim = v.shape[3] ?? 0;
  const agree = (axis: number, what: string, name: string, tensor: Tensor, expected: number) => {
    const got = tensor.shape[axis]!;
    if (got === expected) return;
    const code = axis === 1 ? 'T007' : 'T002';
    report(code, `'${name}' has ${what} ${got}, expected ${expected}`, shapesOf(q, k, v));
  };
  agree(0, 'batch size', 'k', k, batch);
  agree(0, 'batch size', 'v', v, batch);
  agree(3, 'head dimension', 'k', k, headDim);
  agree(1, 'a number of heads of', 'v', v, kvHeads);
  agree(2, 'length', 'v', v, kLen);
  const longest = Math.max(qLen, kLen);
  if (longest > 2 ** 31 - 1)
    report('T009', `a length of ${longest}`, 'positions are at most 2^31 - 1');
  if (headDim === 0) report('T002', 'the head dimension is 0', shapesOf(q, k, v));
  if (kvHeads === 0 || heads === 0 || heads % kvHeads !== 0) {
    const { what, help } = unevenHeads(heads, kvHeads);
    report('T007', what, help);
  }
  return { q, k, v, shape: { batch, heads, kvHeads, qLen, kLen, headDim, valueDim } };
}

/** What to say of heads that KV heads cannot share evenly. */
export const unevenHeads = (heads: number, kvHeads: number) => ({
  what: `${heads} query heads do not divide among ${kvHeads} KV heads`,
  help: 'the query heads are a multiple of the KV heads, both from 1',
});

/** A call with its segments; a pattern that declares a tensor of that name keeps the name. */
function checkPacked(
  definitions: readonly Definition[],
  inputs: CallInputs,
  main: CheckedInputs | undefined,
  report: Report,
): CheckedInputs | undefined {
  const isTensor = definitions.some(({ given }) => Object.hasOwn(given, 'segments'));
  if (inputs.segments === undefined || isTensor) return main;
  checkStatic(definitions);
  const segments = main && checkSegments(inputs.segments, main.shape, report);
  return segments && { ...main, segments, shape: packedShape(main.shape, segments) };
}

const shapesOf = (q: Tensor, k: Tensor, v: Tensor): string =>
  `q is ${showShape(q.shape)}, k ${showShape(k.shape)}, v ${showShape(v.shape)}`;

function tensorOf(name: string, value: unknown, report: Report): Tensor | undefined {
  if (value instanceof Tensor) return value;
  const got = value === undefined ? 'missing' : `no tensor but of type ${kindOf(value)}`;
  report('T004', `'${name}' is ${got}`, `pass ${name}: tensor(data, { shape, dtype })`);
  return undefined;
}

const kindOf = (value: unknown): string =>
  value === null ? 'null' : ((value as object).constructor?.name ?? typeof value);

/** Captured tensors: there, of the declared rank and dtype, with sizes that unify by name. */
function checkCaptured(
  { name: pattern, given }: Definition,
  inputs: CallInputs,
  call: Pick<CheckedInputs, 'shape' | 'segments'> | undefined,
  report: Report,
): Record<string, Tensor> {
  const sizes = new Map<string, { size: number; whose: string }>();
  if (call) {
    const { batch, heads, kvHeads, qLen, kLen } = call.shape;
    const known = { batch, head: heads, kvHead: kvHeads, q: qLen, k: kLen };
    for (const [dim, size] of Object.entries(known)) sizes.set(dim, { size, whose: 'the call' });
  }
  const captured: Record<string, Tensor> = {};
  const declared = Object.entries(given).filter((entry): entry is [string, TensorInput] =>
    isTensorInput(entry[1]),
  );
  for (const [name, { dtype, dims }] of declared) {
    const tensor = tensorOf(name, inputs[name], report);
    if (!tensor) continue;
    captured[name] = tensor;
    const wanted = dtype === 'i32' ? 'i32' : 'fp32';
    if (tensor.dtype !== wanted) {
      const what = `'${name}' has dtype ${tensor.dtype}, expected ${wanted}`;
      report('T003', what, `'${pattern}' declares it as ${dtype}(...)`);
    }
    const axes = `it is declared as [${dims.join(', ')}]`;
    const uneven = call?.segments && dims.find((dim) => dim === 'q' || dim === 'k');
    if (uneven !== undefined) {
      const what = `'${name}' has the axis '${uneven}', which differs from segment to segment`;
      report('T002', what, `${axes}: leave '${uneven}' out, or call once per sequence`);
      continue;
    }
    if (tensor.shape.length !== dims.length) {
      const what = `'${name}' has the shape ${showShape(tensor.shape)}, expected ${dims.length} axes`;
      report('T001', what, axes);
      continue;
    }
    for (const [axis, dim] of dims.entries()) {
      const got = tensor.shape[axis]!;
      const known = sizes.get(dim);
      if (!known) sizes.set(dim, { size: got, whose: `'${name}'` });
      else if (known.size !== got) {
        const what = `'${name}' has ${got} along '${dim}', expected ${known.size} as ${known.whose} has`;
        report('T002', what, axes);
      }
    }
  }
  return captured;
}

function checkParameters(
  { name: pattern, given }: Definition,
  params: Readonly<Record<string, unknown>>,
  heads: number | undefined,
  ownHeads: readonly number[] | undefined,
  report: Report,
  findings: Diagnostic[],
): BoundParameters {
  // Names that this pattern lacks are another pattern's, or reported by checkNames.
  const own = Object.fromEntries(
    Object.entries(params).filter(([name]) => Object.hasOwn(given, name)),
  );
  for (const name of Object.keys(own)) {
    if (!isTensorInput(given[name])) continue;
    report('T005', `'${name}' is a tensor, not a parameter`, 'pass it beside q, k and v');
    delete own[name];
  }
  // Without q the number of heads is unknown: what a list itself says is as good as any.
  const lists = Object.values(own).filter((value) => Array.isArray(value));
  const count = heads ?? lists[0]?.length ?? 1;
  const { bound, findings: found } = bindParameters(pattern, given, own as never, count, ownHeads);
  for (const finding of found) {
    if (!findings.some(({ what }) => what === finding.what)) findings.push(finding);
  }
  for (const [name, value] of Object.entries(bound)) {
    const entry = given[name];
    if (entry === undefined || isTensorInput(entry) || declareParam(entry).kind !== 'int') continue;
    const large = [value].flat().find((one) => Math.abs(one) > 0x7fffffff);
    if (large === undefined) continue;
    report('T009', `parameter '${name}' is ${large}`, 'integers are at most 2^31 - 1 in size');
  }
  return bound;
}

/** Every name of the call is declared by a pattern. */
function checkNames(
  definitions: readonly Definition[],
  inputs: CallInputs,
  params: Readonly<Record<string, unknown>>,
  report: Report,
): void {
  const title = definitions.map(({ name }) => `'${name}'`).join(', ');
  const namesOf = (tensors: boolean) =>
    new Set(
      definitions.flatMap(({ given }) =>
        Object.keys(given).filter((name) => isTensorInput(given[name]) === tensors),
      ),
    );
  const [tensors, numbers] = [namesOf(true), namesOf(false)];
  for (const [name, value] of Object.entries(inputs)) {
    if (
      ['q', 'k', 'v', 'chosen', 'segments'].includes(name) ||
      tensors.has(name) ||
      value === undefined
    )
      continue;
    const help = numbers.has(name)
      ? 'parameters go into the second argument'
      : `it takes ${['q', 'k', 'v', 'chosen', 'segments', ...tensors].join(', ')}`;
    report('T005', `${title} takes no tensor '${name}'`, help);
  }
  for (const name of Object.keys(params)) {
    if (numbers.has(name) || tensors.has(name)) continue;
    const help = numbers.size > 0 ? `it has ${[...numbers].join(', ')}` : 'it has none';
    report('T005', `${title} has no parameter '${name}'`, help);
  }
}

/**
 * The sets that a call passes for each of its distinct patterns: those of one pattern, or with byHead a list.
 * throws: ShapeError T011 for one in place of the other.
 */
export function passedSets(
  chosen: unknown,
  isPerHead: boolean,
  patterns: number,
): readonly (ChosenSetsData | undefined)[] {
  if (chosen === undefined) return Array.from({ length: patterns }, () => undefined);
  if (!isPerHead && !Array.isArray(chosen) && isObject(chosen)) return [chosen as ChosenSetsData];
  if (isPerHead && Array.isArray(chosen) && chosen.length === patterns) return chosen;
  const isOne = isObject(chosen) && !Array.isArray(chosen);
  const got = Array.isArray(chosen)
    ? `a list of ${chosen.length}`
    : isOne
      ? 'those of one pattern'
      : shown(chosen);
  const wanted = isPerHead
    ? `a list of ${patterns}, one per distinct pattern`
    : 'those of one pattern';
  throw new ShapeError([
    diagnostic('T011', `the chosen sets are ${got}, expected ${wanted}`, {
      help: 'pass what attend.estimate returned for the same pattern',
    }),
  ]);
}

/**
 * Chosen sets that a call passes instead of running the estimate: every set of the pattern, with as many
 * axes and units as it has, and with the rows that this call needs. throws: ShapeError T011.
 */
export function checkChosen(
  pattern: string,
  graph: EstimateGraph,
  chosen: ChosenSetsData,
  shape: LaunchShape,
  needed: () => NeededRows,
): void {
  const findings: Diagnostic[] = [];
  const report = (what: string, help: string) => findings.push(diagnostic('T011', what, { help }));
  const again = 'pass what attend.estimate returned for tensors of these sizes';
  for (const [name, node] of Object.entries(graph)) {
    const facts = factsOfSet(Object.hasOwn(chosen, name) ? chosen[name] : undefined);
    if (!facts) {
      report(`the chosen sets lack '${name}' of '${pattern}'`, again);
      continue;
    }
    const { count, domains } = facts;
    const perGroup = isPerGroup(node);
    const units = shape.batch * (perGroup ? shape.kvHeads : shape.heads);
    if (facts.perGroup !== perGroup || count !== units) {
      const each = (group: boolean) => (group ? 'KV head' : 'query head');
      const got = `${count} units, one per ${each(facts.perGroup)}`;
      report(`'${name}' has ${got}; expected ${units}, one per ${each(perGroup)}`, again);
    }
    const axes = axesText(axesOfChosen(node));
    if (facts.axes !== axes)
      report(`'${name}' has the axes ${facts.axes}, expected ${axes}`, again);
    const wanted = domainOf(node, shape);
    const other = domains.find((domain) => !sameDomain(domain, wanted));
    if (other) report(`'${name}' has ${domainText(other)}, expected ${domainText(wanted)}`, again);
    const { rows } = chosen[name]!;
    const asked = rows && needed()[name];
    if (asked && asked.from < asked.to && (asked.from < rows.from || asked.to > rows.to)) {
      const [has, reads] = [rows, asked].map(({ from, to }) => `rows ${from} to ${to - 1}`);
      const what = `'${name}' was chosen for ${has} alone, and ${reads} matter with these numbers`;
      report(what, 'estimate with the numbers that attention has');
    }
  }
  for (const name of Object.keys(chosen)) {
    if (!Object.hasOwn(graph, name)) report(`'${pattern}' has no set '${name}'`, again);
  }
  throwIfAny(findings, ShapeError);
}

/** Units and domains of a set, wherever it is; undefined for what is no set. */
function factsOfSet(
  set: ChosenSet | undefined,
): { axes: string; perGroup: boolean; count: number; domains: readonly SetDomain[] } | undefined {
  // What a set in the memory of a device has in its units is not there to be asked.
  const isPlaced = isPlacedSet(set);
  if (!isPlaced && !isChosenSet(set)) return undefined;
  const known = { axes: axesText(set.axes), perGroup: set.perGroup };
  if (isPlaced) return { ...known, count: set.count, domains: [set.domain] };
  return { ...known, count: set.units.length, domains: set.units.map(({ domain }) => domain) };
}

/** Such as `q x kBlock of 64`. */
const axesText = (axes: ChosenSet['axes']): string =>
  axes.map(({ axis, size }) => (size > 1 ? `${axis} of ${size}` : axis)).join(' x ');

// Rows are left to the call: a set may be kept for some of the query rows, and has none elsewhere.
const sameDomain = (a: SetDomain, b: SetDomain): boolean =>
  a.columns === b.columns && a.arity === b.arity;

const domainText = ({ rowFrom, rows, columns, arity }: SetDomain): string =>
  arity === 1
    ? `${columns} members`
    : `rows ${rowFrom} to ${rowFrom + rows - 1} of ${columns} members`;

/**
 * The estimate of every query head, traced with its numbers; one object for heads with the same numbers.
 * throws: PlanError with E codes, those of `checkGraphs` included.
 */
export function graphsPerHead(
  definition: Definition,
  params: BoundParameters,
  shape: LaunchShape,
): EstimateGraph[] {
  const known = new Map<string, EstimateGraph>();
  const graphs = Array.from({ length: shape.heads }, (_, head) => {
    const numbers = parametersOf(params, head);
    const key = JSON.stringify(numbers);
    const graph = known.get(key) ?? traceSets(definition, numbers);
    known.set(key, graph);
    return graph;
  });
  checkGraphs(graphs, shape);
  return graphs;
}

/**
 * Heads may differ in numbers, not in what their sets are: the same names, the same axes, and equal
 * numbers where heads share a set. throws: PlanError E003.
 */
export function checkGraphs(graphs: readonly EstimateGraph[], shape: LaunchShape): void {
  const [first] = graphs;
  if (!first) return;
  const facts = (graph: EstimateGraph) =>
    JSON.stringify(
      Object.entries(graph).map(([name, node]) => [name, axesOfChosen(node), isPerGroup(node)]),
    );
  const usual = facts(first);
  const checked = new Set([first]);
  for (const [head, graph] of graphs.entries()) {
    if (!checked.has(graph) && facts(graph) !== usual) {
      throw new PlanError([
        diagnostic('E003', `the estimate gives head ${head} other sets than head 0`, {
          help: 'choose numbers that leave the names and the axes of the sets the same',
        }),
      ]);
    }
    checked.add(graph);
    const leader = graphs[head - (head % (shape.heads / shape.kvHeads))]!;
    if (graph === leader) continue;
    for (const [name, node] of Object.entries(graph)) {
      if (!isPerGroup(node) || JSON.stringify(node) === JSON.stringify(leader[name])) continue;
      throw new PlanError([
        diagnostic(
          'E003',
          `'${name}' is one set per KV head, and its heads have different numbers`,
          {
            help: 'give the query heads of a KV head the same parameters',
          },
        ),
      ]);
    }
  }
}

/** A row of the output that is not a number. */
export function notANumber({
  batch,
  head,
  row,
}: {
  batch: number;
  head: number;
  row: number;
}): ShapeError {
  return new ShapeError([
    diagnostic('T010', `the output of batch ${batch}, head ${head}, row ${row} is not a number`, {
      help: 'its query, or a key or value of a tile that it visits, is NaN or infinite, or the score is',
    }),
  ]);
}
