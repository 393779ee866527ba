// Patches launch lists and runs them, one call of the driver a record or one in all.
#include "replay.h"

#include "launch-list.h"
#include "launch-record.h"

namespace warploom::cuda {
namespace {

bool lies(const ReplayPlan &plan, const Patch &patch, size_t bytes) {
  return patch.place < plan.places && bytes <= plan.list.size() &&
         patch.at <= plan.list.size() - bytes;
}

} // namespace

Failure Replay::create(const Context &context, const Modules &modules, ReplayPlan plan,
                       std::unique_ptr<Replay> &out) {
  if (Failure failure = checkLaunchList(modules, plan.list.data(), plan.list.size()))
    return failure;
  bool isInside = true;
  for (const Patch &patch : plan.addresses)
    isInside = isInside && lies(plan, patch, sizeof(Address));
  for (const MapPatch &map : plan.maps)
    isInside = isInside && lies(plan, map.patch, tensorMapBytes);
  if (!isInside)
    return Failure::ofArgument("an address goes beyond the launch list or its places");

  std::unique_ptr<Replay> made(new Replay(context, modules, std::move(plan)));
  const std::vector<unsigned char> &list = made->plan.list;
  Reader reader(list.data(), list.size());
  Head head;
  while (!reader.isDone() && reader.next(head)) {
    made->starts.push_back(size_t(reader.after(0) - list.data()));
    Launch one;
    if (head.operation == launch && reader.read(head, one))
      made->functions.push_back(one.function);
  }
  const uint64_t least = made->plan.graphRecords;
  made->isGraph = least > 0 && made->starts.size() >= least &&
                  LaunchGraph::canHold(list.data(), list.size());
  made->starts.push_back(list.size());
  out = std::move(made);
  return {};
}

Failure Replay::place(const double *places, size_t count) {
  if (count != plan.places)
    return Failure::ofArgument("the launch list has " + std::to_string(plan.places) +
                               " places, not " + std::to_string(count));
  for (size_t i = 0; i < count; ++i) {
    if (!(places[i] >= 0 && places[i] < 9007199254740992.0))
      return Failure::ofArgument("place " + std::to_string(i) + " has no address");
  }
  const auto addressOf = [places](const Patch &patch) {
    return static_cast<Address>(places[patch.place]) + patch.offset;
  };
  for (const Patch &patch : plan.addresses) {
    const Address address = addressOf(patch);
    std::memcpy(plan.list.data() + patch.at, &address, sizeof address);
  }
  for (MapPatch &map : plan.maps) {
    const Address address = addressOf(map.patch);
    if (address == map.shape.address)
      continue;
    map.shape.address = address;
    if (Failure failure = encodeTensorMap(context, map.shape, plan.list.data() + map.patch.at)) {
      map.shape.address = 0;
      return failure;
    }
  }
  return {};
}

Failure Replay::run(const double *places, size_t count, StreamHandle stream) {
  if (Failure failure = place(places, count))
    return failure;
  ++runs;
  if (isGraph && runs >= plan.graphRun) {
    Failure failure = runAsGraph(stream);
    if (!failure || context.fault())
      return failure;
    // Nothing was put into the stream: it is done, or reported, one by one.
    isGraph = false;
    graph.reset();
  }
  return runLaunchList(context, modules, plan.list.data(), plan.list.size(), stream);
}

Failure Replay::runAsGraph(StreamHandle stream) {
  for (const uint64_t function : functions) {
    const Function *found = nullptr;
    if (Failure failure = modules.find(function, found))
      return failure;
  }
  const unsigned char *list = plan.list.data();
  if (!graph) {
    if (Failure failure = LaunchGraph::create(context, modules, list, plan.list.size(), graph))
      return failure;
  }
  return graph->put(list, stream);
}

Failure Replay::step(const double *places, size_t count, size_t record, StreamHandle stream) {
  if (record + 1 >= starts.size())
    return Failure::ofArgument("the launch list has no record " + std::to_string(record));
  if (Failure failure = place(places, count))
    return failure;
  return runLaunchList(context, modules, plan.list.data() + starts[record],
                       starts[record + 1] - starts[record], stream);
}

} // namespace warploom::cuda
