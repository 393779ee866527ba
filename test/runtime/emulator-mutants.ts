// Hopper kernels with one fault each: what stands in their text, one statement gone or one number off.

import { hopper } from '../../codegen/attention/hopper/index.ts';
import type { HopperKnobs } from '../../codegen/attention/hopper/knobs.ts';
import { attentionKernel } from '../../codegen/attention/kernel.ts';
import { attentionLaunch } from '../../codegen/attention/launch.ts';
import type { LaunchList } from '../../codegen/kernel.ts';
import { BitSet } from '../../dsl/chosen.ts';
import { lifted } from '../../dsl/definition.ts';
import { pattern } from '../../dsl/pattern.ts';
import type { Contents } from '../../runtime/emulator/run.ts';
import { tensor } from '../../runtime/tensor.ts';

/** Tiles that are whole, partial and empty, rows without a key, and one key past the last that would be allowed. */
const gappy = pattern('gappy').mask(
  ({ q, k }) => ((k <= q && (k < 40 || q - k < 60)) || k % 330 === 0) && q % 7 !== 3,
);

/** Keys at distances from each 64 queries: warpgroups ask for them apart. */
const far = pattern('far')
  .estimate(({ q, k }) => ({
    distances: q.last(64).dot(k).causal().softmax().sumPerDistance().topk(9),
  }))
  .mask(
    ({ q, k }, { distances }) =>
      k <= q && (q + k) % 7 !== 3 && distances.has((Math.floor(q / 64) + 1) * 64 - 1 - k),
  );

/** A bias that products have a part of. */
const leaning = pattern('leaning')
  .mask(({ q, k }) => k <= q && q % 7 !== 3)
  .score(({ s, q, k }) => s - (q - k) / 32);

/** One kernel: what it is of, dimensions and knobs. */
export interface Variant {
  readonly pattern: typeof gappy | typeof far | typeof leaning;
  readonly headDim: number;
  readonly valueDim: number;
  readonly knobs: HopperKnobs;
  /** Left out: a few more than queries. */
  readonly kLen?: number;
}

const tile = { qTile: 128, warps: 8, stages: 2, blocks: 1 } as const;
const knobs = { ...tile, boxes: 1, headsPerTile: 1, work: 'sections' } as const;

export const variants = {
  /** All at once: turns, tiles that overlap, attempts that fail. */
  turns: {
    pattern: gappy,
    headDim: 64,
    valueDim: 128,
    knobs: { ...knobs, kTile: 64, qBuffers: 2, pingPong: true, speculative: true },
  },
  /** The output is staged where the queries were; weights follow the highest score. */
  narrow: {
    pattern: gappy,
    headDim: 256,
    valueDim: 256,
    knobs: { ...knobs, kTile: 64, qBuffers: 1, pingPong: false, speculative: false },
  },
  /** One more step of products. */
  ramp: {
    pattern: leaning,
    headDim: 64,
    valueDim: 64,
    knobs: { ...knobs, kTile: 64, qBuffers: 2, pingPong: false, speculative: true },
  },
  /** Boxes that both warpgroups ask for, two a slot. */
  pairs: {
    pattern: gappy,
    headDim: 64,
    valueDim: 128,
    knobs: { ...knobs, kTile: 64, boxes: 2, qBuffers: 2, pingPong: false, speculative: true },
  },
  /** Three boxes a slot, of which each warpgroup has two, one or none; more of them than a round of the walk asks for. */
  apart: {
    pattern: far,
    headDim: 64,
    valueDim: 128,
    kLen: 900,
    knobs: { ...knobs, kTile: 128, boxes: 3, qBuffers: 1, pingPong: false, speculative: true },
  },
} as const satisfies Record<string, Variant>;

const sizesOf = ({ kLen = 330 }: Variant) => ({ qLen: 300, kLen, heads: 2 });

