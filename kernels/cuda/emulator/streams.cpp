// The runtime's part of the emulator: launches, copies, streams, events and graphs.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "error.h"
#include "order.h"
#include "runtime.h"

namespace emulator = millrace::emulator;

namespace millrace::emulator {
namespace {

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

// Streams, events and graphs that there are.
class Handles {
 public:
  template <class T>
  T* add(T* handle) {
    std::lock_guard held(lock_);
    all_.insert(handle);
    return handle;
  }
  bool has(const void* handle) {
    std::lock_guard held(lock_);
    return all_.contains(handle);
  }
  bool remove(const void* handle) {
    std::lock_guard held(lock_);
    return all_.erase(handle) > 0;
  }

 private:
  std::mutex lock_;
  std::unordered_set<const void*> all_;
};

Handles& handles() {
  static Handles all;
  return all;
}

// Streams of this thread that work late.
thread_local std::vector<Stream*> streams;

// Does what a stream was given, up to the operation number `until`.
void work_off(Work& work, uint64_t until) {
  while (work.done < until && !work.waiting.empty()) {
    std::function<void()> next = std::move(work.waiting.front());
    work.waiting.pop_front();
    work.done++;
    guarded(next);
  }
}

// What a stream that is captured is asked for in vain spoils the capture.
cudaError_t spoil(Stream* stream, cudaError_t status) {
  if (stream->capture) stream->capture->spoilt = true;
  return noted(status);
}

// Whether such a stream can be given something. The legacy stream waits for all others: nobody uses it.
cudaError_t check_stream(Stream* stream) {
  if (!stream) {
    if (!capturing()) return noted(cudaErrorInvalidResourceHandle);
    return spoil(capturing(), cudaErrorStreamCaptureImplicit);
  }
  if (!handles().has(stream)) return noted(cudaErrorInvalidResourceHandle);
  if (stream->capture && stream->capture->spoilt) return noted(cudaErrorStreamCaptureInvalidated);
  return usable();
}

// A captured stream keeps it instead.
cudaError_t give(Stream* stream, std::function<void()> operation) {
  if (stream->capture) {
    stream->capture->graph.operations.push_back(std::move(operation));
    return cudaSuccess;
  }
  stream->work->waiting.push_back(std::move(operation));
  stream->work->given++;
  if (!machine().late) work_off(*stream->work, stream->work->given);
  return usable();
}

// Copies begin when all launches have ended.
cudaError_t give_copy(Stream* stream, const std::function<void()>& copy) {
  return give(stream, [copy] {
    finish_launches();
    copy();
  });
}

cudaError_t put(Stream* stream, const std::function<void()>& body, bool early) {
  auto run = [=] {
    if (faults()) fail(MR_INTERNAL, "the kernel faulted, as it was asked to");
    while (machine().hangs) std::this_thread::sleep_for(std::chrono::hours(1));
    body();
  };
  return give(stream, [=] { in_order(run, early); });
}

// What every kernel may have, and what each was allowed beyond it.
constexpr size_t kSharedOfAll = 48 << 10;
thread_local std::unordered_map<const void*, size_t> allowed;

// Whether the chip begins such a launch at all.
cudaError_t refusal(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, int cluster) {
  const bool none = grid.x == 0 || grid.y == 0 || grid.z == 0 || block.x == 0 || block.y == 0 || block.z == 0;
  if (none || uint64_t{grid.x} * static_cast<unsigned>(cluster) > 0x7fffffffu || grid.y > 65535 || grid.z > 65535 || block.x > 1024 || block.y > 1024 || block.z > 64 || uint64_t{block.x} * block.y * block.z > 1024) {
    return cudaErrorInvalidConfiguration;
  }
  // Every chip with clusters has them of 8 blocks.
  if (cluster != 1 && (machine().major < 9 || cluster < 1 || cluster > 8)) return cudaErrorInvalidClusterSize;
  auto found = allowed.find(kernel);
  return shared_bytes <= (found == allowed.end() ? kSharedOfAll : found->second) ? cudaSuccess : cudaErrorInvalidValue;
}

// Whether both ends of a copy are what its kind says, and there.
bool fits(const void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const bool to_device = kind != cudaMemcpyDeviceToHost, from_device = kind != cudaMemcpyHostToDevice;
  return (to_device ? is_of_device(to, bytes) : !touches_device(to, bytes)) && (from_device ? is_of_device(from, bytes) : !touches_device(from, bytes));
}

}  // namespace

Stream*& capturing() {
  thread_local Stream* of_thread = nullptr;
  return of_thread;
}

bool work_waits() {
  return std::any_of(streams.begin(), streams.end(), [](const Stream* stream) { return !stream->work->waiting.empty(); });
}

cudaError_t allow_shared(const void* kernel, cudaFuncAttribute what, int bytes) {
  if (what != cudaFuncAttributeMaxDynamicSharedMemorySize || bytes < 0 || static_cast<size_t>(bytes) > machine().shared_bytes) return noted(cudaErrorInvalidValue);
  allowed[kernel] = static_cast<size_t>(bytes);
  return usable();
}

// As if each thread had as many registers as there may be; a KiB of each block's shared memory is the system's.
cudaError_t count_blocks(int* blocks, int threads, size_t shared_bytes) {
  if (threads < 1 || shared_bytes > machine().shared_bytes) return noted(cudaErrorInvalidValue);
  const int registers = std::min(256, 65536 / threads / 8 * 8);
  const int by_shared = static_cast<int>((machine().shared_bytes + 1024) / (shared_bytes + 1024));
  *blocks = std::min(65536 / (registers * threads), by_shared);
  return usable();
}

cudaError_t launch(Stream* stream, const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, std::function<void()> body, bool early, int cluster) {
  const cudaError_t refused = refusal(kernel, grid, block, shared_bytes, cluster);
  if (refused != cudaSuccess) return noted(refused);
  if (machine().asked) {
    machine().asked->push_back({kernel, block.x * block.y * block.z, shared_bytes});
    return cudaSuccess;
  }
  if (const cudaError_t status = check_stream(stream); status != cudaSuccess) return status;
  const dim3 together(block.x * static_cast<unsigned>(cluster), block.y, block.z);
  return put(stream, [=] { run_grid(grid, together, shared_bytes * static_cast<size_t>(cluster), body, cluster); }, early);
}

void run_on_host(Stream* stream, std::function<void()> body) {
  if (check_stream(stream) == cudaSuccess) put(stream, body, false);
}

}  // namespace millrace::emulator

