// The N-API face of NVRTC.
#pragma once

#include <napi.h>

/// Adds exports.openNvrtc: (path: string) => Promise<{ path, major, minor, architectures, compile
/// }>, rejected with the loader's reason when there is no NVRTC at that path. `compile` is (source:
/// string, name: string, options: string[]) => Promise<{ status, reason, log, cubin, ptx }>: what
/// the compiler refuses is a status, not a rejection. Both work on threads of Node's pool, and
/// throw a TypeError for arguments of another type.
void initializeNvrtc(Napi::Env env, Napi::Object exports);
