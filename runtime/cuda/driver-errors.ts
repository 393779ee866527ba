// What the native core throws, as DeviceErrors with stable codes and the likely fix. Not the errors of the
// compiler.

import { type Code, DeviceError, diagnostic } from '../../dsl/diagnostic.ts';

/** What the native core adds to an Error: which call of the driver failed, and how. */
interface NativeFailure extends Error {
  readonly kind: 'driver' | 'lost' | 'disposed' | 'argument';
  readonly call?: string;
  /** 'CUDA_ERROR_...' */
  readonly cuda?: string;
  readonly number?: number;
}

function isNative(error: unknown): error is NativeFailure {
  return error instanceof Error && 'kind' in error;
}

/** The likely fix, by the driver's name of the error. */
const fixes: Readonly<Record<string, string>> = {
  CUDA_ERROR_NO_BINARY_FOR_GPU:
    'the kernel is for another architecture: compile it for this device',
  CUDA_ERROR_INVALID_IMAGE: 'the cubin is damaged: delete the cache of compiled kernels',
  CUDA_ERROR_UNSUPPORTED_PTX_VERSION: 'update the NVIDIA driver: it is older than the compiler',
  CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES:
    'the kernel needs more registers than a block has: choose smaller tiles or fewer warps',
  CUDA_ERROR_INVALID_VALUE: 'the launch is outside what the device takes: choose smaller tiles',
  CUDA_ERROR_DEVICE_UNAVAILABLE: 'another process has the device to itself: end it',
  CUDA_ERROR_SYSTEM_DRIVER_MISMATCH: 'restart the machine: parts of two NVIDIA drivers are loaded',
  CUDA_ERROR_SYSTEM_NOT_READY: 'start nvidia-fabricmanager, which this machine needs',
};

function made(code: Code, what: string, help: string, cause: unknown): DeviceError {
  return new DeviceError([diagnostic(code, what, { help })], { cause });
}

/**
 * The error to throw for one that the native core threw: DeviceError R003, R006, R007 or R008. Anything
 * else, such as the RangeError of a wrong argument, comes back as it is: a mistake of ours.
 */
export function deviceError(error: unknown): unknown {
  if (!isNative(error)) return error;
  const { kind, message, cuda = '' } = error;
  switch (kind) {
    case 'argument':
      return error;
    case 'disposed':
      return made('R003', 'this device was disposed', 'open another with openDevice()', error);
    case 'lost': {
      const fix =
        'open it again in a new process; compute-sanitizer finds the launch that was at fault';
      return made('R008', `the device faulted in an earlier launch (${message})`, fix, error);
    }
    case 'driver':
      if (cuda === 'CUDA_ERROR_OUT_OF_MEMORY') {
        const fix = 'dispose of tensors that are not needed any more, or call with fewer heads';
        return made('R007', `the device is out of memory (${message})`, fix, error);
      }
      return made(
        'R006',
        `the CUDA driver reports an error (${message})`,
        fixes[cuda] ?? "see 'warploom doctor'",
        error,
      );
  }
}

/** The result of a call of the native core, or its error as a DeviceError. */
export function translated<Result>(call: () => Result): Result {
  try {
    return call();
  } catch (error) {
    throw deviceError(error);
  }
}
