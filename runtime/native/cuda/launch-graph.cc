// Records launch lists as graphs of the driver, node by node.
#include "launch-graph.h"

#include "launch-record.h"

namespace warploom::cuda {
namespace {

/// The parameters of a launch among the bytes of a list; its argument stays where it is.
struct KernelParams {
  void *argument;
  KernelNode node;

  KernelParams(FunctionHandle function, unsigned char *record) : argument(record + sizeof(Launch)) {
    Launch one;
    std::memcpy(&one, record, sizeof one);
    node.function = function;
    std::memcpy(node.grid, one.grid, sizeof node.grid);
    std::memcpy(node.block, one.block, sizeof node.block);
    node.sharedBytes = one.sharedBytes;
    node.arguments = &argument;
  }
  KernelParams(const KernelParams &) = delete;
};

FillNode fillParams(const unsigned char *record) {
  Fill one;
  std::memcpy(&one, record, sizeof one);
  FillNode node;
  node.address = one.address;
  node.value = one.value & 0xff;
  node.elements = one.bytes;
  return node;
}

} // namespace

bool LaunchGraph::canHold(const void *list, size_t bytes) {
  Reader reader(list, bytes);
  Head head;
  while (!reader.isDone() && reader.next(head)) {
    Launch one = {};
    if (head.operation == copy)
      return false;
    if (head.operation == launch && (!reader.read(head, one) || one.cluster[0] || one.flags))
      return false;
  }
  return driver().hasGraphs();
}

LaunchGraph::LaunchGraph(const Context &context, const void *list, size_t bytes)
    : context(context), known(static_cast<const unsigned char *>(list),
                              static_cast<const unsigned char *>(list) + bytes) {}

Failure LaunchGraph::create(const Context &context, const Modules &modules, const void *list,
                            size_t bytes, std::unique_ptr<LaunchGraph> &out) {
  std::unique_ptr<LaunchGraph> made(new LaunchGraph(context, list, bytes));
  if (Failure failure = made->record(modules))
    return failure;
  out = std::move(made);
  return {};
}

Failure LaunchGraph::record(const Modules &modules) {
  const Context::Current current(context);
  if (Failure failure = context.check("cuGraphCreate", driver().cuGraphCreate(&graph, 0)))
    return failure;
  Reader reader(known.data(), known.size());
  Head head;
  while (!reader.isDone() && reader.next(head)) {
    Node node = {nullptr, nullptr, size_t(reader.after(0) - known.data()), head.bytes};
    if (head.operation == launch) {
      Launch one;
      reader.read(head, one);
      const Function *function = nullptr;
      if (Failure failure = modules.find(one.function, function))
        return failure;
      node.function = function->handle;
    }
    if (Failure failure = add(node, nodes.empty() ? nullptr : &nodes.back().handle))
      return failure;
    nodes.push_back(node);
  }
  return context.check("cuGraphInstantiate", driver().cuGraphInstantiate(&exec, graph, 0));
}

Failure LaunchGraph::add(Node &node, const NodeHandle *before) {
  unsigned char *record = known.data() + node.at;
  const size_t count = before ? 1 : 0;
  if (!node.function) {
    const FillNode fill = fillParams(record);
    return context.check("cuGraphAddMemsetNode",
                         driver().cuGraphAddMemsetNode(&node.handle, graph, before, count, &fill,
                                                       context.handle));
  }
  const KernelParams params(node.function, record);
  return context.check(
      "cuGraphAddKernelNode",
      driver().cuGraphAddKernelNode(&node.handle, graph, before, count, &params.node));
}

Failure LaunchGraph::update(const Node &node) {
  unsigned char *record = known.data() + node.at;
  if (!node.function) {
    const FillNode fill = fillParams(record);
    return context.check(
        "cuGraphExecMemsetNodeSetParams",
        driver().cuGraphExecMemsetNodeSetParams(exec, node.handle, &fill, context.handle));
  }
  const KernelParams params(node.function, record);
  return context.check("cuGraphExecKernelNodeSetParams",
                       driver().cuGraphExecKernelNodeSetParams(exec, node.handle, &params.node));
}

Failure LaunchGraph::put(const void *list, StreamHandle stream) {
  const Context::Current current(context);
  const auto *now = static_cast<const unsigned char *>(list);
  for (const Node &node : nodes) {
    if (std::memcmp(known.data() + node.at, now + node.at, node.bytes) == 0)
      continue;
    std::memcpy(known.data() + node.at, now + node.at, node.bytes);
    if (Failure failure = update(node))
      return failure;
  }
  return context.check("cuGraphLaunch", driver().cuGraphLaunch(exec, stream));
}

LaunchGraph::~LaunchGraph() {
  const Context::Current current(context);
  if (exec)
    driver().cuGraphExecDestroy(exec);
  if (graph)
    driver().cuGraphDestroy(graph);
}

} // namespace warploom::cuda