/** Of each head: near and far ones, some of which share a box and some lead to the keys that tower; then all of a range. */
const distances = [
  [
    0, 1, 2, 30, 40, 63, 64, 65, 107, 131, 160, 190, 191, 222, 235, 280, 329, 400, 520, 655, 700,
    840,
  ],
  Array.from({ length: 780 }, (_, i) => 5 + i),
];
const domain = { rowFrom: 0, rows: 1, columns: variants.apart.kLen, arity: 1 } as const;
const wordsOf = (members: readonly number[]): number[] => {
  const set = new BitSet(domain);
  for (const member of members) set.add(0, member);
  return [...set.bits];
};

/** The launches of one call, by one block after the other. */
export function listOf(variant: Variant): LaunchList {
  const { pattern: of, headDim, valueDim, knobs: own } = variant;
  const { declarations, mask, score } = lifted(of.definition);
  const { qLen, kLen, heads } = sizesOf(variant);
  const attention = attentionKernel(
    {
      declarations,
      mask,
      score,
      fixed: {},
      gather: undefined,
      restSize: undefined,
      perGroup: new Set(),
      dtype: 'bf16',
      headDim,
      valueDim,
      segments: false,
      knobs: own,
    },
    hopper,
  );
  const rows = (length: number, dim: number) => ({
    batch: heads * length * dim,
    head: length * dim,
    row: dim,
  });
  return attentionLaunch({
    multiprocessors: 1,
    attention,
    declarations,
    dtype: 'bf16',
    shape: { batch: 1, heads, kvHeads: heads, qLen, kLen, headDim, valueDim },
    strides: {
      q: rows(qLen, headDim),
      k: rows(kLen, headDim),
      v: rows(kLen, valueDim),
      out: rows(qLen, valueDim),
    },
    params: {},
    sets: Object.fromEntries(
      Object.keys(declarations.sets).map((name) => [
        name,
        { domain, perGroup: false, most: domain.columns },
      ]),
    ),
    captured: {},
  });
}

/** Small numbers, and a few keys whose scores tower above those that come first. */
export function buffersOf(variant: Variant): Record<string, Contents> {
  const { pattern: of, headDim, valueDim } = variant;
  const { qLen, kLen, heads } = sizesOf(variant);
  const random = (length: number, dim: number, seed: number): Uint16Array =>
    tensor.random([1, heads, length, dim], { dtype: 'bf16', seed }).data as Uint16Array;
  const k = random(kLen, headDim, 2);
  // Exponents of bf16 begin at bit 7: times 2^6.
  for (const key of [3, 20, 100]) for (let d = 0; d < headDim; d++) k[key * headDim + d]! += 6 << 7;
  const bytes = (data: Uint16Array) =>
    new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return {
    q: bytes(random(qLen, headDim, 1)),
    k: bytes(k),
    v: bytes(random(kLen, valueDim, 3)),
    out: { bytes: 2 * heads * qLen * valueDim },
    lse: { bytes: 4 * heads * qLen },
    error: new Uint8Array(8).fill(0xff),
    counter: new Uint8Array(4),
    ...(of === far
      ? { 'set distances': new Uint8Array(Uint32Array.from(distances.flatMap(wordsOf)).buffer) }
      : {}),
  };
}

export interface Mutant {
  /** `barrier_wait(c.slots[k_slot].k_full, k_parity); is gone`. */
  readonly name: string;
  /** The same with its line. */
  readonly why: string;
  /** The line before, which tells equal statements apart. */
  readonly after: string;
  readonly source: string;
}

/**
 * Mutants that mean the same: what they lack orders nothing that something else does not. Each by what is changed,
 * and the line before.
 */
