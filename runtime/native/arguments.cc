// Reads and checks the arguments of calls from JavaScript.
#include "arguments.h"

namespace warploom {

Arguments::Arguments(napi_env env, napi_callback_info info) : env(env) {
  size_t count = most;
  napi_get_cb_info(env, info, &count, values, nullptr, &data); // missing ones are undefined
}

double Arguments::number(int at, const char *name) {
  double value = 0;
  if (ok && napi_get_value_double(env, values[at], &value) != napi_ok)
    fail<Napi::TypeError>(std::string("'") + name + "' is not a number");
  return value;
}

int Arguments::size(int at, const char *name) {
  const double value = number(at, name);
  if (ok && !(value >= 0 && value <= INT32_MAX && value == static_cast<int>(value)))
    fail<Napi::RangeError>(std::string("'") + name + "' is not a size from 0 to 2147483647");
  return ok ? static_cast<int>(value) : 0;
}

uint64_t Arguments::whole(int at, const char *name) {
  constexpr double most = 9007199254740991; // 2^53 - 1
  const double value = number(at, name);
  if (ok &&
      !(value >= 0 && value <= most && value == static_cast<double>(static_cast<uint64_t>(value))))
    fail<Napi::RangeError>(std::string("'") + name + "' is not an integer from 0 to 2^53 - 1");
  return ok ? static_cast<uint64_t>(value) : 0;
}

std::string Arguments::text(int at, const char *name) {
  size_t length = 0;
  if (ok && napi_get_value_string_utf8(env, values[at], nullptr, 0, &length) != napi_ok)
    fail<Napi::TypeError>(std::string("'") + name + "' is not a string");
  if (!ok)
    return "";
  std::string text(length + 1, '\0');
  napi_get_value_string_utf8(env, values[at], text.data(), text.size(), &length);
  text.resize(length);
  return text;
}

Arguments::Bytes Arguments::bytes(int at, const char *name) {
  static const size_t sizes[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8}; // by napi_typedarray_type
  Bytes out;
  if (!ok)
    return out;
  napi_typedarray_type type = napi_int8_array;
  const napi_value value = values[at];
  if (napi_get_typedarray_info(env, value, &type, &out.length, &out.data, &out.buffer, nullptr) ==
      napi_ok)
    out.length *= static_cast<size_t>(type) < std::size(sizes) ? sizes[type] : 0;
  else if (napi_get_dataview_info(env, value, &out.length, &out.data, &out.buffer, nullptr) !=
               napi_ok &&
           napi_get_arraybuffer_info(env, value, &out.data, &out.length) != napi_ok)
    fail<Napi::TypeError>(std::string("'") + name + "' holds no bytes: give a typed array");
  return out;
}

} // namespace warploom
