#include "device.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <thread>

#include "error.h"
#include "kernels/swap.h"
#include "parts.h"

namespace millrace::cuda {
namespace {

// The oldest chip that has the instructions: Ampere.
constexpr int kOldestMajor = 8;
// What the library is built with: 13.0.
constexpr int kDriver = 13000;

void describe(DeviceInfo& info) {
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    info.text = "there is no NVIDIA driver. Install one, or use --engine cpu";
    return;
  }
  if (driver < kDriver) {
    info.text = "the NVIDIA driver is for CUDA " + std::to_string(driver / 1000) + "." + std::to_string(driver % 1000 / 10) +
                ", 13.0 is needed. Update the driver, or use --engine cpu";
    return;
  }
  int count = 0;
  cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) {
    info.text = std::string("no NVIDIA device can be used (") + cudaGetErrorString(status) + "). Look at nvidia-smi, or use --engine cpu";
    return;
  }
  cudaDeviceProp properties;
  status = cudaGetDeviceProperties(&properties, 0);
  if (status != cudaSuccess) {
    info.text = std::string("the NVIDIA device does not answer (") + cudaGetErrorString(status) + "). Look at nvidia-smi, or use --engine cpu";
    return;
  }
  info.major = properties.major;
  info.minor = properties.minor;
  info.chips = properties.multiProcessorCount;
  info.shared_bytes = static_cast<int64_t>(properties.sharedMemPerBlockOptin);
  std::string chip = std::string(properties.name) + ", sm_" + std::to_string(info.major) + std::to_string(info.minor);
  if (info.major < kOldestMajor) {
    info.text = chip + " is older than sm_80 (Ampere), the oldest that is supported. Use --engine cpu";
    return;
  }
  size_t free_bytes = 0, total_bytes = 0;
  status = cudaSetDevice(0);
  if (status == cudaSuccess && look_at_code() != cudaSuccess) {
    const cudaError_t code = cudaGetLastError();
    if (code == cudaErrorNoKernelImageForDevice || code == cudaErrorUnsupportedPtxVersion) {
      info.text = chip + " runs none of the code that this library has (" + cudaGetErrorString(code) + "). Update the driver, build with kernels/cuda/build.sh, or use --engine cpu";
      return;
    }
  }
  if (status == cudaSuccess) status = cudaMemGetInfo(&free_bytes, &total_bytes);
  if (status != cudaSuccess) {
    info.text = chip + " gives no memory (" + cudaGetErrorString(status) + "): another process may have it all. nvidia-smi names it; end it, or use --engine cpu";
    return;
  }
  info.free_bytes = static_cast<int64_t>(free_bytes);
  info.total_bytes = static_cast<int64_t>(total_bytes);
  info.text = chip + ", driver for CUDA " + std::to_string(driver / 1000) + "." + std::to_string(driver % 1000 / 10);
  info.usable = true;
}

}  // namespace

bool ends_all(int status) {
  switch (status) {
    case 214:  // Memory that cannot be corrected.
    case 220:  // An NVLink.
    case 226:  // An error that was contained.
    case 700:  // An address that is none.
    case 702:  // A kernel that took too long for the display.
    case 709:  // The context is gone.
    case 710:  // An assertion.
    case 714:  // A stack.
    case 715:  // An instruction that is none,
    case 716:  // an address that is not aligned,
    case 717:  // of no such memory,
    case 718:  // or a program counter that is none.
    case 719:  // A launch that failed, with no better name.
    case 721:  // Tensor memory that was not given back.
    case 810:  // A client of MPS that was ended.
    case 911:  // A device beside this one.
    case 999: return true;
    default: return false;
  }
}

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();
  fail(status == cudaErrorMemoryAllocation ? MR_MEMORY : ends_all(status) ? MR_FAULT : MR_INTERNAL, "%s: %s", what, cudaGetErrorString(status));
}

DeviceInfo device_info() {
  DeviceInfo info;
  describe(info);
  // A failed question must not be found by the next check.
  cudaGetLastError();
  return info;
}

Memory::Memory(int64_t bytes, const char* what) {
  if (bytes == 0) return;
  void* memory = nullptr;
  cudaError_t status = cudaMalloc(&memory, static_cast<size_t>(bytes));
  if (status != cudaSuccess) {
    cudaGetLastError();
    size_t free_bytes = 0, total_bytes = 0;
    cudaMemGetInfo(&free_bytes, &total_bytes);
    if (status != cudaErrorMemoryAllocation) check(status, what);
    fail(MR_MEMORY, "%s takes %lld MiB of the device, of %lld MiB %lld are free (%s)", what,
         static_cast<long long>((bytes + (1 << 20) - 1) >> 20), static_cast<long long>(total_bytes >> 20), static_cast<long long>(free_bytes >> 20),
         cudaGetErrorString(status));
  }
  data_ = static_cast<uint8_t*>(memory);
  size_ = bytes;
}

