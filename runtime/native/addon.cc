// The N-API face of the tile products: checks the arguments, then calls the C++ core. It holds no
// state, so any number of threads and contexts may load it. It reads its arguments by the C
// functions of N-API: the wrappers of node-addon-api cost more than a small product.
#include "nvrtc/face.h"
#include "products.h"

#include <cstdint>
#include <cstdio>
#include <napi.h>

namespace {

using warploom::Products;

/// The arguments of one call. The first mistake is thrown to JavaScript, later reads do nothing.
class Arguments {
public:
  Arguments(napi_env env, napi_callback_info info) : env(env) {
    size_t count = most;
    void *data = nullptr;
    napi_get_cb_info(env, info, &count, values, nullptr, &data); // missing ones are undefined
    products = static_cast<const Products *>(data);
  }

  const Products *products;
  bool ok = true;

  int size(int at, const char *name) {
    const double value = number(at, name);
    if (ok && !(value >= 0 && value <= INT32_MAX && value == static_cast<int>(value)))
      fail<Napi::RangeError>("'%s' is not a size from 0 to 2147483647", name);
    return ok ? static_cast<int>(value) : 0;
  }

  double number(int at, const char *name) {
    double value = 0;
    if (ok && napi_get_value_double(env, values[at], &value) != napi_ok)
      fail<Napi::TypeError>("'%s' is not a number", name);
    return value;
  }

  /// A matrix of `rows` by `columns` whose rows begin `stride` numbers apart.
  float *matrix(int at, const char *name, int rows, int columns, int stride) {
    if (!ok)
      return nullptr;
    napi_typedarray_type type = napi_uint8_array;
    size_t length = 0;
    void *data = nullptr;
    if (napi_get_typedarray_info(env, values[at], &type, &length, &data, nullptr, nullptr) !=
            napi_ok ||
        type != napi_float32_array) {
      fail<Napi::TypeError>("'%s' is not a Float32Array", name);
    } else if (stride < columns) {
      fail<Napi::RangeError>("the rows of '%s' overlap: its stride is below its columns", name);
    } else if (static_cast<uint64_t>(rows - 1) * stride + columns > length) {
      fail<Napi::RangeError>("'%s' is too short for its rows and columns", name);
    }
    return static_cast<float *>(data);
  }

private:
  template <class Error> void fail(const char *what, const char *name) {
    char text[96];
    std::snprintf(text, sizeof text, what, name);
    Error::New(env, text).ThrowAsJavaScriptException();
    ok = false;
  }

  static constexpr size_t most = 8;
  napi_env env;
  napi_value values[most];
};

napi_value scores(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int rows = arguments.size(3, "rows");
  const int keys = arguments.size(4, "keys");
  const int dim = arguments.size(5, "dim");
  const float scale = static_cast<float>(arguments.number(6, "scale"));
  const int scoreStride = arguments.size(7, "scoreStride");
  if (!arguments.ok || rows == 0 || keys == 0 || dim == 0)
    return nullptr;
  const float *q = arguments.matrix(0, "q", rows, dim, dim);
  const float *k = arguments.matrix(1, "k", keys, dim, dim);
  float *out = arguments.matrix(2, "scores", rows, keys, scoreStride);
  if (arguments.ok)
    arguments.products->scores(q, k, out, rows, keys, dim, scale, scoreStride);
  return nullptr;
}

napi_value accumulate(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int rows = arguments.size(3, "rows");
  const int keys = arguments.size(4, "keys");
  const int dim = arguments.size(5, "dim");
  const int pStride = arguments.size(6, "pStride");
  if (!arguments.ok || rows == 0 || keys == 0 || dim == 0)
    return nullptr;
  const float *p = arguments.matrix(0, "p", rows, keys, pStride);
  const float *v = arguments.matrix(1, "v", keys, dim, dim);
  float *out = arguments.matrix(2, "out", rows, dim, dim);
  if (arguments.ok)
    arguments.products->accumulate(p, v, out, rows, keys, dim, pStride);
  return nullptr;
}

Napi::Value makeFunction(Napi::Env env, const char *name, napi_callback call,
                         const Products *products) {
  napi_value made = nullptr;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, call, const_cast<Products *>(products), &made);
  return Napi::Value(env, made);
}

/// exports.products: what this machine can run, the fastest first.
Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  const Products *found[warploom::mostProducts];
  const int count = warploom::supportedProducts(found);
  Napi::Array list = Napi::Array::New(env, count);
  for (int i = 0; i < count; ++i) {
    Napi::Object one = Napi::Object::New(env);
    one.Set("name", Napi::String::New(env, found[i]->name));
    one.Set("scores", makeFunction(env, "scores", scores, found[i]));
    one.Set("accumulate", makeFunction(env, "accumulate", accumulate, found[i]));
    list.Set(i, one);
  }
  exports.Set("products", list);
  initializeNvrtc(env, exports);
  return exports;
}

} // namespace

NODE_API_MODULE(warploom, initialize)
