// Calls of one pattern made ready: kernels chosen, integers proved, launch lists encoded. Kept by what
// decides them, so that a call like an earlier one only fills in addresses.

import type { RowStrides, Turn } from '../../codegen/attention/call.ts';
import { type Choice, choiceName } from '../../codegen/attention/choice.ts';
import { attentionLaunch, paramsOf } from '../../codegen/attention/launch.ts';
import { hopperArch } from '../../codegen/attention/legal.ts';
import { lengthClass } from '../../codegen/attention/lengths.ts';
import { estimateLaunch } from '../../codegen/estimate/index.ts';
import { type Definition, lifted } from '../../dsl/definition.ts';
import type { PlanError } from '../../dsl/diagnostic.ts';
import type { FallbackLimits } from '../../dsl/estimate/limits.ts';
import type { EstimateGraph } from '../../dsl/estimate/trace.ts';
import { mentions, walk } from '../../dsl/expression.ts';
import { isFixed, parametersOf } from '../../dsl/given.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import type { FloatType } from '../dtype.ts';
import { type CheckedGiven, graphsPerHead } from '../inputs.ts';
import { bringHome, capturedParts, proofOfStated, proveIntegers } from '../launch.ts';
import { rowsNeeded } from '../needed-rows.ts';
import type { CallOptions, Part } from '../parts.ts';
import type { Segments } from '../segments.ts';
import { isTunedOff, tunedStore } from '../tuner/store.ts';
import { inTurns, planningIn } from '../turns.ts';
import { Block } from './block.ts';
import { notFinite } from './error-words.ts';
import { groupOf, type KernelRequest } from './kernel-request.ts';
import { type ChosenKernel, chooseKernel } from './kernels.ts';
import { type Layout, layoutOf, placeLayout } from './layout.ts';
import type { Machine, ReadyList } from './machine.ts';
import { type LaunchedSet, launchedSets, type SetFacts } from './sets.ts';

/** A call as far as its tensors' places do not matter. */
export interface CallFacts {
  readonly part: Part;
  readonly shape: LaunchShape;
  readonly dtype: FloatType;
  readonly strides: Readonly<Record<'q' | 'k' | 'v' | 'out', RowStrides>>;
  readonly given: CheckedGiven;
  readonly segments?: Segments | undefined;
  /** The kernel to take, whatever is best: for tuning. */
  readonly choice?: Choice | undefined;
  /** The heads that attend to the hull of their mask where they choose too much. */
  readonly fallback?: FallbackLimits | undefined;
  /** Whether an attention is for the heads that did, or for the others; with `fallback`. */
  readonly turn?: Turn | undefined;
}

/** A list that is ready, and memory for what it does not keep. */
export interface Runnable {
  readonly ready: ReadyList;
  readonly workspace: Layout;
  /** Filled in by each run, and left there for the next to write over. */
  readonly places: Record<string, number>;
}

export interface ReadyAttention extends Runnable {
  readonly attention: ChosenKernel;
  /** Parameters, the list of heads and cumulative lengths, on the machine; their places are known. */
  readonly constants: Block;
}

export interface ReadyEstimate extends Runnable {
  readonly sets: Readonly<Record<string, LaunchedSet>>;
  readonly results: Layout;
  /** Where in the results its error word is, and the error that it stands for. */
  readonly errorAt: number;
  explain(word: bigint): PlanError;
  /** Where heads may fall back: where in the results it is said which did, and what runs after attention. */
  readonly fallback?: { readonly fallenAt: number; readonly finish: Runnable };
}

/** What was tuned since is another reason to choose. */
const tunedRevision = (): number => (isTunedOff() ? 0 : tunedStore().revision);

/** The latest so many of a kind are kept. */
const mostKept = 64;

class Kept<Value> {
  readonly #values = new Map<string, Promise<Value>>();

  has(key: string): boolean {
    return this.#values.has(key);
  }