Memory::~Memory() { cudaFree(data_); }

PinnedMemory::PinnedMemory(int64_t bytes) {
  if (bytes == 0) return;
  void* memory = nullptr;
  const cudaError_t status = cudaMallocHost(&memory, static_cast<size_t>(bytes));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    fail(MR_MEMORY, "%lld MiB of pinned memory of the host could not be had", static_cast<long long>((bytes + (1 << 20) - 1) >> 20));
  }
  check(status, "pinned memory of the host");
  data_ = static_cast<uint8_t*>(memory);
  size_ = bytes;
}

PinnedMemory::~PinnedMemory() { cudaFreeHost(data_); }

Stream::Stream() {
  check(cudaSetDevice(0), "taking the first device");
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
}

Stream::~Stream() { cudaStreamDestroy(stream_); }

void Stream::upload(void* to, const void* from, int64_t bytes) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream_), "copying to the device");
}

void Stream::download(void* to, const void* from, int64_t bytes) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream_), "copying from the device");
}

void Stream::clear(void* memory, int64_t bytes) {
  if (bytes == 0) return;
  check(cudaMemsetAsync(memory, 0, static_cast<size_t>(bytes), stream_), "clearing memory of the device");
}

void Stream::synchronize() {
  check(cudaGetLastError(), "launching kernels");
  check(cudaStreamSynchronize(stream_), "running kernels");
}

Event::Event() { check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "making an event"); }

Event::~Event() { cudaEventDestroy(event_); }

void Event::record(const Stream& stream) {
  check(cudaGetLastError(), "launching kernels");
  check(cudaEventRecord(event_, stream), "launching kernels");
}

void Event::hold(const Stream& stream) const { check(cudaStreamWaitEvent(stream, event_, 0), "waiting for another stream"); }

void Event::synchronize() { check(cudaEventSynchronize(event_), "running kernels"); }

namespace {

// Small under the emulator, whose weights are.
constexpr int64_t kPiece = MR_EMULATED ? 16 << 10 : 32 << 20;
// What a thread copies by itself.
constexpr int64_t kAlone = MR_EMULATED ? 6 << 10 : 2 << 20;

// By several threads where that is worth it: one cannot read as fast as the device copies.
void copy(uint8_t* to, const uint8_t* from, int64_t bytes) {
  const int threads = static_cast<int>(std::clamp<int64_t>(bytes / kAlone, 1, std::min(8u, std::max(1u, std::thread::hardware_concurrency()))));
  in_parts(threads, [=](int64_t i) {
    const int64_t begin = bytes * i / threads, end = bytes * (i + 1) / threads;
    std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin));
  });
}

}  // namespace

void Staging::upload(Stream& stream, void* to, const void* from, int64_t bytes) {
  auto* target = static_cast<uint8_t*>(to);
  auto* source = static_cast<const uint8_t*>(from);
  for (int64_t at = 0; at < bytes; at += kPiece) {
    const int64_t piece = std::min(kPiece, bytes - at);
    Buffer& buffer = buffers_[next_];
    next_ ^= 1;
    if (buffer.busy) buffer.sent.synchronize();
    buffer.busy = false;
    buffer.memory.need(std::min(kPiece, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(piece)))));
    copy(buffer.memory.data(), source + at, piece);
    stream.upload(target + at, buffer.memory.data(), piece);
    buffer.sent.record(stream);
    buffer.busy = true;
  }
}

void Staging::finish(Stream& stream) {
  stream.synchronize();
  for (Buffer& buffer : buffers_) {
    buffer.memory = PinnedMemory();
    buffer.busy = false;
  }
}

Graph::Graph(const Stream& stream) {
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream, &graph), "ending a graph");
  size_t nodes = 0;
  cudaError_t status = cudaGraphGetNodes(graph, nullptr, &nodes);
  nodes_ = static_cast<int64_t>(nodes);
  if (status == cudaSuccess) status = cudaGraphInstantiate(&graph_, graph, 0);
  cudaGraphDestroy(graph);
  check(status, "making a graph");
}

Graph::~Graph() {
  if (graph_) cudaGraphExecDestroy(graph_);
}

void Graph::launch(const Stream& stream) const { check(cudaGraphLaunch(graph_, stream), "launching a graph"); }

}  // namespace millrace::cuda
