// A machine at work for compiled patterns: sets estimated or brought over, attention enqueued, results left
// in the memory of the machine until they are read.

import type { ChosenSet, ChosenSetsData } from '../../dsl/chosen.ts';
import { traceSets } from '../../dsl/definition.ts';
import { diagnostic, PlanError, type ShapeError } from '../../dsl/diagnostic.ts';
import { defaultOf, isTensorInput } from '../../dsl/given.ts';
import type { Backend, BackendCall, BackendResult, BackendShape } from '../backend.ts';
import { bytesPerElement, stridesOf } from '../dtype.ts';
import { checkChosen, graphsPerHead, notANumber } from '../inputs.ts';
import type { Part } from '../parts.ts';
import { Tensor } from '../tensor.ts';
import { Block, BlockMemory, type Verdict } from './block.ts';
import { type CallFacts, Calls, type ReadyAttention } from './calls.ts';
import { PlacedTensors, rowStrides } from './inputs.ts';
import { checkKernelShape } from './kernels.ts';
import { layoutOf, placesOf } from './layout.ts';
import type { Machine } from './machine.ts';
import { DeviceSet, isOn, readChosen, setsOfLaunch, wordsOfSet } from './sets.ts';

export class CudaBackend implements Backend {
  readonly #machine: Machine;
  readonly #calls: Calls;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#calls = new Calls(machine);
  }

  /** Compiles the kernel for the default numbers, where there are defaults for all fixed ones. */
  async prepare(parts: readonly Part[], shape: BackendShape): Promise<void> {
    const { heads, kvHeads, headDim, valueDim, dtype } = shape;
    for (const { definition } of parts) {
      const numbers: Record<string, number> = {};
      for (const [name, entry] of Object.entries(definition.given))
        if (!isTensorInput(entry)) numbers[name] = defaultOf(entry) ?? Number.NaN;
      if (Object.values(numbers).some(Number.isNaN) || heads % kvHeads !== 0) continue;
      const graph = traceSets(definition, numbers);
      await this.#calls.kernel(definition, numbers, graph, { headDim, valueDim, dtype });
    }
  }

  async estimate(call: BackendCall): Promise<readonly ChosenSetsData[]> {
    const tensors = new PlacedTensors(this.#machine);
    try {
      await tensors.place('q', call.checked.q);
      await tensors.place('k', call.checked.k);
      const chosen: ChosenSetsData[] = [];
      for (const i of call.parts.keys()) chosen.push(await this.#setsOf(call, i, tensors));
      for (const sets of chosen) await readChosen(sets);
      return chosen;
    } finally {
      tensors.free();
    }
  }

  async attend(call: BackendCall): Promise<BackendResult> {
    const { parts, given, checked } = call;
    const { q, k, v, shape } = checked;
    const machine = this.#machine;
    machine.check();
    const tensors = new PlacedTensors(machine);
    /** Sets and captured tensors, whose names are their part's own. */
    const own = parts.map(() => new PlacedTensors(machine));
    let result: Block | undefined;
    try {
      for (const [name, tensor] of [
        ['q', q],
        ['k', k],
        ['v', v],
      ] as const) {
        const copying = tensors.place(name, tensor);
        if (copying) await copying;
      }
      const { heads, valueDim } = shape;
      // With segments these are 1 and the rows of all.
      const [batch = 0, , qLen = 0] = q.shape;
      const rows = batch * heads * qLen;
      const layout = layoutOf([
        { name: 'out', bytes: rows * valueDim * bytesPerElement[q.dtype] },
        { name: 'lse', bytes: rows * 4 },
        { name: 'errors', bytes: 8 * parts.length },
      ]);
      const chosen: ChosenSetsData[] = [];
      const ready: ReadyAttention[] = [];
      for (const i of parts.keys()) {
        const sets = await this.#setsOf(call, i, tensors);
        chosen.push(sets);
        ready.push(await this.#readyFor(factsOf(call, i), sets, own[i]!));
        for (const [name, tensor] of Object.entries(given[i]!.captured))
          await own[i]!.place(`tensor ${name}`, tensor);
        call.options.signal?.throwIfAborted();
      }
      result = new Block(machine, layout.bytes);
      const { out: outAt, lse: lseAt, errors: errorsAt } = layout.offsets as Results;
      for (const [i, attention] of ready.entries()) {
        const workspace =
          attention.workspace.bytes > 0 ? machine.alloc(attention.workspace.bytes) : undefined;
        try {
          machine.run(attention.ready, {
            ...tensors.places,
            ...own[i]!.places,
            ...placesOf(attention.workspace, workspace?.address ?? 0),
            ...attention.constantPlaces,
            ...setPlaces(machine, chosen[i]!),
            out: result.address + outAt,
            lse: result.address + lseAt,
            error: result.address + errorsAt + 8 * i,
          });
        } finally {
          if (workspace) machine.free(workspace);
        }
      }
      // What went wrong in an estimate is the cause of what went wrong after it.
      const block = result;
      const verdicts = [
        ...chosen.flatMap(verdictsOf),
        ...parts.map((_, i) => verdictOf(block, errorsAt + 8 * i, shape)),
      ];
      const memoryAt = (offset: number): BlockMemory => {
        for (const verdict of verdicts) if (verdict.block !== block) verdict.block.keep();
        return new BlockMemory(block.keep(), offset, verdicts);
      };
      const out = new Tensor({
        data: memoryAt(outAt),
        shape: [batch, heads, qLen, valueDim],
        dtype: q.dtype,
        layout: q.layout,
      });
      const lse = new Tensor({ data: memoryAt(lseAt), shape: [batch, heads, qLen], dtype: 'fp32' });
      return { out, lse, chosen };
    } finally {
      result?.release();
      for (const placed of [tensors, ...own]) placed.free();
    }
  }

  /** The attention of one part, its sets in host memory brought over for the call. */
  async #readyFor(facts: CallFacts, sets: ChosenSetsData, own: PlacedTensors) {
    const known: Record<string, { domain: DeviceSet['domain']; perGroup: boolean }> = {};
    for (const [name, set] of Object.entries(sets)) {
      if (isOn(this.#machine, set)) known[name] = { domain: set.domain, perGroup: set.perGroup };
      else {
        const { domain, words } = wordsOfSet(set);
        known[name] = { domain, perGroup: set.perGroup };
        await own.upload(`set ${name}`, new Uint8Array(words.buffer));
      }
    }
    return this.#calls.attention(facts, known);
  }

  async #setsOf(call: BackendCall, i: number, tensors: PlacedTensors): Promise<ChosenSetsData> {
    const { definition } = call.parts[i]!;
    const { shape } = call.checked;
    const passed = call.passed[i];
    if (passed) {
      const elsewhere = Object.values(passed).some(
        (set) => set instanceof DeviceSet && !isOn(this.#machine, set),
      );
      if (elsewhere) await readChosen(passed);
      const graph = graphsPerHead(definition, call.given[i]!.params, shape)[0]!;
      checkChosen(definition.name, graph, passed, shape);
      return passed;
    }
    if (definition.estimates.length === 0) return {};
    const { headDim, valueDim } = shape;
    checkKernelShape({ headDim, valueDim, dtype: call.checked.q.dtype as BackendShape['dtype'] });
    const { ready, launch, graph, workspace, results } = await this.#calls.estimate(
      factsOf(call, i),
    );
    const block = new Block(this.#machine, results.bytes);
    const scratch = workspace.bytes > 0 ? this.#machine.alloc(workspace.bytes) : undefined;
    try {
      this.#machine.run(ready, {
        ...tensors.places,
        ...placesOf(results, block.address),
        ...placesOf(workspace, scratch?.address ?? 0),
      });
    } finally {
      if (scratch) this.#machine.free(scratch);
    }
    const verdict: Verdict = {
      block,
      offset: results.offsets[launch.errorBuffer]!,
      explain: (word) => notFinite(definition.name, word),
    };
    return setsOfLaunch(launch, graph, block, results.offsets, verdict);
  }
}

/** Where the results of a call lie in their block. */
type Results = Readonly<Record<'out' | 'lse' | 'errors', number>>;

function factsOf({ parts, checked, given }: BackendCall, i: number): CallFacts {
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
  };
}

