// A machine at work for compiled patterns: sets estimated or brought over, attention enqueued, results left
// in the memory of the machine until they are read.

import type { ChosenSet, ChosenSetsData } from '../../dsl/chosen.ts';
import { traceSets } from '../../dsl/definition.ts';
import { defaultOf, isTensorInput } from '../../dsl/given.ts';
import type { Backend, BackendCall, BackendResult, BackendShape } from '../backend.ts';
import { stridesOf } from '../dtype.ts';
import { checkChosen, graphsPerHead } from '../inputs.ts';
import type { CallKind } from '../kinds.ts';
import { bringHome } from '../launch.ts';
import { rowsNeeded } from '../needed-rows.ts';
import type { Part } from '../parts.ts';
import { Tensor } from '../tensor.ts';
import { Block, BlockMemory, type Verdict } from './block.ts';
import {
  type CallFacts,
  Calls,
  prove,
  type ReadyAttention,
  type ReadyEstimate,
  type SetFacts,
} from './calls.ts';
import { ErrorWords, notFinite } from './error-words.ts';
import { PlacedTensors, rowStrides } from './inputs.ts';
import { checkKernelShape } from './kernel-request.ts';
import { placeLayout } from './layout.ts';
import { giveLease, takeLease } from './leases.ts';
import type { Machine } from './machine.ts';
import { isLike, type KnownSets, type ReadyKind, type ReadyPart, readyKindOf } from './ready.ts';
import { DeviceSet, isOn, readChosen, setsOfLaunch, wordsOfSet } from './sets.ts';

