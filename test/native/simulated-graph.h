// Graphs of the simulated driver: nodes in a row, copied when they are instantiated, run in their
// order when they are launched (simulated-driver.cc, which alone includes this).
#pragma once

#include "simulated-device.h"

/// One node: a kernel with its argument, or a fill.
struct warploom::cuda::CUgraphNode_st {
  FunctionHandle function = nullptr;
  Launch launch = {};
  std::vector<unsigned char> argument;
  FillNode fill = {};
};

struct warploom::cuda::CUgraph_st {
  std::deque<CUgraphNode_st> nodes; // a deque: their addresses are their handles
};

struct warploom::cuda::CUgraphExec_st {
  ContextHandle context;
  /// By the node of the graph that each was made of.
  std::vector<std::pair<NodeHandle, CUgraphNode_st>> nodes;
};

namespace {

Code readKernel(const KernelNode &params, CUgraphNode_st &out) {
  if (!params.function)
    return invalidHandle;
  out.function = params.function;
  std::memcpy(out.launch.grid, params.grid, sizeof params.grid);
  std::memcpy(out.launch.block, params.block, sizeof params.block);
  out.launch.sharedBytes = params.sharedBytes;
  const auto *bytes = static_cast<const unsigned char *>(params.arguments[0]);
  out.argument.assign(bytes, bytes + params.function->argument);
  return checkLaunch(params.function, out.launch);
}

Code readFill(const FillNode &params, CUgraphNode_st &out) {
  if (params.elementBytes != 1 || params.rows != 1 || params.elements == 0)
    return invalidValue;
  out.fill = params;
  return 0;
}

/// Adds a node behind the last one: rows are all that is known here.
Code addNode(GraphHandle graph, const NodeHandle *after, size_t count, const CUgraphNode_st &node,
             NodeHandle *out) {
  const auto &nodes = graph->nodes;
  const bool isRow = nodes.empty() ? count == 0 : count == 1 && *after == &nodes.back();
  if (!isRow)
    return invalidValue;
  graph->nodes.push_back(node);
  *out = &graph->nodes.back();
  return 0;
}

CUgraphNode_st *nodeOf(GraphExecHandle exec, NodeHandle node) {
  for (auto &[handle, own] : exec->nodes) {
    if (handle == node)
      return &own;
  }
  return nullptr;
}

void putNode(const CUgraphNode_st &node, StreamHandle stream) {
  if (node.function)
    putKernel(node.function, node.launch, node.argument, stream);
  else
    stream->put([fill = node.fill] {
      std::memset(pointer(fill.address), static_cast<int>(fill.value), fill.elements);
    });
}

} // namespace
