// Elements in the memory of a device, as a tensor or a chosen set holds them. Who allocates and copies them
// is the device.

import type { ChosenSet, SetDomain } from '../dsl/chosen.ts';
import type { Elements } from './dtype.ts';

const brand = Symbol.for('warploom.deviceMemory');

/** A range of device memory that holds the elements of one tensor. */
export abstract class DeviceMemory {
  /** Known across copies of this package. */
  readonly [brand] = true;
  /** The name of the device: `cuda:0`. */
  abstract readonly device: string;
  /**
   * Copies all elements to host memory, as the work enqueued before leaves them. throws: DeviceError R003
   * after `dispose`, and what went wrong in that work.
   */
  abstract read(into: Elements): Promise<void>;
  /** Frees it once the work enqueued before is done. May be called again. */
  abstract dispose(): void;
}

export const isDeviceMemory = (value: unknown): value is DeviceMemory =>
  typeof value === 'object' && value !== null && brand in value;

/** A chosen set in the memory of a device: its units are not known here, but what they are is. */
export interface PlacedSet extends ChosenSet {
  readonly domain: SetDomain;
  /** Units: one per batch entry and head, or KV head. */
  readonly count: number;
  /** The same set with all members in some of its units. */
  withFull(isFull: readonly boolean[]): ChosenSet;
}

export const isPlacedSet = (set: unknown): set is PlacedSet =>
  typeof set === 'object' && set !== null && 'domain' in set && 'withFull' in set;
