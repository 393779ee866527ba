// The program that runs a launch list. It reads a request from its input: lines that name buffers
// and steps, then the bytes of the buffers; it writes the buffers that are asked for to its output,
// and a fault to file 3. See runtime/emulator/request.ts, which writes requests.
#include "block.h"
#include "fault.h"
#include "memory.h"
#include "module.h"
#include "shared.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace warploom {
namespace {

[[noreturn]] void fail(const char *what) {
  std::fprintf(stderr, "emulator: %s\n", what);
  std::exit(1);
}

/// What the processes of one launch share.
struct Shared {
  u32 reported; // a fault has been reported
  u32 next;     // the next block to run
};

struct Launch {
  std::string kernel, path;
  u32 grid[3];
  int threads;
  u64 sharedBytes;
  std::vector<u8> params;
};

struct Options {
  int processes = 1;
  u64 seed = 0;
  int seconds = 60;
};

/// What the launch may take.
int launchSeconds;

/// A crash inside of a kernel, or one that goes on for too long.
void onSignal(int signal, siginfo_t *info, void *) {
  if (signal == SIGALRM)
    fault("timeout", work.last, "takes longer than %d s", launchSeconds);
  fault("crash", work.last,
        "signal %d at %p, after this line: a stack that is too deep, or a fault of the emulator",
        signal, info->si_addr);
}

void catchSignals() {
  static u8 room[64 << 10];
  const stack_t other = {room, 0, sizeof room};
  sigaltstack(&other, nullptr);
  struct sigaction action = {};
  action.sa_sigaction = onSignal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM})
    sigaction(signal, &action, nullptr);
}

u32 gridSize[3], blockSize;

/// The arguments of the launch, as strictly aligned as tensor maps.
alignas(64) u8 arguments[4096];

/// Runs blocks until none is left.
void runBlocks(const Launch &launch, const Options &options, u32 *next) {
  const u32 count = launch.grid[0] * launch.grid[1] * launch.grid[2];
  for (;;) {
    const u32 number = __atomic_fetch_add(next, 1u, __ATOMIC_RELAXED);
    if (number >= count || __atomic_load_n(work.reported, __ATOMIC_RELAXED))
      return;
    const u32 x = number % launch.grid[0], rest = number / launch.grid[0];
    const Index index = {x, rest % launch.grid[1], rest / launch.grid[1]};
    work.blockX = index.x;
    work.blockY = index.y;
    work.blockZ = index.z;
    block.run(module.entry, arguments, index, number, launch.threads, options.seed);
  }
}

/// What no device launches (the CUDA programming guide, "Technical Specifications per Compute
/// Capability").
void checkLimits(const Launch &launch) {
  const u32 most[3] = {0x7fffffff, 65535, 65535};
  for (int axis = 0; axis < 3; ++axis)
    if (launch.grid[axis] < 1 || launch.grid[axis] > most[axis])
      fault("launch", 0, "has %u blocks along %c; 1 to %u can be launched", launch.grid[axis],
            "xyz"[axis], most[axis]);
  if (launch.threads < 1 || launch.threads > 1024)
    fault("launch", 0, "has %d threads in a block; 1 to 1024 can be launched", launch.threads);
  if (module.sharedBytes > (48 << 10) + 16)
    fault("launch", 0, "has more than 48 KiB of static shared variables");
  if (module.sharedBytes + launch.sharedBytes > (227 << 10))
    fault("launch", 0,
          "has %llu bytes of shared memory; no device has more than 227 KiB in a block",
          static_cast<unsigned long long>(module.sharedBytes + launch.sharedBytes));
  if (launch.params.size() > 4096)
    fault("launch", 0, "has %llu bytes of arguments; 4096 can be passed",
          static_cast<unsigned long long>(launch.params.size()));
}

void run(const Launch &launch, const Options &options, Shared *state) {
  static std::string loaded;
  if (loaded != launch.path)
    module.load(launch.path.c_str());
  loaded = launch.path;
  checkLimits(launch);
  std::memcpy(gridSize, launch.grid, sizeof gridSize);
  blockSize = launch.threads;
  std::memcpy(arguments, launch.params.data(), launch.params.size());
  shared.place(module.sharedFrom, module.sharedBytes, launch.sharedBytes, module.dynamicAlignment);
  memory.beginLaunch();
  work.kernel = launch.kernel.c_str();
  state->next = 0;
  launchSeconds = options.seconds;
  alarm(options.seconds);
  const u64 blocks = u64(launch.grid[0]) * launch.grid[1] * launch.grid[2];
  const int processes =
      static_cast<int>(blocks < u64(options.processes) ? blocks : options.processes);
  std::vector<pid_t> others;
  for (int i = 1; i < processes; ++i) {
    const pid_t child = fork();
    if (child < 0)
      break; // fewer of them will do
    if (child == 0) {
      alarm(options.seconds);
      runBlocks(launch, options, &state->next);
      std::fflush(nullptr);
      _exit(0);
    }
    others.push_back(child);
  }
  runBlocks(launch, options, &state->next);
  int worst = 0;
  for (const pid_t child : others) {
    int status = 0;
    waitpid(child, &status, 0);
    const int result = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    if (result > worst)
      worst = result;
  }
  alarm(0);
  if (worst)
    std::exit(worst);
}

