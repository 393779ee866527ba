// The N-API face of random values: checks the arguments, then calls the C++ core.
#include "normal-face.h"

#include "arguments.h"
#include "normal.h"

namespace warploom {
namespace {

napi_value fill(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const Arguments::Bytes bytes = arguments.bytes(0, "elements");
  const std::string dtype = arguments.text(1, "dtype");
  const uint64_t at = arguments.whole(2, "at"), count = arguments.whole(3, "count");
  const uint64_t seed = arguments.whole(4, "seed"), from = arguments.whole(5, "from");
  const double scale = arguments.number(6, "scale");
  if (!arguments.ok)
    return nullptr;
  if (dtype != "fp32" && dtype != "fp16" && dtype != "bf16") {
    arguments.fail<Napi::TypeError>("'dtype' is none of fp32, fp16, bf16");
    return nullptr;
  }
  const Element type = dtype == "fp32" ? Element::fp32 : dtype == "fp16" ? Element::fp16 : Element::bf16;
  const size_t size = type == Element::fp32 ? 4 : 2;
  if (at + count > bytes.length / size) {
    arguments.fail<Napi::RangeError>("'elements' is too short");
    return nullptr;
  }
  fillNormal(static_cast<uint8_t *>(bytes.data) + at * size, type, count, seed, from, scale);
  return nullptr;
}

} // namespace

void initializeNormal(Napi::Env env, Napi::Object exports) {
  napi_value made = nullptr;
  napi_create_function(env, "fillNormal", NAPI_AUTO_LENGTH, fill, nullptr, &made);
  exports.Set("fillNormal", Napi::Value(env, made));
}

} // namespace warploom
