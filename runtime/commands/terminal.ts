// Where a verb's words go: results to stdout, progress and complaints to stderr. Not what they say.

import { clearLine, clearScreenDown, cursorTo, moveCursor } from 'node:readline';
import { render } from '../../dsl/diagnostic.ts';
import { cannotWrite } from '../files/atomic.ts';
import type { ProgressStep } from '../parts.ts';
import { exit } from './failure.ts';

/** Progress of one piece of work. */
export interface Progress {
  /** `share` is 0 .. 1. */
  update(share: number): void;
  done(): void;
}

/** Progress of a call, as it tells of it. */
export interface CallProgress {
  /** `share` is 0 .. 1. */
  update(share: number, step: ProgressStep): void;
  done(): void;
}

const doing = {
  estimate: 'estimating',
  plan: 'planning',
  attention: 'attending',
} as const satisfies Record<ProgressStep, string>;

/** Several lines that say how things stand, again and again. */
export interface Live {
  /** The first line is all that a log gets. */
  update(text: () => string): void;
  done(): void;
}

/** Work that ends sooner shows nothing. */
const silentMs = 1000;
const redrawMs = 100;
/** Between the lines of a stderr that is no terminal, such as a log. */
const logMs = 10_000;

/** A stream, which a terminal may stand behind. */
type Stream = NodeJS.WritableStream &
  Partial<Pick<NodeJS.WriteStream, 'isTTY' | 'columns' | 'hasColors'>>;

export class Terminal {
  readonly #out: Stream;
  readonly #err: Stream;
  #line = false;
  /** Of what is drawn, above the line of the cursor. */
  #linesAbove = 0;

  constructor(out: Stream = process.stdout, err: Stream = process.stderr) {
    this.#out = out;
    this.#err = err;
    // The reader of a pipe has seen enough, as `head` does: no reason for words.
    out.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0);
      this.say(render(cannotWrite('standard output', error).diagnostics[0]!));
      process.exit(exit.wrong);
    });
    // Nobody can be told that nobody can be told.
    err.on('error', () => {});
  }

  /** Can pictures be shown? */
  get isScreen(): boolean {
    return this.#out.isTTY === true;
  }

  get columns(): number {
    return this.#out.columns || 80;
  }

  /** 24-bit colours; NO_COLOR and the like are heard. */
  get hasColours(): boolean {
    return this.#out.hasColors?.(2 ** 24) ?? false;
  }

  /** A result, ended by a newline. */
  print(text: string): void {
    this.#clear();
    this.#out.write(`${text}\n`);
  }

  /** One object for a program, and nothing else. */
  printJson(value: unknown): void {
    this.print(JSON.stringify(value, finite, 2));
  }

  /** A complaint or a remark, ended by a newline. */
  say(text: string): void {
    this.#clear();
    this.#err.write(`${text}\n`);
  }

  progress(what: string): Progress {
    const start = performance.now();
    let last = start;
    const update = (share: number): void => {
      const now = performance.now();
      const pause = this.#err.isTTY ? redrawMs : logMs;
      if (now - start < silentMs || now - last < pause || share <= 0) return;
      last = now;
      const left = ((now - start) / share) * (1 - share);
      const text = `${what} ${Math.floor(100 * share)} %, ${duration(left)} left`;
      if (!this.#err.isTTY) {
        this.say(text);
        return;
      }
      this.#clear();
      this.#err.write(text);
      this.#line = true;
    };
    return { update, done: () => this.#clear() };
  }

  /** Progress of a call, step by step; each begins when it is heard of. */
  callProgress(): CallProgress {
    const started = new Map<ProgressStep, Progress>();
    const update = (share: number, step: ProgressStep): void => {
      const progress = started.get(step) ?? this.progress(doing[step]);
      started.set(step, progress);
      progress.update(share);
    };
    return { update, done: () => this.#clear() };
  }

  /** Lines that are drawn over each other on a screen; the first one now and then in a log. */
  live(first: string): Live {
    const start = performance.now();
    let last = Number.NEGATIVE_INFINITY;
    const update = (text: () => string): void => {
      const now = performance.now();
      const isScreen = this.#err.isTTY === true;
      if (now - last < (isScreen ? redrawMs : logMs) || (!isScreen && now - start < silentMs))
        return;
      last = now;
      if (!isScreen) {
        this.say(text().split('\n')[0]!);
        return;
      }
      const columns = this.#err.columns || 80;
      const lines = text()
        .split('\n')
        .map((line) => line.slice(0, columns - 1));
      this.#clear();
      this.#err.write(lines.join('\n'));
      this.#line = true;
      this.#linesAbove = lines.length - 1;
    };
    update(() => first);
    last = Number.NEGATIVE_INFINITY;
    return { update, done: () => this.#clear() };
  }

  /** Everything written has left this process. */
  async flush(): Promise<void> {
    const drained = (stream: Stream) =>
      new Promise<void>((resolve) => stream.write('', () => resolve()));
    await Promise.all([drained(this.#out), drained(this.#err)]);
  }

  #clear(): void {
    if (!this.#line) return;
    this.#line = false;
    cursorTo(this.#err, 0);
    clearLine(this.#err, 0);
    if (this.#linesAbove === 0) return;
    moveCursor(this.#err, 0, -this.#linesAbove);
    clearScreenDown(this.#err);
    this.#linesAbove = 0;
  }
}

/** JSON has no infinities: they are written as text. */
const finite = (_: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;

/** 85 ms, 1.23 s, 12 s, 3 min. */
export function duration(ms: number): string {
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(2)} s`;
  return ms < 120_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} min`;
}

/** Rows of cells under each other; the first column to the left, the others to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