  take(key: string, make: () => Promise<Value>): Promise<Value> {
    let value = this.#values.get(key);
    if (value) {
      this.#values.delete(key);
    } else {
      value = make();
      value.catch(() => this.#values.delete(key));
      const oldest = this.#values.size >= mostKept ? this.#values.keys().next().value : undefined;
      if (oldest !== undefined) this.#values.delete(oldest);
    }
    this.#values.set(key, value);
    return value;
  }
}

/** Ready calls of one machine. */
export class Calls {
  readonly #machine: Machine;
  readonly #kernels = new Kept<ChosenKernel>();
  readonly #attention = new Kept<ReadyAttention>();
  readonly #estimates = new Kept<ReadyEstimate>();
  readonly #numbers = new WeakMap<Definition, number>();
  #count = 0;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** The kernel for a pattern and the numbers of its fixed parameters. */
  kernel(
    definition: Definition,
    numbers: Readonly<Record<string, number>>,
    graph: EstimateGraph,
    shape: { readonly headDim: number; readonly valueDim: number; readonly dtype: FloatType },
    {
      segments = false,
      empty = false,
      lengths,
      group = 1,
      hasTurns = false,
      choice,
    }: Partial<
      Pick<KernelRequest, 'segments' | 'empty' | 'lengths' | 'group' | 'hasTurns' | 'choice'>
    > = {},
  ): Promise<ChosenKernel> {
    const fixed = Object.entries(definition.given).flatMap(([name, entry]) =>
      isFixed(entry) ? [numbers[name]] : [],
    );
    const { headDim, valueDim, dtype } = shape;
    const key = [
      this.#name(definition),
      headDim,
      valueDim,
      dtype,
      segments,
      empty,
      group,
      hasTurns,
      fixed.join(),
      choice ? choiceName(choice) : `${lengths && lengthClass(lengths)} ${tunedRevision()}`,
    ].join(' ');
    return this.#kernels.take(key, () =>
      chooseKernel(
        { definition, numbers, graph, shape, segments, empty, lengths, group, hasTurns, choice },
        this.#machine,
      ),
    );
  }

  /** throws: DeviceError R013, ShapeError T009, PlanError S001 and S003. */
  async attention(
    facts: CallFacts,
    sets: Readonly<Record<string, SetFacts>>,
    options: CallOptions = {},
  ): Promise<ReadyAttention> {
    const { part, given } = facts;
    const captured = Object.values(given.captured).map(({ shape }) => shape);
    const known = Object.values(sets).map(({ domain, perGroup, most }) => [domain, perGroup, most]);
    const { choice, turn, fallback } = facts;
    const which = `${choice ? choiceName(choice) : tunedRevision()} ${turn} ${fallback?.isShared}`;
    const key = `${this.#keyOf(facts)} ${part.heads} ${which} ${JSON.stringify([known, captured])}`;
    await bringHome(given);
    // Not within what calls share: the signal of one ends its own proof alone.
    if (valuesDecide(part.definition) || !this.#attention.has(key))
      await prove(facts, sets, options);
    return this.#attention.take(key, () => this.#readyAttention(facts, sets));
  }

  /** throws: PlanError E010, and what graphs may throw. */
  estimate(facts: CallFacts): Promise<ReadyEstimate> {
    const { part, fallback } = facts;
    const limits = fallback && JSON.stringify([...fallback.heads]);
    return this.#estimates.take(`${this.#keyOf(facts)} ${part.heads} ${limits}`, () =>
      this.#readyEstimate(facts),
    );
  }

