// Chosen sets in the memory of a machine: as an estimate leaves them, or brought there from host memory.

import type { EstimateLaunch } from '../../codegen/estimate/index.ts';
import {
  BitSet,
  type ChosenSet,
  type ChosenSetsData,
  fullSet,
  hullOf,
  isChosenSet,
  partOf,
  type RowRange,
  type SetDomain,
} from '../../dsl/chosen.ts';
import { DeviceError, diagnostic, ShapeError } from '../../dsl/diagnostic.ts';
import { mostMembers } from '../../dsl/estimate/most.ts';
import type { NeededRows } from '../../dsl/estimate/needed.ts';
import { axesOfChosen } from '../../dsl/estimate/node.ts';
import type { EstimateGraph } from '../../dsl/estimate/trace.ts';
import { isObject, shown } from '../../dsl/shown.ts';
import { Block, checkVerdict, type Verdict } from './block.ts';
import type { Layout } from './layout.ts';
import type { Machine } from './machine.ts';

const wordsOf = ({ rows, columns }: SetDomain): number => rows * ((columns + 31) >>> 5);

/** What the kernels know of a set before they read it. */
export interface SetFacts {
  readonly domain: SetDomain;
  readonly perGroup: boolean;
  /** No row has more members. */
  readonly most: number;
}

interface Where {
  readonly block: Block;
  /** Bytes from the start of the block: the bits, and a word per unit that says whether it was made dense. */
  readonly bits: number;
  readonly dense: number | undefined;
}

/** A set on a machine. `units` and `dense` can be asked for once it was read. */
export class DeviceSet implements ChosenSet {
  readonly axes: ChosenSet['axes'];
  readonly perGroup: boolean;
  readonly domain: SetDomain;
  readonly count: number;
  readonly rows: RowRange | undefined;
  /** No row has more members. */
  readonly most: number;
  readonly where: Where;
  readonly verdict: Verdict | undefined;
  /** Units that have all members, whatever the bits on the machine say. */
  readonly #isFull: readonly boolean[] | undefined;
  #host: Pick<ChosenSet, 'units' | 'dense'> | undefined;

  constructor(
    facts: Pick<LaunchedSet, 'axes' | 'perGroup' | 'rows' | 'domain' | 'count' | 'most'>,
    where: Where,
    verdict?: Verdict,
    isFull?: readonly boolean[],
  ) {
    this.axes = facts.axes;
    this.perGroup = facts.perGroup;
    this.domain = facts.domain;
    this.count = facts.count;
    this.rows = facts.rows;
    this.most = facts.most;
    this.where = where;
    this.verdict = verdict;
    this.#isFull = isFull;
  }

  /** Whether the bits on its machine are all there is to it. */
  get isWhole(): boolean {
    return this.#isFull === undefined;
  }

  withFull(isFull: readonly boolean[]): DeviceSet {
    return new DeviceSet(this, this.where, this.verdict, isFull);
  }

  get address(): number {
    return this.where.block.address + this.where.bits;
  }

  get units(): readonly BitSet[] {
    return this.#read().units;
  }

  get dense(): readonly boolean[] {
    return this.#read().dense;
  }

  #read(): Pick<ChosenSet, 'units' | 'dense'> {
    if (this.#host) return this.#host;
    throw new DeviceError([
      diagnostic('R012', `the chosen sets are in the memory of ${this.where.block.machine.name}`, {
        help: 'await readChosen(chosen) first; as `chosen` of another call they need not be read',
      }),
    ]);
  }

  /** Copies the members to host memory, once. throws: PlanError E004 for scores that were not finite. */
  async read(): Promise<this> {
    if (this.#host) return this;
    if (this.verdict) await checkVerdict(this.verdict);
    const { domain, count, where } = this;
    const { machine, address } = where.block;
    const words = wordsOf(domain);
    const bits = new Uint32Array(new SharedArrayBuffer(4 * words * count));
    await machine.download(address + where.bits, bits);
    const dense = new Uint32Array(count);
    if (where.dense !== undefined) await machine.download(address + where.dense, dense);
    const isFull = (unit: number): boolean => this.#isFull?.[unit] ?? false;
    const full = this.isWhole ? undefined : fullSet(domain);
    this.#host = {
      units: Array.from({ length: count }, (_, i) =>
        full && isFull(i) ? full : new BitSet(domain, bits.subarray(i * words, (i + 1) * words)),
      ),
      dense: Array.from(dense, (word, i) => word !== 0 || isFull(i)),
    };
    return this;
  }
}

