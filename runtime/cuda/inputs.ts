// The tensors of a call on a machine: where they are there, or copies of those in host memory that last as
// long as the call.

import type { RowStrides } from '../../codegen/attention/call.ts';
import { DeviceError, diagnostic } from '../../dsl/diagnostic.ts';
import { bytesOf } from '../dtype.ts';
import type { Tensor } from '../tensor.ts';
import { BlockMemory } from './block.ts';
import { giveLease, type Lease, takeLease } from './leases.ts';
import type { Machine } from './machine.ts';

/** What a machine writes without waiting, in bytes. */
const mostWritten = 64 * 1024;

/** Elements from one batch entry, head and row to the next. */
export function rowStrides({ strides }: Tensor): RowStrides {
  const [batch = 0, head = 0, row = 0] = strides;
  return { batch, head, row };
}

/** Addresses of tensors for one call; `free` gives back what was copied for it, in stream order. */
export class PlacedTensors {
  readonly #machine: Machine;
  readonly #copies: Lease[] = [];
  readonly places: Record<string, number> = {};

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Places a tensor; a promise only where it has to be copied. */
  place(name: string, tensor: Tensor): Promise<void> | undefined {
    const { memory } = tensor;
    if (memory === undefined) {
      const { data } = tensor;
      return this.upload(name, bytesOf(data, 0, Number.POSITIVE_INFINITY));
    }
    if (memory instanceof BlockMemory && memory.block.machine === this.#machine) {
      this.places[name] = memory.address;
      return undefined;
    }
    throw new DeviceError([
      diagnostic(
        'R012',
        `'${name}' is in the memory of ${memory.device}, and the call runs on ${this.#machine.name}`,
        {
          help: `bring it over: await device.upload(await ${name}.host())`,
        },
      ),
    ]);
  }

  /** A promise only where the bytes are too many to be written at once, in the order of the work. */
  upload(name: string, bytes: Uint8Array): Promise<void> | undefined {
    const copy = takeLease(this.#machine, bytes.length);
    this.#copies.push(copy);
    const { address } = copy.range;
    this.places[name] = address;
    if (bytes.length > mostWritten) return this.#machine.upload(address, bytes);
    this.#machine.write(address, bytes);
    return undefined;
  }

  free(): void {
    for (const copy of this.#copies.splice(0)) giveLease(this.#machine, copy);
  }
}