// For tests: a launch after so many faults.
extern "C" __attribute__((visibility("default"))) void emulated_cuda_fault_after(int64_t launches) { emulator::until_fault = launches; }

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (const cudaError_t status = emulator::check_stream(stream); status != cudaSuccess) return status;
  if (bytes == 0) return cudaSuccess;
  if (!emulator::fits(to, from, bytes, kind)) return emulator::spoil(stream, cudaErrorInvalidValue);
  const bool pinned = (kind == cudaMemcpyDeviceToDevice) || emulator::is_pinned(kind == cudaMemcpyHostToDevice ? from : to, bytes);
  if (!pinned) {
    // It waits for the stream, and so has no place in a graph.
    if (stream->capture) return emulator::spoil(stream, cudaErrorStreamCaptureUnsupported);
    emulator::machine().pageable_copies++;
  }
  if (kind == cudaMemcpyHostToDevice) {
    emulator::machine().uploads++;
    emulator::machine().uploaded_bytes += static_cast<int64_t>(bytes);
  }
  return emulator::give_copy(stream, [=] { std::memcpy(to, from, bytes); });
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  if (const cudaError_t status = emulator::check_stream(stream); status != cudaSuccess) return status;
  if (bytes == 0) return cudaSuccess;
  if (!emulator::is_of_device(to, bytes)) return emulator::spoil(stream, cudaErrorInvalidValue);
  return emulator::give_copy(stream, [=] { std::memset(to, value, bytes); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = nullptr;
  if (const cudaError_t status = emulator::usable(); status != cudaSuccess) return status;
  *stream = emulator::handles().add(new emulator::Stream);
  if (emulator::machine().late) emulator::streams.push_back(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (!emulator::handles().remove(stream)) return emulator::noted(cudaErrorInvalidResourceHandle);
  if (emulator::capturing() == stream) emulator::capturing() = nullptr;
  emulator::work_off(*stream->work, stream->work->given);
  emulator::finish();
  std::erase(emulator::streams, stream);
  delete stream;
  return emulator::usable();
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (const cudaError_t status = emulator::check_stream(stream); status != cudaSuccess) return status;
  if (stream->capture) return emulator::spoil(stream, cudaErrorStreamCaptureUnsupported);
  emulator::work_off(*stream->work, stream->work->given);
  emulator::finish();
  return emulator::usable();
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = nullptr;
  if (const cudaError_t status = emulator::usable(); status != cudaSuccess) return status;
  *event = emulator::handles().add(new emulator::Event);
  (*event)->timed = (flags & cudaEventDisableTiming) == 0;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (!emulator::handles().remove(event)) return emulator::noted(cudaErrorInvalidResourceHandle);
  delete event;
  return emulator::usable();
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (const cudaError_t status = emulator::check_stream(stream); status != cudaSuccess) return status;
  if (!emulator::handles().has(event)) return emulator::noted(cudaErrorInvalidResourceHandle);
  auto time = std::make_shared<std::chrono::steady_clock::time_point>();
  if (event->timed && !stream->capture) emulator::give_copy(stream, [time] { *time = std::chrono::steady_clock::now(); });
  *event = {stream->work, stream->work->given, stream->capture != nullptr, event->timed, time};
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (const cudaError_t status = emulator::check_stream(stream); status != cudaSuccess) return status;
  if (!emulator::handles().has(event)) return emulator::noted(cudaErrorInvalidResourceHandle);
  // A stream of its own in the graph: no graph of ours has one.
  if (event->captured != (stream->capture != nullptr)) return emulator::spoil(stream, event->captured ? cudaErrorNotSupported : cudaErrorStreamCaptureIsolation);
  if (event->captured) return event->work == stream->work ? cudaSuccess : emulator::spoil(stream, cudaErrorStreamCaptureIsolation);
  return emulator::give(stream, [held = *event] {
    if (held.work) emulator::work_off(*held.work, held.at);
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (!emulator::handles().has(event)) return emulator::noted(cudaErrorInvalidResourceHandle);
  if (event->captured) return emulator::noted(cudaErrorCapturedEvent);
  if (const cudaError_t status = emulator::usable_outside_capture(); status != cudaSuccess) return status;
  if (event->work) emulator::work_off(*event->work, event->at);
  emulator::finish();
  return emulator::usable();
}

cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t from, cudaEvent_t to) {
  if (const cudaError_t status = emulator::usable(); status != cudaSuccess) return status;
  for (emulator::Event* event : {from, to}) {
    if (!emulator::handles().has(event) || !event->timed || !event->work) return emulator::noted(cudaErrorInvalidResourceHandle);
    if (event->captured) return emulator::noted(cudaErrorCapturedEvent);
  }
  // A stream has not come to its.
  for (const emulator::Event* event : {from, to}) {
    if (*event->time == std::chrono::steady_clock::time_point{}) return cudaErrorNotReady;
  }
  *ms = std::chrono::duration<float, std::milli>(*to->time - *from->time).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  if (const cudaError_t status = emulator::check_stream(stream); status != cudaSuccess) return status;
  // One at a time, and one whose prohibitions concern this thread alone.
  if (stream->capture || emulator::capturing()) return emulator::noted(cudaErrorIllegalState);
  if (mode != cudaStreamCaptureModeThreadLocal) return emulator::noted(cudaErrorInvalidValue);
  stream->capture = std::make_unique<emulator::Capture>();
  emulator::capturing() = stream;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (!stream || !emulator::handles().has(stream)) return emulator::noted(cudaErrorInvalidResourceHandle);
  if (!stream->capture) return emulator::noted(cudaErrorIllegalState);
  if (emulator::capturing() != stream) return emulator::spoil(stream, cudaErrorStreamCaptureWrongThread);
  emulator::capturing() = nullptr;
  const std::unique_ptr<emulator::Capture> capture = std::move(stream->capture);
  if (capture->spoilt) return emulator::noted(cudaErrorStreamCaptureInvalidated);
  *graph = emulator::handles().add(new emulator::Graph(std::move(capture->graph)));
  emulator::machine().captured++;
  return emulator::usable();
}

// Only counts them.
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  if (!graph || !emulator::handles().has(graph) || nodes) return emulator::noted(cudaErrorInvalidValue);
  *count = graph->operations.size();
  return emulator::usable();
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = nullptr;
  if (!graph || !emulator::handles().has(graph)) return emulator::noted(cudaErrorInvalidValue);
  if (const cudaError_t status = emulator::usable(); status != cudaSuccess) return status;
  *executable = emulator::handles().add(new emulator::Graph(*graph));
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  if (const cudaError_t status = emulator::check_stream(stream); status != cudaSuccess) return status;
  if (!graph || !emulator::handles().has(graph)) return emulator::noted(cudaErrorInvalidValue);
  // A graph in a graph: none of ours has one.
  if (stream->capture) return emulator::spoil(stream, cudaErrorNotSupported);
  return emulator::give(stream, [operations = graph->operations] {
    for (const auto& operation : operations) operation();
  });
}

namespace {

cudaError_t destroy(emulator::Graph* graph) {
  if (!graph || !emulator::handles().remove(graph)) return emulator::noted(cudaErrorInvalidValue);
  delete graph;
  return emulator::usable();
}

}  // namespace

cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return destroy(graph); }

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) { return destroy(graph); }
