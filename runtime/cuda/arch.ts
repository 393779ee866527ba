// What kernels for a GPU are compiled for: its own architecture, or an older one of its family that WARPLOOM_ARCH asks for.

import { DeviceError, diagnostic } from '../../dsl/diagnostic.ts';
import type { CudaProperties } from './native.ts';

type Capability = Pick<CudaProperties, 'major' | 'minor'>;

/** A chip's own. What only one family of chips has is asked for by name. */
export const ownArch = ({ major, minor }: Capability): string =>
  major === 9 && minor === 0 ? 'sm_90a' : `sm_${major}${minor}`;

/**
 * The architecture that kernels for a GPU are compiled for. `WARPLOOM_ARCH` may ask for another that runs there: one of
 * the same major number, up to its own; sm_90 gives Hopper the portable kernels. One value is for all GPUs; of several,
 * joined by commas, each GPU has the one at its ordinal, and its own where there is none. Throws DeviceError R005 for one
 * that it does not run.
 */
export function archOf(chip: Capability & Pick<CudaProperties, 'ordinal'>): string {
  const own = ownArch(chip);
  const asked = (process.env.WARPLOOM_ARCH ?? '').split(',').map((one) => one.trim());
  const wanted = asked.length === 1 ? asked[0] : asked[chip.ordinal];
  if (!wanted || wanted === own) return own;
  const run = Array.from({ length: chip.minor + 1 }, (_, minor) => `sm_${chip.major}${minor}`);
  if (run.includes(wanted)) return wanted;
  const known = [...new Set([...run, own])].join(' or ');
  const what = `WARPLOOM_ARCH is '${wanted}' for cuda:${chip.ordinal}, which is ${own} and does not run it`;
  const others = asked.length === 1 ? '; one for each GPU is joined by commas' : '';
  const help = `give ${known}, or leave it unset${others}`;
  throw new DeviceError([diagnostic('R005', what, { help })]);
}
