// NVRTC, the run-time compiler of CUDA C, as a library that this machine may have: it is opened by
// name or path, never linked, and its header is not needed. Knows nothing of Node; where to look
// for the library is the caller's business.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace warploom {

struct NvrtcFunctions;

/// What came of compiling one source.
struct Compilation {
  int status = 0;     // an nvrtcResult: 0 is success
  std::string reason; // the name of a status that is not 0
  std::string log;    // of the compiler and of ptxas, as they wrote it
  std::string cubin;  // the machine code; empty after a failure
  std::string ptx;
};

/// One loaded NVRTC. It is never unloaded, so that a compilation may outlive who asked for it.
class Nvrtc {
public:
  /// Opens the file at `path`, or a bare name on the loader's path. Opening one twice gives the
  /// same object. Null when that fails; `error` then says why.
  static const Nvrtc *open(const std::string &path, std::string &error);

  /// Compiles on the calling thread; any number of threads may do so at once. `name` is what the
  /// log calls the source.
  Compilation compile(const std::string &source, const std::string &name,
                      const std::vector<std::string> &options) const;

  const std::string &path() const { return file; }
  int major() const { return versionMajor; }
  int minor() const { return versionMinor; }
  /// Compute capabilities that it can compile for, as 10 * major + minor, in rising order.
  const std::vector<int> &architectures() const { return known; }

  ~Nvrtc();

private:
  Nvrtc();
  bool load(const std::string &path, std::string &error);
  void loadBuiltins() const;

  std::unique_ptr<NvrtcFunctions> functions;
  std::string file;
  int versionMajor = 0;
  int versionMinor = 0;
  std::vector<int> known;
};

} // namespace warploom
