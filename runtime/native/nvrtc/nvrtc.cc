#include "nvrtc.h"

#include "../library.h"

#include <algorithm>
#include <map>
#include <mutex>

namespace warploom {

/// The entry points that are used, declared here: no toolkit is needed to build.
struct NvrtcFunctions {
  using Program = struct OpaqueProgram *;

  Library library = nullptr;
  int (*version)(int *major, int *minor);
  int (*architectureCount)(int *count);
  int (*architectures)(int *list);
  const char *(*errorString)(int status);
  int (*create)(Program *program, const char *source, const char *name, int headers,
                const char *const *headerTexts, const char *const *headerNames);
  int (*destroy)(Program *program);
  int (*compile)(Program program, int count, const char *const *options);
  int (*logSize)(Program program, size_t *bytes);
  int (*log)(Program program, char *text);
  int (*cubinSize)(Program program, size_t *bytes);
  int (*cubin)(Program program, char *bytes);
  int (*ptxSize)(Program program, size_t *bytes);
  int (*ptx)(Program program, char *text);

  bool open(const std::string &path, std::string &error) {
    library = openLibrary(path, error);
    return library && find("nvrtcVersion", version, error) &&
           find("nvrtcGetNumSupportedArchs", architectureCount, error) &&
           find("nvrtcGetSupportedArchs", architectures, error) &&
           find("nvrtcGetErrorString", errorString, error) &&
           find("nvrtcCreateProgram", create, error) &&
           find("nvrtcDestroyProgram", destroy, error) &&
           find("nvrtcCompileProgram", compile, error) &&
           find("nvrtcGetProgramLogSize", logSize, error) &&
           find("nvrtcGetProgramLog", log, error) && find("nvrtcGetCUBINSize", cubinSize, error) &&
           find("nvrtcGetCUBIN", cubin, error) && find("nvrtcGetPTXSize", ptxSize, error) &&
           find("nvrtcGetPTX", ptx, error);
  }

private:
  template <class Function>
  bool find(const char *name, Function *&function, std::string &error) const {
    function = reinterpret_cast<Function *>(findSymbol(library, name));
    if (!function)
      error = std::string("it has no ") + name + ": it is no NVRTC of CUDA 11.2 or later";
    return function != nullptr;
  }
};

namespace {

using Program = NvrtcFunctions::Program;

/// The text or bytes that a pair of functions gives; empty when there are none.
std::string contents(Program program, int (*size)(Program, size_t *),
                     int (*read)(Program, char *)) {
  size_t bytes = 0;
  if (size(program, &bytes) != 0 || bytes == 0)
    return {};
  std::string all(bytes, '\0');
  return read(program, &all[0]) == 0 ? all : std::string();
}

/// A zero ends a text, and joins the parts of a log.
std::string withoutZeros(std::string text) {
  text.erase(std::remove(text.begin(), text.end(), '\0'), text.end());
  return text;
}

} // namespace

Nvrtc::Nvrtc() : functions(new NvrtcFunctions()) {}
Nvrtc::~Nvrtc() = default;

const Nvrtc *Nvrtc::open(const std::string &path, std::string &error) {
  // Neither is destroyed: threads may compile while the process ends.
  static auto &opened = *new std::map<std::string, std::unique_ptr<Nvrtc>>();
  static auto &lock = *new std::mutex();
  const std::lock_guard<std::mutex> guard(lock);
  const auto known = opened.find(path);
  if (known != opened.end())
    return known->second.get();
  std::unique_ptr<Nvrtc> made(new Nvrtc());
  if (!made->load(path, error))
    return nullptr;
  return (opened[path] = std::move(made)).get();
}

bool Nvrtc::load(const std::string &path, std::string &error) {
  if (!functions->open(path, error))
    return false;
  int count = 0;
  if (functions->version(&versionMajor, &versionMinor) != 0 ||
      functions->architectureCount(&count) != 0 || count < 0) {
    error = "it does not tell its version";
    return false;
  }
  known.resize(count);
  if (count > 0 && functions->architectures(known.data()) != 0)
    known.clear();
  file = fileOf(functions->library, reinterpret_cast<const void *>(functions->version));
  if (file.empty())
    file = path;
  loadBuiltins();
  return true;
}

// NVRTC opens its built-in functions by bare name when it first compiles. Unless its folder is on
// the loader's path, that finds them only when they are loaded already. If they are not there, the
// first compilation says so.
void Nvrtc::loadBuiltins() const {
  const size_t folder = file.find_last_of("/\\");
  if (folder == std::string::npos)
    return;
  const std::string major = std::to_string(versionMajor);
  const std::string minor = std::to_string(versionMinor);
#ifdef _WIN32
  const std::string name = "nvrtc-builtins64_" + major + minor + ".dll";
#else
  const std::string name = "libnvrtc-builtins.so." + major + "." + minor;
#endif
  std::string ignored;
  openLibrary(file.substr(0, folder + 1) + name, ignored);
}

Compilation Nvrtc::compile(const std::string &source, const std::string &name,
                           const std::vector<std::string> &options) const {
  const NvrtcFunctions &nvrtc = *functions;
  Compilation done;
  Program program = nullptr;
  done.status = nvrtc.create(&program, source.c_str(), name.c_str(), 0, nullptr, nullptr);
  if (done.status == 0) {
    std::vector<const char *> texts;
    for (const std::string &option : options)
      texts.push_back(option.c_str());
    done.status = nvrtc.compile(program, static_cast<int>(texts.size()), texts.data());
    done.log = withoutZeros(contents(program, nvrtc.logSize, nvrtc.log));
    if (done.status == 0) {
      done.cubin = contents(program, nvrtc.cubinSize, nvrtc.cubin);
      done.ptx = withoutZeros(contents(program, nvrtc.ptxSize, nvrtc.ptx));
    }
    nvrtc.destroy(&program);
  }
  if (done.status != 0)
    done.reason = nvrtc.errorString(done.status);
  return done;
}

} // namespace warploom
