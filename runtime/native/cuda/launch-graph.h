// A launch list as a CUDA graph: kernels and fills in a row, recorded once and put into a stream by
// one call of the driver. Arguments may change from launch to launch. Not when that is worth it:
// replay.h.
#pragma once

#include "module.h"

namespace warploom::cuda {

class LaunchGraph {
public:
  /// Whether the driver has graphs, and the list has nothing but plain launches and fills.
  static bool canHold(const void *list, size_t bytes);
  /// Of a checked list that it can hold.
  static Failure create(const Context &context, const Modules &modules, const void *list,
                        size_t bytes, std::unique_ptr<LaunchGraph> &out);
  /// Launches that are in a stream already run to their end.
  ~LaunchGraph();
  LaunchGraph(const LaunchGraph &) = delete;
  LaunchGraph &operator=(const LaunchGraph &) = delete;

  /// Puts the list into a stream as it is now, which differs from that of `create` in arguments and
  /// in addresses of fills alone. The driver hears of those records that changed since the last
  /// time.
  Failure put(const void *list, StreamHandle stream);

private:
  /// One record, and where in the list it lies.
  struct Node {
    NodeHandle handle;
    FunctionHandle function; // null: a fill
    size_t at, bytes;
  };

  LaunchGraph(const Context &context, const void *list, size_t bytes);
  Failure record(const Modules &modules);
  Failure add(Node &node, const NodeHandle *before);
  Failure update(const Node &node);

  const Context &context;
  /// The list as the driver knows it.
  std::vector<unsigned char> known;
  std::vector<Node> nodes;
  GraphHandle graph = nullptr;
  GraphExecHandle exec = nullptr;
};

} // namespace warploom::cuda
