// Reads the description of a tensor from JavaScript.
#include "tensor-map-face.h"

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

bool fail(Napi::Env env, const std::string &text) {
  Napi::TypeError::New(env, text).ThrowAsJavaScriptException();
  return false;
}

} // namespace

bool readTensorMap(Napi::Env env, const Napi::Value &given, cuda::TensorMapShape &out) {
  if (!given.IsObject())
    return fail(env, "'map' is not an object");
  Fields fields(given.As<Napi::Object>());
  out.rank = fields.length("sizes");
  if (out.rank < 1 || out.rank > cuda::TensorMapShape::mostAxes)
    return fail(env, "'sizes' is not a list of 1 to 5 numbers");
  fields.numbers("sizes", out.sizes, out.rank);
  fields.numbers("strides", out.strides, out.rank - 1);
  fields.numbers("box", out.box, out.rank);
  if (fields.has("steps"))
    fields.numbers("steps", out.steps, out.rank);
  out.address = fields.number("address");
  out.type = static_cast<int>(fields.number("type"));
  const struct {
    const char *name;
    int &value;
  } kinds[] = {{"interleave", out.interleave},
               {"swizzle", out.swizzle},
               {"promotion", out.promotion},
               {"fill", out.fill}};
  for (const auto &[name, value] : kinds) {
    if (fields.has(name))
      value = static_cast<int>(fields.number(name));
  }
  return fields.wrong.empty() || fail(env, fields.wrong);
}

} // namespace warploom
