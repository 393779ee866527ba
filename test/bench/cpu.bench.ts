// Dense causal attention on the CPU device. The bar is 4 s on 2 cores with the addon.

import { causal, compile, openDevice, tensor } from '../../index.ts';
import type { Program } from '../programs/program.ts';

const [heads, length, headDim] = [8, 4096, 64];

export const program: Program = {
  summary: `dense causal attention on the CPU, ${heads} heads x ${length} x ${headDim}`,
  examples: [''],
  addOptions() {},
  async act() {
    const device = await openDevice('cpu');
    for (const dtype of ['fp32', 'fp16'] as const) {
      const make = (seed: number) => tensor.random([1, heads, length, headDim], { seed, dtype });
      const inputs = { q: make(1), k: make(2), v: make(3) };
      const attend = await compile(causal, { heads, headDim, dtype, device });
      const times: number[] = [];
      for (let i = 0; i < 4; i += 1) {
        const start = performance.now();
        await attend(inputs);
        times.push(performance.now() - start);
      }
      console.log(
        `${dtype} ${heads} x ${length} x ${headDim}, ${device.threads} threads, ${device.products}:`,
        `${Math.min(...times).toFixed(0)} ms (first call ${times[0]!.toFixed(0)} ms)`,
      );
    }
    await device.dispose();
    return 0;
  },
};
