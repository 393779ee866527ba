// A call that is ready becomes work for a machine: memory for its results, an address for every buffer, and all its
// launch lists at once. Nothing here waits. What makes a call ready: backend.ts.

import type { ChosenSet, ChosenSetsData } from '../../dsl/chosen.ts';
import type { BackendCall, BackendResult } from '../backend.ts';
import { Tensor } from '../tensor.ts';
import { Block, BlockMemory, type Verdict } from './block.ts';
import type { ReadyAttention, ReadyEstimate, Runnable } from './calls.ts';
import { ErrorWords } from './error-words.ts';
import type { PlacedTensors } from './inputs.ts';
import { placeLayout } from './layout.ts';
import { giveLease, takeLease } from './leases.ts';
import type { Machine, ReadyList } from './machine.ts';
import type { ReadyKind } from './ready.ts';
import { DeviceSet, isOn, setsOfLaunch } from './sets.ts';

/** What one part of a call runs. */
export interface PartWork {
  /** Where its sets are not passed. */
  readonly estimate: ReadyEstimate | undefined;
  readonly passed: ChosenSetsData;
  readonly attention: ReadyAttention;
  /** Of the heads that chose too much, where they may fall back: to the hull of their mask. */
  readonly hull: ReadyAttention | undefined;
  /** Sets and captured tensors, whose names are the part's own. */
  readonly own: PlacedTensors;
}

/** Where the results of a call lie in their block. */
type Results = Readonly<Record<'out' | 'lse', number>>;
type MutablePlaces = Record<string, number>;

/** Launch lists in the order of their run, the workspace of one in the place of the one before. */
class Work {
  readonly lists: ReadyList[] = [];
  readonly places: MutablePlaces[] = [];
  readonly #spaces: Runnable['workspace'][] = [];

  add({ ready, places, workspace }: Runnable): void {
    this.lists.push(ready);
    this.places.push(places);
    this.#spaces.push(workspace);
  }

  run(machine: Machine, { sequences }: ReadyKind): void {
    let bytes = 0;
    for (const space of this.#spaces) bytes = Math.max(bytes, space.bytes);
    if (bytes === 0) {
      sequences.run(this.lists, this.places);
      return;
    }
    const scratch = takeLease(machine, bytes);
    try {
      for (const [i, space] of this.#spaces.entries())
        placeLayout(this.places[i]!, space, scratch.range.address);
      sequences.run(this.lists, this.places);
    } finally {
      giveLease(machine, scratch);
    }
  }
}

export class Enqueuer {
  readonly #machine: Machine;
  readonly #errors: ErrorWords;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#errors = new ErrorWords(machine);
  }

  /** The sets of estimates, in their order. `inputs`: q and k. */
  estimate(
    kind: ReadyKind,
    estimates: readonly (ReadyEstimate | undefined)[],
    inputs: PlacedTensors,
  ): ChosenSetsData[] {
    const work = new Work();
    const estimated = estimates.map((one) => one && this.#addEstimate(work, one, inputs));
    try {
      work.run(this.#machine, kind);
      return estimated.map((one) => (one ? setsOf(one) : noSets));
    } finally {
      for (const one of estimated) one?.verdict.block.release();
    }
  }

  /** `inputs`: q, k and v. */
  attend(
    { checked }: BackendCall,
    kind: ReadyKind,
    parts: readonly PartWork[],
    inputs: PlacedTensors,
  ): BackendResult {
    const machine = this.#machine;
    /** What this call holds until its results hold it. */
    const held: Block[] = [];
    const work = new Work();
    try {
      const result = new Block(machine, kind.results.bytes);
      held.push(result);
      const { out: outAt, lse: lseAt } = kind.results.offsets as Results;
      const used: (Estimated | ChosenSetsData)[] = [];
      const verdicts: Verdict[] = [];
      for (const { estimate, passed, attention, hull, own } of parts) {
        // What went wrong in an estimate is the cause of what went wrong after it.
        const estimated = estimate && this.#addEstimate(work, estimate, inputs);
        const verdict = estimated ? estimated.verdict : verdictOf(passed);
        if (estimated) held.push(estimated.verdict.block);
        if (verdict) verdicts.push(verdict);
        used.push(estimated ?? passed);
        for (const one of hull ? [attention, hull] : [attention]) {
          const { places } = one;
          Object.assign(places, inputs.places, own.places);
          if (estimated) placeEstimated(places, estimated);
          else placeSets(places, machine, passed);
          places.out = result.address + outAt;
          places.lse = result.address + lseAt;
          const { block, offset } = this.#errors.take();
          held.push(block);
          places.error = block.address + offset;
          verdicts.push({ block, offset, explain: kind.explain });
          work.add(one);
        }
        if (estimate?.fallback) {
          const { finish } = estimate.fallback;
          placeLayout(finish.places, estimate.results, estimated!.verdict.block.address);
          work.add(finish);
        }
      }
      work.run(machine, kind);
      const { q, shape } = checked;
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
      return { out, lse, chosen: () => used.map(setsOf) };
    } finally {
      for (const block of held) block.release();
    }
  }

  /** Its caller is one holder of the block. */
  #addEstimate(work: Work, estimate: ReadyEstimate, inputs: PlacedTensors): Estimated {
    const { results, places } = estimate;
    const block = new Block(this.#machine, results.bytes);
    Object.assign(places, inputs.places);
    placeLayout(places, results, block.address);
    work.add(estimate);
    const verdict = { block, offset: estimate.errorAt, explain: estimate.explain };
    return new Estimated(estimate, verdict);
  }
}

/** What an estimate leaves in the block of its verdict. */
class Estimated {
  readonly estimate: ReadyEstimate;
  readonly verdict: Verdict;

  constructor(estimate: ReadyEstimate, verdict: Verdict) {
    this.estimate = estimate;
    this.verdict = verdict;
  }
}

/** Sets as they were passed; those of an estimate hold its block. */
function setsOf(used: Estimated | ChosenSetsData): ChosenSetsData {
  if (!(used instanceof Estimated)) return used;
  const { estimate, verdict } = used;
  return setsOfLaunch(estimate.sets, verdict.block, verdict);
}

export const noSets: ChosenSetsData = Object.freeze({});

/** The sets of an estimate, and which heads fell back. */
function placeEstimated(places: MutablePlaces, { estimate, verdict }: Estimated): void {
  const { address } = verdict.block;
  for (const name in estimate.sets) places[`set ${name}`] = address + estimate.sets[name]!.bits;
  if (estimate.fallback) places.fallen = address + estimate.fallback.fallenAt;
}

function placeSets(places: MutablePlaces, machine: Machine, sets: ChosenSetsData): void {
  for (const name in sets) {
    const set = sets[name]!;
    if (isOn(machine, set)) places[`set ${name}`] = set.address;
  }
}

/** Part of a block that is kept for it, and so are the blocks of its verdicts. */
function memoryAt(block: Block, offset: number, verdicts: readonly Verdict[]): BlockMemory {
  for (const verdict of verdicts) verdict.block.keep();
  return new BlockMemory(block.keep(), offset, verdicts);
}

/** Of the estimate that chose these sets, where a machine did. */
function verdictOf(sets: ChosenSetsData): Verdict | undefined {
  for (const name in sets) {
    const set: ChosenSet = sets[name]!;
    return set instanceof DeviceSet ? set.verdict : undefined;
  }
  return undefined;
}
