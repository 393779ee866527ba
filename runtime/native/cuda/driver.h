// The CUDA driver as a table of functions, found at run time. The declarations are our own:
// building needs no CUDA. Not what is done with the functions; the objects beside this file do
// that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace warploom::cuda {

/// A CUresult; 0 is success.
using Code = int;
/// Device memory, as CUdeviceptr.
using Address = uint64_t;

using ContextHandle = struct CUctx_st *;
using StreamHandle = struct CUstream_st *;
using EventHandle = struct CUevent_st *;
using ModuleHandle = struct CUmod_st *;
using FunctionHandle = struct CUfunc_st *;
using PoolHandle = struct CUmemPoolHandle_st *;
using GraphHandle = struct CUgraph_st *;
using NodeHandle = struct CUgraphNode_st *;
using GraphExecHandle = struct CUgraphExec_st *;

constexpr Code outOfMemory = 2; // CUDA_ERROR_OUT_OF_MEMORY

/// CUmemPoolProps: pinned memory (type 1) of one device (location 1).
struct PoolProperties {
  int allocation = 1, handles = 0, location = 1, ordinal = 0;
  void *security = nullptr;
  size_t maximum = 0;
  unsigned char reserved[56] = {};
};
static_assert(sizeof(PoolProperties) == 88, "as the driver lays it out");

/// CUlaunchAttribute: an id and 64 bytes whose meaning the id says.
struct LaunchAttribute {
  enum : int { clusterSize = 4, programmaticSerialization = 6 };
  int id = 0, padding = 0;
  unsigned values[16] = {};
};
static_assert(sizeof(LaunchAttribute) == 72, "as the driver lays it out");

/// CUlaunchConfig.
struct LaunchConfig {
  unsigned grid[3], block[3], sharedBytes;
  StreamHandle stream;
  LaunchAttribute *attributes;
  unsigned count;
};
static_assert(sizeof(LaunchConfig) == 56, "as the driver lays it out");

/// CUDA_KERNEL_NODE_PARAMS, its second version.
struct KernelNode {
  FunctionHandle function;
  unsigned grid[3], block[3], sharedBytes;
  void **arguments;
  void **extra = nullptr;
  void *kernel = nullptr;
  ContextHandle context = nullptr;
};
static_assert(sizeof(KernelNode) == 72, "as the driver lays it out");

/// CUDA_MEMSET_NODE_PARAMS of one row.
struct FillNode {
  Address address;
  size_t pitch = 0;
  unsigned value, elementBytes = 1;
  size_t elements, rows = 1;
};
static_assert(sizeof(FillNode) == 40, "as the driver lays it out");

