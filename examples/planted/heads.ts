// What is planted into the heads of a prompt: sinks, single keys, bands of distances and needles, others for
// every query head, to a wanted density. Facts alone; rows.ts makes queries and keys that show them.

import { philox } from '../../runtime/random.ts';

export interface PlantOptions {
  readonly heads: number;
  readonly kvHeads: number;
  /** Number of keys. */
  readonly length: number;
  /** The last so many positions have queries; all, when left out. */
  readonly qLen?: number;
  /** A multiple of 4, from 32. */
  readonly headDim: number;
  /**
   * Share of the causal pairs that vertical-slash has to compute, in the mean of the heads (0.1 when left out).
   * Each head has between 0.7 and 1.3 of it.
   */
  readonly density?: number;
  /** For each query head, blocks of queries that attend to one earlier block of keys; 4 when left out. */
  readonly needles?: number;
  readonly seed?: number;
}

/** From, and not to. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

export interface PlantedHead {
  /** Keys that every query attends to, ascending; the sinks come before them and are not among them. */
  readonly verticals: Int32Array;
  /** Distances `q - k` that every query attends to, ascending and disjoint. */
  readonly bands: readonly Range[];
  /** Where each band is the strongest. */
  readonly centers: readonly number[];
  /** Tokens from there to where its logit is e^-0.5 of the largest. */
  readonly spread: number;
  readonly needles: readonly { readonly queries: Range; readonly keys: Range }[];
  /** Its share of the causal pairs, each band as vertical-slash widens it. */
  readonly density: number;
}

export interface Planted extends Required<PlantOptions> {
  /** Keys [0, sinks) of all heads. */
  readonly sinks: number;
  /** One per query head. */
  readonly planted: readonly PlantedHead[];
  /** The budgets that vertical-slash needs to find all of it: one number per query head. */
  readonly params: { readonly verticals: readonly number[]; readonly slashes: readonly number[] };
}

const sinks = 4;
/** Queries and keys of a needle, and what both are aligned to. */
const needleTokens = 128;
/** Rows that vertical-slash judges together. */
const grain = 64;
/** What vertical-slash takes whatever it weighs; part of its budgets. */
const forced = { columns: 30, distances: 100 };
/** Share of the density that single keys have. */
const columnShare = 0.04;
/** Half the width of a band over its spread: at its ends the logit is 0.85 of the largest. */
const halfWidth = Math.sqrt(-2 * Math.log(0.85));

/** Pairs of dimensions that are rotated: half of the head. */
export const rotations = (headDim: number): number => headDim / 4;

/** Tokens of one turn of the second rotation; the first stands still, the others are its multiples. Longer than any distance. */
export const period = (length: number): number => Math.ceil(1.25 * length);

/**
 * Places everything; the same options give the same places. Where a length is too short for bands as narrow as
 * the density wants, heads have fewer bands, or more density: `planted[head].density` says how much.
 */
export function plantHeads(options: PlantOptions): Planted {
  const { length, qLen = length, density = 0.1, needles = 4, seed = 0 } = options;
  const all = { ...options, qLen, density, needles, seed };
  const planted = Array.from({ length: options.heads }, (_, head) => plantHead(all, head));
  const verticals = planted.map(
    (head) => forced.columns + head.verticals.filter((key) => key >= forced.columns).length,
  );
  const slashes = planted.map(({ bands }) =>
    sizeOf(merged([{ from: 0, to: forced.distances }, ...bands])),
  );
  return { ...all, sinks, planted, params: { verticals, slashes } };
}

const sizeOf = (ranges: readonly Range[]): number =>
  ranges.reduce((sum, { from, to }) => sum + to - from, 0);

function plantHead(options: Required<PlantOptions>, head: number): PlantedHead {
  const { heads, length, headDim, density, seed } = options;
  const draw = uniform(seed, head);
  const wanted = density * (0.7 + (0.6 * (head + 0.5)) / heads);
  const area = areaOf(options);
  const verticals = drawVerticals(wanted * columnShare, length, area, draw);
  const columns = verticals.reduce((sum, key) => sum + area.ofColumn(key), 0);
  const left = wanted - columns;
  // The spread that the fastest rotation still shows.
  const narrowest =
    (2 * halfWidth * 2.5 * period(length)) / ((rotations(headDim) - 1) * 2 * Math.PI);
  const places = Array.from({ length: 5 }, draw);
  const usual = 1 + Math.floor(3 * draw());
  const choices = [usual, 0, 1, 2, 3, 4, 5].map((far) => {
    const own = places.slice(0, far).sort();
    const isTooMuch = (width: number) => {
      const centers = centersAt(own, width, length);
      return !centers || area.ofBands(bandsAt(centers, width, length)) > left;
    };
    const width = Math.max(narrowest, lastBefore(isTooMuch, length));
    const centers = centersAt(own, width, length);
    const bands = centers && bandsAt(centers, width, length);
    const error = bands ? Math.abs(area.ofBands(bands) / left - 1) : Infinity;
    return { width, centers, bands, error };
  });
  // As many bands as were drawn, unless another number of them comes much closer.
  const best = Math.min(...choices.map(({ error }) => error));
  const { width, centers = [0], bands = [] } = choices.find(({ error }) => error < best + 0.03)!;
  return {
    verticals,
    bands,
    centers,
    spread: width / (2 * halfWidth),
    needles: drawNeedles(options, draw),
    density: columns + area.ofBands(bands),
  };
}

