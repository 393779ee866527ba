// One open device: its context, its stream, and everything that is made on it. Hosts talk to this.
#pragma once

#include "lane.h"
#include "memory.h"
#include "module.h"
#include "properties.h"
#include "replay.h"
#include "staging.h"
#include "tensor-map.h"

#include <atomic>
#include <condition_variable>
#include <unordered_map>

namespace warploom::cuda {

/// One thread orders the work: it allocates, frees, writes, runs and records. The other calls may
/// come from any thread, under a Use.
class Device {
public:
  static Failure open(int ordinal, std::shared_ptr<Device> &out);
  /// Closes it. No Use may be left.
  ~Device();
  Device(const Device &) = delete;
  Device &operator=(const Device &) = delete;

  /// Nothing, or why the device takes no more work: it faulted or was closed.
  Failure usable() const;

  Failure allocate(uint64_t bytes, Address &out);
  Failure free(Address address);
  /// At most Staging::slotBytes, in stream order, at once.
  Failure write(Address to, const void *from, size_t bytes);
  /// A launch list (launch-record.h), on the device's own stream or on a caller's.
  Failure run(const void *list, size_t bytes);
  Failure run(const void *list, size_t bytes, StreamHandle stream);
  /// A launch list that is run again and again (replay.h), known by a number until `forget`.
  Failure prepare(ReplayPlan plan, uint64_t &out);
  Failure replay(uint64_t list, const double *places, size_t count);
  /// One record of it alone.
  Failure step(uint64_t list, const double *places, size_t count, size_t record);
  Failure forget(uint64_t list);
  /// Frees and total of the whole device, bytes.
  Failure memoryLeft(uint64_t &free, uint64_t &total) const;

  Failure load(const void *image, size_t bytes, uint64_t &out);
  /// Waits for the stream, so that none of the module's kernels runs.
  Failure unload(uint64_t module);
  Failure function(uint64_t module, const std::string &name, unsigned sharedBytes,
                   FunctionReport &out);
  Failure encode(const TensorMapShape &shape, unsigned char out[tensorMapBytes]) const;

  /// A point in the stream, known by a number, until `drop`.
  Failure record(uint64_t &out);
  Failure drop(uint64_t event);
  /// Waits for both and measures, in milliseconds.
  Failure elapsed(uint64_t from, uint64_t to, float &milliseconds);
  /// A point in the stream that the caller waits for.
  Failure mark(std::unique_ptr<Event> &out);

  /// From now on `usable` refuses.
  void refuse() { isClosing = true; }
  /// Waits until no Use is left and the stream is empty, then gives everything back. May be called
  /// again.
  void close();

  /// The device is not closed while one lives.
  class Use {
  public:
    explicit Use(std::shared_ptr<Device> device);
    ~Use();
    Use(const Use &) = delete;
    Use &operator=(const Use &) = delete;
    Device &operator*() const { return *device; }
    Device *operator->() const { return device.get(); }

  private:
    const std::shared_ptr<Device> device;
  };

  const Context &context() const { return *primary; }
  const Stream &stream() const { return *mainStream; }
  Memory &memory() { return *pool; }
  const Properties &properties() const { return about; }
  int ordinal() const { return number; }

  /// Lanes for large copies, used again by later ones. Blocks while too many are out: a thread
  /// takes one at a time.
  Failure takeLane(std::unique_ptr<Lane> &out);
  void giveLane(std::unique_ptr<Lane> lane);

private:
  explicit Device(int ordinal) : number(ordinal) {}
  Failure eventOf(uint64_t number, std::shared_ptr<Event> &out);
  Failure replayOf(uint64_t number, Replay *&out) const;

  const int number;
  Properties about;
  // In this order: what comes later is made of what comes before, and goes first.
  std::unique_ptr<Context> primary;
  std::unique_ptr<Stream> mainStream;
  std::unique_ptr<Memory> pool;
  std::unique_ptr<Modules> modules;
  std::unique_ptr<Staging> staging;
  std::unordered_map<uint64_t, std::unique_ptr<Replay>> replays; // of the thread that orders
  uint64_t lastReplay = 0;

  std::mutex mutex; // of all below
  static constexpr size_t mostLanes = 8;
  std::vector<std::unique_ptr<Lane>> lanes; // those that nobody uses
  size_t lanesMade = 0;
  std::condition_variable laneGiven;
  std::unordered_map<uint64_t, std::shared_ptr<Event>> events;
  uint64_t lastEvent = 0;
  int uses = 0;
  std::condition_variable unused;
  std::atomic<bool> isClosing{false};
  std::mutex closing;
};

} // namespace warploom::cuda
