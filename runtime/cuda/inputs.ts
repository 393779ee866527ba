// The tensors of a call on a machine: where they are there, or copies of those in host memory that last as
// long as the call.

import type { RowStrides } from '../../codegen/attention/call.ts';
import { DeviceError, diagnostic } from '../../dsl/diagnostic.ts';
import type { Tensor } from '../tensor.ts';
import { BlockMemory } from './block.ts';
import { giveLease, type Lease, takeLease } from './leases.ts';
import type { Machine } from './machine.ts';
import type { HostView } from './native.ts';

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
    if (memory === undefined) return this.upload(name, tensor.data);
    if (memory instanceof BlockMemory && memory.block.machine === this.#machine) {
      this.places[name] = memory.address;
      return undefined;
    }
    const runsOn =
      memory.device === this.#machine.name ? 'another device of that name' : this.#machine.name;
    throw new DeviceError([
      diagnostic(
        'R012',
        `'${name}' is in the memory of ${memory.device}, and the call runs on ${runsOn}`,
        {
          help: `bring it over: await device.upload(await ${name}.host())`,
        },
      ),
    ]);
  }

  /** A promise only where the bytes are too many to be written at once, in the order of the work. */
  upload(name: string, view: HostView): Promise<void> | undefined {
    const copy = takeLease(this.#machine, view.byteLength);
    this.#copies.push(copy);
    const { address } = copy.range;
    this.places[name] = address;
    if (view.byteLength > mostWritten) return this.#machine.upload(address, view);
    this.#machine.write(address, view);
    return undefined;
  }

  free(): void {
    for (const copy of this.#copies.splice(0)) giveLease(this.#machine, copy);
  }
}
