// The generated analysis of many masks, asked on the CPU by one kernel: what a mask says of each pair, of
// boxes of pairs, where the search for keys stops, and what the walk of each query tile visits.

import { type AttentionKernel, attentionKernel } from '../../codegen/attention/kernel.ts';
import { attentionLaunch, paramsOf } from '../../codegen/attention/launch.ts';
import { type KernelPass, passesOf } from '../../codegen/attention/passes.ts';
import { masksText, walkText } from '../../codegen/attention/walk.ts';
import { wordsText } from '../../codegen/attention/words.ts';
import { devicePrimitives } from '../../codegen/device.ts';
import type { Kernel, Step } from '../../codegen/kernel.ts';
import { type Names, namesOf } from '../../codegen/names.ts';
import { type Field, Struct } from '../../codegen/struct.ts';
import { Uniforms } from '../../codegen/uniforms.ts';
import { unitText } from '../../codegen/unit.ts';
import { fold } from '../../dsl/analysis/specialise.ts';
import type { ChosenSetsData } from '../../dsl/chosen.ts';
import type { Declarations } from '../../dsl/declarations.ts';
import { type Expression, has, index, rebuild } from '../../dsl/expression.ts';
import type { BoundParameters } from '../../dsl/given.ts';
import { type LaunchShape, queryOffset } from '../../dsl/shape.ts';
import { Binder, type CapturedParts, partsOfSets } from '../../runtime/cpu/job.ts';
import { type Contents, runEmulated } from '../../runtime/emulator/run.ts';

/** Tiles of the walk. Narrow ones, so that short sequences have more than the 32 that are judged at once. */
export const [qTile, kTile] = [16, 8];

export interface AskedMask {
  readonly mask: Expression;
  readonly gather?: string | undefined;
  readonly restSize?: number | undefined;
}

/** One call of all masks. */
export interface AskedCall {
  readonly shape: LaunchShape;
  readonly params: BoundParameters;
  readonly captured: Readonly<Record<string, CapturedParts>>;
  readonly sets: ChosenSetsData;
  /** [q0, q1, k0, k1], inclusive, inside the shape. */
  readonly boxes: readonly (readonly [number, number, number, number])[];
}

export interface Visit {
  readonly kind: KernelPass['kind'];
  /** The first key, entry of the list of columns, or pool. */
  readonly at: number;
  readonly full: boolean;
}

/** What one pass of a mask says in one unit. */
export interface PassAnswers {
  readonly pass: KernelPass;
  /** [qLen, kLen]: is the pair allowed? */
  readonly allowed: Uint8Array;
  /** Of each box: 1 where the mask may hold, 2 where it may not, 3 both. */
  readonly truths: Uint8Array;
  /** Of each box: the first key from k0 on that q0 to q1 may attend to. Not of columns. */
  readonly keys: Int32Array | undefined;
  /**
   * [qLen, kLen], of stand-ins with pools for keys: the same as the words of a mask have it, that begin anywhere, and at
   * multiples of 32. Undefined where it is no word.
   */
  readonly words: readonly (Uint8Array | undefined)[];
}

export interface Answers {
  readonly passes: readonly PassAnswers[];
  /** Of each query tile of the unit, the first one first. */
  readonly walks: readonly (readonly Visit[])[];
}

const passesPerMask = 3;

/** Where the words begin that are asked: anywhere, or at multiples. */
const multiples = [1, 32] as const;

const wordsOf = (pass: KernelPass, multiple: number, names: Names): string | undefined =>
  pass.kind === 'columns'
    ? undefined
    : wordsText(
        `words_${pass.kind}_${multiple}`,
        pass.mask,
        { size: pass.kind === 'rest' ? pass.size : 1, multiple },
        names,
      );

/** In the order of `enum Kind`. */
const kinds = ['tiles', 'columns', 'rest'] as const;

