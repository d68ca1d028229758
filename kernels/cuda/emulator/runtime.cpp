// The runtime's part of the emulator.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cuda.h"
#include "error.h"

namespace emulator = millrace::emulator;

namespace millrace::emulator {
namespace {

// Every byte set: no number in any floating type.
constexpr int kPoison = 0xff;

thread_local cudaError_t last_error = cudaSuccess;

}  // namespace

Machine& machine() {
  thread_local Machine of_thread;
  return of_thread;
}

cudaError_t launch(Stream* stream, dim3 grid, dim3 block, size_t shared_bytes, std::function<void()> body) {
  auto run = [=] {
    if (machine().fault) fail(MR_INTERNAL, "the kernel faulted, as it was asked to");
    run_grid(grid, block, shared_bytes, body);
  };
  if (stream->capture) {
    stream->capture->launches.push_back(run);
    return cudaSuccess;
  }
  // After a fault nothing runs until somebody has asked for it.
  if (last_error != cudaSuccess) return last_error;
  try {
    run();
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.message.c_str());
    last_error = cudaErrorLaunchFailure;
  }
  return last_error;
}

}  // namespace millrace::emulator

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInsufficientDriver: return "CUDA driver version is insufficient for CUDA runtime version";
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

cudaError_t cudaSetDevice(int device) { return device < emulator::machine().devices ? cudaSuccess : cudaErrorInvalidValue; }

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "emulator");
  properties->major = emulator::machine().major;
  properties->minor = emulator::machine().minor;
  properties->multiProcessorCount = 2;
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
  if (machine.allocations == 0 || bytes > machine.free_bytes) return cudaErrorMemoryAllocation;
  if (machine.allocations > 0) machine.allocations--;
  *memory = std::malloc(bytes);
  if (!*memory) return cudaErrorMemoryAllocation;
  std::memset(*memory, emulator::kPoison, bytes);
  machine.live++;
  return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
  if (memory) emulator::machine().live--;
  std::free(memory);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** memory, size_t bytes) { return cudaMalloc(memory, bytes); }

cudaError_t cudaFreeHost(void* memory) { return cudaFree(memory); }

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  if (stream->capture) return cudaErrorInvalidValue;
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  if (stream->capture) return cudaErrorInvalidValue;
  std::memset(to, value, bytes);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new emulator::Stream;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaGetLastError(); }

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (stream->capture) return cudaErrorInvalidValue;
  stream->capture = std::make_unique<emulator::Graph>();
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = stream->capture.release();
  return *graph ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new emulator::Graph(*graph);
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t) {
  try {
    for (const auto& launch : graph->launches) launch();
  } catch (const millrace::Error& e) {
    std::fprintf(stderr, "%s\n", e.message.c_str());
    emulator::last_error = cudaErrorLaunchFailure;
  }
  return emulator::last_error;
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
  return error;
}
