/* Uses the C face as a host that is not Node would: in C, with its own stream, on the simulated driver. Prints
 * what went wrong and ends with 1, or prints "well". */
#include "../../runtime/native/warploom.h"

#include <stdio.h>
#include <string.h>

static int failures = 0;

static void expect(int condition, const char *what) {
  if (!condition) {
    printf("%s (last error: %s)\n", what, warploom_error());
    ++failures;
  }
}

static void expect_error(warploom_status got, warploom_status wanted, const char *text) {
  if (got != wanted || !strstr(warploom_error(), text)) {
    printf("status %d and '%s', not %d and '%s'\n", got, warploom_error(), wanted, text);
    ++failures;
  }
}

/* A launch of `function` with the argument (address, count), as launch-record.h lays it out. */
static size_t encode(uint64_t function, uint64_t address, uint64_t count, unsigned char *out) {
  const uint32_t head[2] = {1, 80};
  const uint32_t rest[12] = {1, 1, 1, 32, 1, 1, 0, 0, 0, 0, 0, 16};
  const uint64_t argument[2] = {address, count};
  memcpy(out, head, 8);
  memcpy(out + 8, &function, 8);
  memcpy(out + 16, rest, 48);
  memcpy(out + 64, argument, 16);
  return 80;
}

int main(void) {
  const char *kernels = "kernel add_one registers=40 argument=16\nkernel fault argument=16\n";
  enum { count = 1000, bytes = count * 4 };
  uint32_t data[count];
  unsigned char list[80];
  warploom_device *device = NULL, *other = NULL;
  uint64_t address = 0, none = 0, module = 0;
  warploom_function_report add, fault;

  expect_error(warploom_open(7, &device), WARPLOOM_ARGUMENT, "no CUDA device 7");
  expect(device == NULL, "a device that is not there is null");
  expect_error(warploom_allocate(NULL, 64, &address), WARPLOOM_ARGUMENT, "'device' is null");
  expect(warploom_open(0, &device) == WARPLOOM_OK, "the device opens");
  expect(warploom_open(0, &other) == WARPLOOM_OK, "it opens twice");

  expect(warploom_load(device, kernels, strlen(kernels), &module) == WARPLOOM_OK, "it loads");
  expect(warploom_function(device, module, "add_one", 0, &add) == WARPLOOM_OK, "finds a kernel");
  expect(warploom_function(device, module, "fault", 0, &fault) == WARPLOOM_OK, "and another");
  expect(add.registers == 40 && add.max_threads == 1024, "and reports");
  expect_error(warploom_function(device, module, "absent", 0, &add), WARPLOOM_DRIVER,
               "CUDA_ERROR_NOT_FOUND");
  expect(warploom_function(device, module, "add_one", 0, &add) == WARPLOOM_OK, "finds it again");

  expect(warploom_allocate(device, bytes, &address) == WARPLOOM_OK, "allocates");
  for (int i = 0; i < count; ++i)
    data[i] = (uint32_t)i;
  expect(warploom_upload(device, address, data, bytes) == WARPLOOM_OK, "uploads");
  memset(data, 0, sizeof data);
  expect(warploom_run(device, list, encode(add.handle, address, count, list),
                      warploom_stream(device)) == WARPLOOM_OK,
         "runs");
  expect(warploom_download(device, data, address, bytes) == WARPLOOM_OK, "downloads");
  for (int i = 0; i < count; ++i)
    expect(data[i] == (uint32_t)i + 1, "computes");
  /* Another's memory, given as a raw pointer, on another's stream. */
  expect(warploom_run(device, list, encode(add.handle, address, count, list),
                      warploom_stream(other)) == WARPLOOM_OK,
         "runs on a stream of the caller");
  expect(warploom_synchronize(other) == WARPLOOM_OK, "waits for it");
  expect(warploom_download(device, data, address, bytes) == WARPLOOM_OK, "downloads again");
  expect(data[count - 1] == count + 1, "computed there");

  expect_error(warploom_allocate(device, (uint64_t)1 << 40, &none), WARPLOOM_OUT_OF_MEMORY,
               "CUDA_ERROR_OUT_OF_MEMORY");
  expect_error(warploom_free(device, address + 4), WARPLOOM_ARGUMENT, "nothing is allocated");
  expect(warploom_free(device, address) == WARPLOOM_OK, "frees");
  expect_error(warploom_run(device, list, 12, NULL), WARPLOOM_ARGUMENT, "its size is wrong");
  expect(warploom_unload(device, module) == WARPLOOM_OK, "unloads");
  expect_error(warploom_run(device, list, encode(add.handle, address, count, list), NULL),
               WARPLOOM_ARGUMENT, "was unloaded");

  expect(warploom_load(device, kernels, strlen(kernels), &module) == WARPLOOM_OK, "loads again");
  expect(warploom_function(device, module, "fault", 0, &fault) == WARPLOOM_OK, "finds the last");
  expect(warploom_run(device, list, encode(fault.handle, 0, 0, list), warploom_stream(device)) ==
             WARPLOOM_OK,
         "enqueues what faults");
  expect_error(warploom_synchronize(device), WARPLOOM_LOST, "CUDA_ERROR_ILLEGAL_ADDRESS");
  expect_error(warploom_allocate(other, 64, &address), WARPLOOM_LOST, "ILLEGAL_ADDRESS");
  warploom_close(device);
  warploom_close(other);
  warploom_close(NULL);
  expect_error(warploom_open(0, &device), WARPLOOM_LOST, "ILLEGAL_ADDRESS");
  if (failures == 0)
    printf("well\n");
  return failures != 0;
}
