// Shared libraries that are opened at run time. Not which ones, nor what is called in them.
#pragma once

#include <string>

namespace warploom {

/// An open library; null for none.
using Library = void *;

/// Opens a library by its file, or by a name that the loader looks for. Null, with the loader's
/// reason.
Library openLibrary(const std::string &name, std::string &reason);

/// A function or variable of the library; null where it has none of that name.
void *findSymbol(Library library, const char *symbol);

/// The file that holds a symbol of an open library; empty when the system cannot tell.
std::string fileOf(Library library, const void *symbol);

} // namespace warploom
