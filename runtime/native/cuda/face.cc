// The N-API face of the CUDA core: reads arguments, calls a Device, makes promises of what takes
// long. What each function means is said in runtime/cuda/native.ts. Any number of threads may load
// it: the only state is the constructor, one per thread.
#include "face.h"

#include "../arguments.h"
#include "background.h"
#include "device.h"
#include "replay-face.h"
#include "tensor-map-face.h"
#include "transfer.h"

namespace warploom {
namespace {

using cuda::Address;
using cuda::Device;
using cuda::Failure;
using cuda::inBackground;
using cuda::isWell;

Napi::Object objectOf(Napi::Env env, const cuda::Properties &properties) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("name", properties.name);
  out.Set("major", properties.major);
  out.Set("minor", properties.minor);
  out.Set("multiprocessors", properties.multiprocessors);
  out.Set("memoryBytes", static_cast<double>(properties.memoryBytes));
  out.Set("blockSharedBytes", properties.blockSharedBytes);
  out.Set("sharedBytes", properties.sharedBytes);
  out.Set("cacheBytes", properties.cacheBytes);
  out.Set("clockKilohertz", properties.clockKilohertz);
  return out;
}

/// "13.0"
std::string versionText(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

class CudaDevice : public Napi::ObjectWrap<CudaDevice> {
public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "CudaDevice",
        {InstanceMethod<&CudaDevice::properties>("properties"),
         InstanceMethod<&CudaDevice::alloc>("alloc"), InstanceMethod<&CudaDevice::free>("free"),
         InstanceMethod<&CudaDevice::upload>("upload"),
         InstanceMethod<&CudaDevice::download>("download"),
         InstanceMethod<&CudaDevice::write>("write"), InstanceMethod<&CudaDevice::load>("load"),
         InstanceMethod<&CudaDevice::unload>("unload"),
         InstanceMethod<&CudaDevice::function>("function"),
         InstanceMethod<&CudaDevice::tensorMap>("tensorMap"),
         InstanceMethod<&CudaDevice::run>("run"),
         InstanceMethod<&CudaDevice::prepare>("prepare"),
         InstanceMethod<&CudaDevice::replay>("replay"), InstanceMethod<&CudaDevice::step>("step"),
         InstanceMethod<&CudaDevice::forget>("forget"), InstanceMethod<&CudaDevice::event>("event"),
         InstanceMethod<&CudaDevice::drop>("drop"), InstanceMethod<&CudaDevice::elapsed>("elapsed"),
         InstanceMethod<&CudaDevice::synchronize>("synchronize"),
         InstanceMethod<&CudaDevice::memory>("memory"),
         InstanceMethod<&CudaDevice::dispose>("dispose")});
  }

  /// Only `open` makes one.
  explicit CudaDevice(const Napi::CallbackInfo &info) : ObjectWrap(info) {
    if (opened)
      device = *opened;
    else
      Napi::TypeError::New(info.Env(), "open a device by openCudaDevice")
          .ThrowAsJavaScriptException();
  }

  void Finalize(Napi::BasicEnv env) override {
    if (reported)
      Napi::MemoryManagement::AdjustExternalMemory(env, -reported);
  }

  /// openCudaDevice(ordinal)
  static Napi::Value open(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    const int ordinal = arguments.size(0, "ordinal");
    if (!arguments.ok)
      return Napi::Value();
    auto *constructor = static_cast<Napi::FunctionReference *>(info.Data());
    auto made = std::make_shared<std::shared_ptr<Device>>();
    return promise(info, inBackground(
                             info.Env(), [ordinal, made] { return Device::open(ordinal, *made); },
                             [constructor, made](napi_env) -> napi_value {
                               opened = made.get();
                               const Napi::Object object = constructor->New({});
                               opened = nullptr;
                               return object;
                             }));
  }

private:
  static Napi::Value promise(const Napi::CallbackInfo &info, napi_value value) {
    return Napi::Value(info.Env(), value);
  }
  static double numberOf(uint64_t value) { return static_cast<double>(value); }

  Napi::Value properties(const Napi::CallbackInfo &info) {
    Napi::Object out = objectOf(info.Env(), device->properties());
    out.Set("ordinal", device->ordinal());
    out.Set("driver", versionText(cuda::driver().version));
    return out;
  }

  Napi::Value alloc(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    const uint64_t bytes = arguments.whole(0, "bytes");
    if (arguments.ok && bytes == 0)
      arguments.fail<Napi::RangeError>("'bytes' is 0");
    Address address = 0;
    if (!arguments.ok || !isWell(info.Env(), device->allocate(bytes, address)))
      return Napi::Value();
    report(info.Env());
    return Napi::Number::New(info.Env(), numberOf(address));
  }

  void free(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    const Address address = arguments.whole(0, "address");
    if (arguments.ok && isWell(info.Env(), device->free(address)))
      report(info.Env());
  }