const own: readonly Field[] = [
  { name: 'boxes', type: 'address', pointer: 'const int4*' },
  { name: 'allowed', type: 'address', pointer: 'u8*', comment: '[masks, units, passes, pairs]' },
  { name: 'truths', type: 'address', pointer: 'u8*', comment: '[masks, units, passes, boxes]' },
  { name: 'keys', type: 'address', pointer: 'int*', comment: '[masks, units, passes, boxes]' },
  {
    name: 'words',
    type: 'address',
    pointer: 'u8*',
    comment: '[masks, units, passes, multiples, pairs]',
  },
  { name: 'visits', type: 'address', pointer: 'int*', comment: '[masks, units, q_tiles, most]' },
  { name: 'box_count', type: 'i32' },
  { name: 'units', type: 'i32' },
  { name: 'most_visits', type: 'i32' },
  { name: 'asked_tiles', type: 'i32' },
  { name: 'asked_first', type: 'i32' },
];

function textOfMask(
  passes: readonly KernelPass[],
  asked: readonly KernelPass[],
  names: Names,
  restSize: number,
  at: number,
  walk: string,
) {
  const words = asked.map((pass) => multiples.map((multiple) => wordsOf(pass, multiple, names)));
  const questions = passes.map(({ kind }, pass) => {
    const lines = [
      `  pairs = ((i64)unit * ${passesPerMask} + ${pass}) * u.q_len * u.k_len;`,
      '  for (int i = lane; i < u.q_len * u.k_len; i += 32)',
      `    p.allowed[pairs + i] = allowed_${kind}(u, u.offset + i / u.k_len, i % u.k_len);`,
      `  boxes = ((i64)unit * ${passesPerMask} + ${pass}) * p.box_count;`,
      '  for (int i = lane; i < p.box_count; i += 32) {',
      '    const int4 box = p.boxes[i];',
      `    const Truth truth = judge_${kind}(u, {box.x, box.y}, {box.z, box.w});`,
      '    p.truths[boxes + i] = (u8)((truth.may ? 1 : 0) + (truth.may_not ? 2 : 0));',
      '  }',
    ];
    for (const [i, multiple] of multiples.entries()) {
      if (words[pass]![i] === undefined) continue;
      lines.push(
        `  pairs = (((i64)unit * ${passesPerMask} + ${pass}) * ${multiples.length} + ${i}) * u.q_len * u.k_len;`,
        '  for (int i = lane; i < u.q_len * u.k_len; i += 32) {',
        `    const int k = i % u.k_len, from = ${multiple === 1 ? 'max(k - i / u.k_len % 32, 0)' : 'k & ~31'};`,
        `    p.words[pairs + i] = words_${kind}_${multiple}(u, u.offset + i / u.k_len, from) >> (k - from) & 1u;`,
        '  }',
      );
    }
    if (kind !== 'columns')
      lines.push(
        '  for (int i = 0; i < p.box_count; ++i) {',
        '    const int4 box = p.boxes[i];',
        `    const int key = keys_${kind}(u, box.x, box.y, box.z);`,
        '    if (lane == 0) p.keys[boxes + i] = key;',
        '  }',
      );
    return lines.join('\n');
  });
  return `namespace mask_${at} {
constexpr int pool_size = ${restSize};
${walk}
${words
  .flat()
  .filter((text) => text !== undefined)
  .join('\n')}
WARPLOOM_DEVICE void answer(const Unit& u, const Arguments& p, int index, int unit) {
  const int lane = threadIdx.x & 31;
  i64 pairs, boxes;
${questions.join('\n')}
  for (int tile = 0; tile < p.asked_tiles; ++tile) {
    const int start = (p.asked_first + tile) * ${qTile};
    const int q0 = max(start, u.offset), q1 = min(start + ${qTile}, u.k_len) - 1;
    int* visits = p.visits + ((i64)unit * p.asked_tiles + tile) * p.most_visits;
    Walk walk = {0, 0, 0, 0, 0};
    int count = 0;
    for (;;) {
      const Visit visit = advance(u, p, index, q0, q1, walk);
      if (visit.kind == NOTHING || count + 1 == p.most_visits) break;
      if (lane == 0) visits[count] = visit.at * 8 + (int)visit.kind * 2 + (visit.full ? 1 : 0);
      ++count;
    }
    if (lane == 0) visits[count] = -1;
  }
}
}`;
}

