// Zone maps of a captured tensor: the lowest and highest of every 64 values along its last axis.

import { devicePrimitives } from '../device.ts';
import type { Kernel } from '../kernel.ts';
import { Struct } from '../struct.ts';

/** Values per zone; device/tensors.cuh says the same. */
export const zoneSize = 64;

const paramsOf = (element: 'int' | 'float'): Struct =>
  new Struct('Arguments', [
    { name: 'data', type: 'address', pointer: `const ${element}*`, comment: '[rows, size]' },
    { name: 'zones', type: 'address', pointer: `${element}2*`, comment: '[rows, zones]' },
    { name: 'rows', type: 'i32' },
    { name: 'size', type: 'i32' },
  ]);

/** Threads over all zones of all rows, in blocks of 128. */
export function zonesKernel(kind: 'int' | 'float'): Kernel {
  const params = paramsOf(kind);
  const [lowest, highest] =
    kind === 'int' ? ['2147483647', '-2147483647 - 1'] : ['POSITIVE_INFINITY', 'NEGATIVE_INFINITY'];
  const unordered =
    kind === 'int'
      ? ''
      : '    if (value != value) { low = NEGATIVE_INFINITY; high = POSITIVE_INFINITY; break; }\n';
  const source = `${devicePrimitives()}
// ---- kernel ----

${params.text}

// One thread a zone. A zone with a NaN can be anything.
extern "C" __global__ void __launch_bounds__(128)
zone_maps(const __grid_constant__ Arguments p) {
  const int per_row = (p.size + ${zoneSize - 1}) / ${zoneSize};
  const i64 zone = (i64)blockIdx.x * 128 + threadIdx.x;
  if (zone >= (i64)p.rows * per_row) return;
  const ${kind}* row = p.data + zone / per_row * p.size;
  const int from = (int)(zone % per_row) * ${zoneSize}, to = min(from + ${zoneSize}, p.size);
  ${kind} low = ${lowest}, high = ${highest};
  for (int i = from; i < to; ++i) {
    const ${kind} value = row[i];
${unordered}    low = min(low, value);
    high = max(high, value);
  }
  p.zones[zone] = {low, high};
}
`;
  return { name: 'zone_maps', source, threads: 128, sharedBytes: 0, params };
}
