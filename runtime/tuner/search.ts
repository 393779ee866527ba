// The search for the fastest choice on a device: compile all, hold their results against a reference, race those
// that are right. Pure over `Bench` and `Clock`: nothing here knows kernels, processes or files.

import { type Choice, choiceName } from '../../codegen/attention/choice.ts';
import { type Bench, type Clock, HangError, type Rows, within } from './bench.ts';
import { Compiling, messageOf } from './compiling.ts';
import { bestOf, isWell, leastTimes, race } from './race.ts';
import { Standing } from './standing.ts';
import { finalistsOf, heldOf, slotOf, sustain, sustainedMs, timeAlone } from './sustained.ts';

export interface SearchOptions {
  readonly bench: Bench;
  readonly clock: Clock;
  /** All to be tried; those that come first are compiled first. */
  readonly choices: readonly Choice[];
  /** What is used untuned: it has to be among the choices. */
  readonly untuned: Choice;
  /** Whose results are taken to be right: it has to be among the choices. */
  readonly reference: Choice;
  /** From now on. */
  readonly budgetMs: number;
  /** What loading a kernel may take: a call that takes so long beside what calls take is taken to hang. */
  readonly loadMs?: number;
  readonly seed?: number;
  readonly signal?: AbortSignal | undefined;
  /** When something has changed: for a live table. */
  readonly onChange?: ((progress: SearchProgress) => void) | undefined;
  /**
   * A choice failed, hung or was wrong, while others are well: where none is, the tensors or the device are to blame.
   * Before anything else is done.
   */
  readonly onBad?: ((standing: Standing) => void) | undefined;
}

export type Phase = 'compiling' | 'checking' | 'timing' | 'sustaining' | 'done';

export interface SearchProgress {
  readonly phase: Phase;
  /** Of the budget. */
  readonly elapsedMs: number;
  readonly standings: readonly Standing[];
  readonly untuned: Standing;
  /** The best so far; the untuned one until something is faster. */
  readonly best: Standing;
}

export interface SearchResult extends SearchProgress {
  /** False where the budget or the signal ended it before the best was known. */
  readonly isComplete: boolean;
}

/** Of the budget: when no other is compiled, and when the race begins with what there is, checked, at the latest. */
const compileShare = 0.5;
const checkShare = 0.65;
/** On the device, so many milliseconds are enqueued at once: what lies between two calls weighs little. */
const batchMs = 10;
const mostCalls = 20;
/** A call may take so many times as long as the untuned one, or twice what the first ones did with all that came with them. */
const mostTimes = 10;
const usualLoadMs = 2000;
/** For the first call, of which nothing is known. */
const mostFirstMs = 30_000;

/** Neither the reference nor the untuned choice can be run, or they disagree. */
export class NoReferenceError extends Error {}

/** Runs a search. throws: NoReferenceError. */
export async function search(options: SearchOptions): Promise<SearchResult> {
  return new Search(options).run();
}

class Search {
  readonly #options: SearchOptions;
  readonly #bench: Bench;
  readonly #standings: readonly Standing[];
  readonly #untuned: Standing;
  readonly #reference: Standing;
  readonly #start: number;
  readonly #compiling: Compiling;
  readonly #seen = new Map<Standing, Rows>();
  #phase: Phase = 'compiling';
  /** Those who failed before anything was seen to be well; undefined from then on. */
  #unjudged: Standing[] | undefined = [];
  #hangMs = mostFirstMs;
  /** What the longer of the first two calls took. */
  #firstMs = 0;
  /** What the fastest are called for at a time when the race is over. */
  readonly #slotMs: number | undefined;
  #finalists: readonly Standing[] = [];
  readonly #random: () => number;

  constructor(options: SearchOptions) {
    const { bench, choices, clock, untuned, reference } = options;
    this.#options = options;
    this.#bench = bench;
    this.#standings = choices.map((choice) => new Standing(choice));
    const of = (choice: Choice): Standing =>
      this.#standings.find(({ name }) => name === choiceName(choice))!;
    this.#untuned = of(untuned);
    this.#reference = of(reference);
    this.#start = clock.now();
    this.#slotMs = slotOf(options.budgetMs);
    this.#random = randomOf(options.seed ?? 1);
    this.#compiling = this.#compile();
  }

