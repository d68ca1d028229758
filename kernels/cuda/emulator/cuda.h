// What stands in for CUDA C++ when a plain compiler makes the kernels: the built-ins that they use, and the part of the runtime that the host
// uses. Memory of the device is memory of the process; streams do at once what they are given, and graphs keep launches to repeat them. What the
// runtime refuses is refused: see runtime.cpp and streams.cpp.
#pragma once
#include <bit>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "block.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __restrict__ __restrict

#define threadIdx (::millrace::emulator::thread_index())
#define blockIdx (::millrace::emulator::block_index())
#define blockDim (::millrace::emulator::block_size())
#define gridDim (::millrace::emulator::grid_size())

using dim3 = ::millrace::emulator::Index;

struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

namespace millrace::emulator {

inline constexpr unsigned kWholeWarp = 0xffffffffu;

enum Operation { kSync, kShuffle, kShuffleXor, kVote, kProductBf16, kProductF16, kProductTf32, kProductInt8 };

inline void whole_warp(unsigned mask) {
  if (mask != kWholeWarp) fault("an operation of a part of a warp");
}

template <class T>
struct Shuffled {
  T value;
  int from;
};

// D = A · B + C of a 16 × 8 tile, in the registers of mma.sync: `depth` columns of A, rows of B.
template <class C, int kA, int kB>
struct ProductIn {
  C c[4];
  uint32_t a[kA], b[kB];
};
template <class C>
struct ProductOut {
  C d[4];
};

void product_bf16(float* d, const uint32_t* a, const uint32_t* b);
void product_f16(float* d, const uint32_t* a, const uint32_t* b);
void product_tf32(float* d, const uint32_t* a, const uint32_t* b);
void product_int8(int32_t* d, const uint32_t* a, const uint32_t* b);

}  // namespace millrace::emulator

inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline int __popc(unsigned x) { return std::popcount(x); }

inline void __syncthreads() { ::millrace::emulator::block_barrier(); }

MR_UNSEEN inline void __syncwarp(unsigned mask = ::millrace::emulator::kWholeWarp) {
  ::millrace::emulator::whole_warp(mask);
  ::millrace::emulator::warp_operation<int>(::millrace::emulator::kSync, 0, [](const int*, int*) { ::millrace::emulator::races::warp_met(); });
}

template <class T>
MR_UNSEEN T __shfl_sync(unsigned mask, T value, int from) {
  ::millrace::emulator::whole_warp(mask);
  using In = ::millrace::emulator::Shuffled<T>;
  return ::millrace::emulator::warp_operation<T>(::millrace::emulator::kShuffle, In{value, from & 31}, [](const In* in, T* out) MR_UNSEEN {
    for (int i = 0; i < 32; i++) out[i] = in[in[i].from].value;
  });
}

template <class T>
MR_UNSEEN T __shfl_xor_sync(unsigned mask, T value, int bits) {
  ::millrace::emulator::whole_warp(mask);
  using In = ::millrace::emulator::Shuffled<T>;
  return ::millrace::emulator::warp_operation<T>(::millrace::emulator::kShuffleXor, In{value, bits & 31}, [](const In* in, T* out) MR_UNSEEN {
    for (int i = 0; i < 32; i++) out[i] = in[i ^ in[i].from].value;
  });
}

MR_UNSEEN inline unsigned __ballot_sync(unsigned mask, int predicate) {
  ::millrace::emulator::whole_warp(mask);
  return ::millrace::emulator::warp_operation<unsigned>(::millrace::emulator::kVote, predicate, [](const int* in, unsigned* out) MR_UNSEEN {
    unsigned votes = 0;
    for (int i = 0; i < 32; i++) votes |= static_cast<unsigned>(in[i] != 0) << i;
    for (int i = 0; i < 32; i++) out[i] = votes;
  });
}

inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }

namespace millrace::emulator {

// Threads of a block take turns, so nothing comes between.
template <class T, class Change>
MR_UNSEEN T change(T* at, const void* where, Change next) {
  races::touch(at, sizeof(T), races::Kind::kAtomic, where);
  const T before = *at;
  *at = next(before);
  return before;
}

}  // namespace millrace::emulator

#define MR_HERE __builtin_return_address(0)
MR_UNSEEN __attribute__((noinline)) inline int atomicAdd(int* at, int value) {
  return ::millrace::emulator::change(at, MR_HERE, [=](int before) { return before + value; });
}

MR_UNSEEN __attribute__((noinline)) inline unsigned long long atomicAdd(unsigned long long* at, unsigned long long value) {
  return ::millrace::emulator::change(at, MR_HERE, [=](unsigned long long before) { return before + value; });
}

MR_UNSEEN __attribute__((noinline)) inline int atomicOr(int* at, int value) {
  return ::millrace::emulator::change(at, MR_HERE, [=](int before) { return before | value; });
}

MR_UNSEEN __attribute__((noinline)) inline int atomicExch(int* at, int value) {
  return ::millrace::emulator::change(at, MR_HERE, [=](int) { return value; });
}

MR_UNSEEN __attribute__((noinline)) inline float atomicExch(float* at, float value) {
  return ::millrace::emulator::change(at, MR_HERE, [=](float) { return value; });
}

#undef MR_HERE