  #name(definition: Definition): number {
    let number = this.#numbers.get(definition);
    if (number === undefined) {
      number = ++this.#count;
      this.#numbers.set(definition, number);
    }
    return number;
  }

  #keyOf({ part, shape, dtype, strides, given, segments }: CallFacts): string {
    const name = this.#name(part.definition);
    const { batch, heads, kvHeads, qLen, kLen, headDim, valueDim } = shape;
    const { q, k, v } = strides;
    return `${name} ${dtype} ${batch} ${heads} ${kvHeads} ${qLen} ${kLen} ${headDim} ${valueDim} ${q.row} ${q.head} ${k.row} ${k.head} ${v.row} ${v.head} ${JSON.stringify([given.params, segments])}`;
  }

  async #readyAttention(
    facts: CallFacts,
    sets: Readonly<Record<string, SetFacts>>,
  ): Promise<ReadyAttention> {
    const { part, shape, dtype, strides, given, segments, turn, fallback } = facts;
    const { definition, heads: headList } = part;
    const { declarations } = lifted(definition);
    const numbers = parametersOf(given.params, headList[0] ?? 0);
    const graph = graphsPerHead(definition, given.params, shape)[headList[0] ?? 0] ?? {};
    const sizes = { ...shape, dtype };
    const attention = await this.kernel(definition, numbers, graph, sizes, {
      segments: !!segments,
      empty: shape.kLen === 0,
      lengths: shape,
      // The heads of a tile have their turn together.
      group: turn && !fallback?.isShared ? 1 : groupOf(definition, given.params, shape, headList),
      hasTurns: turn !== undefined,
      choice: facts.choice,
    });
    const list = attentionLaunch({
      attention,
      declarations,
      dtype: dtype as 'fp16' | 'bf16',
      shape,
      strides,
      headList: headList.length === shape.heads ? undefined : headList,
      params: given.params,
      sets,
      captured: given.captured,
      segments,
      turn,
      multiprocessors: this.#machine.multiprocessors,
    });
    const ready = await this.#machine.prepare(list);
    const words = paramsOf(declarations, given.params, shape.heads);
    const values = {
      params: words,
      head_list: Int32Array.from(headList),
      q_starts: Int32Array.from(segments?.q ?? []),
      k_starts: Int32Array.from(segments?.k ?? []),
      // Tiles drawn; whoever draws the last one leaves 0 again.
      counter: Int32Array.of(0),
    };
    const layout = layoutOf(
      Object.entries(values).map(([name, { byteLength: bytes }]) => ({ name, bytes })),
    );
    const constants = new Block(this.#machine, layout.bytes);
    const places: Record<string, number> = {};
    placeLayout(places, layout, constants.address);
    for (const [name, value] of Object.entries(values))
      await this.#machine.upload(places[name]!, value);
    return { ready, attention, workspace: layoutOf(list.workspace), constants, places };
  }

  async #readyEstimate(facts: CallFacts): Promise<ReadyEstimate> {
    const { part, shape, dtype, strides, given, fallback } = facts;
    const { definition, heads } = part;
    const graphs = graphsPerHead(definition, given.params, shape);
    const { q, k } = strides;
    const rows = rowsNeeded(definition, graphs[0]!, given.params, shape, heads);
    const launch = estimateLaunch({
      graphs,
      shape,
      dtype: dtype as 'fp16' | 'bf16',
      strides: { q: [q.batch, q.head, q.row], k: [k.batch, k.head, k.row] },
      only: heads.length === shape.heads ? undefined : heads,
      backend: this.#machine.arch === hopperArch ? 'hopper' : 'portable',
      rows,
      fallback,
      multiprocessors: this.#machine.multiprocessors,
    });
    const ready = await this.#machine.prepare(launch.list);
    const results = layoutOf(launch.results);
    const finish = launch.fallback && (await this.#machine.prepare(launch.fallback.finish));
    return {
      ready,
      sets: launchedSets(launch, graphs, rows, results),
      workspace: layoutOf(launch.list.workspace),
      results,
      errorAt: results.offsets[launch.errorBuffer]!,
      explain: (word) => notFinite(definition.name, word),
      places: {},
      ...(launch.fallback && {
        fallback: {
          fallenAt: results.offsets[launch.fallback.buffer]!,
          finish: { ready: finish!, workspace: layoutOf([]), places: {} },
        },
      }),
    };
  }
}

/**
 * Whether the values of captured tensors decide what `prove` says, so that nothing can be kept of it: integers are
 * computed from them, or a stated schedule has to do what a mask says that reads them.
 */
export function valuesDecide(definition: Definition): boolean {
  const { mask, score } = lifted(definition);
  const expressions = score ? [mask, score] : [mask];
  if (!expressions.some((expression) => mentions(expression, 'at'))) return false;
  if (definition.visit) return true;
  // Comparing values is no computation, and no index is one where its parts are none.
  return expressions.some((expression) =>
    [...walk(expression)].some(
      (node) => node.kind === 'int' && node.op !== 'at' && mentions(node, 'at'),
    ),
  );
}

/**
 * Everything that has to hold of a call before its kernels may run; a promise where a stated schedule is proved.
 * throws: ShapeError T009, PlanError S003.
 */
export function prove(
  facts: CallFacts,
  sets: Readonly<Record<string, SetFacts>>,
  options: CallOptions,
): Promise<void> | undefined {
  const { part, shape, given, segments } = facts;
  const { definition, heads: headList } = part;
  const units = Object.entries(sets).map(([name, { domain, perGroup }]) => {
    const count = shape.batch * (perGroup ? shape.kvHeads : shape.heads);
    return [name, { perGroup, units: Array.from({ length: count }, () => ({ domain })) }] as const;
  });
  const parts = {
    shape,
    params: given.params,
    captured: capturedParts(given),
    sets: Object.fromEntries(units),
    headList,
    segments,
  };
  proveIntegers(definition, parts);
  const proof = proofOfStated(definition, parts);
  return proof && inTurns(proof, planningIn(options));
}
