// Planted heads in the memory of a device, made and copied one head at a time: of long prompts the host never holds
// all. What is planted: examples/planted.

import type { Planted } from '../../examples/planted/heads.ts';
import { PlantedRows, plantedTensors } from '../../examples/planted/rows.ts';
import { type Device, type FloatType, Tensor } from '../../index.ts';
import { Block, BlockMemory } from '../../runtime/cuda/block.ts';
import { allocate, bytesOf, type Elements } from '../../runtime/dtype.ts';

/** q [1, heads, qLen, headDim], k and v [1, kvHeads, length, headDim]. */
export async function plantedOn(
  device: Device,
  planted: Planted,
  dtype: FloatType,
): Promise<{ q: Tensor; k: Tensor; v: Tensor }> {
  if (device.kind === 'cpu') return plantedTensors(planted, dtype);
  const { machine } = device;
  const { heads, kvHeads, qLen, length, headDim } = planted;
  const rows = new PlantedRows(planted);
  const make = async (
    units: number,
    count: number,
    fill: (unit: number, target: Elements) => void,
  ): Promise<Tensor> => {
    const one = allocate(dtype, count * headDim);
    const block = new Block(machine, units * one.byteLength);
    for (let unit = 0; unit < units; unit += 1) {
      fill(unit, one);
      for (let at = 0; at < one.byteLength; ) {
        const piece = bytesOf(one, at);
        await machine.upload(block.address + unit * one.byteLength + at, piece);
        at += piece.length;
      }
    }
    const shape = [1, units, count, headDim];
    return new Tensor({ data: new BlockMemory(block), dtype, shape });
  };
  return {
    q: await make(heads, qLen, (head, target) => rows.queries(head, dtype, target)),
    k: await make(kvHeads, length, (kvHead, target) => rows.keys(kvHead, dtype, target)),
    v: await make(kvHeads, length, (kvHead, target) => rows.values(kvHead, dtype, target)),
  };
}
