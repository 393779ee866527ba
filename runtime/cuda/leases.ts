// Memory of a machine on loan. A few ranges that were given back are kept for the next one who asks for as many
// bytes: work runs in the order of the calls, so what is enqueued later may write over what is read earlier. A
// lease that is dropped without being given back is given back when it is collected.

import { DeviceError } from '../../dsl/diagnostic.ts';
import type { Machine, Range } from './machine.ts';

/**
 * Of one machine; more is given back to it, as is what is more than it may keep. The driver takes 20 us of the host to find
 * memory and to have it back, as long as the rest of a short call, and 7 ms for the 2 GB of packed columns of a long one
 * between outputs of 1 GB that live longer (an H200): as if it laid free pieces together anew for each call.
 */
const mostKept = 16;

// A machine that is gone has taken its memory along; waiting for its leases must not keep it.
const collected = new FinalizationRegistry<{ machine: WeakRef<Machine>; range: Range }>((held) => {
  try {
    const machine = held.machine.deref();
    if (machine) leasesOf(machine).collect(held.range);
  } catch {
    // The device is lost, and its memory with it.
  }
});

/** A range for one user at a time, who holds the only reference to it. */
export class Lease {
  readonly range: Range;

  constructor(range: Range) {
    this.range = range;
  }
}

class Leases {
  readonly #machine: Machine;
  /** The oldest first. */
  readonly #kept: Lease[] = [];
  #keptBytes = 0;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  take(bytes: number): Lease {
    const at = this.#kept.findLastIndex(({ range }) => range.bytes === bytes);
    return at >= 0 ? this.#unkeep(at) : this.#make(bytes);
  }

  /** Keeps what nobody gave back, for the next who asks. */
  collect(range: Range): void {
    this.give(this.#lend(range));
  }

  give(lease: Lease): void {
    const { keptBytes = 0 } = this.#machine;
    if (lease.range.bytes > keptBytes) {
      this.#free(lease);
      return;
    }
    this.#kept.push(lease);
    this.#keptBytes += lease.range.bytes;
    while (this.#kept.length > mostKept || this.#keptBytes > keptBytes) this.#free(this.#unkeep(0));
  }

  #make(bytes: number): Lease {
    return this.#lend(this.#alloc(bytes));
  }

  #lend(range: Range): Lease {
    const lease = new Lease(range);
    collected.register(lease, { machine: new WeakRef(this.#machine), range }, lease);
    return lease;
  }

  #alloc(bytes: number): Range {
    try {
      return this.#machine.alloc(bytes);
    } catch (error) {
      const isFull = error instanceof DeviceError && error.code === 'R007';
      if (!isFull || this.#kept.length === 0) throw error;
      while (this.#kept.length > 0) this.#free(this.#unkeep(0));
      return this.#machine.alloc(bytes);
    }
  }

  #unkeep(at: number): Lease {
    const [lease] = this.#kept.splice(at, 1);
    this.#keptBytes -= lease!.range.bytes;
    return lease!;
  }

  #free(lease: Lease): void {
    collected.unregister(lease);
    this.#machine.free(lease.range);
  }
}

const leases = new WeakMap<Machine, Leases>();

function leasesOf(machine: Machine): Leases {
  let own = leases.get(machine);
  if (!own) {
    own = new Leases(machine);
    leases.set(machine, own);
  }
  return own;
}

/** Memory with any contents. throws: what the `alloc` of the machine throws. */
export const takeLease = (machine: Machine, bytes: number): Lease => leasesOf(machine).take(bytes);

/** Gives memory back once the work enqueued before is done with it. Nobody may be reading it but that work. */
export const giveLease = (machine: Machine, lease: Lease): void => leasesOf(machine).give(lease);
