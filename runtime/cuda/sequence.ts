// Launch lists of one call, which run one after the other: a machine that can take them in one piece does.

import type { Machine, Places, ReadyList, Sequence } from './machine.ts';

/** Of one kind of call: the lists of its latest calls, which differ where sets are passed or have other sizes. */
const mostKept = 4;

export class Sequences {
  readonly #machine: Machine;
  /** The latest first. */
  readonly #known: Sequence[] = [];

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Enqueues the lists, each over its own places. */
  run(lists: readonly ReadyList[], places: readonly Places[]): void {
    const machine = this.#machine;
    if (machine.join) this.#joined(lists, machine.join).run(places);
    else for (const [i, list] of lists.entries()) machine.run(list, places[i]!);
  }

  #joined(lists: readonly ReadyList[], join: NonNullable<Machine['join']>): Sequence {
    const known = this.#known;
    const at = known.findIndex((one) => isSame(one.lists, lists));
    if (at === 0) return known[0]!;
    const [sequence] = at > 0 ? known.splice(at, 1) : [join.call(this.#machine, lists)];
    known.unshift(sequence!);
    if (known.length > mostKept) known.pop();
    return sequence!;
  }
}

function isSame(a: readonly ReadyList[], b: readonly ReadyList[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i += 1) if (a[i] !== b[i]) return false;
  return true;
}
