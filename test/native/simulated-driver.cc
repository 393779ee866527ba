// A CUDA driver over host memory, built by the tests as libcuda.so.1: so that machines without a
// GPU run everything of the native core. Streams are queues with a thread each, so work really is
// asynchronous; memory that is freed is poisoned in stream order and handed out again at once, as
// the pools of the real one do. Not the meaning of CUDA C: its kernels are the few below.
//
// SIMULATED_DEVICES  how many devices there are (1)
// SIMULATED_MEMORY   bytes of each (1 GiB)
// SIMULATED_CHIPS    the compute capability of each, such as 90,86; the last is that of the others (90)
// SIMULATED_BARE     1: no threads and no poison, so that what is timed is the caller (0)
//
// A module is machine code for a GPU, whose kernels then do nothing, or text: lines
// `kernel NAME registers=N local=N shared=N threads=N argument=N`, or one line that steers the driver:
//   control fail CALL N CODE   the N-th call of CALL from now on fails
//   control report             fails, and its log counts the objects that are alive
//   control calls              fails, and its log counts the calls since the last of these
#include "simulated-graph.h"

/// The beginning of every call: a planned failure, the current context, an earlier fault.
#define ENTER(call)                                                                                \
  if (const Code code = plannedFor(call))                                                          \
    return fail(code);                                                                             \
  if (stack.empty() || !stack.back() || stack.back()->retained == 0)                               \
    return invalidContext;                                                                         \
  if (const Code code = stack.back()->fault)                                                       \
  return code
#define ENTER_WITHOUT_CONTEXT(call)                                                                \
  if (const Code code = plannedFor(call))                                                          \
  return code
#define NEED(condition)                                                                            \
  if (!(condition))                                                                                \
  return invalidHandle

#define API(name, ...) extern "C" __attribute__((visibility("default"))) Code name(__VA_ARGS__)

API(cuInit, unsigned) {
  ENTER_WITHOUT_CONTEXT("cuInit");
  return contexts.empty() ? noDevice : 0;
}
API(cuDriverGetVersion, int *version) {
  *version = 13000;
  return 0;
}
API(cuGetErrorName, Code code, const char **name) {
  const auto found = errors.find(code);
  *name = found == errors.end() ? nullptr : found->second.first;
  return *name ? 0 : invalidValue;
}
API(cuGetErrorString, Code code, const char **text) {
  const auto found = errors.find(code);
  *text = found == errors.end() ? nullptr : found->second.second;
  return *text ? 0 : invalidValue;
}
API(cuDeviceGetCount, int *devices) {
  *devices = static_cast<int>(contexts.size());
  return 0;
}
API(cuDeviceGet, int *device, int ordinal) {
  *device = ordinal + 100; // no ordinal
  return ordinal < static_cast<int>(contexts.size()) ? 0 : invalidDevice;
}
API(cuDeviceGetName, char *name, int size, int device) {
  std::snprintf(name, size, "Simulated %d", device - 100);
  return 0;
}
API(cuDeviceGetAttribute, int *value, int attribute, int device) {
  const int chip = chipOf(device - 100);
  const std::map<int, int> values = {{75, chip / 10}, {76, chip % 10}, {16, 132},     {97, 232448},
                                     {81, 233472},    {38, 52428800},  {13, 1980000}, {115, 1}};
  *value = values.at(attribute);
  return 0;
}
API(cuDeviceTotalMem_v2, size_t *bytes, int) {
  *bytes = memoryBytes;
  return 0;
}
API(cuDevicePrimaryCtxRetain, ContextHandle *context, int device) {
  ENTER_WITHOUT_CONTEXT("cuDevicePrimaryCtxRetain");
  *context = &contexts.at(device - 100);
  ++(*context)->retained;
  count("contexts", 1);
  return 0;
}
API(cuDevicePrimaryCtxRelease_v2, int device) {
  --contexts.at(device - 100).retained;
  count("contexts", -1);
  return 0;
}
API(cuCtxPushCurrent_v2, ContextHandle context) {
  stack.push_back(context);
  return 0;
}
API(cuCtxPopCurrent_v2, ContextHandle *context) {
  if (stack.empty())
    return invalidContext;
  *context = stack.back();
  stack.pop_back();
  return 0;
}
API(cuMemGetInfo_v2, size_t *free, size_t *total) {
  ENTER("cuMemGetInfo");
  const std::lock_guard<std::mutex> lock(everything);
  *total = memoryBytes;
  *free = memoryBytes - stack.back()->used;
  return 0;
}

