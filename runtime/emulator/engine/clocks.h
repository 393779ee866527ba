// Who knows what of whom: vector clocks, one per thread of a block (Mattern 1988; used to find
// races as FastTrack does, Flanagan and Freund 2009). A thread's own time moves on whenever it lets
// others know what it has done.
#pragma once

#include "types.h"

#include <algorithm>
#include <vector>

namespace warploom {

class Clocks {
public:
  void reset(int threads) {
    count = threads;
    rows.assign(static_cast<std::size_t>(threads) * threads, 0);
    joined.resize(threads);
    for (int thread = 0; thread < threads; ++thread)
      row(thread)[thread] = 1;
  }

  /// The time of a thread now: what it does is stamped with it.
  u32 now(int thread) const { return row(thread)[thread]; }

  /// Whether what `other` did at `time` happens before what `thread` does now.
  bool knows(int thread, int other, u32 time) const { return row(thread)[other] >= time; }

  /// A barrier: each of the threads knows all that any of them knew.
  void meet(const std::vector<int> &threads) {
    std::fill(joined.begin(), joined.end(), 0u);
    for (const int thread : threads) {
      const u32 *known = row(thread);
      for (int i = 0; i < count; ++i)
        joined[i] = std::max(joined[i], known[i]);
    }
    for (const int thread : threads) {
      std::copy(joined.begin(), joined.end(), row(thread));
      ++row(thread)[thread];
    }
  }

private:
  u32 *row(int thread) { return rows.data() + static_cast<std::size_t>(thread) * count; }
  const u32 *row(int thread) const {
    return rows.data() + static_cast<std::size_t>(thread) * count;
  }

  int count = 0;
  std::vector<u32> rows;
  std::vector<u32> joined;
};

} // namespace warploom