  async run(): Promise<SearchResult> {
    const isChecked = await this.#checkAll();
    const isRaced = isChecked && (await this.#race());
    const isKnown = (await this.#sustain()) && isRaced;
    const best = this.#isStopped ? this.#best : await this.#repeated();
    this.#phase = 'done';
    const isComplete = isKnown && !this.#standings.some(({ state }) => state === 'waiting');
    const result = { ...this.#progress, best, isComplete };
    this.#options.onChange?.(result);
    return result;
  }

  get #best(): Standing {
    const winner = bestOf(this.#standings, this.#untuned);
    return heldOf(winner, this.#finalists, this.#untuned);
  }

  get #progress(): SearchProgress {
    const [phase, standings, untuned] = [this.#phase, this.#standings, this.#untuned];
    const elapsedMs = this.#options.clock.now() - this.#start;
    return { phase, elapsedMs, standings, untuned, best: this.#best };
  }

  get #isStopped(): boolean {
    return this.#options.signal?.aborted === true;
  }

  #tell(): void {
    this.#options.onChange?.(this.#progress);
  }

  /** Of the race: what is left then is for the fastest alone. */
  get #deadline(): number {
    return this.#at(1) - (this.#slotMs === undefined ? 0 : sustainedMs(this.#slotMs));
  }

  /** When a share of the budget is used up. */
  #at(share: number): number {
    return this.#start + share * this.#options.budgetMs;
  }

  #isPast(share: number): boolean {
    return this.#isStopped || this.#options.clock.now() >= this.#at(share);
  }

  #compile(): Compiling {
    const { clock } = this.#options;
    const needed = [...new Set([this.#reference, this.#untuned])];
    const compiling = new Compiling({
      ...{ bench: this.#bench, clock, needed },
      others: this.#standings.filter((one) => !needed.includes(one)),
      lastStart: this.#at(compileShare),
      end: this.#at(checkShare),
      isStopped: () => this.#isStopped,
      onChange: () => this.#tell(),
    });
    compiling.over.then(() => {
      if (this.#phase === 'compiling') this.#phase = 'checking';
    });
    return compiling;
  }

  /**
   * Takes out what is wrong, while others are being compiled; false where time was up before anything could be compared.
   * More than there is time to compare is not asked for.
   */
  async #checkAll(): Promise<boolean> {
    const compiling = this.#compiling;
    await compiling.whenReady();
    const right = await this.#firstRows();
    const ms = await this.#timeUntuned();
    const seen = new Set<Standing>();
    const next = (): Standing | undefined =>
      compiling.compiled.find((one) => one.state === 'waiting' && !seen.has(one));
    /** Tiles of which one hung or failed: to find that out again costs a new process, so they come last. */
    const suspects = new Set<string>();
    const postponed: Standing[] = [];
    while (ms !== undefined && !this.#isPast(checkShare) && !this.#isEnough(ms)) {
      const standing = next() ?? (compiling.isOver ? postponed.shift() : undefined);
      if (!standing && compiling.isOver) break;
      if (!standing) {
        await compiling.whenMore();
        continue;
      }
      seen.add(standing);
      if (suspects.has(tileOf(standing)) && (!compiling.isOver || next())) {
        postponed.push(standing);
        continue;
      }
      const rows = await this.#attempt(standing, () => this.#bench.rows(standing.choice));
      if (rows) this.#judge(standing, right, rows);
      if (standing.state === 'hangs' || standing.state === 'fails') suspects.add(tileOf(standing));
      this.#tell();
    }
    compiling.stop();
    return this.#untuned.state === 'racing';
  }

  /** Milliseconds of one call, and what others may take from here on. */
  async #timeUntuned(): Promise<number | undefined> {
    const { clock, loadMs = usualLoadMs } = this.#options;
    const start = clock.now();
    const ms = await this.#attempt(this.#untuned, () => this.#bench.run(this.#untuned.choice, 1));
    this.#hangMs = loadMs + Math.max(mostTimes * (clock.now() - start), 2 * this.#firstMs);
    return ms;
  }

  /** Are there as many as a race has time for, with calls of so many milliseconds? */
  #isEnough(ms: number): boolean {
    const racing = this.#standings.filter(({ state }) => state === 'racing').length;
    const left = this.#deadline - this.#options.clock.now();
    return racing * leastTimes * Math.max(batchMs, ms) >= left;
  }

  #judge(standing: Standing, right: Rows, rows: Rows): void {
    const difference = this.#bench.difference(right, rows);
    if (difference === undefined) {
      this.#seen.set(standing, rows);
      standing.end('racing');
    } else this.#fail(standing, 'wrong', difference);
  }

