// tune(): the fastest way to make the kernel of a pattern for calls of a class of lengths on the device at hand. What
// it finds is written down, and everybody's calls use it from then on.

import { type Choice, choiceName } from '../../codegen/attention/choice.ts';
import { statesTile } from '../../codegen/attention/stated.ts';
import { DeviceError, diagnostic } from '../../dsl/diagnostic.ts';
import { parametersOf } from '../../dsl/given.ts';
import type { AnyPattern } from '../../dsl/pattern.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import { checkOptions } from '../arguments.ts';
import { legalChoices } from '../cuda/candidates.ts';
import { groupOf, type KernelRequest, specOf } from '../cuda/kernel-request.ts';
import { referenceKernel, untunedKernel } from '../cuda/kernels.ts';
import type { FloatType } from '../dtype.ts';
import { type AttentionInputs, graphsPerHead } from '../inputs.ts';
import { type CallSizes, checkCall } from '../plans.ts';
import { type Clock, realClock } from './bench.ts';
import { Compilers } from './compilers.ts';
import { DeviceBench } from './device-bench.ts';
import { Keeper } from './keeper.ts';
import { textId } from './key.ts';
import type { Start } from './process.ts';
import { quickInputs } from './quick.ts';
import { resultOf, type TuneResult } from './result.ts';
import { NoReferenceError, type SearchProgress, search } from './search.ts';
import { alternating } from './traffic.ts';

export interface TuneOptions {
  /** Tensors in host memory, or sizes alone: q, k and v are then random. Captured tensors are needed in both cases. */
  readonly inputs: AttentionInputs | CallSizes;
  readonly params?: Readonly<Record<string, number | readonly number[]>>;
  /** Default: what WARPLOOM_DEVICE names, else the first GPU. */
  readonly device?: string | undefined;
  /** Of the search; bringing tensors over comes before. Default: 30 s. */
  readonly budgetMs?: number;
  /** Ends the search; what was measured is kept. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: SearchProgress) => void) | undefined;
  /** @internal */
  readonly start?: Start;
  /** @internal */
  readonly clock?: Clock;
}

const optionsOfTune = ['inputs', 'params', 'device', 'budgetMs', 'signal', 'onProgress'];

/**
 * Finds the fastest kernel for a call of a pattern and writes it down for all calls of its class of lengths. The
 * device is held by another process, which is ended when a kernel hangs. throws: DeviceError R002 and R013, and what
 * a call throws.
 */
export async function tune(pattern: AnyPattern, options: TuneOptions): Promise<TuneResult> {
  checkOptions('tune', options, optionsOfTune, ['start', 'clock']);
  const compilers = new Compilers(options.start);
  try {
    return await tuneWith(pattern, options, compilers);
  } finally {
    compilers.kill();
  }
}

async function tuneWith(
  pattern: AnyPattern,
  options: TuneOptions,
  compilers: Compilers,
): Promise<TuneResult> {
  const { params = {}, budgetMs = 30_000, signal, clock = realClock, start } = options;
  const device = options.device ?? (process.env.WARPLOOM_DEVICE || 'cuda');
  const call = checkCall(pattern, options.inputs, params);
  const { shape, dtype } = call;
  const { definition } = pattern;
  checkTunable(definition.name, device, statesTile(definition.knobs));
  const given = call.inputs.given[0]!;
  const request: KernelRequest = {
    definition,
    numbers: parametersOf(given.params, 0),
    graph: graphsPerHead(definition, given.params, shape)[0] ?? {},
    shape: { ...shape, dtype },
    segments: call.inputs.segments !== undefined,
    empty: shape.kLen === 0,
    lengths: shape,
    group: groupOf(definition, given.params, shape, call.parts[0]!.heads),
  };
  const spec = specOf(request);
  const inputs = tensorsOf(options.inputs, shape, dtype);
  const bench = await DeviceBench.open({
    ...{ pattern, inputs, params, shape, dtype, device, compilers, start },
  }).catch(withoutGpu);
  const keeper = new Keeper(request, spec, shape, bench.machine.chip);
  const stop = (): void => {
    // The process may end with this turn.
    keeper.keepLatest();
    bench.kill();
    compilers.kill();
  };
  signal?.addEventListener('abort', stop);
  let end: number | undefined;
  try {
    for (;;) {
      const untuned = (await untunedKernel(request, bench.machine)).choice;
      bench.prepare(spec, untuned);
      await bench.begin();
      end ??= clock.now() + budgetMs;
      const reference = referenceKernel(request, bench.machine).choice;
      const choices = choicesOf(request, bench, keeper, [untuned, reference]);
      try {
        const onChange = (progress: SearchProgress): void => {
          keeper.latest = progress;
          options.onProgress?.(progress);
        };
        const budget = { budgetMs: end - clock.now(), signal };
        const common = { bench, clock, choices, untuned, reference, ...budget };
        const found = await search({ ...common, onChange, onBad: (one) => keeper.keepBad(one) });
        const isKept = keeper.keep(found);
        return resultOf({ pattern, shape, dtype, device }, keeper, found, isKept);
      } catch (error) {
        // What the table says cannot be run here. It is written down: another comes first now.
        if (signal?.aborted) throw signal.reason;
        if (!(error instanceof NoReferenceError)) throw error;
        const next = (await untunedKernel(request, bench.machine)).choice;
        if (choiceName(next) === choiceName(untuned)) throw cannotTune(definition.name, error);
      }
    }
  } finally {
    signal?.removeEventListener('abort', stop);
    bench.kill();
  }
}