  /// V8 collects garbage sooner the more memory hangs on it, which is how forgotten tensors get
  /// freed. But being told costs it milliseconds, so it hears of a new peak, or when half of the
  /// last is gone.
  void report(Napi::Env env) {
    const int64_t held = static_cast<int64_t>(device->memory().held());
    if (held <= reported && held >= reported / 2)
      return;
    Napi::MemoryManagement::AdjustExternalMemory(env, held - reported);
    reported = held;
  }

  Napi::Value upload(const Napi::CallbackInfo &info) {
    return transfer(info, &cuda::Transfer::upload);
  }
  Napi::Value download(const Napi::CallbackInfo &info) {
    return transfer(info, &cuda::Transfer::download);
  }

  template <class Pointer>
  Napi::Value transfer(const Napi::CallbackInfo &info,
                       Failure (*begin)(Device &, Address, Pointer, uint64_t,
                                        std::unique_ptr<cuda::Transfer> &)) {
    Arguments arguments(info);
    const Address address = arguments.whole(0, "address");
    const auto [data, length, buffer] = arguments.bytes(1, "view");
    if (arguments.ok && isResizable(info.Env(), buffer ? buffer : arguments[1]))
      arguments.fail<Napi::TypeError>("'view' lies over a buffer that can shrink");
    std::unique_ptr<cuda::Transfer> begun;
    if (!arguments.ok || !isWell(info.Env(), begin(*device, address, data, length, begun)))
      return Napi::Value();
    // The Use first, so that it goes last: the transfer unpins its memory.
    struct Copy {
      Device::Use use;
      std::unique_ptr<cuda::Transfer> transfer;
    };
    auto copy = std::shared_ptr<Copy>(new Copy{use(), std::move(begun)});
    return promise(
        info, inBackground(
                  info.Env(), [copy] { return copy->transfer->finish(); }, nullptr, arguments[1]));
  }

  static bool isResizable(napi_env env, napi_value buffer) {
    napi_value property = nullptr;
    bool is = false;
    return napi_get_named_property(env, buffer, "resizable", &property) == napi_ok &&
           napi_get_value_bool(env, property, &is) == napi_ok && is;
  }

  void write(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    const Address address = arguments.whole(0, "address");
    const auto view = arguments.bytes(1, "view");
    if (arguments.ok)
      isWell(info.Env(), device->write(address, view.data, view.length));
  }

  Napi::Value load(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    const auto view = arguments.bytes(0, "cubin");
    if (!arguments.ok || !isWell(info.Env(), device->usable()))
      return Napi::Value();
    const std::string image(static_cast<const char *>(view.data), view.length);
    auto used = sharedUse();
    auto module = std::make_shared<uint64_t>(0);
    return promise(info, inBackground(
                             info.Env(),
                             [used, image, module] {
                               return (*used)->load(image.data(), image.size(), *module);
                             },
                             [module](napi_env env) -> napi_value {
                               return Napi::Number::New(env, numberOf(*module));
                             }));
  }

  Napi::Value unload(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    const uint64_t module = arguments.whole(0, "module");
    if (!arguments.ok || !isWell(info.Env(), device->usable()))
      return Napi::Value();
    auto used = sharedUse();
    return promise(info,
                   inBackground(info.Env(), [used, module] { return (*used)->unload(module); }));
  }

  Napi::Value function(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    const uint64_t module = arguments.whole(0, "module");
    const std::string name = arguments.text(1, "name");
    const int sharedBytes = arguments.size(2, "sharedBytes");
    cuda::FunctionReport report;
    if (!arguments.ok || !isWell(info.Env(), device->function(module, name, sharedBytes, report)))
      return Napi::Value();
    Napi::Object out = Napi::Object::New(info.Env());
    out.Set("handle", numberOf(report.handle));
    out.Set("registers", report.registers);
    out.Set("spillBytes", report.localBytes);
    out.Set("staticShared", report.sharedBytes);
    out.Set("maxThreads", report.maxThreads);
    return out;
  }

  Napi::Value tensorMap(const Napi::CallbackInfo &info) {
    cuda::TensorMapShape shape;
    if (!readTensorMap(info.Env(), info[0], shape))
      return Napi::Value();
    Napi::Uint8Array out = Napi::Uint8Array::New(info.Env(), cuda::tensorMapBytes);
    if (!isWell(info.Env(), device->encode(shape, out.Data())))
      return Napi::Value();
    return out;
  }

  void run(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    const auto list = arguments.bytes(0, "list");
    if (arguments.ok)
      isWell(info.Env(), device->run(list.data, list.length));
  }

  Napi::Value prepare(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    cuda::ReplayPlan plan;
    uint64_t list = 0;
    if (!readReplayPlan(arguments, plan) ||
        !isWell(info.Env(), device->prepare(std::move(plan), list)))
      return Napi::Value();
    return Napi::Number::New(info.Env(), numberOf(list));
  }

