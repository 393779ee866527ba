// Promises by the C functions of N-API: a compilation may finish while its thread's JavaScript is
// at its end. Then every call fails, nobody is left to be told, and the failures are ignored; the
// wrappers of node-addon-api would end the process.
#include "face.h"

#include "nvrtc.h"

#include <cstring>
#include <functional>

namespace {

using warploom::Compilation;
using warploom::Nvrtc;

/// Something slow that becomes a promise.
struct Work {
  std::function<void()> run;                // on a thread of Node's pool
  std::function<napi_value(napi_env)> made; // what it resolves to
  std::string error;                        // set by `run`: what it rejects with
  napi_async_work handle = nullptr;
  napi_deferred deferred = nullptr;
};

napi_value textOf(napi_env env, const std::string &text) {
  napi_value value = nullptr;
  napi_create_string_utf8(env, text.data(), text.size(), &value);
  return value;
}

napi_value numberOf(napi_env env, int number) {
  napi_value value = nullptr;
  napi_create_int32(env, number, &value);
  return value;
}

napi_value bytesOf(napi_env env, const std::string &bytes) {
  void *data = nullptr;
  napi_value buffer = nullptr, value = nullptr;
  if (napi_create_arraybuffer(env, bytes.size(), &data, &buffer) == napi_ok && !bytes.empty())
    std::memcpy(data, bytes.data(), bytes.size());
  napi_create_typedarray(env, napi_uint8_array, bytes.size(), buffer, 0, &value);
  return value;
}

napi_value objectOf(napi_env env,
                    std::initializer_list<std::pair<const char *, napi_value>> fields) {
  napi_value object = nullptr;
  napi_create_object(env, &object);
  for (const auto &[name, value] : fields)
    napi_set_named_property(env, object, name, value);
  return object;
}

void execute(napi_env, void *data) { static_cast<Work *>(data)->run(); }

void complete(napi_env env, napi_status status, void *data) {
  const std::unique_ptr<Work> work(static_cast<Work *>(data));
  if (status == napi_ok && work->error.empty()) {
    napi_resolve_deferred(env, work->deferred, work->made(env));
  } else {
    napi_value error = nullptr;
    napi_create_error(env, nullptr, textOf(env, status == napi_ok ? work->error : "cancelled"),
                      &error);
    napi_reject_deferred(env, work->deferred, error);
  }
  napi_delete_async_work(env, work->handle);
}

napi_value start(napi_env env, std::unique_ptr<Work> work) {
  Work *all = work.release(); // `complete` deletes it
  napi_value promise = nullptr;
  napi_create_promise(env, &all->deferred, &promise);
  if (napi_create_async_work(env, nullptr, textOf(env, "warploom:nvrtc"), execute, complete, all,
                             &all->handle) != napi_ok ||
      napi_queue_async_work(env, all->handle) != napi_ok)
    complete(env, napi_cancelled, all);
  return promise;
}

napi_value compile(napi_env env, napi_callback_info call) {
  const Napi::CallbackInfo info(env, call);
  const auto refuse = [&](const char *what) -> napi_value {
    napi_throw_type_error(env, nullptr, what);
    return nullptr;
  };
  if (!info[0].IsString())
    return refuse("'source' is not a string");
  if (!info[1].IsString())
    return refuse("'name' is not a string");
  if (!info[2].IsArray())
    return refuse("'options' is not a list of strings");
  const Napi::Array list = info[2].As<Napi::Array>();
  std::vector<std::string> options;
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const Napi::Value option = list.Get(i);
    if (!option.IsString())
      return refuse("'options' is not a list of strings");
    options.push_back(option.As<Napi::String>().Utf8Value());
  }
  const auto *nvrtc = static_cast<const Nvrtc *>(info.Data());
  const std::string source = info[0].As<Napi::String>().Utf8Value();
  const std::string name = info[1].As<Napi::String>().Utf8Value();
  const auto done = std::make_shared<Compilation>();
  std::unique_ptr<Work> work(new Work());
  work->run = [=] { *done = nvrtc->compile(source, name, options); };
  work->made = [=](napi_env env) {
    return objectOf(env, {{"status", numberOf(env, done->status)},
                          {"reason", textOf(env, done->reason)},
                          {"log", textOf(env, done->log)},
                          {"cubin", bytesOf(env, done->cubin)},
                          {"ptx", textOf(env, done->ptx)}});
  };
  return start(env, std::move(work));
}

napi_value describe(napi_env env, const Nvrtc &nvrtc) {
  napi_value architectures = nullptr;
  napi_create_array(env, &architectures);
  uint32_t at = 0;
  for (const int one : nvrtc.architectures())
    napi_set_element(env, architectures, at++, numberOf(env, one));
  napi_value function = nullptr;
  napi_create_function(env, "compile", NAPI_AUTO_LENGTH, compile, const_cast<Nvrtc *>(&nvrtc),
                       &function);
  return objectOf(env, {{"path", textOf(env, nvrtc.path())},
                        {"major", numberOf(env, nvrtc.major())},
                        {"minor", numberOf(env, nvrtc.minor())},
                        {"architectures", architectures},
                        {"compile", function}});
}

/// Loading it maps 100 MB and binds its names: up to 40 ms, too long for the calling thread.
Napi::Value open(const Napi::CallbackInfo &info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsString()) {
    Napi::TypeError::New(env, "'path' is not a string").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  const std::string path = info[0].As<Napi::String>().Utf8Value();
  std::unique_ptr<Work> work(new Work());
  Work *own = work.get();
  const auto nvrtc = std::make_shared<const Nvrtc *>(nullptr);
  work->run = [=] { *nvrtc = Nvrtc::open(path, own->error); };
  work->made = [=](napi_env env) { return describe(env, **nvrtc); };
  return Napi::Value(env, start(env, std::move(work)));
}

} // namespace

void initializeNvrtc(Napi::Env env, Napi::Object exports) {
  exports.Set("openNvrtc", Napi::Function::New(env, open, "openNvrtc"));
}
