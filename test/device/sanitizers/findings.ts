// What compute-sanitizer says, counted: which of its lines is a finding, of which pattern, and whether the tool has
// said everything. Its lines begin with `=========`; one that is not indented opens a finding, the indented ones below
// are its details, and the last ones sum up. The child's own lines stand between them.

import { end, start } from './calls.ts';

export const tools = ['memcheck', 'racecheck', 'initcheck'] as const;
export type Tool = (typeof tools)[number];

/** Of one pattern, under one tool. */
export interface Count {
  findings: number;
  /**
   * Of initcheck: reads by the host of what it takes for unwritten. It does not see what tensor copies store, so every
   * output of theirs is one.
   */
  hostReads: number;
}

/** How the process of a tool ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  /** Minutes after which it was ended by us. */
  readonly overdue?: number | undefined;
}

const own = /^=========( +)?(.*)$/;
const summary = {
  memcheck: /^ERROR SUMMARY: (\d+) errors?$/,
  racecheck: /^RACECHECK SUMMARY: (\d+) hazards? displayed \(\d+ errors?, \d+ warnings?\)$/,
  initcheck: /^ERROR SUMMARY: (\d+) errors?$/,
} as const;
const anySummary = [summary.memcheck, summary.racecheck];
/** In older versions the first, whose details say that it is about values that nobody wrote. */
const hostRead = /^Host API (memory access error at host access|uninitialized memory access)/;
/** Of the tool itself and the process it runs, not of a kernel: no finding, but then not all was checked. */
const remark =
  /^((error|warning): (?!race reported|potential)|target application|internal sanitizer|.* errors were (not printed|skipped))/i;

/** Findings that are shown in full, and the most lines of one. */
const mostShown = 3;
const mostLines = 12;
/** Of the child, where it dies. */
const lastLines = 12;

/** Takes the lines of a tool one by one. */
export class Findings {
  readonly tool: Tool;
  /** By pattern, in the order of the calls; what belongs to none is under the empty name. */
  readonly counts = new Map<string, Count>();
  /** What the child said last. */
  readonly said: string[] = [];
  readonly #shown: string[][] = [];
  readonly #remarks = new Set<string>();
  readonly #sums: number[] = [];
  #at = '';
  #hasSummary = false;
  #isAtEnd = false;
  /** The finding whose details come now. */
  #open: string[] | undefined;

  constructor(tool: Tool) {
    this.tool = tool;
  }

  take(line: string): void {
    const [isOwn, indent = '', text = ''] = own.exec(line) ?? [];
    if (isOwn === undefined) this.#takeSaid(line);
    else if (indent.length > 1) this.#open?.push(line);
    else this.#takeOwn(text.trimEnd(), line);
  }

  get total(): number {
    return [...this.counts.values()].reduce((sum, { findings }) => sum + findings, 0);
  }

  /** The first findings as they were printed. */
  get excerpt(): string {
    return this.#shown.map((lines) => lines.slice(0, mostLines).join('\n')).join('\n');
  }

  /** Why the tool has not checked everything, one line each; none where it has. */
  troubles({ code, signal, overdue }: Ended): string[] {
    const where = this.#at === '' ? '' : ` while ${this.#at} was called`;
    const named = this.total + [...this.counts.values()].reduce((n, one) => n + one.hostReads, 0);
    const summed = this.#sums.reduce((sum, one) => sum + one, 0);
    const all = [...this.#remarks].map((text) => `it says '${text}'`);
    if (overdue !== undefined) all.push(`it took more than ${overdue} minutes${where}`);
    else if (signal !== null) all.push(`it ended by ${signal}${where}`);
    else if (code !== 0) all.push(`it ended with code ${code}${where}`);
    if (!this.#isAtEnd) all.push(`the calls did not come to their end${where}`);
    if (!this.#hasSummary) all.push('it says no summary');
    if (summed > named) all.push(`it counts ${summed} findings, and has printed ${named} of them`);
    return all;
  }

  #takeSaid(line: string): void {
    const [, name] = start.exec(line) ?? [];
    if (name === undefined && line !== end) {
      this.said.push(line);
      if (this.said.length > lastLines) this.said.shift();
      return;
    }
    this.#at = name ?? '';
    if (name === undefined) this.#isAtEnd = true;
    else this.#count();
  }

  #takeOwn(text: string, line: string): void {
    this.#open = undefined;
    if (text === '' || text === 'COMPUTE-SANITIZER') return;
    const [sum] = anySummary.flatMap((one) => one.exec(text)?.[1] ?? []);
    if (sum !== undefined) {
      this.#sums.push(Number(sum));
      this.#hasSummary ||= summary[this.tool].test(text);
    } else if (remark.test(text)) this.#remarks.add(text);
    else if (this.tool === 'initcheck' && hostRead.test(text)) this.#count().hostReads += 1;
    else {
      this.#count().findings += 1;
      if (this.#shown.length === mostShown) return;
      this.#open = [line];
      this.#shown.push(this.#open);
    }
  }

  #count(): Count {
    const count = this.counts.get(this.#at) ?? { findings: 0, hostReads: 0 };
    this.counts.set(this.#at, count);
    return count;
  }
}
