// The addon as Node loads it: each part puts its face into the exports.
#include "cuda/face.h"
#include "normal-face.h"
#include "nvrtc/face.h"
#include "products-face.h"

#include <napi.h>

namespace {

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  warploom::initializeProducts(env, exports);
  warploom::initializeNormal(env, exports);
  warploom::initializeCuda(env, exports);
  initializeNvrtc(env, exports);
  return exports;
}

} // namespace

NODE_API_MODULE(warploom, initialize)