API(cuMemPoolCreate, PoolHandle *pool, const PoolProperties *properties) {
  ENTER("cuMemPoolCreate");
  if (properties->allocation != 1 || properties->location != 1)
    return invalidValue;
  *pool = new CUmemPoolHandle_st{&contexts.at(properties->ordinal), {}};
  count("pools", 1);
  return 0;
}
API(cuMemPoolSetAttribute, PoolHandle pool, int attribute, void *) {
  ENTER("cuMemPoolSetAttribute");
  NEED(pool);
  return attribute == 4 ? 0 : invalidValue;
}
API(cuMemPoolTrimTo, PoolHandle pool, size_t) {
  ENTER("cuMemPoolTrimTo");
  const std::lock_guard<std::mutex> lock(everything);
  for (const auto &[bytes, address] : pool->kept) {
    std::free(pointer(address));
    pool->context->used -= bytes;
  }
  pool->kept.clear();
  return 0;
}
API(cuMemPoolDestroy, PoolHandle pool) {
  cuMemPoolTrimTo(pool, 0);
  delete pool;
  count("pools", -1);
  return 0;
}
API(cuMemAllocFromPoolAsync, Address *address, size_t bytes, PoolHandle pool, StreamHandle stream) {
  ENTER("cuMemAllocFromPoolAsync");
  NEED(pool && isHere(stream) && pool->context == stream->context);
  if (bytes == 0)
    return invalidValue;
  {
    const std::lock_guard<std::mutex> lock(everything);
    const auto kept = pool->kept.find(bytes);
    if (kept != pool->kept.end()) {
      *address = kept->second;
      pool->kept.erase(kept);
    } else {
      if (bytes > memoryBytes - pool->context->used)
        return outOfMemory;
      pool->context->used += bytes;
      *address = reinterpret_cast<Address>(std::aligned_alloc(256, (bytes + 255) / 256 * 256));
    }
    blocks[*address] = {bytes, pool};
  }
  count("blocks", 1);
  if (!isBare)
    stream->put([at = pointer(*address), bytes] { std::memset(at, 0xcd, bytes); });
  return 0;
}
API(cuMemFreeAsync, Address address, StreamHandle stream) {
  ENTER("cuMemFreeAsync");
  NEED(isHere(stream));
  Block block;
  {
    const std::lock_guard<std::mutex> lock(everything);
    const auto found = blocks.find(address);
    if (found == blocks.end())
      return invalidValue;
    block = found->second;
    blocks.erase(found);
  }
  count("blocks", -1);
  if (!isBare)
    stream->put([at = pointer(address), block] { std::memset(at, 0xdd, block.bytes); });
  const std::lock_guard<std::mutex> lock(everything);
  block.pool->kept.emplace(block.bytes, address);
  return 0;
}
API(cuMemHostAlloc, void **memory, size_t bytes, unsigned) {
  ENTER("cuMemHostAlloc");
  *memory = std::malloc(bytes);
  count("pinned", 1);
  const std::lock_guard<std::mutex> lock(everything);
  pinned[static_cast<char *>(*memory)] = bytes;
  return 0;
}
API(cuMemFreeHost, void *memory) {
  count("pinned", -1);
  const std::lock_guard<std::mutex> lock(everything);
  pinned.erase(static_cast<char *>(memory));
  std::free(memory);
  return 0;
}

API(cuMemcpyHtoDAsync_v2, Address to, const void *from, size_t bytes, StreamHandle stream) {
  ENTER("cuMemcpyHtoDAsync");
  NEED(isHere(stream));
  const bool isSmall = bytes <= 64 * 1024;
  if (isSmall && !isPinned(from)) {
    const auto *begin = static_cast<const char *>(from);
    stream->put([to, copy = std::vector<char>(begin, begin + bytes)] {
      std::memcpy(pointer(to), copy.data(), copy.size());
    });
    return 0;
  }
  stream->put([=] { std::memcpy(pointer(to), from, bytes); });
  if (!isPinned(from))
    stream->drain();
  return stack.back()->fault;
}
API(cuMemcpyDtoHAsync_v2, void *to, Address from, size_t bytes, StreamHandle stream) {
  ENTER("cuMemcpyDtoHAsync");
  NEED(isHere(stream));
  stream->put([=] { std::memcpy(to, pointer(from), bytes); });
  if (!isPinned(to))
    stream->drain();
  return stack.back()->fault;
}
API(cuMemcpyDtoDAsync_v2, Address to, Address from, size_t bytes, StreamHandle stream) {
  ENTER("cuMemcpyDtoDAsync");
  NEED(isHere(stream));
  stream->put([=] { std::memcpy(pointer(to), pointer(from), bytes); });
  return 0;
}
API(cuMemsetD8Async, Address address, unsigned char value, size_t bytes, StreamHandle stream) {
  ENTER("cuMemsetD8Async");
  NEED(isHere(stream));
  stream->put([=] { std::memset(pointer(address), value, bytes); });
  return 0;
}

