// What asynchronous copies have yet to do to memory that threads see. It happens as late as it may:
// when no thread can go on without it. With a seed, also at any time before.
#pragma once

#include "types.h"

#include <functional>
#include <random>
#include <vector>

namespace warploom {

class Effects {
public:
  void add(std::function<void()> effect) { left.push_back(std::move(effect)); }

  bool any() const { return !left.empty(); }

  /// Lets one of them happen: the first, or any.
  void happen(std::mt19937_64 *random) {
    const std::size_t at = random ? (*random)() % left.size() : 0;
    const std::function<void()> effect = std::move(left[at]);
    left.erase(left.begin() + at);
    effect();
  }

  void clear() { left.clear(); }

private:
  std::vector<std::function<void()>> left;
};

} // namespace warploom
