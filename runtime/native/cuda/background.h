// Work of the CUDA core that takes long: it runs on a thread of Node's pool and settles a promise.
#pragma once

#include "failure.h"

#include <functional>
#include <napi.h>

namespace warploom::cuda {

/// What failed, as an Error with `kind` ('driver', 'lost', 'disposed' or 'argument') and, where a
/// call of the driver failed, `call`, `cuda` and `number`. Mistakes of the caller are RangeErrors.
napi_value errorOf(napi_env env, const Failure &failure);

/// Throws what failed, if anything did. Whether all is well.
bool isWell(napi_env env, const Failure &failure);

/// Runs `work`, lets go of it, and gives its promise, which resolves to what `result` makes on the
/// JS thread (undefined by default) or rejects with what failed. `held`, which may be null, is kept
/// from the garbage collector until then. Nothing is left behind when the process or thread ends
/// first.
napi_value inBackground(napi_env env, std::function<Failure()> work,
                        std::function<napi_value(napi_env)> result = nullptr,
                        napi_value held = nullptr);

} // namespace warploom::cuda