/** The kernel that answers for these masks; all calls of it compile once. */
export class Questions {
  readonly #declarations: Declarations;
  readonly #passes: readonly (readonly KernelPass[])[];
  /** By mask, pass and multiple. */
  readonly #hasWords: readonly (readonly (readonly boolean[])[])[];
  readonly #kernel: Kernel;
  readonly #attention: AttentionKernel;
  readonly #columns: KernelPass | undefined;

  constructor(declarations: Declarations, masks: readonly AskedMask[]) {
    const names = namesOf(declarations);
    const plain = masks.map((one) => ({ ...one, mask: rebuild(one.mask, fold) }));
    this.#declarations = declarations;
    this.#passes = plain.map(({ mask, gather, restSize }) => passesOf(mask, gather, restSize));
    const gathers = this.#passes.flat().filter(({ kind }) => kind === 'columns');
    this.#columns = gathers[0];
    const uniforms = new Uniforms();
    const asked = plain.map(({ mask, gather, restSize }) =>
      passesOf(uniforms.ofMask(mask), gather, restSize),
    );
    const walks = asked.map((passes) => `${masksText(passes, names)}\n\n${walkText(passes)}`);
    this.#hasWords = asked.map((passes) =>
      passes.map((pass) =>
        multiples.map((multiple) => wordsOf(pass, multiple, names) !== undefined),
      ),
    );
    const spec = { declarations, names, perGroup: new Set<string>(), segments: false };
    // The arguments of an attention kernel that gathers columns, where any mask does.
    const set = this.#columns?.kind === 'columns' ? this.#columns.set : undefined;
    const attention = attentionKernel({
      ...spec,
      mask: set === undefined ? plain[0]!.mask : has(set, [index('k')]),
      score: undefined,
      fixed: {},
      gather: set,
      restSize: undefined,
      dtype: 'bf16',
      headDim: 8,
      valueDim: 8,
      knobs: { qTile, kTile: 16, warps: 1, stages: 1, blocks: 1 },
    });
    this.#attention = attention;
    const params = new Struct('Arguments', [...attention.kernel.params.fields, ...own]);
    const source = [
      devicePrimitives('numbers', 'integers', 'floats', 'bounds', 'global', 'sets', 'tensors'),
      '// ---- kernel ----',
      `constexpr int k_tile = ${kTile};`,
      params.text,
      unitText({ ...spec, uniforms: uniforms.all }),
      ...this.#passes.map((passes, i) =>
        textOfMask(passes, asked[i]!, names, masks[i]!.restSize ?? 1, i, walks[i]!),
      ),
      'extern "C" __global__ void __launch_bounds__(32) ask(const __grid_constant__ Arguments p) {',
      '  const int mask = blockIdx.x / p.units, index = blockIdx.x % p.units, unit = blockIdx.x;',
      '  const Unit u = load_unit(p, index);',
      ...masks.map((_, i) => `  if (mask == ${i}) mask_${i}::answer(u, p, index, unit);`),
      '}',
    ].join('\n\n');
    this.#kernel = { name: 'ask', source, threads: 32, sharedBytes: 0, params };
  }

  get text(): string {
    return this.#kernel.source;
  }

  /** Answers by [mask][unit]; units are [batch, heads]. */
  async ask(call: AskedCall, seed = 0): Promise<Answers[][]> {
    const { shape, params, captured, sets, boxes } = call;
    const { batch, heads, qLen, kLen } = shape;
    const units = batch * heads;
    const total = this.#passes.length * units;
    const first = Math.floor(queryOffset(shape) / qTile);
    const tiles = qLen === 0 ? 0 : Math.floor((kLen - 1) / qTile) - first + 1;
    const most = kLen + 8;
    const zero = { batch: 0, head: 0, row: 0 };
    const list = attentionLaunch({
      attention: {
        ...this.#attention,
        kernel: this.#kernel,
        passes: this.#columns ? [this.#columns] : [],
      },
      multiprocessors: 1,
      declarations: this.#declarations,
      dtype: 'bf16',
      shape,
      strides: { q: zero, k: zero, v: zero, out: zero },
      params,
      sets: Object.fromEntries(
        Object.entries(sets).map(([name, set]) => [
          name,
          {
            domain: set.units[0]!.domain,
            perGroup: set.perGroup,
            most: set.units[0]!.domain.columns,
          },
        ]),
      ),
      captured,
    });
    const sizes: Record<string, number> = {
      allowed: total * passesPerMask * qLen * kLen,
      truths: total * passesPerMask * boxes.length,
      keys: total * passesPerMask * boxes.length * 4,
      words: total * passesPerMask * multiples.length * qLen * kLen,
      visits: total * tiles * most * 4,
    };
    const answers = Object.keys(sizes);
    const steps = list.steps.map((step): Step => {
      if (step.op === 'fill' || step.kernel !== this.#kernel) return step;
      const extra = Object.fromEntries(
        ['boxes', ...answers].map((name) => [name, { buffer: name, offset: 0 }]),
      );
      return {
        ...step,
        grid: [total, 1, 1],
        args: {
          ...step.args,
          box_count: boxes.length,
          units,
          most_visits: most,
          asked_tiles: tiles,
          asked_first: first,
        },
        buffers: { ...step.buffers, ...extra },
      };
    });
    const contents: Record<string, Contents> = {
      boxes: bytesOf(Int32Array.from(boxes.flat())),
      params: bytesOf(paramsOf(this.#declarations, params, heads)),
      error: new Uint8Array(8).fill(0xff),
    };
    for (const name of ['q', 'k', 'v', 'out', 'lse']) contents[name] = { bytes: 16 };
    for (const name of answers) contents[name] = { bytes: Math.max(16, sizes[name]!) };
    for (const [name, { data }] of Object.entries(captured))
      contents[`tensor ${name}`] = bytesOf(data);
    for (const [name, set] of Object.entries(sets))
      contents[`set ${name}`] = bytesOf(
        Uint32Array.from(set.units.flatMap(({ bits }) => [...bits])),
      );
    const after = await runEmulated({ ...list, steps }, contents, { seed });
    return this.#passes.map((passes, mask) =>
      Array.from({ length: units }, (_, unit): Answers => {
        const at = mask * units + unit;
        const part = (name: string, size: number, pass: number): Uint8Array => {
          const from = (at * passesPerMask + pass) * size;
          return after[name]!.slice(from, from + size);
        };
        const walks = Array.from({ length: tiles }, (__, tile) => {
          const from = (at * tiles + tile) * most;
          const words = new Int32Array(after.visits!.slice(from * 4, (from + most) * 4).buffer);
          return [...words.subarray(0, words.indexOf(-1))].map((word): Visit => {
            return { kind: kinds[(word >> 1) & 3]!, at: word >> 3, full: word % 2 === 1 };
          });
        });
        return {
          walks,
          passes: passes.map((pass, i) => ({
            pass,
            allowed: part('allowed', qLen * kLen, i),
            truths: part('truths', boxes.length, i),
            keys:
              pass.kind === 'columns'
                ? undefined
                : new Int32Array(part('keys', boxes.length * 4, i).buffer),
            words: multiples.map((_, which) => {
              const all = part('words', multiples.length * qLen * kLen, i);
              const from = which * qLen * kLen;
              return this.#hasWords[mask]![i]![which]
                ? all.slice(from, from + qLen * kLen)
                : undefined;
            }),
          })),
        };
      }),
    );
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array => {
  const bytes = new Uint8Array(Math.max(16, byteLength));
  bytes.set(new Uint8Array(buffer, byteOffset, byteLength));
  return bytes;
};

/** The bindings of all units of a call, for the definition of what a mask means. */
export function bindingsOf({ shape, params, captured, sets }: AskedCall) {
  const headList = Array.from({ length: shape.heads }, (_, head) => head);
  const binder = new Binder({ shape, params, captured, sets: partsOfSets(sets), headList });
  return Array.from({ length: shape.batch * shape.heads }, (_, i) => binder.binding(i));
}
