// Promises by the C functions of N-API. Their failures are ignored where the thread's JavaScript
// may be at its end: nobody is left to be told.
#include "background.h"

namespace warploom::cuda {
namespace {

struct Job {
  std::function<Failure()> work;
  std::function<napi_value(napi_env)> result;
  Failure failure;
  napi_async_work handle = nullptr;
  napi_deferred deferred = nullptr;
  napi_ref held = nullptr;
};

void execute(napi_env, void *data) {
  Job &job = *static_cast<Job *>(data);
  job.failure = job.work();
  // What it holds is let go here: at process.exit nobody comes to complete it, but the pool is
  // waited for.
  job.work = nullptr;
}

void complete(napi_env env, napi_status status, void *data) {
  const std::unique_ptr<Job> job(static_cast<Job *>(data));
  napi_value value = nullptr;
  napi_get_undefined(env, &value);
  if (status != napi_ok) {
    napi_reject_deferred(env, job->deferred, errorOf(env, Failure::ofDisposed()));
  } else if (job->failure) {
    napi_reject_deferred(env, job->deferred, errorOf(env, job->failure));
  } else {
    if (job->result)
      value = job->result(env);
    napi_resolve_deferred(env, job->deferred, value);
  }
  if (job->held)
    napi_delete_reference(env, job->held);
  napi_delete_async_work(env, job->handle);
}

void set(napi_env env, napi_value object, const char *name, const std::string &text) {
  napi_value value = nullptr;
  napi_create_string_utf8(env, text.c_str(), text.size(), &value);
  napi_set_named_property(env, object, name, value);
}

} // namespace

napi_value errorOf(napi_env env, const Failure &failure) {
  const char *const kinds[] = {"driver", "lost", "disposed", "argument"};
  napi_value text = nullptr, error = nullptr, number = nullptr;
  napi_create_string_utf8(env, failure.text().c_str(), failure.text().size(), &text);
  if (failure.kind() == Failure::Kind::argument)
    napi_create_range_error(env, nullptr, text, &error);
  else
    napi_create_error(env, nullptr, text, &error);
  set(env, error, "kind", kinds[static_cast<int>(failure.kind())]);
  if (failure.number()) {
    set(env, error, "call", failure.call());
    set(env, error, "cuda", failure.name());
    napi_create_int32(env, failure.number(), &number);
    napi_set_named_property(env, error, "number", number);
  }
  return error;
}

bool isWell(napi_env env, const Failure &failure) {
  if (failure)
    napi_throw(env, errorOf(env, failure));
  return !failure;
}

napi_value inBackground(napi_env env, std::function<Failure()> work,
                        std::function<napi_value(napi_env)> result, napi_value held) {
  auto *job = new Job;
  job->work = std::move(work);
  job->result = std::move(result);
  napi_value promise = nullptr, name = nullptr;
  napi_create_promise(env, &job->deferred, &promise);
  napi_create_string_utf8(env, "warploom:cuda", NAPI_AUTO_LENGTH, &name);
  if (held)
    napi_create_reference(env, held, 1, &job->held);
  if (napi_create_async_work(env, nullptr, name, execute, complete, job, &job->handle) != napi_ok ||
      napi_queue_async_work(env, job->handle) != napi_ok) {
    // The thread is ending.
    complete(env, napi_cancelled, job);
  }
  return promise;
}

} // namespace warploom::cuda
