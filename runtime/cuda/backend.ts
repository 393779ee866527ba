// A machine at work for compiled patterns: what a call needs made ready, once for all calls of its kind. How it is
// then enqueued: enqueue.ts.

import type { ChosenSetsData } from '../../dsl/chosen.ts';
import { hullDefinition, traceSets } from '../../dsl/definition.ts';
import { defaultOf, isTensorInput } from '../../dsl/given.ts';
import type { Backend, BackendCall, BackendResult, BackendShape } from '../backend.ts';
import { stridesOf } from '../dtype.ts';
import { checkChosen, graphsPerHead } from '../inputs.ts';
import { bringHome } from '../launch.ts';
import { rowsNeeded } from '../needed-rows.ts';
import type { Part } from '../parts.ts';
import { type CallFacts, Calls, prove, type ReadyAttention, type ReadyEstimate } from './calls.ts';
import { Enqueuer, noSets, type PartWork } from './enqueue.ts';
import { PlacedTensors, rowStrides } from './inputs.ts';
import { checkKernelShape, groupOf } from './kernel-request.ts';
import type { Machine } from './machine.ts';
import { isLike, type KnownSets, type ReadyKind, readyKindOf } from './ready.ts';
import { DeviceSet, isOn, readChosen, type SetFacts, wordsOfSet } from './sets.ts';