/// Every function that we use: its name, the name it is exported by, its arguments. All return
/// Code.
#define WARPLOOM_DRIVER_FUNCTIONS(F)                                                               \
  F(cuInit, "cuInit", (unsigned flags))                                                            \
  F(cuDriverGetVersion, "cuDriverGetVersion", (int *version))                                      \
  F(cuGetErrorName, "cuGetErrorName", (Code code, const char **name))                              \
  F(cuGetErrorString, "cuGetErrorString", (Code code, const char **text))                          \
  F(cuDeviceGetCount, "cuDeviceGetCount", (int *count))                                            \
  F(cuDeviceGet, "cuDeviceGet", (int *device, int ordinal))                                        \
  F(cuDeviceGetName, "cuDeviceGetName", (char *name, int size, int device))                        \
  F(cuDeviceGetAttribute, "cuDeviceGetAttribute", (int *value, int attribute, int device))         \
  F(cuDeviceTotalMem, "cuDeviceTotalMem_v2", (size_t *bytes, int device))                          \
  F(cuDevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain", (ContextHandle * context, int device))   \
  F(cuDevicePrimaryCtxRelease, "cuDevicePrimaryCtxRelease_v2", (int device))                       \
  F(cuCtxPushCurrent, "cuCtxPushCurrent_v2", (ContextHandle context))                              \
  F(cuCtxPopCurrent, "cuCtxPopCurrent_v2", (ContextHandle * context))                              \
  F(cuMemGetInfo, "cuMemGetInfo_v2", (size_t *free, size_t *total))                                \
  F(cuMemPoolCreate, "cuMemPoolCreate", (PoolHandle * pool, const PoolProperties *properties))     \
  F(cuMemPoolDestroy, "cuMemPoolDestroy", (PoolHandle pool))                                       \
  F(cuMemPoolSetAttribute, "cuMemPoolSetAttribute", (PoolHandle pool, int attribute, void *value)) \
  F(cuMemPoolTrimTo, "cuMemPoolTrimTo", (PoolHandle pool, size_t keep))                            \
  F(cuMemAllocFromPoolAsync, "cuMemAllocFromPoolAsync",                                            \
    (Address * address, size_t bytes, PoolHandle pool, StreamHandle stream))                       \
  F(cuMemFreeAsync, "cuMemFreeAsync", (Address address, StreamHandle stream))                      \
  F(cuMemHostAlloc, "cuMemHostAlloc", (void **memory, size_t bytes, unsigned flags))               \
  F(cuMemFreeHost, "cuMemFreeHost", (void *memory))                                                \
  F(cuMemcpyHtoDAsync, "cuMemcpyHtoDAsync_v2",                                                     \
    (Address to, const void *from, size_t bytes, StreamHandle stream))                             \
  F(cuMemcpyDtoHAsync, "cuMemcpyDtoHAsync_v2",                                                     \
    (void *to, Address from, size_t bytes, StreamHandle stream))                                   \
  F(cuMemcpyDtoDAsync, "cuMemcpyDtoDAsync_v2",                                                     \
    (Address to, Address from, size_t bytes, StreamHandle stream))                                 \
  F(cuMemsetD8Async, "cuMemsetD8Async",                                                            \
    (Address address, unsigned char value, size_t bytes, StreamHandle stream))                     \
  F(cuModuleLoadDataEx, "cuModuleLoadDataEx",                                                      \
    (ModuleHandle * module, const void *image, unsigned count, int *options, void **values))       \
  F(cuModuleUnload, "cuModuleUnload", (ModuleHandle module))                                       \
  F(cuModuleGetFunction, "cuModuleGetFunction",                                                    \
    (FunctionHandle * function, ModuleHandle module, const char *name))                            \
  F(cuFuncGetAttribute, "cuFuncGetAttribute",                                                      \
    (int *value, int attribute, FunctionHandle function))                                          \
  F(cuFuncSetAttribute, "cuFuncSetAttribute", (FunctionHandle function, int attribute, int value)) \
  F(cuLaunchKernel, "cuLaunchKernel",                                                              \
    (FunctionHandle function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX,     \
     unsigned blockY, unsigned blockZ, unsigned sharedBytes, StreamHandle stream,                  \
     void **arguments, void **extra))                                                              \
  F(cuStreamCreate, "cuStreamCreate", (StreamHandle * stream, unsigned flags))                     \
  F(cuStreamDestroy, "cuStreamDestroy_v2", (StreamHandle stream))                                  \
  F(cuStreamSynchronize, "cuStreamSynchronize", (StreamHandle stream))                             \
  F(cuEventCreate, "cuEventCreate", (EventHandle * event, unsigned flags))                         \
  F(cuEventDestroy, "cuEventDestroy_v2", (EventHandle event))                                      \
  F(cuEventRecord, "cuEventRecord", (EventHandle event, StreamHandle stream))                      \
  F(cuEventSynchronize, "cuEventSynchronize", (EventHandle event))                                 \
  F(cuEventElapsedTime, "cuEventElapsedTime",                                                      \
    (float *milliseconds, EventHandle from, EventHandle to))

/// What older drivers lack; null there.
#define WARPLOOM_DRIVER_EXTRAS(F)                                                                  \
  F(cuLaunchKernelEx, "cuLaunchKernelEx",                                                          \
    (const LaunchConfig *config, FunctionHandle function, void **arguments, void **extra))         \
  F(cuFuncGetParamInfo, "cuFuncGetParamInfo",                                                      \
    (FunctionHandle function, size_t index, size_t *offset, size_t *bytes))                        \
  F(cuTensorMapEncodeTiled, "cuTensorMapEncodeTiled",                                              \
    (void *map, int type, unsigned rank, void *address, const uint64_t *sizes,                     \
     const uint64_t *strides, const unsigned *box, const unsigned *steps, int interleave,          \
     int swizzle, int promotion, int fill))                                                        \
  F(cuGraphCreate, "cuGraphCreate", (GraphHandle * graph, unsigned flags))                         \
  F(cuGraphDestroy, "cuGraphDestroy", (GraphHandle graph))                                         \
  F(cuGraphAddKernelNode, "cuGraphAddKernelNode_v2",                                               \
    (NodeHandle * node, GraphHandle graph, const NodeHandle *after, size_t count,                  \
     const KernelNode *params))                                                                    \
  F(cuGraphAddMemsetNode, "cuGraphAddMemsetNode",                                                  \
    (NodeHandle * node, GraphHandle graph, const NodeHandle *after, size_t count,                  \
     const FillNode *params, ContextHandle context))                                               \
  F(cuGraphInstantiate, "cuGraphInstantiateWithFlags",                                             \
    (GraphExecHandle * exec, GraphHandle graph, unsigned long long flags))                         \
  F(cuGraphExecDestroy, "cuGraphExecDestroy", (GraphExecHandle exec))                              \
  F(cuGraphExecKernelNodeSetParams, "cuGraphExecKernelNodeSetParams_v2",                           \
    (GraphExecHandle exec, NodeHandle node, const KernelNode *params))                             \
  F(cuGraphExecMemsetNodeSetParams, "cuGraphExecMemsetNodeSetParams",                              \
    (GraphExecHandle exec, NodeHandle node, const FillNode *params, ContextHandle context))        \
  F(cuGraphLaunch, "cuGraphLaunch", (GraphExecHandle exec, StreamHandle stream))

#if defined(_WIN32) && !defined(_WIN64)
#error "the driver's calling convention is known for 64-bit systems only"
#endif

struct Driver {
#define WARPLOOM_DECLARE(name, symbol, arguments) Code(*name) arguments = nullptr;
  WARPLOOM_DRIVER_FUNCTIONS(WARPLOOM_DECLARE)
  WARPLOOM_DRIVER_EXTRAS(WARPLOOM_DECLARE)
#undef WARPLOOM_DECLARE

  /// The driver's version times 1000: 13000 is 13.0.
  int version = 0;
  /// How many devices it shows.
  int devices = 0;

  /// Whether it has all of graphs that we use: from CUDA 12.0 on.
  bool hasGraphs() const {
    return cuGraphCreate && cuGraphDestroy && cuGraphAddKernelNode && cuGraphAddMemsetNode &&
           cuGraphInstantiate && cuGraphExecDestroy && cuGraphExecKernelNodeSetParams &&
           cuGraphExecMemsetNodeSetParams && cuGraphLaunch;
  }

  /// 'CUDA_ERROR_NO_DEVICE'
  std::string nameOf(Code code) const;
  /// "cuInit: CUDA_ERROR_NO_DEVICE (100): no CUDA-capable device is detected"
  std::string describe(const char *call, Code code) const;
};

/// The driver of this process, opened by the first call: the library that WARPLOOM_LIBCUDA names,
/// else libcuda.so.1 (nvcuda.dll). Null, with the reason, where there is none or where it does not
/// start.
const Driver *driver(std::string &reason);

/// The driver, for code that runs only when there is one.
const Driver &driver();

} // namespace warploom::cuda