API(cuModuleLoadDataEx, ModuleHandle *module, const void *image, unsigned options, int *names,
    void **values) {
  ENTER("cuModuleLoadDataEx");
  char *log = options > 0 && names[0] == 5 ? static_cast<char *>(values[0]) : nullptr;
  const size_t logBytes = options > 1 && names[1] == 6 ? reinterpret_cast<size_t>(values[1]) : 0;
  auto made = std::make_unique<CUmod_st>();
  made->isMachineCode = std::strncmp(static_cast<const char *>(image), "\x7f""ELF", 4) == 0;
  std::istringstream text(made->isMachineCode ? "" : static_cast<const char *>(image));
  for (std::string line; std::getline(text, line);) {
    std::istringstream words(line);
    std::string first, name;
    words >> first;
    if (first == "control") {
      if (const Code code = control(words, log, logBytes))
        return code;
    } else if (first == "kernel") {
      words >> name;
      made->kernels[name] = {name,
                             fieldOf(line, "registers", 32),
                             fieldOf(line, "local", 0),
                             fieldOf(line, "shared", 0),
                             fieldOf(line, "threads", 1024),
                             fieldOf(line, "argument", 16)};
    } else {
      std::snprintf(log, logBytes, "unknown word '%s'", first.c_str());
      return invalidImage;
    }
  }
  *module = made.release();
  count("modules", 1);
  return 0;
}
API(cuModuleUnload, ModuleHandle module) {
  ENTER("cuModuleUnload");
  delete module;
  count("modules", -1);
  return 0;
}
API(cuModuleGetFunction, FunctionHandle *function, ModuleHandle module, const char *name) {
  ENTER("cuModuleGetFunction");
  if (module->isMachineCode)
    module->kernels.try_emplace(name, CUfunc_st{name});
  const auto found = module->kernels.find(name);
  if (found == module->kernels.end())
    return notFound;
  *function = &found->second;
  return 0;
}
API(cuFuncGetAttribute, int *value, int attribute, FunctionHandle function) {
  ENTER("cuFuncGetAttribute");
  const std::map<int, int> values = {{0, function->threads},
                                     {1, function->shared},
                                     {3, function->local},
                                     {4, function->registers}};
  *value = values.at(attribute);
  return 0;
}
API(cuFuncSetAttribute, FunctionHandle function, int attribute, int value) {
  ENTER("cuFuncSetAttribute");
  if (attribute != 8 || value + function->shared > 232448)
    return invalidValue;
  function->dynamic = value;
  return 0;
}
API(cuFuncGetParamInfo, FunctionHandle function, size_t index, size_t *offset, size_t *bytes) {
  if (index > 0 || function->argument == 0)
    return invalidValue;
  *offset = 0;
  *bytes = function->argument;
  return 0;
}
API(cuLaunchKernel, FunctionHandle function, unsigned gridX, unsigned gridY, unsigned gridZ,
    unsigned blockX, unsigned blockY, unsigned blockZ, unsigned sharedBytes, StreamHandle stream,
    void **arguments, void **) {
  ENTER("cuLaunchKernel");
  return launchKernel(function,
                      {{gridX, gridY, gridZ}, {blockX, blockY, blockZ}, {0, 0, 0}, sharedBytes},
                      stream, arguments);
}
API(cuLaunchKernelEx, const LaunchConfig *config, FunctionHandle function, void **arguments,
    void **) {
  ENTER("cuLaunchKernelEx");
  Launch launch = {};
  std::memcpy(launch.grid, config->grid, sizeof launch.grid);
  std::memcpy(launch.block, config->block, sizeof launch.block);
  launch.sharedBytes = config->sharedBytes;
  for (unsigned i = 0; i < config->count; ++i) {
    if (config->attributes[i].id == LaunchAttribute::clusterSize)
      std::memcpy(launch.cluster, config->attributes[i].values, sizeof launch.cluster);
  }
  return launchKernel(function, launch, config->stream, arguments);
}