function checkTunable(pattern: string, device: string, isStated: boolean): void {
  const refuse = (what: string, help: string): never => {
    throw new DeviceError([diagnostic('R013', what, { help })]);
  };
  if (device === 'cpu')
    refuse('the CPU has no kernels to tune', "name a GPU: 'cuda', or 'cuda:1' for the second");
  if (isStated)
    refuse(
      `the author of '${pattern}' states its tile`,
      'give lists in .schedule for the tuner to choose from, or leave the knobs out',
    );
}

/** Where there is no such device, the CPU is no way out. */
function withoutGpu(error: unknown): never {
  if (!(error instanceof DeviceError) || error.code !== 'R002') throw error;
  const help = "see 'warploom doctor': tuning needs a GPU, the CPU has no kernels to tune";
  throw new DeviceError([{ ...error.diagnostics[0]!, help }], { cause: error });
}

const cannotTune = (pattern: string, cause: NoReferenceError): DeviceError =>
  new DeviceError(
    [
      diagnostic('R013', `no kernel of '${pattern}' can be compared with: ${cause.message}`, {
        help: "see whether the device is well: 'warploom doctor'",
      }),
    ],
    { cause },
  );

function tensorsOf(
  given: AttentionInputs | CallSizes,
  shape: LaunchShape,
  dtype: FloatType,
): AttentionInputs {
  if ('q' in given) return given as AttentionInputs;
  const { shape: _, dtype: __, ...captured } = given;
  return { ...captured, ...quickInputs(shape, dtype) } as AttentionInputs;
}

/**
 * All that may be tried, the likely ones first, which a short budget has: of each way to move keys (traffic.ts) those that
 * differ least from the untuned one.
 */
function choicesOf(
  request: KernelRequest,
  bench: DeviceBench,
  keeper: Keeper,
  first: readonly [untuned: Choice, reference: Choice],
): Choice[] {
  const [untuned] = first;
  const known = keeper.known?.choice;
  const likely = legalChoices(request, bench.machine).sort(
    (a, b) => distance(a, untuned) - distance(b, untuned),
  );
  const isOwn = ({ backend }: Choice): boolean => backend === untuned.backend;
  const others = likely.filter((choice) => !isOwn(choice));
  const all = [
    ...first,
    ...(known ? [known] : []),
    ...alternating(likely.filter(isOwn)),
    ...others,
  ];
  const byName = new Map(all.map((choice) => [choiceName(choice), choice]));
  return [...byName.values()].filter((choice) => {
    if (first.some((one) => choiceName(one) === choiceName(choice))) return true;
    const { problem, kernel } = bench.kernel(choice);
    return problem === undefined && !keeper.isBad(textId(kernel));
  });
}

function distance(a: Choice, b: Choice): number {
  const theirs = b.knobs as unknown as Record<string, unknown>;
  const other = Object.entries(a.knobs).filter(([name, value]) => theirs[name] !== value);
  return other.length + (a.backend === b.backend ? 0 : 10);
}
