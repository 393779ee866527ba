// A launch list under construction: steps, the workspace they need, and the kernels, each once.

import type { BoxMap, Buffer, Kernel, LaunchList, Place, Step } from '../kernel.ts';
import type { FieldValues } from '../struct.ts';

export type { Place };

export const at = (buffer: string, offset = 0): Place => ({ buffer, offset });

/** Where scores that are not finite are told. */
export const errorBuffer = 'error';

export class Launches {
  readonly #steps: Step[] = [];
  readonly #bytes = new Map<string, number>();
  readonly #kernels = new Map<string, Kernel>();

  /** A buffer of the workspace; asked for several times, it is as large as the largest wish. */
  need(name: string, bytes: number): string {
    this.#bytes.set(name, Math.max(this.#bytes.get(name) ?? 0, bytes));
    return name;
  }

  /** The same text and number of threads is the same kernel. */
  #known(kernel: Kernel): Kernel {
    const key = `${kernel.threads} ${kernel.source}`;
    const known = this.#kernels.get(key) ?? kernel;
    this.#kernels.set(key, known);
    return known;
  }

  /** Nothing, where the grid is empty. */
  launch(
    kernel: Kernel,
    grid: readonly [number, number, number],
    args: FieldValues,
    buffers: Readonly<Record<string, Place>>,
    more: { readonly maps?: Readonly<Record<string, Place & BoxMap>> } = {},
  ): void {
    if (grid.every((size) => size > 0))
      this.#steps.push({ op: 'launch', kernel: this.#known(kernel), grid, args, buffers, ...more });
  }

  fill({ buffer, offset }: Place, bytes: number, value: number): void {
    if (bytes > 0) this.#steps.push({ op: 'fill', buffer, offset, bytes, value });
  }

  get kernels(): Kernel[] {
    return [...this.#kernels.values()];
  }

  get list(): LaunchList {
    const workspace = [...this.#bytes].map(([name, bytes]): Buffer => ({ name, bytes }));
    return { workspace, steps: this.#steps };
  }
}
