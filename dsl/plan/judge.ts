// Whether keys of one query tile are let through: intervals prove it (possible.ts). Where nothing else can tell of any
// tile, they are asked last: one pair shows at once what they find by halving a box down to it, and the answers are
// theirs all the same (law 2). How the keys are cut into tiles is walk.ts.

import { type Box, boxOf } from '../analysis/box.ts';
import { type Answer, possible } from '../analysis/possible.ts';
import { type PairTest, pairTest } from './pair-test.ts';
import type { Pass, UnitPlan } from './unit.ts';

/** `skip`: every pair is proved to be refused; `full`: to be allowed. */
export type TileClass = 'skip' | 'full' | 'partial';

/** Boxes that a question about many tiles may look at: these are judged again, each by itself. */
const briefBudget = 8;

/** Pairs that are tried before anything is asked. */
const firstPairs = 8;

/** The fractions of its multiples lie evenly, however many there are. */
const golden = (Math.sqrt(5) - 1) / 2;

const compiled = new WeakMap<Pass, PairTest>();

/** Compiled once for all query tiles of a plan, whose passes are its own. */
function testOf(plan: UnitPlan, pass: Pass): PairTest {
  const known = compiled.get(pass);
  if (known) return known;
  const test = pairTest(plan, pass.mask);
  compiled.set(pass, test);
  return test;
}

/** Judges keys `[from, to)` for all queries of one tile; quickest where neighbours are asked about in turn. */
export class Judge {
  readonly #plan: UnitPlan;
  readonly #pass: Pass;
  readonly #q0: number;
  readonly #q1: number;
  /** The keys of the last pairs that were seen to be allowed and to be refused. */
  #allowed = -1;
  #refused = -1;

  constructor(plan: UnitPlan, pass: Pass, { q0, q1 }: Box) {
    this.#plan = plan;
    this.#pass = pass;
    this.#q0 = q0;
    this.#q1 = q1;
  }

  /** `brief`: of many tiles, which are judged again in smaller parts where the answer is 'partial'. */
  classOf(from: number, to: number, brief = false): TileClass {
    if (this.#provesNone(true, from, to, brief)) return 'skip';
    return this.#provesNone(false, from, to, brief) ? 'full' : 'partial';
  }

  /** Is it proved that no pair is `wanted`: allowed, or refused? */
  #provesNone(wanted: boolean, from: number, to: number, brief: boolean): boolean {
    const budget = brief ? briefBudget : undefined;
    // Comparisons and sets leave few tiles to be asked about, and those are soon answered.
    if (!this.#pass.opaque) return this.#ask(wanted, from, to, budget) === 'no';
    const test = testOf(this.#plan, this.#pass);
    if (this.#knows(wanted, from, to) || this.#findsEarly(test, wanted, from, to)) return false;
    if (brief) return this.#ask(wanted, from, to, budget) === 'no';
    // What few boxes refute, more do as well; in between, what is cheaper than more boxes.
    const atOnce = this.#ask(wanted, from, to, 1);
    if (atOnce !== 'unknown') return atOnce === 'no';
    if (this.#findsAlong(test, wanted, from, to)) return false;
    const soon = this.#ask(wanted, from, to, 2 * briefBudget);
    if (soon !== 'unknown') return soon === 'no';
    if (this.#findsAnywhere(test, wanted, from, to)) return false;
    return this.#ask(wanted, from, to, undefined, true) === 'no';
  }

  #ask(
    wanted: boolean,
    from: number,
    to: number,
    budget?: number,
    isNowhere = false,
  ): Answer['is'] {
    const { formula, negation } = this.#pass;
    const { binding } = this.#plan;
    const box = boxOf(this.#q0, this.#q1, from, to - 1);
    const answer = possible(wanted ? formula : negation, box, binding, budget, isNowhere);
    if (answer.is === 'yes') this.#note(wanted, answer.k);
    return answer.is;
  }

  #knows(wanted: boolean, from: number, to: number): boolean {
    const k = wanted ? this.#allowed : this.#refused;
    return k >= from && k < to;
  }

  /** Among a few pairs all over the box. */
  #findsEarly(test: PairTest, wanted: boolean, from: number, to: number): boolean {
    const rows = this.#q1 - this.#q0 + 1;
    for (let i = 0; i < firstPairs; i += 1) {
      const q = this.#q0 + Math.floor(((i * golden) % 1) * rows);
      const k = from + Math.floor(((i + 0.5) / firstPairs) * (to - from));
      if (this.#note(test(q, k), k) === wanted) return true;
    }
    return false;
  }

  /** Among those of one query and of one key: together they have every distance of the box. */
  #findsAlong(test: PairTest, wanted: boolean, from: number, to: number): boolean {
    const [q0, q1] = [this.#q0, this.#q1];
    for (let k = from; k < to; k += 1) if (this.#note(test(q0, k), k) === wanted) return true;
    for (let q = q0; q <= q1; q += 1) if (this.#note(test(q, from), from) === wanted) return true;
    return false;
  }

  #findsAnywhere(test: PairTest, wanted: boolean, from: number, to: number): boolean {
    for (let q = this.#q0; q <= this.#q1; q += 1)
      for (let k = from; k < to; k += 1) if (this.#note(test(q, k), k) === wanted) return true;
    return false;
  }

  /** Remembers a pair with the key `k`. */
  #note(isAllowed: boolean, k: number): boolean {
    if (isAllowed) this.#allowed = k;
    else this.#refused = k;
    return isAllowed;
  }
}
