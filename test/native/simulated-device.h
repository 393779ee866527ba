// The devices of the simulated driver: their streams, memory and kernels, and what steers them. Not
// the driver's functions (simulated-driver.cc, which alone includes this).
#pragma once

#include "../../runtime/native/cuda/driver.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

using namespace warploom::cuda;
using Clock = std::chrono::steady_clock;

namespace {

enum : Code {
  invalidValue = 1,
  noDevice = 100,
  invalidDevice = 101,
  invalidImage = 200,
  invalidContext = 201,
  invalidHandle = 400,
  notFound = 500,
  illegalAddress = 700,
};

const std::map<Code, std::pair<const char *, const char *>> errors = {
    {0, {"CUDA_SUCCESS", "no error"}},
    {invalidValue, {"CUDA_ERROR_INVALID_VALUE", "invalid argument"}},
    {outOfMemory, {"CUDA_ERROR_OUT_OF_MEMORY", "out of memory"}},
    {noDevice, {"CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"}},
    {invalidDevice, {"CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"}},
    {invalidImage, {"CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"}},
    {invalidContext, {"CUDA_ERROR_INVALID_CONTEXT", "invalid device context"}},
    {209, {"CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution"}},
    {invalidHandle, {"CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"}},
    {notFound, {"CUDA_ERROR_NOT_FOUND", "named symbol not found"}},
    {illegalAddress, {"CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"}},
    {719, {"CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"}},
};

uint64_t setting(const char *name, uint64_t otherwise) {
  const char *value = std::getenv(name);
  return value && *value ? std::strtoull(value, nullptr, 10) : otherwise;
}

/// Live objects by kind; in a leaked map, since threads outlive static destructors.
std::mutex &everything = *new std::mutex;
std::map<std::string, int> &alive = *new std::map<std::string, int>;
struct Planned {
  int calls;
  Code code;
};
std::map<std::string, Planned> &planned = *new std::map<std::string, Planned>;

void count(const char *kind, int change) {
  const std::lock_guard<std::mutex> lock(everything);
  alive[kind] += change;
}

/// Work is done by the calling thread at once, and no memory is poisoned.
const bool isBare = setting("SIMULATED_BARE", 0) != 0;

/// How often each call was made since it was last asked.
std::map<std::string, int> &made = *new std::map<std::string, int>;

/// Counts a call; the code that it was told to fail with, or 0.
Code plannedFor(const char *call) {
  const std::lock_guard<std::mutex> lock(everything);
  if (!isBare)
    ++made[call];
  const auto found = planned.find(call);
  if (found == planned.end() || --found->second.calls > 0)
    return 0;
  const Code code = found->second.code;
  planned.erase(found);
  return code;
}

} // namespace

/// One device, and its primary context.
struct warploom::cuda::CUctx_st {
  int retained = 0;
  uint64_t used = 0; // allocated, or kept by a pool
  std::atomic<Code> fault{0};
};

struct warploom::cuda::CUstream_st {
  ContextHandle context;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> queue;
  bool isBusy = false, isEnding = false;
  std::thread thread;

  explicit CUstream_st(ContextHandle context) : context(context), thread([this] { work(); }) {}

  void work() {
    std::unique_lock<std::mutex> lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return isEnding || !queue.empty(); });
      if (queue.empty())
        return;
      const std::function<void()> next = std::move(queue.front());
      queue.pop_front();
      isBusy = true;
      lock.unlock();
      if (!context->fault) // what follows a fault does not run
        next();
      lock.lock();
      isBusy = false;
      changed.notify_all();
    }
  }

  void put(std::function<void()> operation) {
    if (isBare) {
      if (!context->fault)
        operation();
      return;
    }
    const std::lock_guard<std::mutex> lock(mutex);
    queue.push_back(std::move(operation));
    changed.notify_all();
  }

  void drain() {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [this] { return !isBusy && queue.empty(); });
  }
};

struct warploom::cuda::CUevent_st {
  bool hasTime;
  std::mutex mutex;
  std::condition_variable changed;
  int asked = 0, reached = 0;
  Clock::time_point time;
};

struct warploom::cuda::CUmemPoolHandle_st {
  ContextHandle context;
  std::multimap<size_t, Address> kept;
};

struct warploom::cuda::CUfunc_st {
  std::string name;
  int registers = 0, local = 0, shared = 0, threads = 1024, argument = 0, dynamic = 48 * 1024;
};