void readAll(u8 *to, u64 bytes) {
  if (!std::cin.read(reinterpret_cast<char *>(to), static_cast<std::streamsize>(bytes)))
    fail("the request ends too early");
}

Buffer &bufferAt(std::size_t at) {
  if (at >= memory.buffers.size())
    fail("the request names a buffer that it does not have");
  return memory.buffers[at];
}

void serve() {
  auto *state = static_cast<Shared *>(
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  if (state == MAP_FAILED)
    fail("no memory");
  work.reported = &state->reported;
  Options options;
  std::vector<std::size_t> given, wanted;
  std::string word;
  // Buffers come first, then the bytes of those that are given, then the steps.
  while (std::cin >> word && word != "steps") {
    if (word == "processes")
      std::cin >> options.processes;
    else if (word == "seed")
      std::cin >> options.seed;
    else if (word == "seconds")
      std::cin >> options.seconds;
    else if (word == "buffer") {
      std::string name, use;
      u64 bytes = 0;
      std::cin >> bytes >> use >> name;
      const bool isGiven = use.find('i') != std::string::npos;
      const std::size_t at = memory.buffers.size();
      memory.add(name, bytes, isGiven);
      if (isGiven)
        given.push_back(at);
      if (use.find('o') != std::string::npos)
        wanted.push_back(at);
    } else
      fail("the request has an unknown line");
  }
  std::cin.get();
  for (const std::size_t at : given)
    readAll(memory.buffers[at].base, memory.buffers[at].bytes);
  for (; std::cin >> word && word != "end"; ++work.step) {
    if (word == "fill") {
      u64 at, offset, bytes;
      int value;
      std::cin >> at >> offset >> bytes >> value;
      Buffer &buffer = bufferAt(at);
      if (offset + bytes > buffer.bytes)
        fault("out-of-bounds", 0, "fills %llu bytes from byte %llu of '%s', which has %llu bytes",
              static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(offset),
              buffer.name.c_str(), static_cast<unsigned long long>(buffer.bytes));
      std::memset(buffer.base + offset, value, bytes);
      std::memset(buffer.written + offset, 1, bytes);
    } else if (word == "launch") {
      Launch launch;
      u64 paramBytes, addresses;
      std::cin >> launch.grid[0] >> launch.grid[1] >> launch.grid[2] >> launch.threads >>
          launch.sharedBytes >> paramBytes >> addresses >> launch.kernel;
      std::cin >> std::ws;
      std::getline(std::cin, launch.path);
      launch.params.resize(paramBytes);
      readAll(launch.params.data(), paramBytes);
      for (u64 i = 0; i < addresses; ++i) {
        u64 field, at, offset;
        std::cin >> field >> at >> offset;
        const u64 address = reinterpret_cast<u64>(bufferAt(at).base) + offset;
        if (field + 8 > paramBytes)
          fail("an address lies outside of the arguments");
        std::memcpy(launch.params.data() + field, &address, 8);
      }
      run(launch, options, state);
    } else
      fail("the request has an unknown step");
  }
  for (const std::size_t at : wanted) {
    const Buffer &buffer = memory.buffers[at];
    if (std::fwrite(buffer.base, 1, buffer.bytes, stdout) != buffer.bytes)
      fail("cannot reply");
  }
  if (std::fflush(stdout) != 0)
    fail("cannot reply");
}

} // namespace
} // namespace warploom

extern "C" {

struct WarploomIndex {
  unsigned x, y, z;
};
WarploomIndex warploomThread() { return {unsigned(warploom::block.current), 0, 0}; }
WarploomIndex warploomBlock() {
  const warploom::Index &index = warploom::block.index;
  return {index.x, index.y, index.z};
}
WarploomIndex warploomThreads() { return {warploom::blockSize, 1, 1}; }
WarploomIndex warploomBlocks() {
  return {warploom::gridSize[0], warploom::gridSize[1], warploom::gridSize[2]};
}
}

int main() {
  std::ios::sync_with_stdio(false);
  warploom::catchSignals();
  warploom::serve();
  return 0;
}
