// Who knows what of whom: vector clocks, one per thread of a block (Mattern 1988; used to find
// races as FastTrack does, Flanagan and Freund 2009). A thread's own time moves on whenever it lets
// others know what it has done.
//
// What acts beside the threads has a time of its own: the products of each warp, and the copies
// that each mbarrier counts. These reach memory by the asynchronous proxy, for which ordinary
// writes are not there until a proxy fence stands on the way from the writer (PTX ISA, "Memory
// Consistency Model", proxies): a second clock knows what came through one.
#pragma once

#include "types.h"

#include <algorithm>
#include <vector>

namespace warploom {

/// What is known of everyone who acts, kept where threads leave it for others: at a barrier.
struct Knowledge {
  std::vector<u32> words; // known of each, then what of that came through a proxy fence
};

class Clocks {
public:
  /// Threads first, then `others` who act beside them.
  void reset(int threads, int others) {
    count = threads + others;
    rows.assign(static_cast<std::size_t>(threads) * 2 * count, 0);
    times.assign(others, 0);
    joined.words.resize(2 * count);
    first = threads;
    for (int thread = 0; thread < threads; ++thread)
      row(thread)[thread] = 1;
  }

  /// The time of a thread now: what it does is stamped with it.
  u32 now(int thread) const { return row(thread)[thread]; }

  /// Whether what `other` did at `time` happens before what `thread` does now.
  bool knows(int thread, int other, u32 time) const { return row(thread)[other] >= time; }

  /// The same for what `thread` does by the asynchronous proxy, of what `other` did by the usual
  /// one.
  bool knowsFenced(int thread, int other, u32 time) const {
    return row(thread)[count + other] >= time;
  }

  /// A proxy fence: what the thread has done and what it knows is there for the other proxy.
  void fence(int thread) {
    u32 *known = row(thread);
    join(known + count, known, count);
    ++known[thread];
  }

  /// A barrier: each of the threads knows all that any of them knew.
  void meet(const std::vector<int> &threads) {
    std::fill(joined.words.begin(), joined.words.end(), 0u);
    for (const int thread : threads)
      join(joined.words.data(), row(thread), 2 * count);
    for (const int thread : threads) {
      std::copy(joined.words.begin(), joined.words.end(), row(thread));
      ++row(thread)[thread];
    }
  }

  /// A thread leaves what it knows, and learns what others have left.
  void tell(int thread, Knowledge &place) {
    place.words.resize(2 * count);
    join(place.words.data(), row(thread), 2 * count);
    ++row(thread)[thread];
  }
  void learn(int thread, const Knowledge &place) {
    join(row(thread), place.words.data(), static_cast<int>(place.words.size()));
  }

  /// Something happens that is none of a thread's doing: its time.
  u32 act(int other) { return ++times[other - first]; }
  void tellOf(int other, u32 time, Knowledge &place) {
    place.words.resize(2 * count);
    place.words[other] = std::max(place.words[other], time);
  }
  void learnOf(int thread, int other, u32 time) {
    row(thread)[other] = std::max(row(thread)[other], time);
  }

private:
  static void join(u32 *to, const u32 *from, int size) {
    for (int i = 0; i < size; ++i)
      to[i] = std::max(to[i], from[i]);
  }
  u32 *row(int thread) { return rows.data() + static_cast<std::size_t>(thread) * 2 * count; }
  const u32 *row(int thread) const {
    return rows.data() + static_cast<std::size_t>(thread) * 2 * count;
  }

  int count = 0, first = 0;
  std::vector<u32> rows, times;
  Knowledge joined;
};

} // namespace warploom
