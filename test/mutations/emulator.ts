// Deliberate faults of the emulator: what it would take for granted wrongly, or let pass.

import { inFile, type Mutation } from './mutation.ts';

export const emulator: readonly Mutation[] = [
  ...inFile('runtime/emulator/fma.ts', ['nothing is fused', "'-ffp-contract=fast'", "'-ffp-contract=off'"]),
  ...inFile('runtime/emulator/device/cuda.h', ['a product by itself is fused', '{ return warploomRounded(x * y); }\nWARPLOOM_INTRINSIC float __fdiv', '{ return x * y; }\nWARPLOOM_INTRINSIC float __fdiv']),
  ...inFile(
    'runtime/emulator/device/tensor-map.h',
    ['swizzles by the wrong row', 'address >> 7 & (chunks - 1)', 'address >> 8 & (chunks - 1)'],
  ),
  ...inFile(
    'runtime/emulator/device/tensor-copy.cc',
    ['a box has a row past the end', 'index < map.sizes[axis];', 'index <= map.sizes[axis];'],
    ['a box begins at row 0', 'isInside && index >= 0 &&', 'isInside &&'],
    ['a store may begin before its tensor', 'if (first < 0)', 'if (false)'],
    ['a store needs no wait before the next', 'checkStores(store, map);', ''],
    ['a block may end while it copies', 'if (loading > 0)', 'if (loading < 0)'],
    ['a barrier needs no fence', 'if (!barrier.isTold)', 'if (false)'],
  ),
  ...inFile(
    'runtime/emulator/device/barrier.cc',
    ['a wait is for the other phase', '(barrier->phase & 1) == parity', '(barrier->phase & 1) != parity'],
    ['bytes end no phase', 'barrier.bytes -= bytes;', 'barrier.bytes -= bytes / 2;'],
    ['a wait tells nothing', 'block.clocks.learn(me, barrier->ended);', ''],
    ['a phase may end unseen', 'if (!barrier.woken.empty())', 'if (false)'],
  ),
  ...inFile(
    'runtime/emulator/device/descriptor.h',
    ['leading and stride are exchanged', 'index / perRow * further + k / 8 * deeper', 'index / perRow * deeper + k / 8 * further'],
    ['of rows that are not swizzled they are not', 'further = swizzle ? leading : stride', 'further = leading'],
  ),
  ...inFile(
    'runtime/emulator/device/products.cc',
    ['all warps have the first rows', 'warpNow() % groupWarps * rowsOfWarp', '0 * rowsOfWarp'],
    ['sums change places', 'row / 8 * 2 + column % 2', 'row / 8 + column % 2 * 2'],
    ['waits are for one group less', 'warp.closed.size() - pending;', 'warp.closed.size() - pending - (pending > 0);'],
  ),
  ...inFile(
    'runtime/emulator/device/warpgroup.cc',
    ['registers come from nowhere', 'wanted > freeRegisters)', 'wanted > 65536)'],
  ),
  ...inFile(
    'runtime/emulator/engine/registers.cc',
    ['products need no fence', 'word.touched >= epochs[block.current]', 'word.touched > epochs[block.current]'],
    ['sums may be read at once', 'if (word.results)', 'if (word.results && isWrite)'],
    ['factors may change', 'if (word.operands && isWrite)', 'if (false)'],
  ),
  ...inFile(
    'runtime/emulator/engine/shared.cc',
    ['a tile under a product may change', 'if (chunk.reads)', 'if (false)'],
    ['warps need not wait for the products of others', 'firstProducts + warp, time))', 'firstProducts + warp, 0))'],
    ['ordinary writes need no fence', '!block.clocks.knowsFenced(thread, cell.writer, cell.time))', 'false)'],
  ),
  ...inFile('runtime/emulator/engine/clocks.h', [
    'a fence tells what comes later too',
    '++known[thread];\n  }',
    '}',
  ]),
]; // biome-ignore format: a table
