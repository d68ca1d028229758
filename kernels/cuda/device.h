// The device: what it is, its memory, its stream and graphs.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "cuda_api.h"

namespace millrace::cuda {

// An Error that names what was done, when it went wrong.
void check(cudaError_t status, const char* what);

// Whether after this error of CUDA the process can do nothing more on the device: a kernel faulted, or memory or a link did. What a kernel asks for
// in vain (701, 720), and what is only said (704, 705, 711 to 713), is none.
bool ends_all(int status);

struct DeviceInfo {
  bool usable = false;
  // "NVIDIA H200, sm_90, driver 13.0", or why it cannot be used and what to do.
  std::string text;
  int chips = 0, major = 0, minor = 0;
  int64_t free_bytes = 0, total_bytes = 0;
  // Shared memory of a block.
  int64_t shared_bytes = 0;
};
// The first device. Throws nothing.
DeviceInfo device_info();

// Memory of the device. Moves, does not copy.
class Memory {
 public:
  Memory() = default;
  // An Error with MR_MEMORY that has the numbers when there is not as much; `what` it is for.
  Memory(int64_t bytes, const char* what);
  Memory(Memory&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Memory& operator=(Memory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Memory();

  // Other memory of that size; what was there is given back first, and lost.
  void renew(int64_t bytes, const char* what) {
    *this = Memory();
    *this = Memory(bytes, what);
  }

  uint8_t* data() const { return data_; }
  int64_t size() const { return size_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  uint8_t* data_ = nullptr;
  int64_t size_ = 0;
};

// Memory of the host that the device copies from without a detour.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  explicit PinnedMemory(int64_t bytes);
  PinnedMemory(PinnedMemory&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  PinnedMemory& operator=(PinnedMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~PinnedMemory();

  // At least as much; what was there is lost when it grows.
  void need(int64_t bytes) {
    if (bytes <= size_) return;
    *this = PinnedMemory();
    *this = PinnedMemory(bytes);
  }

  uint8_t* data() const { return data_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  uint8_t* data_ = nullptr;
  int64_t size_ = 0;
};

// A stream, on the first device.
class Stream {
 public:
  Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream();

  operator cudaStream_t() const { return stream_; }
  void upload(void* to, const void* from, int64_t bytes);
  void download(void* to, const void* from, int64_t bytes);
  void clear(void* memory, int64_t bytes);
  // Waits; an Error when anything before went wrong.
  void synchronize();

 private:
  cudaStream_t stream_ = nullptr;
};

// A place in a stream that can be waited for.
class Event {
 public:
  Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event();

  void record(const Stream& stream);
  // What the stream is given from now on waits for it; not at all when it was never recorded.
  void hold(const Stream& stream) const;
  // Waits until the stream has come to where it was recorded; an Error when anything before went wrong.
  void synchronize();

 private:
  cudaEvent_t event_ = nullptr;
};

// Copies to the device through pinned memory, in pieces: what was handed over is not needed any more, while the device still copies.
class Staging {
 public:
  void upload(Stream& stream, void* to, const void* from, int64_t bytes);
  // Waits for all, and gives the pinned memory back.
  void finish(Stream& stream);

 private:
  struct Buffer {
    PinnedMemory memory;
    Event sent;
    bool busy = false;
  };
  Buffer buffers_[2];
  int next_ = 0;
};

// Launches that are repeated as a whole.
class Graph {
 public:
  Graph() = default;
  Graph(Graph&& other) noexcept : graph_(std::exchange(other.graph_, nullptr)), nodes_(other.nodes_) {}
  Graph& operator=(Graph&& other) noexcept {
    std::swap(graph_, other.graph_);
    std::swap(nodes_, other.nodes_);
    return *this;
  }
  ~Graph();

  // What `body` launches on the stream.
  template <class Body>
  static Graph capture(const Stream& stream, const Body& body) {
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "beginning a graph");
    try {
      body();
      // A launch that was refused is missing in the graph.
      check(cudaGetLastError(), "launching kernels");
    } catch (...) {
      cudaGraph_t half = nullptr;
      if (cudaStreamEndCapture(stream, &half) == cudaSuccess) cudaGraphDestroy(half);
      cudaGetLastError();
      throw;
    }
    return Graph(stream);
  }
  bool there() const { return graph_ != nullptr; }
  // Launches and copies that it has.
  int64_t nodes() const { return nodes_; }
  void launch(const Stream& stream) const;

 private:
  explicit Graph(const Stream& stream);

  cudaGraphExec_t graph_ = nullptr;
  int64_t nodes_ = 0;
};

}  // namespace millrace::cuda
