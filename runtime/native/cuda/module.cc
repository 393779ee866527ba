// Loads cubins by the driver.
#include "module.h"

#include <algorithm>
#include <cstring>

namespace warploom::cuda {
namespace {

/// The driver is not told the size of an image: one that was cut short would be read beyond its
/// end. A 64-bit ELF file ends with its table of sections.
bool isWholeElf(const unsigned char *image, size_t bytes) {
  if (bytes < 64)
    return false;
  uint64_t tables[2]; // programs and sections begin here
  uint16_t sizes[4];  // size and number of the entries of each
  std::memcpy(tables, image + 32, sizeof tables);
  std::memcpy(sizes, image + 54, sizeof sizes);
  for (int i = 0; i < 2; ++i) {
    const uint64_t size = uint64_t(sizes[2 * i]) * sizes[2 * i + 1];
    if (tables[i] > bytes || size > bytes - tables[i])
      return false;
  }
  return true;
}

} // namespace

Modules::~Modules() {
  const Context::Current current(context);
  for (const ModuleHandle module : modules) {
    if (module)
      driver().cuModuleUnload(module);
  }
}

Failure Modules::load(const void *image, size_t bytes, uint64_t &out) {
  constexpr int errorLog = 5, errorLogBytes = 6;
  if (bytes == 0)
    return Failure::ofArgument("the module is empty");
  std::string text; // anything but ELF is text, which ends with a zero
  if (bytes < 4 || std::memcmp(image, "\177ELF", 4) != 0) {
    text.assign(static_cast<const char *>(image), bytes);
    image = text.c_str();
  } else if (!isWholeElf(static_cast<const unsigned char *>(image), bytes)) {
    return Failure::ofArgument("the cubin is cut short");
  }

  char log[4096] = "";
  int options[] = {errorLog, errorLogBytes};
  void *values[] = {log, reinterpret_cast<void *>(sizeof log)};
  const Context::Current current(context);
  ModuleHandle module = nullptr;
  const Code code = driver().cuModuleLoadDataEx(&module, image, 2, options, values);
  log[sizeof log - 1] = '\0';
  if (Failure failure = context.check("cuModuleLoadDataEx", code, log))
    return failure;
  const std::lock_guard<std::mutex> lock(mutex);
  modules.push_back(module);
  out = modules.size();
  return {};
}

Failure Modules::handleOf(uint64_t module, ModuleHandle &out) const {
  const bool isKnown = module >= 1 && module <= modules.size() && modules[module - 1];
  if (!isKnown)
    return Failure::ofArgument("there is no module " + std::to_string(module));
  out = modules[module - 1];
  return {};
}

Failure Modules::retire(uint64_t module, ModuleHandle &out) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (Failure failure = handleOf(module, out))
    return failure;
  modules[module - 1] = nullptr;
  return {};
}

Failure Modules::unload(ModuleHandle module) {
  const Context::Current current(context);
  return context.check("cuModuleUnload", driver().cuModuleUnload(module));
}

Failure Modules::function(uint64_t module, const std::string &name, unsigned sharedBytes,
                          FunctionReport &out) {
  constexpr unsigned sharedByDefault = 48 * 1024;
  enum { maxThreads = 0, staticShared = 1, local = 3, registers = 4, dynamicShared = 8 };
  const std::lock_guard<std::mutex> lock(mutex);
  ModuleHandle owner = nullptr;
  if (Failure failure = handleOf(module, owner))
    return failure;

  const Context::Current current(context);
  const std::string about = "kernel '" + name + "'";
  Function function = {name, nullptr, module, 0, 0};
  if (Failure failure =
          context.check("cuModuleGetFunction",
                        driver().cuModuleGetFunction(&function.handle, owner, name.c_str()), about))
    return failure;
  const struct {
    int attribute;
    int &value;
  } reads[] = {{maxThreads, out.maxThreads},
               {staticShared, out.sharedBytes},
               {local, out.localBytes},
               {registers, out.registers}};
  for (const auto &[attribute, value] : reads) {
    if (Failure failure =
            context.check("cuFuncGetAttribute",
                          driver().cuFuncGetAttribute(&value, attribute, function.handle), about))
      return failure;
  }
  // One that was asked for before keeps its number, and room for its largest launch.
  const auto known = std::find_if(functions.begin(), functions.end(), [&](const Function &one) {
    return one.module == module && one.name == name;
  });
  if (known != functions.end())
    function = *known;
  if (sharedBytes + out.sharedBytes > sharedByDefault && sharedBytes > function.dynamicBytes) {
    if (Failure failure = context.check(
            "cuFuncSetAttribute",
            driver().cuFuncSetAttribute(function.handle, dynamicShared, sharedBytes),
            about + ", " + std::to_string(sharedBytes) + " bytes of dynamic shared memory"))
      return failure;
    function.dynamicBytes = sharedBytes;
  }
  if (driver().cuFuncGetParamInfo) {
    size_t offset = 0;
    if (driver().cuFuncGetParamInfo(function.handle, 0, &offset, &function.argumentBytes))
      function.argumentBytes = 0; // a kernel without arguments
  }
  out.handle = known - functions.begin() + 1;
  if (known == functions.end())
    functions.push_back(function);
  else
    *known = function;
  return {};
}

Failure Modules::find(uint64_t function, const Function *&out) const {
  const std::lock_guard<std::mutex> lock(mutex);
  if (function < 1 || function > functions.size())
    return Failure::ofArgument("there is no function " + std::to_string(function));
  const Function &found = functions[function - 1];
  if (!modules[found.module - 1])
    return Failure::ofArgument("the module of kernel '" + found.name + "' was unloaded");
  out = &found;
  return {};
}

} // namespace warploom::cuda
