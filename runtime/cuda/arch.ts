// What kernels for a GPU are compiled for: its own architecture, or an older one of its family that WARPLOOM_ARCH asks for.

import { DeviceError, diagnostic } from '../../dsl/diagnostic.ts';
import type { CudaProperties } from './native.ts';

type Capability = Pick<CudaProperties, 'major' | 'minor'>;

/** A chip's own. What only one family of chips has is asked for by name. */
export const ownArch = ({ major, minor }: Capability): string =>
  major === 9 && minor === 0 ? 'sm_90a' : `sm_${major}${minor}`;

/**
 * The architecture that kernels for a GPU are compiled for. `WARPLOOM_ARCH` may ask for another that runs there: one of
 * the same major number, up to its own; sm_90 gives Hopper the portable kernels. Throws DeviceError R005 for one
 * that does not.
 */
export function archOf(chip: Capability): string {
  const own = ownArch(chip);
  const wanted = process.env.WARPLOOM_ARCH;
  if (!wanted || wanted === own) return own;
  const run = Array.from({ length: chip.minor + 1 }, (_, minor) => `sm_${chip.major}${minor}`);
  if (run.includes(wanted)) return wanted;
  const known = [...new Set([...run, own])].join(' or ');
  throw new DeviceError([
    diagnostic('R005', `WARPLOOM_ARCH is '${wanted}', which this GPU does not run: it is ${own}`, {
      help: `give ${known}, or leave it unset`,
    }),
  ]);
}
