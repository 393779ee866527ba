// Tracing: an estimate is run once with recording values, and what it did is its graph (node.ts).
// Steps that do not fit together are diagnostics here as well, for callers without types.

import { type Diagnostic, diagnostic, PlanError } from '../diagnostic.ts';
import { ranBy } from '../lift/thrown.ts';
import { isObject, shown } from '../shown.ts';
import {
  axesOfChosen,
  axesOfScores,
  axisOfSums,
  type ChosenNode,
  type DivergenceNode,
  type EstimateNode,
  inputsOf,
  isOpen,
  isSum,
  type ScoreNode,
  type Selectable,
  type SumNode,
  type VectorNode,
  type VerdictNode,
  type WeightNode,
} from './node.ts';
import type {
  Always,
  Axis,
  Chosen,
  ChosenSets,
  Inputs,
  Measure,
  Rest,
  RestInputs,
  Scores,
  Sums,
  Verdict,
  Weights,
} from './values.ts';

const scores = ['dot', 'antidiagonal', 'causal'];
const weights = ['softmax', 'exp', 'sumPerBlock', 'sumPerGroup'];
const vectors = ['input', 'last', 'pool'];
const sets = ['topk', 'above', 'cover', 'dilate', 'where'];

function refuse(what: string, help: string): never {
  throw new PlanError([diagnostic('E003', what, { help })]);
}

function size(name: string, value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 1) return value;
  throw new PlanError([
    diagnostic('E006', `${name}(${String(value)}): a size is an integer from 1`, {
      help: `give a fixed parameter of at least 1: fixed(64)`,
    }),
  ]);
}

function budget(name: string, value: unknown, high: number, integer: boolean): number {
  if (
    typeof value === 'number' &&
    value >= 0 &&
    value <= high &&
    (!integer || Number.isInteger(value))
  ) {
    return value;
  }
  const help = `give ${integer ? 'an integer from 0' : `a number from 0 to ${high}`}`;
  throw new PlanError([
    diagnostic('E006', `${name}(${String(value)}): a budget outside its range`, { help }),
  ]);
}

/** What a step is given beside its numbers: names that it does not have are mistakes, not left aside. */
function checkOptions(step: string, options: unknown, known: readonly string[]): void {
  const help = `give it { ${known.join(', ')} }`;
  if (!isObject(options)) refuse(`${step} is given ${shown(options)}`, help);
  const other = Object.keys(options).find((name) => !known.includes(name));
  if (other !== undefined) refuse(`${step} takes no '${other}'`, help);
}

function always(name: string, given: Always = {}): Required<Always> {
  checkOptions(`always of ${name}`, given, ['first', 'last']);
  const { first = 0, last = 0 } = given;
  return {
    first: budget(`${name} always.first`, first, Infinity, true),
    last: budget(`${name} always.last`, last, Infinity, true),
  };
}

const brand = Symbol.for('warploom.recorded');

/** One recorded value. Its methods are all that any value has; each checks that it fits. */
class Recorded {
  readonly node: EstimateNode;
  /** Known across copies of this package, as when a user's file and the command load one each. */
  readonly [brand] = true;

  static [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && brand in value;
  }

  constructor(node: EstimateNode) {
    this.node = Object.freeze(node);
  }

