// Checks and runs launch lists.
#include "launch-list.h"

#include "launch-record.h"

namespace warploom::cuda {
namespace {

std::string triple(const uint32_t (&three)[3]) {
  return std::to_string(three[0]) + " x " + std::to_string(three[1]) + " x " +
         std::to_string(three[2]);
}

std::string describe(const Function &function, const Launch &launch) {
  std::string text = "kernel '" + function.name + "', grid " + triple(launch.grid) + ", block " +
                     triple(launch.block);
  if (launch.cluster[0])
    text += ", cluster " + triple(launch.cluster);
  return text + ", " + std::to_string(launch.sharedBytes) + " bytes of dynamic shared memory";
}

Failure wrongRecord(const Reader &reader, const std::string &what) {
  return Failure::ofArgument("record " + std::to_string(reader.count) +
                             " of the launch list: " + what);
}

Failure checkLaunch(const Reader &reader, const Modules &modules, const Head &head) {
  Launch launch;
  if (!reader.read(head, launch) || launch.argumentBytes > head.bytes - sizeof launch)
    return wrongRecord(reader, "it is too short");
  const Function *function = nullptr;
  if (Failure failure = modules.find(launch.function, function))
    return failure;
  // The driver copies as many bytes as the kernel takes.
  if (function->argumentBytes && function->argumentBytes != launch.argumentBytes)
    return wrongRecord(reader, "kernel '" + function->name + "' takes an argument of " +
                                   std::to_string(function->argumentBytes) + " bytes, not " +
                                   std::to_string(launch.argumentBytes));
  if ((launch.cluster[0] || launch.flags) && !driver().cuLaunchKernelEx)
    return wrongRecord(reader, "clusters and overlap need a driver of CUDA 11.8 or later");
  return {};
}

} // namespace

Failure checkLaunchList(const Modules &modules, const void *list, size_t bytes) {
  Reader reader(list, bytes);
  while (!reader.isDone()) {
    Head head;
    if (!reader.next(head))
      return wrongRecord(reader, "its size is wrong");
    if (head.operation == launch) {
      if (Failure failure = checkLaunch(reader, modules, head))
        return failure;
    } else if (head.operation == fill || head.operation == copy) {
      if (head.bytes < (head.operation == fill ? sizeof(Fill) : sizeof(Copy)))
        return wrongRecord(reader, "it is too short");
    } else {
      return wrongRecord(reader, "operation " + std::to_string(head.operation) + " is unknown");
    }
  }
  return {};
}

namespace {

Code callLaunch(const Function &function, const Launch &one, void *argument, StreamHandle stream,
                const char *&call) {
  void *arguments[] = {argument};
  const auto &grid = one.grid;
  const auto &block = one.block;
  if (!one.cluster[0] && !one.flags) {
    call = "cuLaunchKernel";
    return driver().cuLaunchKernel(function.handle, grid[0], grid[1], grid[2], block[0], block[1],
                                   block[2], one.sharedBytes, stream, arguments, nullptr);
  }
  call = "cuLaunchKernelEx";
  LaunchAttribute attributes[2];
  unsigned count = 0;
  if (one.cluster[0]) {
    attributes[count].id = LaunchAttribute::clusterSize;
    std::memcpy(attributes[count].values, one.cluster, sizeof one.cluster);
    ++count;
  }
  if (one.flags & overlaps) {
    attributes[count].id = LaunchAttribute::programmaticSerialization;
    attributes[count].values[0] = 1;
    ++count;
  }
  const LaunchConfig config = {{grid[0], grid[1], grid[2]},
                               {block[0], block[1], block[2]},
                               one.sharedBytes,
                               stream,
                               attributes,
                               count};
  return driver().cuLaunchKernelEx(&config, function.handle, arguments, nullptr);
}

} // namespace

Failure runLaunchList(const Context &context, const Modules &modules, const void *list,
                      size_t bytes, StreamHandle stream) {
  const Context::Current current(context);
  Reader reader(list, bytes);
  Head head;
  while (!reader.isDone() && reader.next(head)) {
    if (head.operation == launch) {
      Launch one;
      reader.read(head, one);
      const Function *function = nullptr;
      if (Failure failure = modules.find(one.function, function))
        return failure;
      const char *call = nullptr;
      void *argument = const_cast<unsigned char *>(reader.after(sizeof one));
      if (const Code code = callLaunch(*function, one, argument, stream, call))
        return context.check(call, code, describe(*function, one));
    } else if (head.operation == fill) {
      Fill one;
      reader.read(head, one);
      if (Failure failure = context.check(
              "cuMemsetD8Async",
              driver().cuMemsetD8Async(one.address, one.value & 0xff, one.bytes, stream)))
        return failure;
    } else {
      Copy one;
      reader.read(head, one);
      if (Failure failure = context.check(
              "cuMemcpyDtoDAsync", driver().cuMemcpyDtoDAsync(one.to, one.from, one.bytes, stream)))
        return failure;
    }
  }
  return {};
}

} // namespace warploom::cuda
