// The scheduler. A thread runs until it has to wait for others; then the next one that is ready
// runs: in order, or as the seed picks.
#include "block.h"

#include "family.h"
#include "fault.h"
#include "registers.h"
#include "shared.h"

#include <cstdio>
#include <string>

namespace warploom {

Block block;

void Block::run(void (*kernelOfRun)(const void *), const void *paramsOfRun, Index indexOfRun,
                u32 numberOfRun, int count, u64 seedOfRun) {
  kernel = kernelOfRun;
  params = paramsOfRun;
  index = indexOfRun;
  number = numberOfRun;
  threads = count;
  seed = seedOfRun;
  random.seed(seed * 0x9e3779b97f4a7c15ull + number);
  isFenced = false;
  clocks.reset(count, warps() + mostBarriers);
  stacks.reserve(count);
  registers.follow(stacks.of(0), stacks.of(count), count);
  shared.reset(warps(), productsOf(0));
  effects.clear();
  all.assign(count, Thread());
  queue.assign(count, 0);
  queueFrom = queueCount = 0;
  copies.assign(count, {});
  groups.assign(count, 0);
  meetings.assign(warps(), {});
  words.assign(count, Words());
  alive = count;
  arrived = votes = 0;
  for (int thread = 0; thread < count; ++thread) {
    all[thread].fiber.prepare(stacks.of(thread), Stacks::usable(), begin);
    wake(thread);
  }
  for (const Family *family : Family::all())
    family->begin();
  current = pick();
  Fiber::change(outside, all[current].fiber);
  current = -1;
  for (const Family *family : Family::all())
    family->end();
}

void Block::begin() {
  block.kernel(block.params);
  for (const Family *family : Family::all())
    family->endThread();
  block.all[block.current].state = State::ended;
  --block.alive;
  if (block.alive > 0 && block.arrived == block.alive)
    block.endBarrier();
  block.next();
}

void Block::wake(int thread) {
  all[thread].state = State::ready;
  queue[(queueFrom + queueCount) % queue.size()] = thread;
  ++queueCount;
}

int Block::pick() {
  int &front = queue[queueFrom];
  if (seed)
    std::swap(front, queue[(queueFrom + random() % queueCount) % queue.size()]);
  const int thread = front;
  queueFrom = (queueFrom + 1) % queue.size();
  --queueCount;
  return thread;
}

void Block::settle() {
  if (seed && effects.any() && random() % 4 == 0)
    effects.happen(&random);
  while (queueCount == 0 && effects.any())
    effects.happen(seed ? &random : nullptr);
}

void Block::wait() {
  settle();
  if (queueCount == 0)
    deadlock();
  const int from = current;
  current = pick();
  if (current != from)
    Fiber::change(all[from].fiber, all[current].fiber);
}

void Block::next() {
  const int from = current;
  if (alive > 0)
    settle();
  if (queueCount == 0) {
    if (alive > 0)
      deadlock();
    Fiber::change(all[from].fiber, outside);
  }
  current = pick();
  Fiber::change(all[from].fiber, all[current].fiber);
}

void Block::sleep(int line, void (*explain)(int, char *, std::size_t)) {
  Thread &me = all[current];
  work.last = siteOfLine(line);
  me.state = State::asleep;
  me.line = line;
  me.explain = explain;
  wait();
}

void Block::pause() {
  if (!seed || random() % 4 != 0)
    return;
  wake(current);
  wait();
}

u32 Block::livingLanes() const {
  u32 lanes = 0;
  const int first = current / warpSize * warpSize;
  for (int lane = 0; lane < warpSize && first + lane < threads; ++lane)
    if (all[first + lane].state != State::ended)
      lanes |= 1u << lane;
  return lanes;
}

int Block::meet(bool vote, int line) {
  Thread &me = all[current];
  work.last = siteOfLine(line);
  // An aligned barrier: the lanes of a warp have to come to the same one.
  const int first = current / warpSize * warpSize;
  for (int lane = first; lane < first + warpSize && lane < threads; ++lane)
    if (all[lane].state == State::atBarrier && all[lane].line != line)
      fault("divergence", siteOfLine(line),
            "waits at a block barrier while thread %d of the same warp waits at the one of {%x}",
            lane, siteOfLine(all[lane].line));
  me.state = State::atBarrier;
  me.line = line;
  me.waits = "a block barrier";
  ++arrived;
  votes += vote;
  if (arrived == alive)
    endBarrier();
  wait();
  return all[current].votes;
}

void Block::endBarrier() {
  // Those that have ended count as having come: nothing of theirs can come later.
  list.clear();
  for (int thread = 0; thread < threads; ++thread)
    list.push_back(thread);
  clocks.meet(list);
  const int result = votes;
  arrived = votes = 0;
  for (int thread = 0; thread < threads; ++thread) {
    if (all[thread].state != State::atBarrier)
      continue;
    all[thread].votes = result;
    wake(thread);
  }
}

const Words &Block::meet(const Collective &collective, u32 mask, const Words &brought, int line) {
  const int warp = current / warpSize, first = warp * warpSize;
  const u32 bit = 1u << (current - first);
  const Site site = work.last = siteOfLine(line);
  if (!(mask & bit))
    fault("divergence", site, "executes %s with the mask %08x, which lacks its own lane",
          collective.name, mask);
  words[current] = brought;
  std::vector<Meeting> &open = meetings[warp];
  std::size_t at = 0;
  while (at < open.size() && !(open[at].mask & mask))
    ++at;
  if (at == open.size())
    open.push_back({&collective, mask, 0, line});
  Meeting &meeting = open[at];
  if (meeting.collective != &collective || meeting.mask != mask)
    fault("divergence", site,
          "executes %s with the mask %08x while other lanes of the warp wait in %s with the mask "
          "%08x "
          "at {%x}",
          collective.name, mask, meeting.collective->name, meeting.mask, siteOfLine(meeting.line));
  meeting.arrived |= bit;
  if (meeting.arrived == mask) {
    open.erase(open.begin() + at);
    collective.run(words.data() + first, mask, site);
    for (int lane = 0; lane < warpSize; ++lane)
      if (mask >> lane & 1 && first + lane != current)
        wake(first + lane);
    return words[current];
  }
  Thread &me = all[current];
  me.state = State::inWarp;
  me.line = line;
  me.waits = collective.name;
  me.mask = mask;
  wait();
  return words[current];
}

void Block::deadlock() const {
  // One line for each group of neighbours that wait for the same thing.
  std::string text = "no thread of the block can go on";
  int ended = 0, stuck = -1;
  for (int thread = 0; thread < threads;) {
    const Thread &one = all[thread];
    int to = thread + 1;
    while (to < threads && to % warpSize != 0 && all[to].state == one.state &&
           all[to].line == one.line && all[to].mask == one.mask)
      ++to;
    if (one.state == State::ended)
      ended += to - thread;
    else {
      if (stuck < 0)
        stuck = thread;
      char reason[160], part[240];
      if (one.state == State::asleep)
        one.explain(thread, reason, sizeof reason);
      else
        std::snprintf(reason, sizeof reason, "%s", one.waits);
      std::snprintf(part, sizeof part, "; warp %d, lanes %d to %d: %s at {%x}", thread / warpSize,
                    thread % warpSize, (to - 1) % warpSize, reason, siteOfLine(one.line));
      if (text.size() < 2000)
        text += part;
    }
    thread = to;
  }
  if (ended)
    text += "; threads that have ended: " + std::to_string(ended);
  const int line = stuck < 0 ? 0 : all[stuck].line;
  if (stuck >= 0)
    block.current = stuck;
  fault("deadlock", siteOfLine(line), "%s", text.c_str());
}

} // namespace warploom
