#include "face.h"

#include "nvrtc.h"

#include <cstring>

namespace {

using warploom::Compilation;
using warploom::Nvrtc;

Napi::Uint8Array bytesOf(Napi::Env env, const std::string &content) {
  Napi::Uint8Array bytes = Napi::Uint8Array::New(env, content.size());
  if (!content.empty())
    std::memcpy(bytes.Data(), content.data(), content.size());
  return bytes;
}

/// Something slow that becomes a promise: it runs on a thread of Node's pool, then deletes itself.
class Work : public Napi::AsyncWorker {
public:
  explicit Work(Napi::Env env)
      : AsyncWorker(env, "warploom:nvrtc"), deferred(Napi::Promise::Deferred::New(env)) {}

  Napi::Promise start() {
    const Napi::Promise promise = deferred.Promise(); // the work may be gone once it is queued
    Queue();
    return promise;
  }

protected:
  void OnError(const Napi::Error &error) override { deferred.Reject(error.Value()); }
  const Napi::Promise::Deferred deferred;
};

class Compile : public Work {
public:
  Compile(Napi::Env env, const Nvrtc &nvrtc, std::string source, std::string name,
          std::vector<std::string> options)
      : Work(env), nvrtc(nvrtc), source(std::move(source)), name(std::move(name)),
        options(std::move(options)) {}

  void Execute() override { done = nvrtc.compile(source, name, options); }

  void OnOK() override {
    const Napi::Env env = Env();
    Napi::Object result = Napi::Object::New(env);
    result.Set("status", Napi::Number::New(env, done.status));
    result.Set("reason", Napi::String::New(env, done.reason));
    result.Set("log", Napi::String::New(env, done.log));
    result.Set("cubin", bytesOf(env, done.cubin));
    result.Set("ptx", Napi::String::New(env, done.ptx));
    deferred.Resolve(result);
  }

private:
  const Nvrtc &nvrtc;
  const std::string source;
  const std::string name;
  const std::vector<std::string> options;
  Compilation done;
};

Napi::Value rejected(Napi::Env env, const char *what) {
  const auto deferred = Napi::Promise::Deferred::New(env);
  deferred.Reject(Napi::TypeError::New(env, what).Value());
  return deferred.Promise();
}

Napi::Value compile(const Napi::CallbackInfo &info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsString())
    return rejected(env, "'source' is not a string");
  if (!info[1].IsString())
    return rejected(env, "'name' is not a string");
  if (!info[2].IsArray())
    return rejected(env, "'options' is not a list of strings");
  const Napi::Array list = info[2].As<Napi::Array>();
  std::vector<std::string> options;
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const Napi::Value option = list.Get(i);
    if (!option.IsString())
      return rejected(env, "'options' is not a list of strings");
    options.push_back(option.As<Napi::String>().Utf8Value());
  }
  auto *work = new Compile(env, *static_cast<const Nvrtc *>(info.Data()),
                           info[0].As<Napi::String>().Utf8Value(),
                           info[1].As<Napi::String>().Utf8Value(), std::move(options));
  return work->start();
}

/// Loading it maps 100 MB and binds its names: 40 ms, too long for the calling thread.
class Open : public Work {
public:
  Open(Napi::Env env, std::string path) : Work(env), path(std::move(path)) {}

  void Execute() override {
    std::string error;
    nvrtc = Nvrtc::open(path, error);
    if (!nvrtc)
      SetError(error);
  }

  void OnOK() override {
    const Napi::Env env = Env();
    Napi::Object opened = Napi::Object::New(env);
    opened.Set("path", Napi::String::New(env, nvrtc->path()));
    opened.Set("major", Napi::Number::New(env, nvrtc->major()));
    opened.Set("minor", Napi::Number::New(env, nvrtc->minor()));
    const std::vector<int> &known = nvrtc->architectures();
    Napi::Array architectures = Napi::Array::New(env, known.size());
    for (size_t i = 0; i < known.size(); ++i)
      architectures.Set(static_cast<uint32_t>(i), Napi::Number::New(env, known[i]));
    opened.Set("architectures", architectures);
    opened.Set("compile", Napi::Function::New(env, compile, "compile", const_cast<Nvrtc *>(nvrtc)));
    deferred.Resolve(opened);
  }

private:
  const std::string path;
  const Nvrtc *nvrtc = nullptr;
};

Napi::Value open(const Napi::CallbackInfo &info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsString())
    return rejected(env, "'path' is not a string");
  return (new Open(env, info[0].As<Napi::String>().Utf8Value()))->start();
}

} // namespace

void initializeNvrtc(Napi::Env env, Napi::Object exports) {
  exports.Set("openNvrtc", Napi::Function::New(env, open, "openNvrtc"));
}
