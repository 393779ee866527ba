/* The C face of warploom's native core: for hosts that are not Node. It works on raw device
 * pointers and the caller's streams. Not what a launch list holds:
 * runtime/native/cuda/launch-record.h. */
#ifndef WARPLOOM_H
#define WARPLOOM_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32) && defined(WARPLOOM_BUILD)
#define WARPLOOM_API __declspec(dllexport)
#elif defined(_WIN32)
#define WARPLOOM_API __declspec(dllimport)
#else
#define WARPLOOM_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Every function that can fail returns one of these; warploom_error says more. */
typedef enum warploom_status {
  WARPLOOM_OK = 0,
  WARPLOOM_DRIVER = 1,        /* a call of the CUDA driver failed */
  WARPLOOM_OUT_OF_MEMORY = 2, /* so did an allocation; a smaller one may work */
  WARPLOOM_LOST = 3,          /* a kernel faulted: the device is refused until the process ends */
  WARPLOOM_ARGUMENT = 4       /* the caller's mistake */
} warploom_status;

/* One open device, on its primary context. One thread at a time may use it. */
typedef struct warploom_device warploom_device;

/* What the compiler made of a kernel; sizes in bytes. */
typedef struct warploom_function_report {
  uint64_t handle;
  int32_t registers, local_bytes, shared_bytes, max_threads;
} warploom_function_report;

/* What failed last on this thread, in one line; valid until its next call. */
WARPLOOM_API const char *warploom_error(void);

WARPLOOM_API warploom_status warploom_open(int ordinal, warploom_device **device);
/* Waits for the device's own stream and frees all that is left. Null is nothing to close. Work on
 * the caller's streams must be done. */
WARPLOOM_API void warploom_close(warploom_device *device);

/* Memory in the order of the device's own stream. A caller that uses it on another stream orders
 * the two: warploom_stream gives this one. */
WARPLOOM_API warploom_status warploom_allocate(warploom_device *device, uint64_t bytes,
                                               uint64_t *address);
WARPLOOM_API warploom_status warploom_free(warploom_device *device, uint64_t address);
/* Copies of memory that warploom_allocate gave; they return when they are done. */
WARPLOOM_API warploom_status warploom_upload(warploom_device *device, uint64_t to, const void *from,
                                             uint64_t bytes);
WARPLOOM_API warploom_status warploom_download(warploom_device *device, void *to, uint64_t from,
                                               uint64_t bytes);

WARPLOOM_API warploom_status warploom_load(warploom_device *device, const void *cubin, size_t bytes,
                                           uint64_t *module);
WARPLOOM_API warploom_status warploom_unload(warploom_device *device, uint64_t module);
/* A kernel for launches with up to `shared_bytes` of dynamic shared memory. */
WARPLOOM_API warploom_status warploom_function(warploom_device *device, uint64_t module,
                                               const char *name, uint32_t shared_bytes,
                                               warploom_function_report *report);

/* The device's own CUstream. */
WARPLOOM_API void *warploom_stream(warploom_device *device);
/* Puts a launch list into a CUstream, without waiting; null is CUDA's legacy default stream. Device
 * pointers in the list are taken as they are. */
WARPLOOM_API warploom_status warploom_run(warploom_device *device, const void *list, size_t bytes,
                                          void *stream);
/* Waits for the device's own stream. */
WARPLOOM_API warploom_status warploom_synchronize(warploom_device *device);

#ifdef __cplusplus
}
#endif

#endif