  #need<N extends EstimateNode>(step: string, allowed: readonly string[], what: string): N {
    if (!allowed.includes(this.node.op))
      refuse(`${step} needs ${what}, and gets '${this.node.op}'`, `apply .${step} to ${what}`);
    return this.node as N;
  }

  last(n: number): Recorded {
    const of = this.#need<VectorNode>('last', ['input'], 'q');
    if (of.op === 'input' && of.of !== 'q') refuse('last needs the queries', 'write q.last(n)');
    return new Recorded({ op: 'last', of, size: size('last', n) });
  }

  pool(n: number, how: 'mean' | 'max' = 'mean'): Recorded {
    if (isSum(this.node)) {
      if (axisOfSums(this.node).axis !== 'k')
        refuse('pool needs sums per key', 'pool what sumPerKey() returned');
      return new Recorded({ op: 'poolSums', of: this.node, size: size('pool', n) });
    }
    const of = this.#need<VectorNode>('pool', ['input', 'last'], 'q, k, or sums per key');
    return new Recorded({ op: 'pool', of, size: size('pool', n), how });
  }

  dot(other: Recorded): Recorded {
    const left = this.#need<VectorNode>('dot', vectors, 'vectors');
    if (!(other instanceof Recorded) || !vectors.includes(other.node.op)) {
      refuse('dot needs vectors as its argument', 'write q.dot(k), or pools of them');
    }
    return new Recorded({ op: 'dot', left, right: other.node as VectorNode });
  }

  causal(): Recorded {
    const of = this.#need<ScoreNode>('causal', scores, 'scores');
    return of.op === 'causal' ? this : new Recorded({ op: 'causal', of });
  }

  softmax(): Recorded {
    return new Recorded({ op: 'softmax', of: this.#need('softmax', scores, 'scores') });
  }

  exp(): Recorded {
    return new Recorded({ op: 'exp', of: this.#need('exp', scores, 'scores') });
  }

  sumPerKey(): Recorded {
    return new Recorded({ op: 'sumPerKey', of: this.#need('sumPerKey', weights, 'weights') });
  }

  sumPerDistance(): Recorded {
    const of = this.#need<WeightNode>('sumPerDistance', weights, 'weights');
    const [rows, columns] = axesOfScores(of);
    if (rows.axis !== 'q' || columns.axis !== 'k') {
      refuse(
        'sumPerDistance needs weights of single queries and keys',
        'take the dot product of q and k without pools',
      );
    }
    return new Recorded({ op: 'sumPerDistance', of });
  }

  sumPerBlock(tile: number): Recorded {
    const of = this.#need<WeightNode>('sumPerBlock', weights, 'weights');
    if (axesOfScores(of)[0].axis !== 'q')
      refuse('sumPerBlock needs weights of single queries', 'do not pool q before it');
    return new Recorded({ op: 'sumPerBlock', of, size: size('sumPerBlock', tile) });
  }

  sumPerGroup(): Recorded {
    if (isSum(this.node)) return new Recorded({ op: 'sumsPerGroup', of: this.node });
    return new Recorded({ op: 'sumPerGroup', of: this.#need('sumPerGroup', weights, 'weights') });
  }

  topk(n: number, options: { always?: Always } = {}): Recorded {
    checkOptions('topk', options, ['always']);
    const of = this.#selectable('topk');
    return new Recorded({
      op: 'topk',
      of,
      count: budget('topk', n, Infinity, true),
      always: always('topk', options.always),
    });
  }

  above(
    share: number,
    options: { always?: Always; of?: 'max' | 'sum'; capacity?: number } = {},
  ): Recorded {
    checkOptions('above', options, ['always', 'of', 'capacity']);
    const of = this.#weights('above');
    return new Recorded({
      op: 'above',
      of,
      share: budget('above', share, 1, false),
      reference: options.of ?? 'max',
      always: always('above', options.always),
      capacity: budget(
        'above capacity',
        options.capacity ?? Infinity,
        Infinity,
        options.capacity !== undefined,
      ),
    });
  }

  cover(mass: number, options: { always?: Always; capacity?: number } = {}): Recorded {
    checkOptions('cover', options, ['always', 'capacity']);
    const of = this.#weights('cover');
    return new Recorded({
      op: 'cover',
      of,
      mass: budget('cover', mass, 1, false),
      always: always('cover', options.always),
      capacity: budget(
        'cover capacity',
        options.capacity ?? Infinity,
        Infinity,
        options.capacity !== undefined,
      ),
    });
  }

  dilate(n: number): Recorded {
    const of = this.#need<ChosenNode>('dilate', sets, 'a chosen set');
    return new Recorded({ op: 'dilate', of, size: size('dilate', n) });
  }

  below(limit: number): Recorded {
    const of = this.#need<DivergenceNode>('below', ['divergence'], 'a divergence');
    return new Recorded({ op: 'below', of, limit });
  }

  #selectable(step: string): Selectable {
    if (isSum(this.node)) return this.node;
    return this.#need(step, [...scores, ...weights], 'scores, weights or sums');
  }

  #weights(step: string): WeightNode | SumNode {
    if (isSum(this.node)) return this.node;
    return this.#need(step, weights, 'weights or sums');
  }
}

const recorded = (value: unknown, step: string): Recorded =>
  value instanceof Recorded
    ? value
    : refuse(`${step} needs a value of the estimate`, 'build it from q and k');

/**
 * Scores of cells of `stride` x `stride` tokens, each the scaled sum along the cell's antidiagonal;
 * `causal` and `softmax` act on cells, the weights are then summed to blocks of `block` tokens.
 * Source: XAttention (Xu et al., 2025). `block` is a multiple of `stride`; both must be fixed.
 */
export function antidiagonal(
  _q: Inputs['q'],
  _k: Inputs['k'],
  options: { stride: number; block: number },
): Scores<'qBlock', 'kBlock'> {
  checkOptions('antidiagonal', options, ['stride', 'block']);
  const stride = size('antidiagonal stride', options.stride);
  const block = size('antidiagonal block', options.block);
  if (block % stride !== 0)
    refuse(
      `antidiagonal: block ${block} is not a multiple of stride ${stride}`,
      'choose a block of whole cells',
    );
  return new Recorded({ op: 'antidiagonal', stride, block }) as unknown as Scores<
    'qBlock',
    'kBlock'
  >;
}

/**
 * The Jensen-Shannon distance (0 .. sqrt(ln 2)) of two vectors of sums, each first divided by its
 * total; terms with a zero are zero. Source: FlexPrefill (Lai et al., 2025).
 */
export function divergence<X extends Axis>(left: Sums<X>, right: Sums<NoInfer<X>>): Measure {
  const [a, b] = [recorded(left, 'divergence').node, recorded(right, 'divergence').node];
  if (!isSum(a) || !isSum(b))
    return refuse('divergence compares two vectors of sums', 'apply sumPerKey() first');
  const [x, y] = [axisOfSums(a), axisOfSums(b)];
  if (x.axis !== y.axis || x.size !== y.size)
    refuse('divergence compares sums over different axes', 'pool both to the same blocks');
  if (isOpen(a) || isOpen(b)) {
    throw new PlanError([
      diagnostic('E002', 'divergence of weights behind exp(), whose factor is open', {
        help: 'use softmax()',
      }),
    ]);
  }
  return new Recorded({ op: 'divergence', left: a, right: b }) as unknown as Measure;
}

/** Per head: the set `yes` where the verdict holds, else `no`; `'none'` is the empty set. */
export function where<Axes extends readonly Axis[]>(
  verdict: Verdict,
  yes: Chosen<Axes> | 'none',
  no: Chosen<Axes> | 'none',
): Chosen<Axes> {
  const part = (set: unknown) =>
    set === 'none' ? 'none' : (recorded(set, 'where').node as ChosenNode);
  const node = recorded(verdict, 'where').node as VerdictNode;
  if (node.op !== 'below') refuse('where needs a verdict', 'write divergence(a, b).below(limit)');
  if (yes === 'none' && no === 'none')
    refuse('where needs a set on one side at least', "replace one 'none'");
  const axesOf = (set: ChosenNode | 'none') =>
    set === 'none' ? undefined : JSON.stringify(axesOfChosen(set));
  const [a, b] = [axesOf(part(yes)), axesOf(part(no))];
  if (a && b && a !== b)
    refuse('where chooses between sets of different axes', 'select both from the same axes');
  return new Recorded({
    op: 'where',
    verdict: node,
    yes: part(yes),
    no: part(no),
  }) as unknown as Chosen<Axes>;
}

export type EstimateProgram = (inputs: never, numbers: never) => ChosenSets;
export type RestProgram = (inputs: never, numbers: never) => Rest;

/** The sets of an estimate, by name. */
export type EstimateGraph = Readonly<Record<string, ChosenNode>>;

/** Runs an estimate with concrete numbers and returns its graph. Throws PlanError with E codes. */
export function traceEstimate(
  program: EstimateProgram,
  numbers: Readonly<Record<string, number>>,
): EstimateGraph {
  const inputs = {
    q: new Recorded({ op: 'input', of: 'q' }),
    k: new Recorded({ op: 'input', of: 'k' }),
  };
  const result: unknown = ranBy(() => program(inputs as never, numbers as never));
  if (typeof result !== 'object' || result === null || Object.keys(result).length === 0) {
    throw new PlanError([
      diagnostic('E005', 'the estimate returns no sets', {
        help: 'return an object of named sets: ({ columns: ... })',
      }),
    ]);
  }
  const findings: Diagnostic[] = [];
  const graph: Record<string, ChosenNode> = {};
  for (const [name, value] of Object.entries(result)) {
    if (value instanceof Recorded && sets.includes(value.node.op))
      graph[name] = value.node as ChosenNode;
    else
      findings.push(
        diagnostic('E005', `'${name}' of the estimate is not a chosen set`, {
          help: 'end it with topk, above or cover',
        }),
      );
  }
  if (findings.length) throw new PlanError(findings as [Diagnostic, ...Diagnostic[]]);
  return graph;
}

/** Runs `.rest` and returns the pool size of its stand-ins. Throws PlanError E008. */
export function traceRest(program: RestProgram, numbers: Readonly<Record<string, number>>): number {
  const poolable = (of: 'k' | 'v') => ({ pool: (n: number) => ({ of, pooled: size('pool', n) }) });
  const inputs: RestInputs = { k: poolable('k'), v: poolable('v') };
  const result = ranBy(() => program(inputs as never, numbers as never)) as Partial<
    Record<'keys' | 'values', { of?: string; pooled?: number }>
  >;
  const { keys, values } = result ?? {};
  if (keys?.of !== 'k' || values?.of !== 'v' || keys.pooled !== values.pooled) {
    throw new PlanError([
      diagnostic('E008', 'rest needs keys and values that are pools of k and v of one size', {
        help: 'write ({ k, v }) => ({ keys: k.pool(64), values: v.pool(64) })',
      }),
    ]);
  }
  return keys.pooled!;
}

/** The sizes of a graph that have to be fixed, and its structure without any number, as texts. */
export function skeleton(graph: EstimateGraph): { steps: string; sizes: string } {
  const steps: string[] = [];
  const sizes: string[] = [];
  const visit = (node: EstimateNode): void => {
    steps.push(node.op);
    if ('size' in node) sizes.push(`${node.op}(${node.size})`);
    if (node.op === 'antidiagonal') sizes.push(`antidiagonal(${node.stride}, ${node.block})`);
    inputsOf(node).forEach(visit);
  };
  Object.values(graph).forEach(visit);
  return { steps: steps.join(' '), sizes: sizes.join(' ') };
}

export type { Weights };
