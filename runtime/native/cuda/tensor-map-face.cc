// Reads the description of a tensor from JavaScript and has it encoded.
#include "tensor-map-face.h"

#include "background.h"
#include "tensor-map.h"

namespace warploom {
namespace {

/// The fields of an object. The first mistake is kept; later reads give 0.
class Fields {
public:
  explicit Fields(const Napi::Object &object) : object(object) {}

  bool has(const char *name) const { return !object.Get(name).IsUndefined(); }
  uint64_t number(const char *name) { return number(object.Get(name), name); }
  template <class Number> void numbers(const char *name, Number *out, uint32_t count) {
    const Napi::Value list = object.Get(name);
    if (!list.IsArray() || list.As<Napi::Array>().Length() != count) {
      wrong = quoted(name) + " is not a list of " + std::to_string(count) + " numbers";
      return;
    }
    for (uint32_t i = 0; i < count; ++i)
      out[i] = static_cast<Number>(number(list.As<Napi::Array>().Get(i), name));
  }
  uint32_t length(const char *name) const {
    const Napi::Value list = object.Get(name);
    return list.IsArray() ? list.As<Napi::Array>().Length() : 0;
  }

  std::string wrong;

private:
  static std::string quoted(const char *name) { return std::string("'") + name + "'"; }
  uint64_t number(const Napi::Value &value, const char *name) {
    const double read = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
    if (!(read >= 0 && read < 9007199254740992.0))
      wrong = quoted(name) + " is not an integer from 0 to 2^53 - 1";
    return wrong.empty() ? static_cast<uint64_t>(read) : 0;
  }

  const Napi::Object object;
};

Napi::Value fail(Napi::Env env, const std::string &text) {
  Napi::TypeError::New(env, text).ThrowAsJavaScriptException();
  return Napi::Value();
}

} // namespace

Napi::Value encodeTensorMap(const Napi::CallbackInfo &info) {
  const Napi::Env env = info.Env();
  std::string reason;
  if (!cuda::driver(reason))
    return fail(env, "there is no CUDA driver: " + reason);
  if (!info[0].IsObject())
    return fail(env, "'map' is not an object");
  Fields fields(info[0].As<Napi::Object>());
  cuda::TensorMapShape shape;
  shape.rank = fields.length("sizes");
  if (shape.rank < 1 || shape.rank > cuda::TensorMapShape::mostAxes)
    return fail(env, "'sizes' is not a list of 1 to 5 numbers");
  fields.numbers("sizes", shape.sizes, shape.rank);
  fields.numbers("strides", shape.strides, shape.rank - 1);
  fields.numbers("box", shape.box, shape.rank);
  if (fields.has("steps"))
    fields.numbers("steps", shape.steps, shape.rank);
  shape.address = fields.number("address");
  shape.type = static_cast<int>(fields.number("type"));
  const struct {
    const char *name;
    int &value;
  } kinds[] = {{"interleave", shape.interleave},
               {"swizzle", shape.swizzle},
               {"promotion", shape.promotion},
               {"fill", shape.fill}};
  for (const auto &[name, value] : kinds) {
    if (fields.has(name))
      value = static_cast<int>(fields.number(name));
  }
  if (!fields.wrong.empty())
    return fail(env, fields.wrong);
  Napi::Uint8Array out = Napi::Uint8Array::New(env, cuda::tensorMapBytes);
  if (!cuda::isWell(env, cuda::encodeTensorMap(shape, out.Data())))
    return Napi::Value();
  return out;
}

} // namespace warploom