  void replay(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    const uint64_t list = arguments.whole(0, "list");
    const auto [places, count] = doublesOf(arguments, 1, "places");
    if (arguments.ok)
      isWell(info.Env(), device->replay(list, places, count));
  }

  void step(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    const uint64_t list = arguments.whole(0, "list");
    const auto [places, count] = doublesOf(arguments, 1, "places");
    const int record = arguments.size(2, "record");
    if (arguments.ok)
      isWell(info.Env(), device->step(list, places, count, record));
  }

  void forget(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    const uint64_t list = arguments.whole(0, "list");
    if (arguments.ok)
      isWell(info.Env(), device->forget(list));
  }

  Napi::Value event(const Napi::CallbackInfo &info) {
    uint64_t event = 0;
    if (!isWell(info.Env(), device->record(event)))
      return Napi::Value();
    return Napi::Number::New(info.Env(), numberOf(event));
  }

  void drop(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    const uint64_t event = arguments.whole(0, "event");
    if (arguments.ok)
      isWell(info.Env(), device->drop(event));
  }

  Napi::Value elapsed(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    const uint64_t from = arguments.whole(0, "from");
    const uint64_t to = arguments.whole(1, "to");
    if (!arguments.ok || !isWell(info.Env(), device->usable()))
      return Napi::Value();
    auto used = sharedUse();
    auto milliseconds = std::make_shared<float>(0.0f);
    return promise(info, inBackground(
                             info.Env(),
                             [used, from, to, milliseconds] {
                               return (*used)->elapsed(from, to, *milliseconds);
                             },
                             [milliseconds](napi_env env) -> napi_value {
                               return Napi::Number::New(env, *milliseconds);
                             }));
  }

  Napi::Value synchronize(const Napi::CallbackInfo &info) {
    std::unique_ptr<cuda::Event> made;
    if (!isWell(info.Env(), device->mark(made)))
      return Napi::Value();
    struct Wait {
      Device::Use use;
      std::unique_ptr<cuda::Event> event;
    };
    auto wait = std::shared_ptr<Wait>(new Wait{use(), std::move(made)});
    return promise(info, inBackground(info.Env(), [wait] { return wait->event->wait(); }));
  }

  Napi::Value memory(const Napi::CallbackInfo &info) {
    uint64_t free = 0, total = 0;
    if (!isWell(info.Env(), device->memoryLeft(free, total)))
      return Napi::Value();
    Napi::Object out = Napi::Object::New(info.Env());
    out.Set("free", numberOf(free));
    out.Set("total", numberOf(total));
    out.Set("held", numberOf(device->memory().held()));
    return out;
  }

  Napi::Value dispose(const Napi::CallbackInfo &info) {
    device->refuse();
    if (reported) {
      Napi::MemoryManagement::AdjustExternalMemory(info.Env(), -reported);
      reported = 0;
    }
    const std::shared_ptr<Device> closed = device;
    return promise(info, inBackground(info.Env(), [closed] {
                     closed->close();
                     return Failure();
                   }));
  }

  Device::Use use() const { return Device::Use(device); }
  std::shared_ptr<Device::Use> sharedUse() const { return std::make_shared<Device::Use>(device); }

  /// What the constructor is called for; null when JavaScript calls it.
  static thread_local const std::shared_ptr<Device> *opened;

  std::shared_ptr<Device> device;
  /// Bytes that V8 was told of.
  int64_t reported = 0;
};

thread_local const std::shared_ptr<Device> *CudaDevice::opened = nullptr;

/// cudaDevices(): what there is, or why there is nothing.
Napi::Value cudaDevices(const Napi::CallbackInfo &info) {
  const Napi::Env env = info.Env();
  Napi::Object out = Napi::Object::New(env);
  Napi::Array list = Napi::Array::New(env);
  std::string reason;
  if (const cuda::Driver *driver = cuda::driver(reason)) {
    out.Set("driver", versionText(driver->version));
    for (int ordinal = 0; ordinal < driver->devices; ++ordinal) {
      cuda::Properties properties;
      if (const Failure failure = cuda::readProperties(ordinal, properties)) {
        reason = failure.text();
        break;
      }
      Napi::Object one = objectOf(env, properties);
      one.Set("ordinal", ordinal);
      list.Set(static_cast<uint32_t>(ordinal), one);
    }
  }
  if (!reason.empty())
    out.Set("error", reason);
  out.Set("devices", list);
  return out;
}

} // namespace

void initializeCuda(Napi::Env env, Napi::Object exports) {
  auto *constructor = new Napi::FunctionReference(Napi::Persistent(CudaDevice::define(env)));
  env.AddCleanupHook([constructor] { delete constructor; });
  exports.Set("openCudaDevice",
              Napi::Function::New(env, CudaDevice::open, "openCudaDevice", constructor));
  exports.Set("cudaDevices", Napi::Function::New(env, cudaDevices, "cudaDevices"));
}

} // namespace warploom
