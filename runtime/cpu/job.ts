// One attention call as plain data that a worker can be sent, and the plans made from it on either side.

import type { Binding } from '../../dsl/analysis/binding.ts';
import { Captured } from '../../dsl/analysis/zones.ts';
import { BitSet, type ChosenSetsData, type SetDomain, UnknownSet } from '../../dsl/chosen.ts';
import type { Expression } from '../../dsl/expression.ts';
import { type BoundParameters, parametersOf } from '../../dsl/given.ts';
import type { Spans } from '../../dsl/plan/spans.ts';
import { planUnit, type UnitPlan } from '../../dsl/plan/unit.ts';
import { kvHeadOf, type LaunchShape, queryOffset, type Unit } from '../../dsl/shape.ts';
import { type Segments, shapeOfEntry } from '../segments.ts';
import type { Buffers } from './attention.ts';

/** A captured tensor's parts. */
export interface CapturedParts {
  readonly kind: 'int' | 'float';
  readonly shape: readonly number[];
  readonly data: Int32Array | Float32Array;
}

/** The bits of one set, one entry per unit (query head or KV head); without bits, any members are possible. */
export interface SetParts {
  readonly perGroup: boolean;
  readonly units: readonly { readonly domain: SetDomain; readonly bits?: Uint32Array }[];
}

/** What bindings of units are made from. */
export interface BindingParts {
  readonly shape: LaunchShape;
  readonly params: BoundParameters;
  readonly captured: Readonly<Record<string, CapturedParts>>;
  readonly sets: Readonly<Record<string, SetParts>>;
  /** The query heads of this call; each is one unit per batch entry. */
  readonly headList: readonly number[];
  /** Cumulative lengths, where batch entries are packed sequences. */
  readonly segments?: Segments | undefined;
}

/** Everything that a thread needs; typed arrays are over shared memory. */
export interface Job extends BindingParts {
  readonly mask: Expression;
  readonly score: Expression | undefined;
  readonly qTile: number;
  readonly kTile: number;
  readonly order: 'ascending' | 'descending' | undefined;
  readonly gather: string | undefined;
  readonly restSize: number | undefined;
  /** Spans of a stated schedule, [unit of the job][query tile]. */
  readonly stated: readonly (readonly Spans[])[] | undefined;
  readonly buffers: Buffers;
}

/** The sets of a call in the form that a job carries. */
export function partsOfSets(sets: ChosenSetsData): Record<string, SetParts> {
  return Object.fromEntries(
    Object.entries(sets).map(([name, { perGroup, units }]) => [
      name,
      { perGroup, units: units.map(({ domain, bits }) => ({ domain, bits })) },
    ]),
  );
}

/** Query tiles of a unit: the most of any batch entry. */
export function tilesPerUnit({
  shape,
  segments,
  qTile,
}: Pick<Job, 'shape' | 'segments' | 'qTile'>): number {
  let most = 0;
  for (let i = 0; i < (segments ? shape.batch : 1); i += 1)
    most = Math.max(most, tilesOf(shapeOfEntry(shape, segments, i), qTile));
  return most;
}

function tilesOf(shape: LaunchShape, qTile: number): number {
  if (shape.qLen === 0) return 0;
  return Math.floor((shape.kLen - 1) / qTile) - Math.floor(queryOffset(shape) / qTile) + 1;
}

export const unitsOfJob = ({ shape, headList }: BindingParts): number =>
  shape.batch * headList.length;

/** Unit `i` of a job: batches outermost, so that neighbours share their K and V. */
export function unitOfJob({ shape, headList }: BindingParts, i: number): Unit {
  const head = headList[i % headList.length]!;
  return { batch: Math.floor(i / headList.length), head, kvHead: kvHeadOf(shape, head) };
}

/** Makes bindings of units; captured tensors and equal sets are shared between them. */
export class Binder {
  readonly #parts: BindingParts;
  readonly #captured: Record<string, Captured>;
  readonly #sets = new Map<string, BitSet>();

  constructor(parts: BindingParts) {
    this.#parts = parts;
    this.#captured = Object.fromEntries(
      Object.entries(parts.captured).map(([name, { kind, shape, data }]) => [
        name,
        new Captured(kind, shape, data),
      ]),
    );
  }

  binding(i: number): Binding {
    const { shape, segments, params, sets } = this.#parts;
    const unit = unitOfJob(this.#parts, i);
    const bound = Object.keys(sets).map((name) => [name, this.#set(name, unit)] as const);
    return {
      shape: shapeOfEntry(shape, segments, unit.batch),
      unit,
      params: parametersOf(params, unit.head),
      captured: this.#captured,
      sets: Object.fromEntries(bound),
    };
  }

  #set(name: string, { batch, head, kvHead }: Unit): BitSet {
    const { shape, sets } = this.#parts;
    const { perGroup, units } = sets[name]!;
    const at = perGroup ? batch * shape.kvHeads + kvHead : batch * shape.heads + head;
    const key = `${name} ${at}`;
    const known = this.#sets.get(key);
    if (known) return known;
    const { domain, bits } = units[at]!;
    const made = bits ? new BitSet(domain, bits) : new UnknownSet(domain);
    this.#sets.set(key, made);
    return made;
  }
}

/** Makes plans of a job's units. */
export class Planner extends Binder {
  readonly #job: Job;
  #last: { unit: number; plan: UnitPlan } | undefined;

  constructor(job: Job) {
    super(job);
    this.#job = job;
  }

  plan(i: number): UnitPlan {
    if (this.#last?.unit === i) return this.#last.plan;
    const { mask, score, qTile, kTile, order, gather, restSize, stated } = this.#job;
    const spans = stated?.[i];
    const binding = this.binding(i);
    const first = Math.floor(queryOffset(binding.shape) / qTile);
    const statedSpans = spans && ((q0: number) => spans[Math.floor(q0 / qTile) - first] ?? []);
    const plan = planUnit({
      binding,
      mask,
      score,
      qTile,
      kTile,
      order,
      gather,
      restSize,
      stated: statedSpans,
    });
    this.#last = { unit: i, plan };
    return plan;
  }
}
