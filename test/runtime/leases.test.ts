// Memory that calls give back is kept for the next who asks for as much, and is never in the way of others.

import { describe, expect, it } from 'vitest';
import { DeviceError, diagnostic } from '../../dsl/diagnostic.ts';
import { giveLease, takeLease } from '../../runtime/cuda/leases.ts';
import type { Machine } from '../../runtime/cuda/machine.ts';

/** A machine of so much memory, each range at a new address. */
function machineOf(size: number, keptBytes?: number) {
  const held = new Map<number, number>();
  let next = 0;
  const used = (): number => [...held.values()].reduce((sum, bytes) => sum + bytes, 0);
  const machine = {
    keptBytes,
    alloc(bytes: number) {
      if (used() + bytes > size)
        throw new DeviceError([diagnostic('R007', 'the device has no memory left')]);
      next += 1;
      held.set(next, bytes);
      return { address: next, bytes };
    },
    free: ({ address }: { address: number }) => held.delete(address),
  };
  return { machine: machine as unknown as Machine, used };
}

describe('memory on loan', () => {
  it('is lent again to who asks for as much, however much that is', () => {
    const { machine, used } = machineOf(8000, 4000);
    for (const bytes of [1, 300, 3500]) {
      const first = takeLease(machine, bytes);
      giveLease(machine, first);
      expect(takeLease(machine, bytes).range).toBe(first.range);
    }
    expect(used()).toBe(3801);
  });

  it('goes back to a machine that keeps none, and where it is more than may be kept', () => {
    const none = machineOf(8000);
    giveLease(none.machine, takeLease(none.machine, 1));
    expect(none.used()).toBe(0);
    const some = machineOf(8000, 4000);
    giveLease(some.machine, takeLease(some.machine, 4001));
    expect(some.used()).toBe(0);
  });

  it('goes back oldest first when together it is more than may be kept', () => {
    const { machine, used } = machineOf(8000, 4000);
    const leases = [1500, 1600, 1700].map((bytes) => takeLease(machine, bytes));
    for (const lease of leases) giveLease(machine, lease);
    expect(used()).toBe(3300);
    expect(takeLease(machine, 1600).range).toBe(leases[1]!.range);
    expect(takeLease(machine, 1500).range).not.toBe(leases[0]!.range);
  });

  it('goes back when the machine has no room for another size', () => {
    const { machine, used } = machineOf(8000, 4000);
    giveLease(machine, takeLease(machine, 3000));
    takeLease(machine, 6000);
    expect(used()).toBe(6000);
    expect(() => takeLease(machine, 6000)).toThrow('no memory left');
  });
});