function setPlaces(machine: Machine, sets: ChosenSetsData): Record<string, number> {
  const places: Record<string, number> = {};
  for (const [name, set] of Object.entries(sets))
    if (isOn(machine, set)) places[`set ${name}`] = set.address;
  return places;
}

const verdictsOf = (sets: ChosenSetsData): Verdict[] => {
  const [first] = Object.values(sets) as (ChosenSet | DeviceSet)[];
  return first instanceof DeviceSet && first.verdict ? [first.verdict] : [];
};

/** The word that an attention kernel leaves: unit << 32 | row of the first row that is not a number. */
function verdictOf(block: Block, offset: number, { heads }: { heads: number }): Verdict {
  const explain = (word: bigint): ShapeError => {
    const unit = Number(word >> 32n);
    const row = Number(word & 0xffff_ffffn);
    return notANumber({ batch: Math.floor(unit / heads), head: unit % heads, row });
  };
  return { block, offset, explain };
}

/** The word that an estimate leaves: batch << 48 | head << 32 | row of the first score that is not finite. */
function notFinite(pattern: string, word: bigint): PlanError {
  const [batch, head, row] = [word >> 48n, (word >> 32n) & 0xffffn, word & 0xffff_ffffn];
  return new PlanError([
    diagnostic(
      'E004',
      `a score of the estimate of '${pattern}' is not finite in row ${row} of head ${head} of batch ${batch}`,
      {
        help: 'look for NaN, infinities and overflow in q and k of that head',
      },
    ),
  ]);
}
