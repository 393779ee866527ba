// What a kernel costs the machine, as ptxas -v tells it. Not how fast it is, and not what may not be spent.

import { invariant } from '../../dsl/diagnostic.ts';
import type { KernelFacts } from './machine.ts';

/** A line of ptxas about a kernel: C7510 says that the products of a warpgroup were serialized. */
export interface Remark {
  readonly code: string;
  readonly what: string;
}

/** The resources of one kernel; functions that were not inlined into it count as its own. */
export interface KernelReport {
  /** Per thread. */
  readonly registers: number;
  /** Bytes per thread that registers were too few for. */
  readonly spillStores: number;
  readonly spillLoads: number;
  /** Bytes of stack per thread, spills among them. */
  readonly stack: number;
  /** Bytes of shared memory per block that the source itself declares. */
  readonly staticShared: number;
  /** Bytes of constant memory, the arguments among them. */
  readonly constant: number;
  readonly remarks: readonly Remark[];
}

const entryLine = /Compiling entry function '(\w+)' for/;
const propertyLine = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/;
const remarkLine = /\((C\d{4})\) (.*)$/;

/** What the log of NVRTC under `--ptxas-options=-v` says about one entry function. */
export function reportOf(log: string, entry: string): KernelReport {
  const lines = log.split('\n');
  const start = lines.findIndex((line) => entryLine.exec(line)?.[1] === entry);
  invariant(start >= 0, `ptxas says nothing about a kernel '${entry}'`);
  const next = lines.findIndex((line, at) => at > start && entryLine.test(line));
  const own = lines.slice(start, next < 0 ? undefined : next);

  // A block of properties for the entry, then one for each function that it calls.
  const [frames, stores, loads] = [1, 2, 3].map((group) =>
    own.map((line) => Number(propertyLine.exec(line)?.[group] ?? 0)),
  );
  const used = own.find((line) => /Used \d+ registers/.test(line)) ?? '';
  const amounts = (what: RegExp) => [...used.matchAll(what)].map(([, amount]) => Number(amount));
  return {
    registers: sum(amounts(/Used (\d+) registers/g)),
    spillStores: sum(stores!),
    spillLoads: sum(loads!),
    stack: amounts(/(\d+) bytes cumulative stack size/g)[0] ?? Math.max(...frames!),
    staticShared: sum(amounts(/(\d+)(?:\+\d+)? bytes smem/g)),
    constant: sum(amounts(/(\d+) bytes cmem\[\d+\]/g)),
    remarks: remarksOf(lines, entry),
  };
}

/** A remark that names no function is about every one. */
function remarksOf(lines: readonly string[], entry: string): Remark[] {
  return lines.flatMap((line) => {
    const [, code, what] = remarkLine.exec(line) ?? [];
    if (code === undefined || what === undefined) return [];
    const about = /function '(\w+)'/.exec(what)?.[1];
    return about === undefined || about === entry ? [{ code, what }] : [];
  });
}

/** What decides whether a kernel is taken. */
export const factsOf = ({
  registers,
  spillStores,
  spillLoads,
  remarks,
}: KernelReport): KernelFacts => ({
  registers,
  spillBytes: spillStores + spillLoads,
  isSerialized: remarks.some(({ code }) => /^C75/.test(code)),
});

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);
