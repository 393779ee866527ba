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
import { type CallFacts, Calls } from './calls.ts';
import { PlacedTensors, rowStrides } from './inputs.ts';
import { checkKernelShape } from './kernels.ts';
import { placesOf } from './layout.ts';
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
      const outBytes = align(rows * valueDim * bytesPerElement[q.dtype]);
      const lseBytes = align(rows * 4);
      const chosen: ChosenSetsData[] = [];
      const ready = [];
      for (const i of parts.keys()) {
        const facts = factsOf(call, i);
        const sets = await this.#setsOf(call, i, tensors);
        chosen.push(sets);
        const own = new PlacedTensors(machine);
        ready.push({ own, sets, attention: await this.#readyFor(facts, sets, own) });
        for (const [name, tensor] of Object.entries(given[i]!.captured))
          await own.place(`tensor ${name}`, tensor);
        call.options.signal?.throwIfAborted();
      }
      result = new Block(machine, outBytes + lseBytes + 8 * parts.length);
      const verdicts = parts.map((_, i) => verdictOf(result!, outBytes + lseBytes + 8 * i, shape));
      for (const [i, { own, attention, sets }] of ready.entries()) {
        const workspace =
          attention.workspace.bytes > 0 ? machine.alloc(attention.workspace.bytes) : undefined;
        machine.run(attention.ready, {
          ...tensors.places,
          ...own.places,
          ...placesOf(attention.workspace, workspace?.address ?? 0),
          ...attention.constantPlaces,
          ...setPlaces(machine, sets),
          out: result.address,
          lse: result.address + outBytes,
          error: result.address + outBytes + lseBytes + 8 * i,
        });
        if (workspace) machine.free(workspace);
        own.free();
      }
      // What went wrong in an estimate is the cause of what went wrong after it.
      const all = [...chosen.flatMap(verdictsOf), ...verdicts];
      for (const { block } of all) if (block !== result) block.keep();
      const out = new Tensor({
        data: new BlockMemory(result, 0, all),
        shape: [batch, heads, qLen, valueDim],
        dtype: q.dtype,
        layout: q.layout,
      });
      for (const { block } of all) if (block !== result) block.keep();
      const lse = new Tensor({
        data: new BlockMemory(result.keep(), outBytes, all),
        shape: [batch, heads, qLen],
        dtype: 'fp32',
      });
      return { out, lse, chosen };
    } catch (error) {
      result?.release();
      throw error;
    } finally {
      tensors.free();
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
    this.#machine.run(ready, {
      ...tensors.places,
      ...placesOf(results, block.address),
      ...placesOf(workspace, scratch?.address ?? 0),
    });
    if (scratch) this.#machine.free(scratch);
    const verdict: Verdict = {
      block,
      offset: results.offsets[launch.errorBuffer]!,
      explain: (word) => notFinite(definition.name, word),
    };
    return setsOfLaunch(launch, graph, block, results.offsets, verdict);
  }
}

const align = (bytes: number): number => Math.ceil(bytes / 256) * 256;

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