export class CudaBackend implements Backend {
  readonly #machine: Machine;
  readonly #calls: Calls;
  readonly #enqueuer: Enqueuer;
  readonly #kinds = new WeakMap<object, ReadyKind>();

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#calls = new Calls(machine);
    this.#enqueuer = new Enqueuer(machine);
  }

  /** Compiles the kernel for the default numbers, where there are defaults for all fixed ones. */
  async prepare(parts: readonly Part[], shape: BackendShape): Promise<void> {
    const { heads, kvHeads, headDim, valueDim, dtype, choice } = shape;
    for (const { definition, heads: own } of parts) {
      const numbers: Record<string, number> = {};
      for (const [name, entry] of Object.entries(definition.given))
        if (!isTensorInput(entry)) numbers[name] = defaultOf(entry) ?? Number.NaN;
      if (Object.values(numbers).some(Number.isNaN) || heads % kvHeads !== 0) continue;
      const graph = traceSets(definition, numbers);
      const sizes = { headDim, valueDim, dtype };
      const group = groupOf(definition, {}, shape, own);
      await this.#calls.kernel(definition, numbers, graph, sizes, { group, choice });
    }
  }

  async estimate(call: BackendCall): Promise<readonly ChosenSetsData[]> {
    const kind = this.#readyKind(call);
    const tensors = new PlacedTensors(this.#machine);
    try {
      await tensors.place('q', call.checked.q);
      await tensors.place('k', call.checked.k);
      const estimates: (ReadyEstimate | undefined)[] = [];
      for (const i of call.parts.keys()) {
        if (call.passed[i]) await this.#checkPassed(call, i, kind, call.passed[i]);
        estimates.push(call.passed[i] ? undefined : await this.#estimateOf(call, i, kind));
      }
      const estimated = this.#enqueuer.estimate(kind, estimates, tensors);
      const chosen = estimated.map((sets, i) => call.passed[i] ?? sets);
      for (const sets of chosen) await readChosen(sets);
      return chosen;
    } finally {
      tensors.free();
    }
  }

  /** Awaits only what is not at hand: a call like an earlier one, of tensors on the machine, is enqueued at once. */
  async attend(call: BackendCall): Promise<BackendResult> {
    const { parts, given, checked } = call;
    const machine = this.#machine;
    machine.check();
    const kind = this.#readyKind(call);
    const tensors = new PlacedTensors(machine);
    const works: PartWork[] = [];
    /** Of each part. */
    const own = parts.map(() => new PlacedTensors(machine));
    try {
      for (const name of inputNames) {
        const copying = tensors.place(name, checked[name]);
        if (copying) await copying;
      }
      for (let i = 0; i < parts.length; i += 1) {
        const found = this.#workOf(call, i, kind, own[i]!);
        works.push(found instanceof Promise ? await found : found);
        for (const name of Object.keys(given[i]!.captured)) {
          const copying = own[i]!.place(`tensor ${name}`, given[i]!.captured[name]!);
          if (copying) await copying;
        }
        call.options.signal?.throwIfAborted();
      }
      return this.#enqueuer.attend(call, kind, works, tensors);
    } finally {
      for (const placed of own) placed.free();
      tensors.free();
    }
  }

  #readyKind(call: BackendCall): ReadyKind {
    // Where heads may fall back, other lists run.
    const key = call.fallbacks ?? call.kind;
    let kind = this.#kinds.get(key);
    if (!kind) {
      kind = readyKindOf(call, this.#machine);
      this.#kinds.set(key, kind);
    }
    return kind;
  }

  /** What one part runs; a promise only where it was not made ready for the call before it of the kind. */
  #workOf(
    call: BackendCall,
    i: number,
    kind: ReadyKind,
    own: PlacedTensors,
  ): PartWork | Promise<PartWork> {
    const passed = call.passed[i];
    if (passed) {
      return this.#checkPassed(call, i, kind, passed).then(async () => {
        const attention = await this.#attentionOf(call, i, kind, passed, own);
        return { estimate: undefined, passed, attention, hull: undefined, own };
      });
    }
    const estimate = this.#estimateOf(call, i, kind);
    if (estimate instanceof Promise)
      return estimate.then((made) => this.#workWith(call, i, kind, own, made));
    return this.#workWith(call, i, kind, own, estimate);
  }

  /** What one part runs after its estimate, if it has one. */
  #workWith(
    call: BackendCall,
    i: number,
    kind: ReadyKind,
    own: PlacedTensors,
    estimate: ReadyEstimate | undefined,
  ): PartWork | Promise<PartWork> {
    const attention = this.#attentionFor(call, i, kind, estimate?.sets ?? noFacts);
    const hull = estimate?.fallback && this.#hullOf(call, i, kind);
    if (attention instanceof Promise || hull instanceof Promise)
      return Promise.all([attention, hull]).then(([made, other]) => {
        return { estimate, passed: noSets, attention: made, hull: other, own };
      });
    return { estimate, passed: noSets, attention, hull, own };
  }

  /** The attention of the heads of one part that chose too much. */
  #hullOf(call: BackendCall, i: number, kind: ReadyKind): ReadyAttention | Promise<ReadyAttention> {
    const part = kind.parts[i]!;
    if (part.hull) return part.hull;
    const facts = factsOf(call, i);
    const definition = hullDefinition(facts.part.definition);
    const hull = { ...facts, part: { ...facts.part, definition }, turn: 'hull' } as const;
    return this.#calls.attention(hull, noFacts, call.options).then((made) => {
      part.hull = made;
      return made;
    });
  }

  /** The attention of one part over sets of which so much is known. */
  #attentionFor(
    call: BackendCall,
    i: number,
    kind: ReadyKind,
    sets: KnownSets,
  ): ReadyAttention | Promise<ReadyAttention> {
    const part = kind.parts[i]!;
    const { attention, sets: known } = part;
    if (!attention || !known || !areLike(known, sets))
      return this.#calls.attention(factsOf(call, i), sets, call.options).then((made) => {
        part.attention = made;
        part.sets = sets;
        return made;
      });
    if (!part.isProvedAlways) return attention;
    const proved = (): ReadyAttention | Promise<ReadyAttention> =>
      prove(factsOf(call, i), sets, call.options)?.then(() => attention) ?? attention;
    return bringHome(call.given[i]!)?.then(proved) ?? proved();
  }

  /** The attention over passed sets; those in host memory are brought over for the call. */
  async #attentionOf(
    call: BackendCall,
    i: number,
    kind: ReadyKind,
    passed: ChosenSetsData,
    own: PlacedTensors,
  ): Promise<ReadyAttention> {
    const known: Record<string, SetFacts> = {};
    for (const [name, set] of Object.entries(passed)) {
      if (isOn(this.#machine, set)) known[name] = set;
      else {
        const { domain, words, most } = wordsOfSet(set);
        known[name] = { domain, perGroup: set.perGroup, most };
        await own.upload(`set ${name}`, words);
      }
    }
    return this.#attentionFor(call, i, kind, known);
  }

  /** throws: ShapeError T011 for sets that do not fit. */
  async #checkPassed(
    call: BackendCall,
    i: number,
    kind: ReadyKind,
    passed: ChosenSetsData,
  ): Promise<void> {
    const { definition } = call.parts[i]!;
    const { shape } = call.checked;
    const part = kind.parts[i]!;
    const elsewhere = Object.values(passed).some(
      (set) => set instanceof DeviceSet && !isOn(this.#machine, set),
    );
    if (elsewhere) await readChosen(passed);
    part.graph ??= graphsPerHead(definition, call.given[i]!.params, shape)[0]!;
    const needed = () => {
      const { heads } = call.parts[i]!;
      part.rows ??= rowsNeeded(definition, part.graph!, call.given[i]!.params, shape, heads);
      return part.rows;
    };
    checkChosen(definition.name, part.graph, passed, shape, needed);
  }

  /** The estimate of one part, undefined where it has none; a promise only for the first call of the kind. */
  #estimateOf(
    call: BackendCall,
    i: number,
    kind: ReadyKind,
  ): ReadyEstimate | undefined | Promise<ReadyEstimate> {
    const part = kind.parts[i]!;
    if (part.estimate || call.parts[i]!.definition.estimates.length === 0) return part.estimate;
    const { headDim, valueDim } = call.checked.shape;
    checkKernelShape({ headDim, valueDim, dtype: call.checked.q.dtype as BackendShape['dtype'] });
    return this.#calls.estimate(factsOf(call, i)).then((made) => {
      part.estimate = made;
      return made;
    });
  }
}

const inputNames = ['q', 'k', 'v'] as const;
const noFacts: KnownSets = Object.freeze({});

/** Whether a kernel that was made ready for sets serves others of the same names. */
function areLike(known: KnownSets, sets: KnownSets): boolean {
  if (known === sets) return true;
  for (const name of Object.keys(sets)) {
    const facts = known[name];
    if (!facts || !isLike(facts, sets[name]!)) return false;
  }
  return true;
}

function factsOf(call: BackendCall, i: number): CallFacts {
  const { parts, checked, given, choice, passed } = call;
  const fallback = passed[i] ? undefined : call.fallbacks?.[i];
  const { q, k, v, shape, segments } = checked;
  const [outBatch = 0, outHead = 0, outRow = 0] = stridesOf(
    q.shape.with(3, shape.valueDim),
    q.layout,
  );
  return {
    part: parts[i]!,
    shape,
    dtype: q.dtype as BackendShape['dtype'],
    strides: {
      q: rowStrides(q),
      k: rowStrides(k),
      v: rowStrides(v),
      out: { batch: outBatch, head: outHead, row: outRow },
    },
    given: given[i]!,
    segments,
    choice,
    ...(fallback && { fallback, turn: 'chosen' as const }),
  };
}