export class CudaBackend implements Backend {
  readonly #machine: Machine;
  readonly #calls: Calls;
  readonly #errors: ErrorWords;
  readonly #kinds = new WeakMap<CallKind, ReadyKind>();

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#calls = new Calls(machine);
    this.#errors = new ErrorWords(machine);
  }

  /** Compiles the kernel for the default numbers, where there are defaults for all fixed ones. */
  async prepare(parts: readonly Part[], shape: BackendShape): Promise<void> {
    const { heads, kvHeads, headDim, valueDim, dtype, choice } = shape;
    for (const { definition } of parts) {
      const numbers: Record<string, number> = {};
      for (const [name, entry] of Object.entries(definition.given))
        if (!isTensorInput(entry)) numbers[name] = defaultOf(entry) ?? Number.NaN;
      if (Object.values(numbers).some(Number.isNaN) || heads % kvHeads !== 0) continue;
      const graph = traceSets(definition, numbers);
      const sizes = { headDim, valueDim, dtype };
      await this.#calls.kernel(definition, numbers, graph, sizes, { choice });
    }
  }

  async estimate(call: BackendCall): Promise<readonly ChosenSetsData[]> {
    const kind = this.#readyKind(call);
    const tensors = new PlacedTensors(this.#machine);
    try {
      await tensors.place('q', call.checked.q);
      await tensors.place('k', call.checked.k);
      const chosen: ChosenSetsData[] = [];
      for (const i of call.parts.keys()) chosen.push(await this.#setsOf(call, i, kind, tensors));
      for (const sets of chosen) await readChosen(sets);
      return chosen;
    } finally {
      tensors.free();
    }
  }

  /** Awaits only what is not at hand: a call like an earlier one, of tensors on the machine, is enqueued at once. */
  async attend(call: BackendCall): Promise<BackendResult> {
    const { parts, given, checked } = call;
    const { q, shape } = checked;
    const machine = this.#machine;
    machine.check();
    const kind = this.#readyKind(call);
    const tensors = new PlacedTensors(machine);
    /** Sets and captured tensors, whose names are their part's own. */
    const own = parts.map(() => new PlacedTensors(machine));
    /** What this call holds until its results hold it. */
    const held: Block[] = [];
    try {
      for (const name of ['q', 'k', 'v'] as const) {
        const copying = tensors.place(name, checked[name]);
        if (copying) await copying;
      }
      const chosen: ChosenSetsData[] = [];
      const ready: ReadyAttention[] = [];
      for (let i = 0; i < parts.length; i += 1) {
        const setsFound = this.#setsOf(call, i, kind, tensors);
        chosen.push(setsFound instanceof Promise ? await setsFound : setsFound);
        const found = this.#attentionOf(call, i, kind, chosen[i]!, own[i]!);
        ready.push(found instanceof Promise ? await found : found);
        for (const name of Object.keys(given[i]!.captured)) {
          const copying = own[i]!.place(`tensor ${name}`, given[i]!.captured[name]!);
          if (copying) await copying;
        }
        call.options.signal?.throwIfAborted();
      }
      const result = new Block(machine, kind.results.bytes);
      held.push(result);
      const { out: outAt, lse: lseAt } = kind.results.offsets as Results;
      // What went wrong in an estimate is the cause of what went wrong after it.
      const verdicts = chosen.flatMap(verdictsOf);
      for (const [i, attention] of ready.entries()) {
        const { block, offset } = this.#errors.take();
        held.push(block);
        verdicts.push({ block, offset, explain: kind.explain });
        const { places } = attention;
        Object.assign(places, tensors.places, own[i]!.places);
        placeSets(places, machine, chosen[i]!);
        places.out = result.address + outAt;
        places.lse = result.address + lseAt;
        places.error = block.address + offset;
        this.#run(attention, places);
      }
      // With segments these are 1 and the rows of all.
      const [batch = 0, , qLen = 0] = q.shape;
      const { heads, valueDim } = shape;
      const out = new Tensor({
        data: memoryAt(result, outAt, verdicts),
        shape: [batch, heads, qLen, valueDim],
        dtype: q.dtype,
        layout: q.layout,
      });
      const lse = new Tensor({
        data: memoryAt(result, lseAt, verdicts),
        shape: [batch, heads, qLen],
        dtype: 'fp32',
      });
      return { out, lse, chosen };
    } finally {
      for (const block of held) block.release();
      for (const placed of own) placed.free();
      tensors.free();
    }
  }

  #readyKind(call: BackendCall): ReadyKind {
    let kind = this.#kinds.get(call.kind);
    if (!kind) {
      kind = readyKindOf(call);
      this.#kinds.set(call.kind, kind);
    }
    return kind;
  }

  /** Enqueues a list, its workspace lent for as long. */
  #run(list: ReadyAttention | ReadyEstimate, places: Record<string, number>): void {
    const { ready, workspace } = list;
    if (workspace.bytes === 0) {
      this.#machine.run(ready, places);
      return;
    }
    const scratch = takeLease(this.#machine, workspace.bytes);
    try {
      placeLayout(places, workspace, scratch.range.address);
      this.#machine.run(ready, places);
    } finally {
      giveLease(this.#machine, scratch);
    }
  }

  /** The attention of one part; a promise only where the call before it of the kind had other sets, or none on the machine. */
  #attentionOf(
    call: BackendCall,
    i: number,
    kind: ReadyKind,
    sets: ChosenSetsData,
    own: PlacedTensors,
  ): ReadyAttention | Promise<ReadyAttention> {
    const part = kind.parts[i]!;
    const { attention, sets: known } = part;
    if (!attention || !known || !this.#areLike(known, sets))
      return this.#makeAttention(call, i, part, sets, own);
    if (!part.isProvedAlways) return attention;
    const proved = (): ReadyAttention => {
      prove(factsOf(call, i), known);
      return attention;
    };
    return bringHome(call.given[i]!)?.then(proved) ?? proved();
  }

  #areLike(known: KnownSets, sets: ChosenSetsData): boolean {
    for (const name of Object.keys(sets)) {
      const [facts, set] = [known[name], sets[name]!];
      if (!facts || !isOn(this.#machine, set) || !isLike(facts, set)) return false;
    }
    return true;
  }

  /** Sets in host memory are brought over for the call. */
  async #makeAttention(
    call: BackendCall,
    i: number,
    part: ReadyPart,
    sets: ChosenSetsData,
    own: PlacedTensors,
  ): Promise<ReadyAttention> {
    const known: Record<string, SetFacts> = {};
    for (const [name, set] of Object.entries(sets)) {
      if (isOn(this.#machine, set)) known[name] = set;
      else {
        const { domain, words, most } = wordsOfSet(set);
        known[name] = { domain, perGroup: set.perGroup, most };
        await own.upload(`set ${name}`, new Uint8Array(words.buffer));
      }
    }
    const attention = await this.#calls.attention(factsOf(call, i), known);
    part.attention = attention;
    part.sets = known;
    return attention;
  }

  /** The sets of one part; a promise only where they are passed, or no call of the kind had estimated them. */
  #setsOf(
    call: BackendCall,
    i: number,
    kind: ReadyKind,
    tensors: PlacedTensors,
  ): ChosenSetsData | Promise<ChosenSetsData> {
    const { definition } = call.parts[i]!;
    const { estimate } = kind.parts[i]!;
    const passed = call.passed[i];
    if (passed) return this.#passedSets(call, i, kind, passed);
    if (definition.estimates.length === 0) return noSets;
    if (estimate) return this.#runEstimate(definition.name, estimate, tensors);
    return this.#makeEstimate(call, i, kind.parts[i]!).then((made) =>
      this.#runEstimate(definition.name, made, tensors),
    );
  }

  async #passedSets(
    call: BackendCall,
    i: number,
    kind: ReadyKind,
    passed: ChosenSetsData,
  ): Promise<ChosenSetsData> {
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
    return passed;
  }

  async #makeEstimate(call: BackendCall, i: number, part: ReadyPart): Promise<ReadyEstimate> {
    const { headDim, valueDim } = call.checked.shape;
    checkKernelShape({ headDim, valueDim, dtype: call.checked.q.dtype as BackendShape['dtype'] });
    part.estimate = await this.#calls.estimate(factsOf(call, i));
    return part.estimate;
  }

  #runEstimate(pattern: string, estimate: ReadyEstimate, tensors: PlacedTensors): DeviceSets {
    const { launch, graph, sets, rows, results, places } = estimate;
    const block = new Block(this.#machine, results.bytes);
    Object.assign(places, tensors.places);
    placeLayout(places, results, block.address);
    this.#run(estimate, places);
    const verdict: Verdict = {
      block,
      offset: results.offsets[launch.errorBuffer]!,
      explain: (word) => notFinite(pattern, word),
    };
    return setsOfLaunch(launch, graph, sets, block, results.offsets, verdict, rows);
  }
}

type DeviceSets = Readonly<Record<string, DeviceSet>>;

/** Where the results of a call lie in their block. */
type Results = Readonly<Record<'out' | 'lse', number>>;

const noSets: ChosenSetsData = Object.freeze({});

function factsOf({ parts, checked, given, choice }: BackendCall, i: number): CallFacts {
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
  };
}

function placeSets(places: Record<string, number>, machine: Machine, sets: ChosenSetsData): void {
  for (const name of Object.keys(sets)) {
    const set = sets[name]!;
    if (isOn(machine, set)) places[`set ${name}`] = set.address;
  }
}

/** Part of a block that is kept for it, and so are the blocks of its verdicts. */
function memoryAt(block: Block, offset: number, verdicts: readonly Verdict[]): BlockMemory {
  for (const verdict of verdicts) verdict.block.keep();
  return new BlockMemory(block.keep(), offset, verdicts);
}

const verdictsOf = (sets: ChosenSetsData): Verdict[] => {
  const [first] = Object.values(sets) as (ChosenSet | DeviceSet)[];
  return first instanceof DeviceSet && first.verdict ? [first.verdict] : [];
};
