// The public surface of warploom.

export * from './dsl/index.ts';
export * from './patterns/index.ts';
export {
  type Attend,
  type AttendResult,
  type CompileOptions,
  compile,
} from './runtime/attend.ts';
export { type Bound, errorBound } from './runtime/bound.ts';
export type { GpuDevice } from './runtime/cuda/device.ts';
export { readChosen } from './runtime/cuda/sets.ts';
export { type Device, type DeviceOptions, openDevice } from './runtime/device.ts';
export { type DrawOptions, draw } from './runtime/draw.ts';
export type { DType, FloatType, Layout } from './runtime/dtype.ts';
export { type Explanation, explain } from './runtime/explain.ts';
export { loadChosen, saveChosen } from './runtime/files/chosen.ts';
export { openNpy, writeNpy } from './runtime/files/npy.ts';
export { openSafetensors, writeSafetensors } from './runtime/files/safetensors.ts';
export type { AttentionInputs } from './runtime/inputs.ts';
export { type HeadOutputError, outputError } from './runtime/output-error.ts';
export type { CallOptions } from './runtime/parts.ts';
export type { CallSizes } from './runtime/plans.ts';
export { type HeadRecall, recall } from './runtime/recall.ts';
export { type ReferenceResult, reference } from './runtime/reference/attention.ts';
export { type FloatTensor, Tensor, tensor } from './runtime/tensor.ts';
export type { TunedCandidate, TuneResult } from './runtime/tuner/result.ts';
export { type TuneOptions, tune } from './runtime/tuner/tune.ts';
