// The runtime's part of the emulator: the device, its memory, and what went wrong.
#include "runtime.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "error.h"
#include "order.h"

namespace emulator = millrace::emulator;

namespace millrace::emulator {
namespace {

// Every byte set: no number in any floating type.
constexpr int kPoison = 0xff;

thread_local cudaError_t last_error = cudaSuccess;

// CUDA's are of 2 MiB: as much smaller as the models that are tested.
constexpr size_t kPage = 2 << 10;

// What the driver takes of a device's memory for an allocation: a whole page for each that it begins, or for small ones the part of a page of which it has
// the most.
size_t charge_of(size_t bytes) {
  if (bytes > kPage / 2) return (bytes + kPage - 1) / kPage * kPage;
  const size_t sharing = kPage / std::max<size_t>(bytes, 1);
  return (kPage + sharing - 1) / sharing;
}

struct Allocation {
  size_t bytes;
  bool pinned;
};
std::mutex allocations_lock;
// By all threads.
size_t charged = 0;

// What is left of the device's memory.
size_t left() {
  const std::lock_guard held(allocations_lock);
  const size_t free_bytes = machine().free_bytes;
  return free_bytes > charged ? free_bytes - charged : 0;
}

// By where they begin.
std::map<uintptr_t, Allocation> allocations;

// The allocation that holds all of this; null: none does.
const Allocation* holder(const void* memory, size_t bytes) {
  const auto at = reinterpret_cast<uintptr_t>(memory);
  auto next = allocations.upper_bound(at);
  if (next == allocations.begin()) return nullptr;
  --next;
  return at + bytes <= next->first + next->second.bytes ? &next->second : nullptr;
}

cudaError_t allocate(void** memory, size_t bytes, bool pinned) {
  Machine& of_thread = machine();
  *memory = nullptr;
  if (const cudaError_t status = usable_outside_capture(); status != cudaSuccess) return status;
  const size_t charge = pinned ? 0 : charge_of(bytes);
  if (of_thread.allocations == 0 || charge > left()) return noted(cudaErrorMemoryAllocation);
  if (of_thread.allocations > 0) of_thread.allocations--;
  *memory = std::malloc(bytes);
  if (!*memory) return noted(cudaErrorMemoryAllocation);
  std::memset(*memory, kPoison, bytes);
  of_thread.live++;
  of_thread.taken += static_cast<int64_t>(charge);
  std::lock_guard lock(allocations_lock);
  charged += charge;
  allocations[reinterpret_cast<uintptr_t>(*memory)] = {bytes, pinned};
  return cudaSuccess;
}

// CUDA's may wait for what is under way, and need not: who gives memory of the device back has waited.
cudaError_t give_back(void* memory, bool pinned) {
  if (!memory) return usable();
  const cudaError_t status = usable_outside_capture();
  if (status != cudaSuccess && !machine().broken) return status;
  guarded([&] {
    if (!pinned && work_waits()) fail(MR_INTERNAL, "memory is given back that what waits in a stream may use");
  });
  finish();
  size_t charge = 0;
  {
    std::lock_guard lock(allocations_lock);
    auto found = allocations.find(reinterpret_cast<uintptr_t>(memory));
    if (found == allocations.end() || found->second.pinned != pinned) return noted(cudaErrorInvalidValue);
    if (!pinned) charge = charge_of(found->second.bytes);
    charged -= charge;
    allocations.erase(found);
  }
  machine().live--;
  machine().taken -= static_cast<int64_t>(charge);
  std::free(memory);
  return usable();
}

}  // namespace

Machine& machine() {
  thread_local Machine of_thread = machine_of_environment();
  return of_thread;
}

cudaError_t noted(cudaError_t status) {
  if (status != cudaSuccess && !machine().broken) last_error = status;
  return status;
}

cudaError_t usable() { return noted(machine().broken ? cudaErrorLaunchFailure : cudaSuccess); }

cudaError_t look_at(cudaFuncAttributes* attributes) {
  *attributes = {};
  return machine().code == cudaSuccess ? usable() : noted(machine().code);
}

cudaError_t usable_outside_capture() {
  if (!machine().broken && capturing()) {
    capturing()->capture->spoilt = true;
    return noted(cudaErrorStreamCaptureUnsupported);
  }
  return usable();
}

bool is_pinned(const void* memory, size_t bytes) {
  std::lock_guard lock(allocations_lock);
  const Allocation* held = holder(memory, bytes);
  return held && held->pinned;
}

bool is_of_device(const void* memory, size_t bytes) {
  std::lock_guard lock(allocations_lock);
  const Allocation* held = holder(memory, bytes);
  return held && !held->pinned;
}

bool touches_device(const void* memory, size_t bytes) {
  std::lock_guard lock(allocations_lock);
  const auto at = reinterpret_cast<uintptr_t>(memory);
  for (auto next = allocations.lower_bound(at + bytes); next != allocations.begin();) {
    --next;
    if (next->first + next->second.bytes <= at) return false;
    if (!next->second.pinned) return true;
  }
  return false;
}

void guarded(const std::function<void()>& body) {
  if (machine().broken) return;
  try {
    body();
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.message.c_str());
    machine().broken = true;
    drop_launches();
  }
}