  /** The results that others are held against. */
  async #firstRows(): Promise<Rows> {
    const { clock } = this.#options;
    let rows: Rows | undefined;
    for (const standing of new Set([this.#reference, this.#untuned])) {
      if (!this.#compiling.compiled.includes(standing)) continue;
      const start = clock.now();
      const own = await this.#attempt(standing, () => this.#bench.rows(standing.choice));
      if (!own) continue;
      this.#firstMs = Math.max(this.#firstMs, clock.now() - start);
      this.#judge(standing, rows ?? own, own);
      if (rows || standing.state !== 'racing') continue;
      rows = own;
      this.#blameAll();
    }
    if (!rows || this.#untuned.state !== 'racing') {
      const { name, state, why } = rows ? this.#untuned : this.#reference;
      throw new NoReferenceError(`${name}: ${state}: ${why}`);
    }
    return rows;
  }

  async #race(): Promise<boolean> {
    this.#phase = 'timing';
    const { clock } = this.#options;
    const deadline = this.#deadline;
    const calls = new Map<Standing, number>();
    const time = async (standing: Standing): Promise<number | undefined> => {
      let count = calls.get(standing);
      if (count === undefined) {
        const first = await this.#attempt(standing, () => this.#bench.run(standing.choice, 1));
        if (first === undefined) return undefined;
        count = Math.min(mostCalls, Math.max(1, Math.ceil(batchMs / Math.max(first, 1e-3))));
        calls.set(standing, count);
        // It was called before, when it was checked: a long call counts as it is.
        if (count === 1) return first;
      }
      return this.#attempt(standing, () => this.#bench.run(standing.choice, count));
    };
    return race({
      field: this.#compiling.compiled.filter((one) => one !== this.#untuned),
      pace: this.#untuned,
      time,
      now: () => clock.now(),
      deadline,
      isOver: () => this.#isStopped || clock.now() >= deadline,
      random: this.#random,
      onTime: () => this.#tell(),
    });
  }

  /** The fastest ones for as long as a clock needs; false where time was up first, true too where there is no need. */
  async #sustain(): Promise<boolean> {
    const { clock } = this.#options;
    const slotMs = this.#slotMs;
    this.#finalists = finalistsOf(this.#standings, this.#untuned);
    const isAsked = this.#finalists.length > 0 && isWell(this.#untuned) && !this.#isStopped;
    if (slotMs === undefined || !isAsked) return true;
    this.#phase = 'sustaining';
    const common = { now: () => clock.now(), random: this.#random };
    const alone = (one: Standing) => timeAlone(this.#bench, one, slotMs, common);
    return sustain(
      this.#finalists,
      {
        pace: this.#untuned,
        time: (standing) => this.#attempt(standing, () => alone(standing), 2 * slotMs),
        now: common.now,
        isOver: () => this.#isPast(1),
        onTime: () => this.#tell(),
      },
      this.#random,
    );
  }

  /** The best whose kernel gives the same bits once more. */
  async #repeated(): Promise<Standing> {
    for (;;) {
      const best = this.#best;
      const before = this.#seen.get(best);
      if (best === this.#untuned || !before) return best;
      const rows = await this.#attempt(best, () => this.#bench.rows(best.choice));
      if (rows && isSame(before, rows)) return best;
      if (rows) this.#fail(best, 'wrong', 'the same call gave other bits');
    }
  }

  /** One piece of work on the device; undefined where it failed or hung, and the device is ready for others. */
  async #attempt<Value>(
    standing: Standing,
    work: () => Promise<Value>,
    moreMs = 0,
  ): Promise<Value | undefined> {
    try {
      return await within(work(), this.#hangMs + moreMs, this.#options.clock);
    } catch (error) {
      // Ctrl-C ends the device as well: nobody is to blame.
      if (this.#isStopped) return undefined;
      this.#fail(standing, error instanceof HangError ? 'hangs' : 'fails', messageOf(error));
      await this.#bench.reset();
      return undefined;
    }
  }

  #fail(standing: Standing, state: 'fails' | 'hangs' | 'wrong', why: string): void {
    standing.end(state, why);
    if (this.#unjudged) this.#unjudged.push(standing);
    else this.#options.onBad?.(standing);
    this.#tell();
  }

  /** Something is well: who failed before did so by itself. */
  #blameAll(): void {
    const all = this.#unjudged ?? [];
    this.#unjudged = undefined;
    for (const standing of all) this.#options.onBad?.(standing);
  }
}

const tileOf = ({ choice: { backend, knobs } }: Standing): string =>
  `${backend} ${knobs.qTile}x${knobs.kTile}`;

/** Bit for bit: NaN of an empty row is itself. */
const isSame = (a: Rows, b: Rows): boolean =>
  a.length === b.length && a.every((value, i) => Object.is(value, b[i]));

/** A short generator of numbers in 0 .. 1 (mulberry32): the order of a search can be had again. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}