export const equals: readonly (readonly [why: RegExp, after: RegExp])[] = [
  // Of few distances no three boxes follow each other.
  [/copy_box\(to, whole, .* is gone/, /rows\.at\[2\] ==/],
  // Of the place of keys the lower word is told, which has no stride.
  [/matrix_descriptor\(to\b.* has another stride/, /.*/],
  // The next task, or the next pieces, make the lanes meet.
  [/__syncwarp\(\); is gone/, /arrive\(pushed - 1, owed\);|leads = place == 0;/],
  // So few keys are walked over in one round; emulator-boxes.test.ts has those of several.
  [/own\.asked = 0u; is gone/, /.*/],
  // First keys come sooner where nothing else is copied before: no more than speed.
  [/barrier_wait\((c\.begun|full, 0)/, /.*/],
  // Every way from here to the next read of the task meets the lanes again.
  [/__syncwarp\(\); is gone/, /it is settled/],
  [/__syncwarp\(\); is gone/, /auto release_q/],
  // Lanes meet in the next product.
  [/__syncwarp\(\); is gone/, /^}$/],
  // Under a causal mask the key after the last one comes after every query.
  [/key < u\.k_len is off by one/, /bool allowed_own\(/],
  // The mask as it is stated: where it has loads, another function asks it.
  [/is off by one/, /bool allowed_tiles\(/],
  // Turns make kernels fast; without one the products only come earlier.
  [/threads_wait\(1 \+ group, 256\); is gone/, /wait_for_k\(\);/],
];

type Change = readonly [where: RegExp, to: (...found: string[]) => string, what: string];

/** Statements that are taken away, and numbers that are changed. */
const changes: readonly Change[] = [
  [
    /\b(?:barrier_\w+|threads_\w+|copy_box|store_\w+|shared_written|products_\w+(?:<\d>)?|__sync\w+|registers_give<\d+>)\([^;{}]*\);/g,
    () => ';',
    'is gone',
  ],
  [/(barrier_init\([^;]*, )([^,;]*)\);/g, (_, head, count) => `${head}(${count}) + 1);`, 'waits for one more'],
  [/(barrier_init\([^;]*, )([^,;]*)\);/g, (_, head, count) => `${head}(${count}) - 1);`, 'waits for one less'],
  [/(barrier_wait\([^;]*, )([^,;]*)\);/g, (_, head, parity) => `${head}(${parity}) ^ 1u);`, 'waits for the other phase'],
  [/(barrier_arrive_expect\([^;]*, )([^,;]*)\);/g, (_, head, bytes) => `${head}${bytes} + 16);`, 'expects more'],
  [/(barrier_arrive_expect\([^;]*, )([^,;]*)\);/g, (_, head, bytes) => `${head}${bytes} - 16);`, 'expects less'],
  [/(threads_(?:wait|arrive)\([^;]*, )(\d+)\);/g, (_, head, count) => `${head}${count} + 32);`, 'counts a warp more'],
  [/(matrix_descriptor\([^;]*, )1024\);/g, (_, head) => `${head}512);`, 'has another stride'],
  [/(tiles\.v - tiles\.q >> 4, )(\d+)\)/g, (_, head, bytes) => `${head}${Number(bytes) / 2})`, 'has another leading stride'],
  [/(add\.s64 [ab], %\d+, )(\d+);/g, (_, head, past) => `${head}${Number(past) / 2};`, 'steps too short'],
  [/(add\.s64 [ab], %\d+, )4;/g, (_, head) => `${head}0;`, 'steps back'],
  [/setp\.ne\.b32 p, 0, 0;/g, () => 'setp.ne.b32 p, 1, 0;', 'adds to what was'],
  [/setp\.ne\.b32 p, 1, 0;(\\nadd)/g, (_, next) => `setp.ne.b32 p, 0, 0;${next}`, 'forgets a step'],
  [/next_place\((\w+, \w+), stages\)/g, (_, slot) => `next_place(${slot}, stages - 1)`, 'has a slot less'],
  [/next_place\((\w+, \w+), queue_length\)/g, (_, place) => `next_place(${place}, queue_length - 1)`, 'has a place less'],
  [/tiles\.(k|v) \+ slot \* \w+_bytes/g, (_, which) => `tiles.${which}`, 'has one place'],
  [/chunk \^ \(matrix_row & 7\)/g, () => 'chunk ^ (matrix_row & 3)', 'swizzles a bit less'],
  [/\(chunk & 7\) \^ \(r & 7\)/g, () => '(chunk & 7) ^ (r & 6)', 'swizzles a bit less'],
  [/\(k <= q\)/g, () => '(k < q)', 'is off by one'],
  [/\(q - k\) < 60/g, () => '(q - k) < 61', 'is off by one'],
  [/key < u\.k_len/g, () => 'key <= u.k_len', 'is off by one'],
  [/(?:add_ramp|find_base|slope_factor)\([^;{}]*\);/g, () => ';', 'is gone'],
  [/(plain_descriptor\([^;]*), 16\);/g, (_, head) => `${head}, 128);`, 'has another stride'],
  [/(reinterpret_cast<u32\*>\(to\)\[i\] = pack_bf16\(\(float\)\(2 \* i)/g, (_, head) => `${head} + 1`, 'is one further'],
  [/(bias_at\([^;]*, )at\);/g, (_, head) => `${head}0);`, 'is of the first tile'],
  [/if \(what & STEP_MOVES\) softmax\.rescale\(out\);/g, () => '', 'is gone'],
  [/registers_give<(\d+)>/g, (_, count) => `registers_give<${Number(count) + 8}>`, 'gives too few'],
  [/first >= 0 && first < u\.q_len/g, () => 'first >= 0 && first + 63 < u.q_len', 'leaves out the last rows'],
  [/\.held = rows;/g, () => ';', 'is gone'],
  [/held\.(?:told|at|keep)(?:\[\w+\])+ = [^;]*;/g, () => ';', 'is gone'],
  [/\|= \(u64\)PIECE_LAST << 32/g, () => '|= 0ull', 'is gone'],
  [/what \|= STEP_MOVES;/g, () => ';', 'is gone'],
  [/first << 16/g, () => '0u << 16', 'is gone'],
  [/arrive\(number, is_last \? 0 : arrivals\)/g, () => 'arrive(number, arrivals)', 'tells a piece too early'],
  [/owed = is_last \? arrivals : 0/g, () => 'owed = 0', 'never tells the last piece'],
  [/1 \+ slot_boxes - writers/g, () => '1', 'arrives for nobody else'],
  [/\^ \(descends \? 1 : 0\)/g, () => '^ 1', 'is turned round'],
  [/\+ held_box \* \(box_keys \* 128 >> 4\)/g, () => '', 'is gone'],
  [/v_(?:slot|parity) = k_\w+(?=[,;])/g, () => '(void)0', 'is gone'],
  [/\(whole & needed\) == needed/g, () => '(whole & needed) != needed', 'is full where it is not'],
  [/held_box = box;/g, () => 'held_box = 0;', 'forgets where'],
  [/held_keys->at\[box\]/g, () => 'held_keys->at[0]', 'is of the first box'],
  [/held_keys->keep\[group\]\[i\]/g, () => 'held_keys->keep[group][0]', 'is of the first box'],
  [/ \/ slot_boxes \* PIECE_BOXES\(rows\.what\)/g, () => '', 'expects all boxes'],
  [/own\.asked = 0u;/g, () => ';', 'is gone'],
  [/own\.asked = 2u;/g, () => 'own.asked = 0u;', 'is lost for the second warpgroup'],
  [/slot_boxes(?: && rows\.at\[\d\] == [^&)]*)+\) \{/g, () => 'slot_boxes) {', 'copies at once what is apart'],
  [/== total \+ \(int\)gridDim\.x - 1/g, () => '== total + (int)gridDim.x', 'is off by one'],
]; // biome-ignore format: a table

const ownText = (source: string): string => source.slice(source.indexOf('// ---- kernel ----'));

/** Changes that no text has a place for: it says something else by now. */
export const unusedChanges = (sources: readonly string[]): string[] =>
  changes
    .filter(([where]) => !sources.some((source) => ownText(source).search(where) >= 0))
    .map(([where, , what]) => `${where} ${what}`);

/** All mutants of a kernel's own text. */
export function mutantsOf(source: string): Mutant[] {
  const own = source.indexOf('// ---- kernel ----');
  return changes.flatMap(([where, to, what]) =>
    [...source.matchAll(where)]
      .filter(({ index }) => index > own)
      .map((found) => {
        const [text] = found;
        const line = source.slice(0, found.index).split('\n').length;
        const changed =
          source.slice(0, found.index) +
          to(...(found as string[])) +
          source.slice(found.index + text.length);
        const after = source.split('\n')[line - 2]!.trim();
        const name = `${text} ${what}`;
        return { name, why: `line ${line}: ${name}`, after, source: changed };
      }),
  );
}
