// One thread block: its threads as fibers, the order in which they run, and the places where they
// meet. A process runs one block at a time.
#pragma once

#include "clocks.h"
#include "effects.h"
#include "fiber.h"
#include "types.h"

#include <random>
#include <vector>

namespace warploom {

struct Index {
  u32 x, y, z;
};

/// What the lanes of a warp bring to an instruction that they execute together, and take away.
struct Words {
  u32 at[12];
};

/// One such instruction: `run` gets the words of all lanes and changes those in `mask`.
struct Collective {
  const char *name;
  void (*run)(Words *lanes, u32 mask, Site site);
};

/// An asynchronous copy of 16 bytes that was begun and not waited for.
struct Copy {
  u32 to;
  const u8 *from; // null: zeros
  u8 data[16];    // as they were at the start
  Site site;
  u32 group;
};

class Block {
public:
  /// Runs one block of a launch to its end.
  void run(void (*kernel)(const void *), const void *params, Index index, u32 number, int threads,
           u64 seed);

  /// __syncthreads: waits for all threads that have not ended. Returns how many gave a true `vote`.
  int meet(bool vote, int line);

  /// Meets the lanes in `mask` at an instruction and returns what it left for the running lane.
  const Words &meet(const Collective &collective, u32 mask, const Words &words, int line);

  /// Waits until another thread, or an effect, wakes this one. `explain` writes what a thread waits
  /// for.
  void sleep(int line, void (*explain)(int thread, char *to, std::size_t bytes));
  void wake(int thread);

  /// With a seed, now and then: lets others run first. Where a thread may be slow and nothing says
  /// so.
  void pause();

  /// The lanes of the running thread's warp that have not ended.
  u32 livingLanes() const;

  u32 now() const { return clocks.now(current); }
  int lane() const { return current % warpSize; }
  int warps() const { return (threads + warpSize - 1) / warpSize; }

  /// Who acts beside the threads, as clocks number them: products by warp, copies by mbarrier.
  int productsOf(int warp) const { return threads + warp; }
  int copiesOf(int barrier) const { return threads + warps() + barrier; }
  static constexpr int mostBarriers = 128;

  int current = -1; // the thread that runs
  int threads = 0;
  u32 number = 0; // of the block in its grid
  Index index{};
  /// A thread of the block has executed a device-wide fence: other blocks may rely on an order that
  /// the emulator does not follow.
  bool isFenced = false;
  Clocks clocks;
  Stacks stacks;
  Effects effects;
  std::vector<std::vector<Copy>> copies; // of each thread, oldest first
  std::vector<u32> groups;               // of each thread: copy groups closed so far

private:
  enum class State : u8 { ready, atBarrier, inWarp, asleep, ended };

  struct Thread {
    Fiber fiber;
    State state = State::ready;
    int line = 0;
    const char *waits = "";
    void (*explain)(int thread, char *to, std::size_t bytes) = nullptr;
    u32 mask = 0;
    int votes = 0; // what the barrier returned
  };

  /// Lanes that have come to one instruction, while others have yet to.
  struct Meeting {
    const Collective *collective;
    u32 mask, arrived;
    int line;
  };

  static void begin();
  void wait(); // gives way to another thread until this one is ready again
  void next(); // the same, for one that has ended
  int pick();
  void settle();
  void endBarrier();
  [[noreturn]] void deadlock() const;

  void (*kernel)(const void *) = nullptr;
  const void *params = nullptr;
  Fiber outside;
  std::vector<Thread> all;
  std::vector<int> queue; // a ring of those that are ready
  std::size_t queueFrom = 0, queueCount = 0;
  int alive = 0;
  int arrived = 0, votes = 0;
  std::vector<std::vector<Meeting>> meetings; // of each warp
  std::vector<Words> words;
  std::vector<int> list;
  u64 seed = 0;
  std::mt19937_64 random;
};

extern Block block;

/// What a warp's instruction does for one of its lanes: that lane's thread counts as the one that
/// runs.
class RunsAs {
public:
  explicit RunsAs(int thread) : before(block.current) { block.current = thread; }
  ~RunsAs() { block.current = before; }
  RunsAs(const RunsAs &) = delete;
  RunsAs &operator=(const RunsAs &) = delete;

private:
  const int before;
};

} // namespace warploom