/**
 * Reads all sets of a call into host memory; those that are there already cost nothing. throws: ShapeError T011 for what are
 * no sets.
 */
export async function readChosen<Sets extends ChosenSetsData>(chosen: Sets): Promise<Sets> {
  const refuse = (what: string): never => {
    const help = 'give what a call or attend.estimate returned: (await attend(inputs)).chosen';
    throw new ShapeError([diagnostic('T011', what, { help })]);
  };
  if (!isObject(chosen)) refuse(`the chosen sets are ${shown(chosen)}`);
  for (const [name, set] of Object.entries(chosen))
    if (set instanceof DeviceSet) await set.read();
    else if (!isChosenSet(set)) refuse(`'${name}' is no chosen set`);
  return chosen;
}

/** What is known of a set of an estimate before it is launched, and where it lies in the results. */
export interface LaunchedSet extends SetFacts, Pick<ChosenSet, 'axes' | 'rows'> {
  readonly count: number;
  readonly bits: number;
  readonly dense: number | undefined;
}

/** The sets of a launch. `rows`: of its sets, those that are computed. */
export function launchedSets(
  launch: EstimateLaunch,
  graphs: readonly EstimateGraph[],
  rows: NeededRows,
  { offsets }: Layout,
): Readonly<Record<string, LaunchedSet>> {
  return Object.fromEntries(
    Object.entries(launch.sets).map(([name, { perGroup, domain, units, buffer, dense }]) => {
      const most = graphs.map((graph) => mostMembers(graph[name]!, domain.columns));
      const set: LaunchedSet = {
        axes: axesOfChosen(graphs[0]![name]!).map(({ axis, size }) => ({ axis, size })),
        perGroup,
        domain,
        count: units,
        most: Math.max(...most),
        rows: partOf(domain, rows[name]),
        bits: offsets[buffer]!,
        dense: dense === undefined ? undefined : offsets[dense],
      };
      return [name, set];
    }),
  );
}

/** The sets that a launch leaves in a block, which they hold. throws: DeviceError R003 where nobody held it before. */
export function setsOfLaunch(
  launched: Readonly<Record<string, LaunchedSet>>,
  block: Block,
  verdict: Verdict,
): Record<string, DeviceSet> {
  if (block.isReleased) {
    throw new DeviceError([
      diagnostic('R003', 'the chosen sets went with the results of their call', {
        help: "take 'chosen' from a result before its 'out' and 'lse' are disposed of",
      }),
    ]);
  }
  block.keep();
  const sets: Record<string, DeviceSet> = {};
  for (const name of Object.keys(launched)) {
    const facts = launched[name]!;
    sets[name] = new DeviceSet(facts, { block, bits: facts.bits, dense: facts.dense }, verdict);
  }
  return sets;
}

/**
 * A set in host memory as words for the device: [units, rows, stride] over one domain. No row has more than `most` members,
 * a power of two: calls whose sets differ by little share what is made ready.
 */
export function wordsOfSet({ units }: ChosenSet): {
  domain: SetDomain;
  words: Uint32Array;
  most: number;
} {
  const domain = hullOf(units);
  const size = wordsOf(domain);
  const words = new Uint32Array(size * units.length);
  let most = 0;
  for (const [i, unit] of units.entries()) {
    const { rowFrom, rows } = unit.domain;
    words.set(unit.bits, i * size + (rowFrom - domain.rowFrom) * unit.stride);
    for (let row = rowFrom; row < rowFrom + rows; row += 1) most = Math.max(most, unit.count(row));
  }
  return { domain, words, most: most === 0 ? 0 : 2 ** Math.ceil(Math.log2(most)) };
}

/** Copies of sets, wherever they are, in the memory of a machine: calls with them bring nothing over. throws: DeviceError R007. */
export async function uploadSets(
  machine: Machine,
  sets: ChosenSetsData,
): Promise<Record<string, DeviceSet>> {
  const placed: Record<string, DeviceSet> = {};
  for (const [name, set] of Object.entries(await readChosen(sets))) {
    const { domain, words, most } = wordsOfSet(set);
    const block = new Block(machine, words.byteLength);
    await machine.upload(block.address, words);
    const { axes, perGroup, rows, units } = set;
    const facts = { axes, perGroup, rows, domain, count: units.length, most };
    placed[name] = new DeviceSet(facts, { block, bits: 0, dense: undefined });
  }
  return placed;
}

/** Whether a machine has all of a set. */
export const isOn = (machine: Machine, set: ChosenSet): set is DeviceSet =>
  set instanceof DeviceSet && set.isWhole && set.where.block.machine === machine;
