// Launch lists that are run again and again, over other addresses each time: patched in place, and
// put into the stream as a graph where that is wanted.
#pragma once

#include "launch-graph.h"
#include "tensor-map.h"

namespace warploom::cuda {

/// Where the address of a place, plus an offset, goes among the bytes of a list.
struct Patch {
  uint64_t at, place, offset;
};

/// A tensor map among the bytes, of the tensor at such an address.
struct MapPatch {
  Patch patch;
  TensorMapShape shape;
};

/// A launch list (launch-record.h) without its addresses.
struct ReplayPlan {
  std::vector<unsigned char> list;
  /// Addresses that a run gives.
  uint64_t places = 0;
  std::vector<Patch> addresses;
  std::vector<MapPatch> maps;
  /// So many records are worth a graph, from this run on, counted from 1; 0 records: none are.
  uint64_t graphRecords = 0, graphRun = 2;
};

class Replay {
public:
  static Failure create(const Context &context, const Modules &modules, ReplayPlan plan,
                        std::unique_ptr<Replay> &out);

  /// Puts all of it into the stream. Addresses are integers up to 2^53.
  Failure run(const double *places, size_t count, StreamHandle stream);
  /// One record alone, counted from 0.
  Failure step(const double *places, size_t count, size_t record, StreamHandle stream);

private:
  Replay(const Context &context, const Modules &modules, ReplayPlan plan)
      : context(context), modules(modules), plan(std::move(plan)) {}
  Failure place(const double *places, size_t count);
  Failure runAsGraph(StreamHandle stream);

  const Context &context;
  const Modules &modules;
  ReplayPlan plan;
  /// Where the records begin, and the last one ends.
  std::vector<size_t> starts;
  /// The kernels of its launches.
  std::vector<uint64_t> functions;
  bool isGraph = false;
  uint64_t runs = 0;
  std::unique_ptr<LaunchGraph> graph;
};

} // namespace warploom::cuda
