// Launch lists: the kernels, fills and copies of one call, as bytes (launch-record.h), put into a
// stream without waiting.
#pragma once

#include "module.h"

namespace warploom::cuda {

/// Whether every record is whole, and every launch one that can be.
Failure checkLaunchList(const Modules &modules, const void *list, size_t bytes);

/// Puts a checked list into the stream, record by record. Addresses are taken as they are. The
/// list is read before this returns.
Failure runLaunchList(const Context &context, const Modules &modules, const void *list,
                      size_t bytes, StreamHandle stream);

} // namespace warploom::cuda