struct warploom::cuda::CUmod_st {
  std::map<std::string, CUfunc_st> kernels;
  bool isMachineCode = false; // whose kernels have any name, and do nothing
};

namespace {

std::vector<CUctx_st> &contexts = *new std::vector<CUctx_st>(setting("SIMULATED_DEVICES", 1));
const uint64_t memoryBytes = setting("SIMULATED_MEMORY", uint64_t(1) << 30);
/// The compute capability of a device: 90 for 9.0.
int chipOf(int ordinal) {
  const char *listed = std::getenv("SIMULATED_CHIPS");
  std::istringstream list(listed && *listed ? listed : "90");
  std::string chip;
  while (ordinal-- >= 0 && std::getline(list, chip, ','))
    ;
  return std::stoi(chip);
}
thread_local std::vector<ContextHandle> stack;

struct Block {
  size_t bytes;
  PoolHandle pool;
};
std::map<Address, Block> &blocks = *new std::map<Address, Block>;
std::map<const char *, size_t> &pinned = *new std::map<const char *, size_t>;

Code fail(Code code) {
  if (code >= 700 && code < 800 && !stack.empty() && stack.back())
    stack.back()->fault = code;
  return code;
}

bool isHere(StreamHandle stream) { return stream && stream->context == stack.back(); }

void *pointer(Address address) { return reinterpret_cast<void *>(address); }

bool isPinned(const void *memory) {
  const std::lock_guard<std::mutex> lock(everything);
  const char *at = static_cast<const char *>(memory);
  auto found = pinned.upper_bound(at);
  return found != pinned.begin() && (--found, at < found->first + found->second);
}

struct Launch {
  unsigned grid[3], block[3], cluster[3], sharedBytes;
};

/// The kernels there are, each with an argument of an address and a number.
void runKernel(CUfunc_st &function, const Launch &launch,
               const std::vector<unsigned char> &argument, ContextHandle context) {
  struct {
    uint64_t address, number;
  } given = {};
  std::memcpy(&given, argument.data(), std::min(sizeof given, argument.size()));
  unsigned *words = static_cast<unsigned *>(pointer(given.address));
  if (function.name == "add_one") {
    for (uint64_t i = 0; i < given.number; ++i)
      words[i] += 1;
  } else if (function.name == "wait") {
    std::this_thread::sleep_for(std::chrono::microseconds(given.number));
  } else if (function.name == "shape") { // what it was launched with
    std::memcpy(words, &launch, sizeof launch);
  } else if (function.name == "fault") {
    context->fault = illegalAddress;
  }
}

Code checkLaunch(FunctionHandle function, const Launch &launch) {
  for (const unsigned size : launch.grid) {
    if (size == 0)
      return invalidValue;
  }
  const uint64_t threads = uint64_t(launch.block[0]) * launch.block[1] * launch.block[2];
  if (threads == 0 || threads > unsigned(function->threads) ||
      launch.sharedBytes > unsigned(function->dynamic))
    return invalidValue;
  return 0;
}

void putKernel(FunctionHandle function, const Launch &launch,
               const std::vector<unsigned char> &argument, StreamHandle stream) {
  stream->put([function, launch, argument, context = stream->context] {
    runKernel(*function, launch, argument, context);
  });
}

Code launchKernel(FunctionHandle function, const Launch &launch, StreamHandle stream,
                  void **arguments) {
  if (!function || !isHere(stream))
    return invalidHandle;
  if (const Code code = checkLaunch(function, launch))
    return code;
  const auto *bytes = static_cast<const unsigned char *>(arguments[0]);
  putKernel(function, launch, {bytes, bytes + function->argument}, stream);
  return 0;
}

int fieldOf(const std::string &line, const char *name, int otherwise) {
  const size_t at = line.find(std::string(" ") + name + "=");
  return at == std::string::npos ? otherwise : std::atoi(line.c_str() + at + std::strlen(name) + 2);
}

Code control(std::istream &words, char *log, size_t logBytes) {
  std::string verb, call;
  words >> verb;
  const std::lock_guard<std::mutex> lock(everything);
  if (verb == "fail") {
    Planned plan{};
    words >> call >> plan.calls >> plan.code;
    planned[call] = plan;
    return 0;
  }
  const bool isOfCalls = verb == "calls";
  std::string report;
  for (const auto &[kind, number] : isOfCalls ? made : alive)
    report += kind + "=" + std::to_string(number) + " ";
  if (isOfCalls)
    made.clear();
  std::strncpy(log, report.c_str(), logBytes);
  return invalidImage;
}

} // namespace
