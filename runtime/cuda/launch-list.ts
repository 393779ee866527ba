// Launch lists as the bytes that the native core runs in one call (their layout:
// runtime/native/cuda/launch-record.h). Not which launches a call needs.

import { invariant } from '../../dsl/diagnostic.ts';

type Triple = readonly [number, number, number];

/** One step, with addresses and handles filled in. */
export type LaunchRecord =
  | {
      readonly op: 'launch';
      /** From `CudaDevice.function`. */
      readonly handle: number;
      /** Blocks of the grid, threads of a block, and blocks of a cluster where there are clusters. */
      readonly grid: Triple;
      readonly block: Triple;
      readonly cluster?: Triple;
      /** Dynamic shared memory of a block, in bytes. */
      readonly sharedBytes: number;
      /** The kernel may begin before the one before it has ended; it waits for it by itself. */
      readonly overlaps?: boolean;
      /** The one argument, packed. */
      readonly args: Uint8Array;
    }
  | {
      /** Sets every byte of a range to a value from 0 to 255. */
      readonly op: 'fill';
      readonly address: number;
      readonly bytes: number;
      readonly value: number;
    }
  | {
      /** Copies within the device; the ranges do not overlap. */
      readonly op: 'copy';
      readonly to: number;
      readonly from: number;
      readonly bytes: number;
    };

const operations = { launch: 1, fill: 2, copy: 3 } as const;
const launchBytes = 64;
const otherBytes = 32;

const sizeOf = (record: LaunchRecord): number =>
  record.op === 'launch' ? launchBytes + Math.ceil(record.args.length / 8) * 8 : otherBytes;

/** The list as bytes, for `CudaDevice.run`. */
export function encodeLaunchList(records: readonly LaunchRecord[]): Uint8Array {
  let total = 0;
  for (const record of records) total += sizeOf(record);
  const bytes = new Uint8Array(total);
  const view = new DataView(bytes.buffer);
  let at = 0;
  const u32 = (value: number) => {
    view.setUint32(at, value, true);
    at += 4;
  };
  const u64 = (value: number) => {
    invariant(Number.isSafeInteger(value) && value >= 0, `${value} is no size or address`);
    u32(value % 2 ** 32);
    u32(Math.floor(value / 2 ** 32));
  };
  const triple = ([x, y, z]: Triple) => {
    u32(x);
    u32(y);
    u32(z);
  };
  for (const record of records) {
    u32(operations[record.op]);
    u32(sizeOf(record));
    switch (record.op) {
      case 'launch':
        u64(record.handle);
        triple(record.grid);
        triple(record.block);
        triple(record.cluster ?? [0, 0, 0]);
        u32(record.sharedBytes);
        u32(record.overlaps ? 1 : 0);
        u32(record.args.length);
        bytes.set(record.args, at);
        at += Math.ceil(record.args.length / 8) * 8;
        break;
      case 'fill':
        u64(record.address);
        u64(record.bytes);
        u32(record.value);
        u32(0);
        break;
      case 'copy':
        u64(record.to);
        u64(record.from);
        u64(record.bytes);
        break;
      default:
        record satisfies never;
    }
  }
  return bytes;
}

/** Where in the encoded list the argument of each launch begins, or the address of each fill and copy. */
export function offsetsOfArguments(records: readonly LaunchRecord[]): number[] {
  let start = 0;
  return records.map((record) => {
    const at = start + (record.op === 'launch' ? launchBytes : 8);
    start += sizeOf(record);
    return at;
  });
}
