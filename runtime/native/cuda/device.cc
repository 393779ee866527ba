// Opens and closes devices, and passes work on to their parts.
#include "device.h"

#include "launch-list.h"

namespace warploom::cuda {

Failure Device::open(int ordinal, std::shared_ptr<Device> &out) {
  std::shared_ptr<Device> device(new Device(ordinal));
  if (Failure failure = Context::retain(ordinal, device->primary))
    return failure;
  if (Failure failure = readProperties(ordinal, device->about))
    return failure;
  if (!device->about.hasPools)
    return Failure::ofArgument("'" + device->about.name + "' has no stream-ordered memory pools");
  if (Failure failure = Stream::create(*device->primary, device->mainStream))
    return failure;
  if (Failure failure = Memory::create(*device->mainStream, device->pool))
    return failure;
  device->modules = std::make_unique<Modules>(*device->primary);
  device->staging = std::make_unique<Staging>(*device->mainStream);
  out = std::move(device);
  return {};
}

Device::~Device() {
  refuse();
  close();
}

void Device::close() {
  // Two callers: the second returns when the first is done.
  const std::lock_guard<std::mutex> once(closing);
  {
    std::unique_lock<std::mutex> lock(mutex);
    unused.wait(lock, [this] { return uses == 0; });
  }
  if (mainStream)
    (void)mainStream->drain(); // a fault is no news here
  events.clear();
  lanes.clear();
  staging.reset();
  replays.clear();
  modules.reset();
  pool.reset();
  mainStream.reset();
  primary.reset();
}

Device::Use::Use(std::shared_ptr<Device> used) : device(std::move(used)) {
  const std::lock_guard<std::mutex> lock(device->mutex);
  ++device->uses;
}

Device::Use::~Use() {
  const std::lock_guard<std::mutex> lock(device->mutex);
  if (--device->uses == 0)
    device->unused.notify_all();
}

Failure Device::usable() const { return isClosing ? Failure::ofDisposed() : primary->fault(); }

Failure Device::allocate(uint64_t bytes, Address &out) {
  if (Failure failure = usable())
    return failure;
  return pool->allocate(bytes, out);
}

Failure Device::free(Address address) {
  if (Failure failure = usable())
    return failure;
  return pool->free(address);
}

Failure Device::write(Address to, const void *from, size_t bytes) {
  if (Failure failure = usable())
    return failure;
  if (Failure failure = pool->find(to, bytes))
    return failure;
  if (bytes > Staging::slotBytes)
    return Failure::ofArgument("a write takes at most " + std::to_string(Staging::slotBytes) +
                               " bytes, not " + std::to_string(bytes));
  if (bytes == 0)
    return {};
  return staging->write(to, from, bytes);
}

Failure Device::run(const void *list, size_t bytes) {
  return run(list, bytes, mainStream ? mainStream->handle : nullptr);
}

Failure Device::run(const void *list, size_t bytes, StreamHandle stream) {
  if (Failure failure = usable())
    return failure;
  if (Failure failure = checkLaunchList(*modules, list, bytes))
    return failure;
  return runLaunchList(*primary, *modules, list, bytes, stream);
}

Failure Device::prepare(ReplayPlan plan, uint64_t &out) {
  if (Failure failure = usable())
    return failure;
  std::unique_ptr<Replay> replay;
  if (Failure failure = Replay::create(*primary, *modules, std::move(plan), replay))
    return failure;
  out = ++lastReplay;
  replays.emplace(out, std::move(replay));
  return {};
}

Failure Device::replayOf(uint64_t number, Replay *&out) const {
  if (Failure failure = usable())
    return failure;
  const auto found = replays.find(number);
  if (found == replays.end())
    return Failure::ofArgument("there is no launch list " + std::to_string(number));
  out = found->second.get();
  return {};
}

Failure Device::replay(uint64_t list, const double *places, size_t count) {
  Replay *replay = nullptr;
  if (Failure failure = replayOf(list, replay))
    return failure;
  return replay->run(places, count, mainStream->handle);
}

Failure Device::step(uint64_t list, const double *places, size_t count, size_t record) {
  Replay *replay = nullptr;
  if (Failure failure = replayOf(list, replay))
    return failure;
  return replay->step(places, count, record, mainStream->handle);
}

Failure Device::forget(uint64_t list) {
  Replay *replay = nullptr;
  if (Failure failure = replayOf(list, replay))
    return failure;
  replays.erase(list);
  return {};
}

Failure Device::memoryLeft(uint64_t &free, uint64_t &total) const {
  if (Failure failure = usable())
    return failure;
  const Context::Current current(*primary);
  size_t freeBytes = 0, totalBytes = 0;
  Failure failure = primary->check("cuMemGetInfo", driver().cuMemGetInfo(&freeBytes, &totalBytes));
  free = freeBytes;
  total = totalBytes;
  return failure;
}

Failure Device::load(const void *image, size_t bytes, uint64_t &out) {
  if (Failure failure = primary->fault())
    return failure;
  return modules->load(image, bytes, out);
}

Failure Device::unload(uint64_t module) {
  ModuleHandle retired = nullptr;
  if (Failure failure = modules->retire(module, retired))
    return failure;
  if (Failure failure = mainStream->drain())
    return failure;
  return modules->unload(retired);
}

Failure Device::function(uint64_t module, const std::string &name, unsigned sharedBytes,
                         FunctionReport &out) {
  if (Failure failure = usable())
    return failure;
  return modules->function(module, name, sharedBytes, out);
}

Failure Device::encode(const TensorMapShape &shape, unsigned char out[tensorMapBytes]) const {
  if (Failure failure = usable())
    return failure;
  return encodeTensorMap(*primary, shape, out);
}

Failure Device::mark(std::unique_ptr<Event> &out) {
  if (Failure failure = usable())
    return failure;
  if (Failure failure = Event::create(*primary, Event::Use::order, out))
    return failure;
  return out->record(mainStream->handle);
}

Failure Device::record(uint64_t &out) {
  if (Failure failure = usable())
    return failure;
  std::unique_ptr<Event> event;
  if (Failure failure = Event::create(*primary, Event::Use::time, event))
    return failure;
  if (Failure failure = event->record(mainStream->handle))
    return failure;
  const std::lock_guard<std::mutex> lock(mutex);
  out = ++lastEvent;
  events.emplace(out, std::move(event));
  return {};
}

Failure Device::eventOf(uint64_t number, std::shared_ptr<Event> &out) {
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = events.find(number);
  if (found == events.end())
    return Failure::ofArgument("there is no event " + std::to_string(number));
  out = found->second;
  return {};
}

Failure Device::drop(uint64_t event) {
  if (Failure failure = usable())
    return failure;
  std::shared_ptr<Event> dropped;
  if (Failure failure = eventOf(event, dropped))
    return failure;
  const std::lock_guard<std::mutex> lock(mutex);
  events.erase(event);
  return {};
}

Failure Device::elapsed(uint64_t from, uint64_t to, float &milliseconds) {
  std::shared_ptr<Event> first, last;
  if (Failure failure = eventOf(from, first))
    return failure;
  if (Failure failure = eventOf(to, last))
    return failure;
  if (Failure failure = first->wait())
    return failure;
  if (Failure failure = last->wait())
    return failure;
  return last->since(*first, milliseconds);
}

Failure Device::takeLane(std::unique_ptr<Lane> &out) {
  {
    std::unique_lock<std::mutex> lock(mutex);
    laneGiven.wait(lock, [this] { return !lanes.empty() || lanesMade < mostLanes; });
    if (!lanes.empty()) {
      out = std::move(lanes.back());
      lanes.pop_back();
      return {};
    }
    ++lanesMade;
  }
  Failure failure = Lane::create(*primary, out);
  if (failure) {
    const std::lock_guard<std::mutex> lock(mutex);
    --lanesMade;
    laneGiven.notify_one();
  }
  return failure;
}

void Device::giveLane(std::unique_ptr<Lane> lane) {
  const std::lock_guard<std::mutex> lock(mutex);
  lanes.push_back(std::move(lane));
  laneGiven.notify_one();
}

} // namespace warploom::cuda