/**
 * The distance 0, and others so far apart that no band raises another; undefined where there is no room for them.
 * `far` says where between the nearest and the farthest place, ascending in [0, 1).
 */
function centersAt(far: readonly number[], width: number, length: number): number[] | undefined {
  const spread = width / (2 * halfWidth);
  const gap = 3.5 * spread;
  const room = 0.95 * length - gap * far.length;
  // The far end of a turn is near its start.
  if (room < 0 || 3 * spread > period(length) - length) return undefined;
  return [0, ...far.map((place, i) => Math.floor(gap * (i + 1) + room * place))];
}

/** Bands of one width around these distances, merged where they touch. */
function bandsAt(centers: readonly number[], width: number, length: number): Range[] {
  const half = width / 2;
  const all = centers.map((d) => ({
    from: Math.max(0, Math.round(d - half)),
    to: Math.min(length, Math.round(d + half) + 1),
  }));
  return merged(all);
}

function merged(ranges: readonly Range[]): Range[] {
  const result: { from: number; to: number }[] = [];
  for (const { from, to } of [...ranges].sort((a, b) => a.from - b.from)) {
    const last = result.at(-1);
    if (last && from <= last.to) last.to = Math.max(last.to, to);
    else result.push({ from, to });
  }
  return result;
}

/** Shares of the causal pairs of a call. */
function areaOf({ length, qLen }: Required<PlantOptions>) {
  const first = length - qLen;
  const pairs = (qLen * (first + 1 + length)) / 2;
  /** Queries from position x on. */
  const queries = (x: number): number => length - Math.max(first, x);
  /** The sum of that over [0, x). */
  const upTo = (x: number): number =>
    Math.min(x, first) * qLen +
    Math.max(0, x - first) * (length - (Math.max(x, first) + first - 1) / 2);
  return {
    ofColumn: (key: number): number => queries(key) / pairs,
    ofBands: (bands: readonly Range[]): number => {
      const wide = merged(
        bands.map(({ from, to }) => ({ from, to: Math.min(length, to + grain - 1) })),
      );
      return wide.reduce((sum, { from, to }) => sum + upTo(to) - upTo(from), 0) / pairs;
    },
  };
}

/** The last number of [1, most] before a condition holds, to a half. */
function lastBefore(condition: (x: number) => boolean, most: number): number {
  let [low, high] = [1, most];
  while (high - low > 0.5) {
    const middle = (low + high) / 2;
    if (condition(middle)) high = middle;
    else low = middle;
  }
  return low;
}

type Draw = () => number;

/** Keys behind the sinks until they have their share of the pairs; at least 4. */
function drawVerticals(
  share: number,
  length: number,
  area: ReturnType<typeof areaOf>,
  draw: Draw,
): Int32Array {
  const keys = new Set<number>();
  for (let sum = 0; keys.size < 4 || sum < share; ) {
    const key = sinks + Math.floor((length - sinks) * draw());
    if (keys.has(key)) continue;
    keys.add(key);
    sum += area.ofColumn(key);
  }
  return Int32Array.from(keys).sort();
}

/** Not among the last queries, by which whole heads are judged. */
function drawNeedles({ length, qLen, needles }: Required<PlantOptions>, draw: Draw) {
  const first = Math.ceil((length - qLen) / needleTokens);
  const blocks = Math.floor(length / needleTokens) - 1;
  const at = (block: number): Range => ({
    from: block * needleTokens,
    to: (block + 1) * needleTokens,
  });
  if (blocks - Math.max(1, first) < 1) return [];
  return Array.from({ length: needles }, () => {
    const query = Math.max(1, first) + Math.floor((blocks - Math.max(1, first)) * draw());
    return { queries: at(query), keys: at(Math.floor(query * draw())) };
  });
}

/** Numbers in [0, 1), a sequence of their own for each stream of a seed. */
function uniform(seed: number, stream: number): Draw {
  const counter = Uint32Array.of(0, stream, 0, 0);
  const key = Uint32Array.of(seed, Math.floor(seed / 2 ** 32));
  const words = new Uint32Array(4);
  return () => {
    philox(counter, key, words);
    counter[0]! += 1;
    return words[0]! / 2 ** 32;
  };
}
