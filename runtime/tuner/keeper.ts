// What a tuning finds, on its way into the file: the winner once, also when Ctrl-C comes first, and what must not be
// used at once.

import { type Choice, choiceName, kernelOf } from '../../codegen/attention/choice.ts';
import { lengthClass } from '../../codegen/attention/lengths.ts';
import type { AttentionSpec } from '../../codegen/attention/spec.ts';
import { statedText } from '../../codegen/attention/stated.ts';
import { FileError } from '../../dsl/diagnostic.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import type { KernelRequest } from '../cuda/kernel-request.ts';
import type { ChipName } from '../cuda/machine.ts';
import { kernelId, textId } from './key.ts';
import { isWell } from './race.ts';
import { recordVersion, type TuneRecord } from './record.ts';
import type { SearchProgress, SearchResult } from './search.ts';
import { comparedTimes, type Standing } from './standing.ts';
import { type TunedStore, tunedStore } from './store.ts';

/** Writes down what a tuning finds. A file that cannot be written is said once, and stops nothing. */
export class Keeper {
  latest: SearchProgress | undefined;
  readonly store: TunedStore;
  readonly length: string;
  readonly #request: KernelRequest;
  readonly #spec: Omit<AttentionSpec, 'knobs'>;
  readonly #shape: LaunchShape;
  readonly chip: ChipName | undefined;
  readonly #kernel: string;
  #isKept = false;

  constructor(
    request: KernelRequest,
    spec: Omit<AttentionSpec, 'knobs'>,
    shape: LaunchShape,
    chip: ChipName | undefined,
  ) {
    this.store = tunedStore();
    this.length = lengthClass(shape);
    this.#request = request;
    this.#spec = spec;
    this.#shape = shape;
    this.chip = chip;
    this.#kernel = kernelId(spec, statedText(request.definition.knobs));
  }

  /** What was best so far. */
  get known() {
    const { chip, length } = this;
    return chip && this.store.best({ ...chip, length, kernel: this.#kernel });
  }

  isBad(text: string): boolean {
    return this.chip !== undefined && this.store.isBad(text, this.chip);
  }

  keepBad({ choice, state, why = '' }: Standing): void {
    const common = this.#common(choice);
    if (!common) return;
    const text = textId(kernelOf(this.#spec, choice).kernel);
    this.#append({ kind: 'bad', ...common, why: state as 'fails', detail: why, text });
  }

  /** Whether the winner is in the file now. What was not finished does not replace a winner that was not compared with. */
  keep({ best, untuned, standings, isComplete }: SearchResult): boolean {
    const common = this.#common(best.choice);
    if (!common || this.#isKept || best.rounds === 0 || !isWell(best)) return this.#isKept;
    const { known } = this;
    const isCompared =
      !known ||
      standings.some(({ name, rounds }) => name === choiceName(known.choice) && rounds > 0);
    if (!isComplete && !isCompared) return false;
    const { batch, heads, kvHeads, qLen, kLen } = this.#shape;
    const [its, theirs] = comparedTimes(best, untuned);
    this.#isKept = this.#append({
      kind: 'best',
      ...common,
      length: this.length,
      ms: its.ms,
      untunedMs: theirs.ms,
      rounds: its.rounds,
      shape: [batch, heads, kvHeads, qLen, kLen],
      isComplete,
    });
    return this.#isKept;
  }

  /** What is known at this moment. */
  keepLatest(): void {
    if (this.latest) this.keep({ ...this.latest, isComplete: false });
  }

  #common(choice: Choice) {
    const { definition, shape } = this.#request;
    const { headDim, valueDim } = shape;
    const dtype = shape.dtype as 'fp16' | 'bf16';
    if (!this.chip) return undefined;
    return {
      ...{ version: recordVersion as typeof recordVersion, kernel: this.#kernel },
      ...{ pattern: definition.name, headDim, valueDim, dtype, ...this.chip },
      at: new Date().toISOString(),
      choice,
    };
  }

  #append(record: TuneRecord): boolean {
    try {
      this.store.append(record);
      return true;
    } catch (error) {
      const { message } = error instanceof Error ? error : new Error(String(error));
      const why = error instanceof FileError ? error.diagnostics[0]?.what : message;
      process.emitWarning(`what was tuned cannot be kept in ${this.store.file}: ${why}`, {
        type: 'WarploomWarning',
        detail: 'WARPLOOM_CACHE names another folder.',
      });
      return false;
    }
  }
}
