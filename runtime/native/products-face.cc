// The N-API face of the tile products: checks the arguments, then calls the C++ core. It holds no
// state, so any number of threads and contexts may load it.
#include "products-face.h"

#include "arguments.h"
#include "products.h"

namespace warploom {
namespace {

/// A matrix of `rows` by `columns` whose rows begin `stride` numbers apart.
float *matrix(Arguments &arguments, int at, const char *name, int rows, int columns, int stride) {
  if (!arguments.ok)
    return nullptr;
  const std::string quoted = std::string("'") + name + "'";
  napi_typedarray_type type = napi_uint8_array;
  size_t length = 0;
  void *data = nullptr;
  if (napi_get_typedarray_info(arguments.env, arguments[at], &type, &length, &data, nullptr,
                               nullptr) != napi_ok ||
      type != napi_float32_array) {
    arguments.fail<Napi::TypeError>(quoted + " is not a Float32Array");
  } else if (stride < columns) {
    arguments.fail<Napi::RangeError>("the rows of " + quoted +
                                     " overlap: its stride is below its columns");
  } else if (static_cast<uint64_t>(rows - 1) * stride + columns > length) {
    arguments.fail<Napi::RangeError>(quoted + " is too short for its rows and columns");
  }
  return static_cast<float *>(data);
}

napi_value scores(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int rows = arguments.size(3, "rows");
  const int keys = arguments.size(4, "keys");
  const int dim = arguments.size(5, "dim");
  const float scale = static_cast<float>(arguments.number(6, "scale"));
  const int scoreStride = arguments.size(7, "scoreStride");
  if (!arguments.ok || rows == 0 || keys == 0 || dim == 0)
    return nullptr;
  const float *q = matrix(arguments, 0, "q", rows, dim, dim);
  const float *k = matrix(arguments, 1, "k", keys, dim, dim);
  float *out = matrix(arguments, 2, "scores", rows, keys, scoreStride);
  if (arguments.ok)
    static_cast<const Products *>(arguments.data)
        ->scores(q, k, out, rows, keys, dim, scale, scoreStride);
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
  const float *p = matrix(arguments, 0, "p", rows, keys, pStride);
  const float *v = matrix(arguments, 1, "v", keys, dim, dim);
  float *out = matrix(arguments, 2, "out", rows, dim, dim);
  if (arguments.ok)
    static_cast<const Products *>(arguments.data)->accumulate(p, v, out, rows, keys, dim, pStride);
  return nullptr;
}

Napi::Value makeFunction(Napi::Env env, const char *name, napi_callback call,
                         const Products *products) {
  napi_value made = nullptr;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, call, const_cast<Products *>(products), &made);
  return Napi::Value(env, made);
}

} // namespace

void initializeProducts(Napi::Env env, Napi::Object exports) {
  const Products *found[mostProducts];
  const int count = supportedProducts(found);
  Napi::Array list = Napi::Array::New(env, count);
  for (int i = 0; i < count; ++i) {
    Napi::Object one = Napi::Object::New(env);
    one.Set("name", Napi::String::New(env, found[i]->name));
    one.Set("scores", makeFunction(env, "scores", scores, found[i]));
    one.Set("accumulate", makeFunction(env, "accumulate", accumulate, found[i]));
    list.Set(i, one);
  }
  exports.Set("products", list);
}

} // namespace warploom