// The runtime.

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorDevicesUnavailable = 46,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorUnsupportedPtxVersion = 222,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorIllegalState = 401,
  cudaErrorNotReady = 600,
  cudaErrorLaunchFailure = 719,
  cudaErrorNotSupported = 801,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorStreamCaptureIsolation = 905,
  cudaErrorStreamCaptureImplicit = 906,
  cudaErrorCapturedEvent = 907,
  cudaErrorStreamCaptureWrongThread = 908,
  cudaErrorInvalidClusterSize = 912
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeGlobal = 0, cudaStreamCaptureModeThreadLocal = 1, cudaStreamCaptureModeRelaxed = 2 };
inline constexpr unsigned cudaStreamNonBlocking = 1;
inline constexpr unsigned cudaEventDefault = 0, cudaEventDisableTiming = 2;

struct cudaDeviceProp {
  char name[256];
  int major, minor, multiProcessorCount;
  size_t sharedMemPerBlockOptin;
};

namespace millrace::emulator {

struct Graph {
  std::vector<std::function<void()>> operations;
};
// What a stream that is captured has kept; spoilt when it was asked for something that has no place in a graph.
struct Capture {
  Graph graph;
  bool spoilt = false;
};
struct Stream;
// What a library does on the device, in a stream's order.
void run_on_host(Stream* stream, std::function<void()> body);

// What a stream was given and has not done yet; only on a machine that does it as late as it may.
struct Work {
  std::deque<std::function<void()>> waiting;
  uint64_t given = 0, done = 0;
};
struct Stream {
  // For a library of its own, which knows no function of ours.
  void (*run)(Stream*, std::function<void()>) = run_on_host;
  std::unique_ptr<Capture> capture;
  // Events may outlive it.
  std::shared_ptr<Work> work = std::make_shared<Work>();
};
struct Event {
  std::shared_ptr<Work> work;
  uint64_t at = 0;
  bool captured = false;
  bool timed = false;
  // When the stream came to it, by the host's clock: what ran in between took as long.
  std::shared_ptr<std::chrono::steady_clock::time_point> time;
};

// A launch as it was asked for.
struct Launch {
  const void* kernel;
  unsigned threads;
  size_t shared_bytes;
};

// What the machine is to look like to this thread, for tests.
struct Machine {
  int devices = 1;
  int driver = 13000;
  int major = 9, minor = 0;
  int multiprocessors = 2;
  size_t total_bytes = size_t{4} << 30;
  size_t free_bytes = size_t{4} << 30;
  // Shared memory that a block may have.
  size_t shared_bytes = size_t{227} << 10;
  // Where launches are written down instead of run; null: they are run.
  std::vector<Launch>* asked = nullptr;
  // What this process gets instead of the device, which another has for itself.
  cudaError_t taken_by_another = cudaSuccess;
  // Allocations that succeed before one fails; -1: all do.
  int allocations = -1;
  // Whether a kernel that is launched ends with a fault.
  bool fault = false;
  // Whether one did: nothing runs any more, and everything fails.
  bool broken = false;
  // Whether a kernel that is launched never ends.
  bool hangs = false;
  // Whether products put pairs of columns the wrong way round, as a chip would whose fragments lie otherwise than we think.
  bool swapped_columns = false;
  // Whether every other product is off by a part in a million: within any bound, but not the same bits each time.
  bool unsteady = false;
  // Whether streams do nothing until somebody waits for them. Copies from and to the host then see what it has made of its memory since.
  bool late = false;
  // Bytes of the device that were ever taken, but for those that were given back.
  int64_t taken = 0;
  // What is allocated.
  int64_t live = 0;
  // What the device says of the code that the library has for it.
  cudaError_t code = cudaSuccess;
  // Copies from or to memory of the host that is not pinned: the host waits for them.
  int64_t pageable_copies = 0;
  // Copies to the device, and their bytes.
  int64_t uploads = 0, uploaded_bytes = 0;
  // Graphs that were captured.
  int64_t captured = 0;
  // Whether products cut their sums, as tensor cores do: addends are shifted to the largest exponent and cut a few bits behind float32's, and the sum is cut too. Sums are
  // otherwise rounded once, to the nearest.
  bool truncates = false;
};
Machine& machine();
Machine machine_of_environment();

// An `early` one may begin before the launch before it has run. With `cluster` the grid is of clusters of so many blocks along x; they run as one block each.
cudaError_t launch(Stream* stream, const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, std::function<void()> body, bool early = false, int cluster = 1);

// In a kernel that is launched early.
void await_launches();

}  // namespace millrace::emulator

using cudaStream_t = ::millrace::emulator::Stream*;
using cudaEvent_t = ::millrace::emulator::Event*;
using cudaGraph_t = ::millrace::emulator::Graph*;
using cudaGraphExec_t = ::millrace::emulator::Graph*;
using cudaGraphNode_t = const void*;

const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes);
cudaError_t cudaMalloc(void** memory, size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaMallocHost(void** memory, size_t bytes);
cudaError_t cudaFreeHost(void* memory);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t from, cudaEvent_t to);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();

struct cudaFuncAttributes {
  int numRegs;
};

namespace millrace::emulator {
cudaError_t allow_shared(const void* kernel, cudaFuncAttribute what, int bytes);
cudaError_t look_at(cudaFuncAttributes* attributes);
cudaError_t count_blocks(int* blocks, int threads, size_t shared_bytes);
}  // namespace millrace::emulator

template <class... Parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...), cudaFuncAttribute what, int value) {
  return ::millrace::emulator::allow_shared(reinterpret_cast<const void*>(kernel), what, value);
}

template <class... Parameters>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, void (*)(Parameters...)) {
  return ::millrace::emulator::look_at(attributes);
}

template <class... Parameters>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void (*)(Parameters...), int threads, size_t shared_bytes) {
  return ::millrace::emulator::count_blocks(blocks, threads, shared_bytes);
}