void finish() { guarded(finish_launches); }

}  // namespace millrace::emulator

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorInsufficientDriver: return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorDevicesUnavailable: return "CUDA-capable device(s) is/are busy or unavailable";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorNoKernelImageForDevice: return "no kernel image is available for execution on the device";
    case cudaErrorUnsupportedPtxVersion: return "the provided PTX was compiled with an unsupported toolchain.";
    case cudaErrorInvalidResourceHandle: return "invalid resource handle";
    case cudaErrorIllegalState: return "the operation cannot be performed in the present state";
    case cudaErrorNotReady: return "device not ready";
    case cudaErrorLaunchFailure: return "unspecified launch failure";
    case cudaErrorNotSupported: return "operation not supported";
    case cudaErrorStreamCaptureUnsupported: return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated: return "operation failed due to a previous error during capture";
    case cudaErrorStreamCaptureIsolation: return "dependency created on uncaptured work in another stream";
    case cudaErrorStreamCaptureImplicit: return "operation would make the legacy stream depend on a capturing blocking stream";
    case cudaErrorInvalidClusterSize: return "invalid cluster configuration";
    case cudaErrorCapturedEvent: return "operation not permitted on an event last recorded in a capturing stream";
    case cudaErrorStreamCaptureWrongThread: return "attempt to terminate a thread-local capture sequence from another thread";
  }
  return "unrecognized error code";
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = emulator::machine().devices;
  if (emulator::machine().driver < 13000) return emulator::noted(cudaErrorInsufficientDriver);
  return emulator::noted(*count > 0 ? cudaSuccess : cudaErrorNoDevice);
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = emulator::machine().driver;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  return emulator::noted(device >= 0 && device < emulator::machine().devices ? emulator::machine().taken_by_another : cudaErrorInvalidDevice);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device < 0 || device >= emulator::machine().devices) return emulator::noted(cudaErrorInvalidDevice);
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "emulator");
  properties->major = emulator::machine().major;
  properties->minor = emulator::machine().minor;
  properties->multiProcessorCount = emulator::machine().multiprocessors;
  properties->sharedMemPerBlockOptin = emulator::machine().shared_bytes;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  *free_bytes = emulator::left();
  *total_bytes = emulator::machine().total_bytes;
  return emulator::usable();
}

cudaError_t cudaMalloc(void** memory, size_t bytes) { return emulator::allocate(memory, bytes, false); }

cudaError_t cudaFree(void* memory) { return emulator::give_back(memory, false); }

cudaError_t cudaMallocHost(void** memory, size_t bytes) { return emulator::allocate(memory, bytes, true); }

cudaError_t cudaFreeHost(void* memory) { return emulator::give_back(memory, true); }

cudaError_t cudaPeekAtLastError() { return emulator::machine().broken ? cudaErrorLaunchFailure : emulator::last_error; }

cudaError_t cudaGetLastError() {
  const cudaError_t error = cudaPeekAtLastError();
  emulator::last_error = cudaSuccess;
  return error;
}
