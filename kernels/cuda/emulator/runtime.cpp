// The runtime's part of the emulator.
#include <malloc.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <unordered_map>
#include <vector>

#include "cuda.h"
#include "error.h"
#include "order.h"

namespace emulator = millrace::emulator;

namespace millrace::emulator {
namespace {

// Every byte set: no number in any floating type.
constexpr int kPoison = 0xff;

thread_local cudaError_t last_error = cudaSuccess;

// Launches of the whole process until one faults; negative: none does. Tests that have it in a process of its own say it by a variable.
int64_t faulting_launch() {
  const char* text = std::getenv("EMULATED_CUDA_FAULT_AFTER");
  return text ? std::atoll(text) : -1;
}
std::atomic<int64_t> until_fault = faulting_launch();

bool faults() {
  if (machine().fault) return true;
  return until_fault.load() >= 0 && until_fault.fetch_sub(1) == 0;
}

// After a fault nothing runs until somebody has asked for it.
template <class Body>
cudaError_t guarded(const Body& body) {
  if (last_error != cudaSuccess || machine().broken) return last_error;
  try {
    body();
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.message.c_str());
    last_error = cudaErrorLaunchFailure;
  }
  return last_error;
}

void finish() { guarded(finish_launches); }

}  // namespace

Machine& machine() {
  thread_local Machine of_thread = machine_of_environment();
  return of_thread;
}

namespace {

// Does what a stream was given, up to the operation number `until`.
void work_off(Stream& stream, uint64_t until) {
  while (stream.done < until && !stream.waiting.empty()) {
    std::function<void()> next = std::move(stream.waiting.front());
    stream.waiting.pop_front();
    stream.done++;
    // After a fault nothing runs any more.
    if (last_error == cudaSuccess && !machine().broken) next();
  }
}

// Streams of this thread that work late: what waits in them may use memory that is freed.
thread_local std::vector<Stream*> streams;

cudaError_t give(Stream* stream, std::function<void()> operation) {
  stream->waiting.push_back(std::move(operation));
  stream->given++;
  if (!machine().late) work_off(*stream, stream->given);
  return machine().broken ? cudaErrorLaunchFailure : machine().late ? cudaSuccess : last_error;
}

// Copies begin when all launches have ended.
cudaError_t give_copy(Stream* stream, const std::function<void()>& copy) {
  return give(stream, [copy] {
    finish();
    if (last_error == cudaSuccess) copy();
  });
}

}  // namespace

namespace {

cudaError_t put(Stream* stream, const std::function<void()>& body, bool early) {
  auto run = [=] {
    if (faults()) {
      machine().broken = true;
      fail(MR_INTERNAL, "the kernel faulted, as it was asked to");
    }
    while (machine().hangs) std::this_thread::sleep_for(std::chrono::hours(1));
    body();
  };
  if (stream->capture) {
    stream->capture->launches.push_back([=] { in_order(run, early); });
    return cudaSuccess;
  }
  return give(stream, [=] { guarded([&] { in_order(run, early); }); });
}

}  // namespace

namespace {

// What every kernel may have, and what each was allowed beyond it.
constexpr size_t kSharedOfAll = 48 << 10;
thread_local std::unordered_map<const void*, size_t> allowed;

// Whether the chip begins such a launch at all.
cudaError_t refusal(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes) {
  const bool none = grid.x == 0 || grid.y == 0 || grid.z == 0 || block.x == 0 || block.y == 0 || block.z == 0;
  if (none || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535 || block.x > 1024 || block.y > 1024 || block.z > 64 || uint64_t{block.x} * block.y * block.z > 1024) {
    return cudaErrorInvalidConfiguration;
  }
  auto found = allowed.find(kernel);
  return shared_bytes <= (found == allowed.end() ? kSharedOfAll : found->second) ? cudaSuccess : cudaErrorInvalidValue;
}

}  // namespace

cudaError_t allow_shared(const void* kernel, cudaFuncAttribute what, int bytes) {
  if (what != cudaFuncAttributeMaxDynamicSharedMemorySize || bytes < 0 || static_cast<size_t>(bytes) > machine().shared_bytes) return last_error = cudaErrorInvalidValue;
  allowed[kernel] = static_cast<size_t>(bytes);
  return cudaSuccess;
}