API(cuGraphCreate, GraphHandle *graph, unsigned) {
  ENTER("cuGraphCreate");
  *graph = new CUgraph_st;
  count("graphs", 1);
  return 0;
}
API(cuGraphDestroy, GraphHandle graph) {
  delete graph;
  count("graphs", -1);
  return 0;
}
API(cuGraphAddKernelNode_v2, NodeHandle *node, GraphHandle graph, const NodeHandle *after,
    size_t count, const KernelNode *params) {
  ENTER("cuGraphAddKernelNode");
  CUgraphNode_st made;
  if (const Code code = readKernel(*params, made))
    return code;
  return addNode(graph, after, count, made, node);
}
API(cuGraphAddMemsetNode, NodeHandle *node, GraphHandle graph, const NodeHandle *after,
    size_t count, const FillNode *params, ContextHandle context) {
  ENTER("cuGraphAddMemsetNode");
  NEED(context == stack.back());
  CUgraphNode_st made;
  if (const Code code = readFill(*params, made))
    return code;
  return addNode(graph, after, count, made, node);
}
API(cuGraphInstantiateWithFlags, GraphExecHandle *exec, GraphHandle graph, unsigned long long) {
  ENTER("cuGraphInstantiate");
  *exec = new CUgraphExec_st{stack.back(), {}};
  for (CUgraphNode_st &node : graph->nodes)
    (*exec)->nodes.emplace_back(&node, node);
  count("executables", 1);
  return 0;
}
API(cuGraphExecDestroy, GraphExecHandle exec) {
  delete exec;
  count("executables", -1);
  return 0;
}
API(cuGraphExecKernelNodeSetParams_v2, GraphExecHandle exec, NodeHandle node,
    const KernelNode *params) {
  ENTER("cuGraphExecKernelNodeSetParams");
  CUgraphNode_st *own = nodeOf(exec, node);
  NEED(own && own->function);
  return readKernel(*params, *own);
}
API(cuGraphExecMemsetNodeSetParams, GraphExecHandle exec, NodeHandle node, const FillNode *params,
    ContextHandle context) {
  ENTER("cuGraphExecMemsetNodeSetParams");
  CUgraphNode_st *own = nodeOf(exec, node);
  NEED(own && !own->function && context == stack.back());
  return readFill(*params, *own);
}
API(cuGraphLaunch, GraphExecHandle exec, StreamHandle stream) {
  ENTER("cuGraphLaunch");
  NEED(isHere(stream) && exec->context == stream->context);
  for (const auto &[handle, node] : exec->nodes)
    putNode(node, stream);
  return 0;
}

API(cuStreamCreate, StreamHandle *stream, unsigned) {
  ENTER("cuStreamCreate");
  *stream = new CUstream_st(stack.back());
  count("streams", 1);
  return 0;
}
API(cuStreamDestroy_v2, StreamHandle stream) {
  {
    const std::lock_guard<std::mutex> lock(stream->mutex);
    stream->isEnding = true;
    stream->changed.notify_all();
  }
  stream->thread.join();
  delete stream;
  count("streams", -1);
  return 0;
}
API(cuStreamSynchronize, StreamHandle stream) {
  ENTER("cuStreamSynchronize");
  NEED(isHere(stream));
  stream->drain();
  return stack.back()->fault;
}
API(cuEventCreate, EventHandle *event, unsigned flags) {
  ENTER("cuEventCreate");
  *event = new CUevent_st;
  (*event)->hasTime = (flags & 2) == 0;
  count("events", 1);
  return 0;
}
API(cuEventDestroy_v2, EventHandle event) {
  // The stream may still come by: the real driver keeps it until then, this one for good.
  (void)event;
  count("events", -1);
  return 0;
}
API(cuEventRecord, EventHandle event, StreamHandle stream) {
  ENTER("cuEventRecord");
  NEED(isHere(stream));
  int point = 0;
  {
    const std::lock_guard<std::mutex> lock(event->mutex);
    point = ++event->asked;
  }
  stream->put([event, point] {
    const std::lock_guard<std::mutex> lock(event->mutex);
    event->reached = point;
    event->time = Clock::now();
    event->changed.notify_all();
  });
  return 0;
}
API(cuEventSynchronize, EventHandle event) {
  ENTER("cuEventSynchronize");
  std::unique_lock<std::mutex> lock(event->mutex);
  while (event->reached < event->asked && !stack.back()->fault)
    event->changed.wait_for(lock, std::chrono::milliseconds(1));
  return stack.back()->fault;
}
API(cuEventElapsedTime, float *milliseconds, EventHandle from, EventHandle to) {
  ENTER("cuEventElapsedTime");
  NEED(from->hasTime && to->hasTime);
  *milliseconds = std::chrono::duration<float, std::milli>(to->time - from->time).count();
  return 0;
}

/// Not the driver's encoding: what was given, to look at.
API(cuTensorMapEncodeTiled, void *map, int type, unsigned rank, void *address,
    const uint64_t *sizes, const uint64_t *strides, const unsigned *box, const unsigned *steps,
    int interleave, int swizzle, int promotion, int fill) {
  ENTER("cuTensorMapEncodeTiled");
  if (rank > 1 && strides[0] % 16 != 0)
    return invalidValue;
  std::memset(map, 0, 128);
  auto *words = static_cast<unsigned *>(map);
  const unsigned given[] = {unsigned(type),
                            rank,
                            unsigned(reinterpret_cast<uint64_t>(address)),
                            unsigned(sizes[0]),
                            box[0],
                            steps[0],
                            unsigned(interleave),
                            unsigned(swizzle),
                            unsigned(promotion),
                            unsigned(fill)};
  std::memcpy(words, given, sizeof given);
  return 0;
}
