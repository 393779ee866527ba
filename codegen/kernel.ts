// What code generation hands to the runtime: kernels as text, and launch lists that say in which order
// they run, over which buffers. Plain data: nothing here compiles, allocates or launches.

import type { FieldValues, Struct } from './struct.ts';

/** One CUDA C file with one `extern "C" __global__` function that takes `params` by value. */
export interface Kernel {
  /** The entry point, and what people see: `attention_a_shape`. */
  readonly name: string;
  /** The whole file, canonical: what is hashed and compiled. It includes nothing. */
  readonly source: string;
  /** Threads per block, and dynamic shared memory per block in bytes. */
  readonly threads: number;
  readonly sharedBytes: number;
  readonly params: Struct;
}

/**
 * Device memory that a launch list needs beside the tensors, by name: `bytes` each, 256-byte aligned,
 * contents undefined unless a step fills them. Freed in stream order after the last step.
 */
export interface Buffer {
  readonly name: string;
  readonly bytes: number;
}

/** How copies see a tensor: boxes of up to 256 elements along each of 1 to 5 axes, the fastest first. */
export interface BoxMap {
  readonly type: 'fp16' | 'bf16';
  readonly sizes: readonly number[];
  /** Bytes from one index to the next, of every axis but the fastest; multiples of 16. */
  readonly strides: readonly number[];
  readonly box: readonly number[];
  /** Bytes of the swizzled rows in shared memory. */
  readonly swizzle: 32 | 64 | 128;
  /** Bytes that are fetched into L2 at once. */
  readonly promotion: 64 | 128 | 256;
}

/** A part of a buffer: its name, and an offset in bytes. */
export interface Place {
  readonly buffer: string;
  readonly offset: number;
}

/** One step of a launch list. Steps run in order on one stream. */
export type Step =
  | {
      readonly op: 'launch';
      readonly kernel: Kernel;
      readonly grid: readonly [number, number, number];
      /** Numbers by field. */
      readonly args: FieldValues;
      /** Fields that hold the address of a buffer, and the byte offset in it. */
      readonly buffers: Readonly<Record<string, Place>>;
      /** Fields that hold a tensor map, and where the tensor lies. */
      readonly maps?: Readonly<Record<string, Place & BoxMap>>;
    }
  | {
      /** Sets every byte of (a part of) a buffer. */
      readonly op: 'fill';
      readonly buffer: string;
      readonly offset: number;
      readonly bytes: number;
      readonly value: number;
    };

export interface LaunchList {
  readonly workspace: readonly Buffer[];
  readonly steps: readonly Step[];
}
