// Products fused with sums: `a * b + c` rounded once, as NVRTC compiles it (-fmad=true) and as the emulator does on
// demand. Which products are is the compiler's choice, here as there: one of the two of `a * b + c * d`, and none that
// went through memory, where the emulator has more values than a GPU.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { DeviceError, diagnostic } from '../../dsl/diagnostic.ts';

/** No product is fused. */
export const separateFlags: readonly string[] = ['-ffp-contract=off'];

// GCC fuses among its expensive optimizations, which -O1 leaves out.
const fusedFlags: readonly string[] = ['-ffp-contract=fast', '-fexpensive-optimizations'];

/** Whether this CPU can fuse products, by what a compiler knows of it. Throws where the compiler does not say. */
export async function canFuse(compiler: string): Promise<boolean> {
  if (process.arch === 'arm64') return true;
  const query = ['-march=native', '-dM', '-E', '-x', 'c++', '/dev/null'];
  const { stdout } = await promisify(execFile)(compiler, query);
  return /^#define __FMA__ 1$/m.test(stdout);
}

/**
 * What makes a compiler fuse products for this CPU. Throws DeviceError R002 where the CPU has no such instruction: what
 * is compiled for others would end as an illegal one.
 */
export async function fusingFlags(compiler: string): Promise<readonly string[]> {
  if (await canFuse(compiler).catch(() => false))
    return process.arch === 'arm64' ? fusedFlags : ['-mfma', ...fusedFlags];
  const what = `the emulator cannot fuse products: ${compiler} knows no FMA of this CPU`;
  const help = "leave out 'fma' and WARPLOOM_EMULATOR_FMA";
  throw new DeviceError([diagnostic('R002', what, { help })]);
}