cudaError_t launch(Stream* stream, const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, std::function<void()> body, bool early, int cluster) {
  const cudaError_t refused = refusal(kernel, grid, block, shared_bytes);
  if (refused != cudaSuccess) return last_error = refused;
  if (machine().asked) {
    machine().asked->push_back({kernel, block.x * block.y * block.z, shared_bytes});
    return cudaSuccess;
  }
  const dim3 together(block.x * static_cast<unsigned>(cluster), block.y, block.z);
  return put(stream, [=] { run_grid(grid, together, shared_bytes * static_cast<size_t>(cluster), body, cluster); }, early);
}

void run_on_host(Stream* stream, std::function<void()> body) { put(stream, body, false); }

}  // namespace millrace::emulator

// For tests: a launch after so many faults.
extern "C" __attribute__((visibility("default"))) void emulated_cuda_fault_after(int64_t launches) { emulator::until_fault = launches; }

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorInsufficientDriver: return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorDevicesUnavailable: return "CUDA-capable device(s) is/are busy or unavailable";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorLaunchFailure: return "unspecified launch failure";
  }
  return "unrecognized error code";
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = emulator::machine().devices;
  if (emulator::machine().driver < 13000) return cudaErrorInsufficientDriver;
  return *count > 0 ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = emulator::machine().driver;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) { return device < emulator::machine().devices ? emulator::machine().taken_by_another : cudaErrorInvalidValue; }

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "emulator");
  properties->major = emulator::machine().major;
  properties->minor = emulator::machine().minor;
  properties->multiProcessorCount = 2;
  properties->sharedMemPerBlockOptin = emulator::machine().shared_bytes;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  *free_bytes = emulator::machine().free_bytes;
  *total_bytes = emulator::machine().total_bytes;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  emulator::Machine& machine = emulator::machine();
  *memory = nullptr;
  if (machine.broken) return cudaErrorLaunchFailure;
  if (machine.allocations == 0 || bytes > machine.free_bytes) return cudaErrorMemoryAllocation;
  if (machine.allocations > 0) machine.allocations--;
  *memory = std::malloc(bytes);
  if (!*memory) return cudaErrorMemoryAllocation;
  std::memset(*memory, emulator::kPoison, bytes);
  machine.live++;
  machine.taken += static_cast<int64_t>(malloc_usable_size(*memory));
  return cudaSuccess;
}

// Waits for everything, as CUDA's does.
cudaError_t cudaFree(void* memory) {
  for (emulator::Stream* stream : emulator::streams) emulator::work_off(*stream, stream->given);
  emulator::finish();
  if (memory) {
    emulator::machine().live--;
    emulator::machine().taken -= static_cast<int64_t>(malloc_usable_size(memory));
  }
  std::free(memory);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  const int64_t taken = emulator::machine().taken;
  const cudaError_t status = cudaMalloc(memory, bytes);
  emulator::machine().taken = taken;
  return status;
}

cudaError_t cudaFreeHost(void* memory) {
  const int64_t taken = emulator::machine().taken;
  const cudaError_t status = cudaFree(memory);
  emulator::machine().taken = taken;
  return status;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  if (stream->capture) return cudaErrorInvalidValue;
  return emulator::give_copy(stream, [=] { std::memcpy(to, from, bytes); });
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  if (stream->capture) return cudaErrorInvalidValue;
  return emulator::give_copy(stream, [=] { std::memset(to, value, bytes); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new emulator::Stream;
  if (emulator::machine().late) emulator::streams.push_back(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  emulator::work_off(*stream, stream->given);
  emulator::finish();
  std::erase(emulator::streams, stream);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  emulator::work_off(*stream, stream->given);
  emulator::finish();
  return cudaGetLastError();
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new emulator::Event;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  *event = {stream, stream->given};
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (stream->capture) return cudaErrorInvalidValue;
  return emulator::give(stream, [held = *event] {
    if (held.stream) emulator::work_off(*held.stream, held.at);
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event->stream) emulator::work_off(*event->stream, event->at);
  emulator::finish();
  return cudaGetLastError();
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (stream->capture) return cudaErrorInvalidValue;
  stream->capture = std::make_unique<emulator::Graph>();
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = stream->capture.release();
  emulator::machine().captured++;
  return *graph ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new emulator::Graph(*graph);
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  auto launches = graph->launches;
  return emulator::give(stream, [launches = std::move(launches)] {
    for (const auto& launch : launches) emulator::guarded(launch);
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGetLastError() {
  cudaError_t error = emulator::last_error;
  emulator::last_error = cudaSuccess;
  return emulator::machine().broken ? cudaErrorLaunchFailure : error;
}
