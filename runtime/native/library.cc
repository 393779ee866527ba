// Opens shared libraries by the system's loader.
#include "library.h"

#if defined(_WIN32)
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace warploom {

#if defined(_WIN32)
Library openLibrary(const std::string &name, std::string &reason) {
  const Library library = LoadLibraryA(name.c_str());
  if (!library)
    reason = name + " cannot be opened: error " + std::to_string(GetLastError());
  return library;
}

void *findSymbol(Library library, const char *symbol) {
  return reinterpret_cast<void *>(GetProcAddress(static_cast<HMODULE>(library), symbol));
}

std::string fileOf(Library library, const void *) {
  char text[MAX_PATH];
  const DWORD length = GetModuleFileNameA(static_cast<HMODULE>(library), text, MAX_PATH);
  return length < MAX_PATH ? std::string(text, length) : std::string();
}
#else
Library openLibrary(const std::string &name, std::string &reason) {
  const Library library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char *error = dlerror();
    reason = error ? error : name + " cannot be opened";
  }
  return library;
}

void *findSymbol(Library library, const char *symbol) { return dlsym(library, symbol); }

std::string fileOf(Library, const void *symbol) {
  Dl_info info;
  return dladdr(symbol, &info) != 0 && info.dli_fname ? info.dli_fname : std::string();
}
#endif

} // namespace warploom
