// The arguments of one call from JavaScript, read by the C functions of N-API: the wrappers of
// node-addon-api cost more than a small call. Not what the arguments mean.
#pragma once

#include <cstddef>
#include <cstdint>
#include <napi.h>
#include <string>

namespace warploom {

/// The first mistake is thrown to JavaScript; later reads do nothing and give 0.
class Arguments {
public:
  Arguments(napi_env env, napi_callback_info info);
  Arguments(const Napi::CallbackInfo &info)
      : Arguments(info.Env(), static_cast<napi_callback_info>(info)) {}

  bool ok = true;

  double number(int at, const char *name);
  /// An integer from 0 to 2147483647.
  int size(int at, const char *name);
  /// An integer from 0 to 2^53 - 1: bytes, addresses, handles.
  uint64_t whole(int at, const char *name);
  std::string text(int at, const char *name);

  struct Bytes {
    void *data = nullptr;
    size_t length = 0;
    /// The buffer beneath; null where the argument is a buffer itself.
    napi_value buffer = nullptr;
  };
  /// The bytes of a typed array, a DataView or an ArrayBuffer.
  Bytes bytes(int at, const char *name);

  napi_value operator[](int at) const { return values[at]; }
  template <class Error> void fail(const std::string &text) {
    if (ok)
      Error::New(env, text).ThrowAsJavaScriptException();
    ok = false;
  }

  const napi_env env;
  /// What the function was made with.
  void *data = nullptr;

private:
  static constexpr size_t most = 8;
  napi_value values[most];
};

} // namespace warploom
