// What the emulated runtime refuses as CUDA's does, and what the engine makes of it.
#include <chrono>
#include <functional>
#include <thread>

#include "core/copies.h"
#include "device.h"
#include "error.h"
#include "machine.h"
#include "models.h"
#include "op_program.h"

namespace millrace::test {
namespace {

void write_kernel(int32_t* to, int32_t value) {
  cuda::await_launches();
  if (blockIdx.x == 0 && threadIdx.x == 0) *to = value;
}

// The error that a launch leaves, which is forgotten then.
cudaError_t launched(const cuda::Stream& stream, dim3 grid, dim3 block, size_t shared_bytes = 0) {
  static int32_t place;
  cuda::launch(write_kernel, grid, block, shared_bytes, stream, &place, 1);
  const cudaError_t left = cudaPeekAtLastError();
  CHECK(cudaGetLastError() == left && cudaPeekAtLastError() == cudaSuccess, "%d", left);
  return left;
}

// Begins to capture a stream, does what a graph cannot have, and expects this error, no graph, and a stream that serves again.
void check_spoilt(const cuda::Stream& stream, cudaError_t expected, const char* what, const std::function<cudaError_t()>& body) {
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess, "%s", what);
  const cudaError_t status = body();
  CHECK(status == expected && cudaPeekAtLastError() == expected, "%s: %d", what, status);
  CHECK(cudaStreamSynchronize(stream) == cudaErrorStreamCaptureInvalidated, "%s", what);
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated && !graph, "%s", what);
  cudaGetLastError();
  CHECK(launched(stream, 1, 32) == cudaSuccess && cudaStreamSynchronize(stream) == cudaSuccess, "%s", what);
}

}  // namespace

TEST(launches_that_no_chip_begins_are_refused_and_leave_an_error_that_goes_away) {
  cuda::Stream stream;
  Machine kept;
  CHECK(launched(stream, 1, 32) == cudaSuccess);
  for (const dim3& grid : {dim3(0, 1, 1), dim3(1, 0, 1), dim3(1, 1, 0), dim3(0x80000000u, 1, 1), dim3(1, 65536, 1), dim3(1, 1, 65536)}) {
    CHECK(launched(stream, grid, 32) == cudaErrorInvalidConfiguration, "%u %u %u", grid.x, grid.y, grid.z);
  }
  for (const dim3& block : {dim3(0, 1, 1), dim3(1025, 1, 1), dim3(64, 32, 1), dim3(1, 1, 65)}) {
    CHECK(launched(stream, 1, block) == cudaErrorInvalidConfiguration, "%u %u %u", block.x, block.y, block.z);
  }
  auto in_clusters = [&](int cluster) {
    static int32_t place;
    cuda::launch_clusters(write_kernel, cluster, 2, 32, 0, stream, &place, 1);
    return cudaGetLastError();
  };
  CHECK(in_clusters(8) == cudaSuccess && in_clusters(9) == cudaErrorInvalidClusterSize && in_clusters(0) == cudaErrorInvalidClusterSize);
  emulator::machine().major = 8;
  CHECK(in_clusters(2) == cudaErrorInvalidClusterSize && in_clusters(1) == cudaSuccess);
  emulator::machine().major = 9;
  // Beyond 48 KiB a kernel has to ask, and gets no more than it has asked for or the chip has.
  constexpr size_t kPlain = 48 << 10;
  CHECK(launched(stream, 1, 32, kPlain) == cudaSuccess);
  CHECK(launched(stream, 1, 32, kPlain + 1) == cudaErrorInvalidValue);
  emulator::machine().shared_bytes = 99 << 10;
  cuda::allow_shared(write_kernel, (99 << 10) + 1);
  CHECK(cudaGetLastError() == cudaErrorInvalidValue);
  CHECK(launched(stream, 1, 32, kPlain + 1) == cudaErrorInvalidValue);
  cuda::allow_shared(write_kernel, 99 << 10);
  CHECK(launched(stream, 1, 32, 99 << 10) == cudaSuccess);
  CHECK(launched(stream, 1, 32, (99 << 10) + 1) == cudaErrorInvalidValue && launched(stream, 1, 32) == cudaSuccess);
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
}

TEST(what_a_thread_must_not_do_while_it_captures_spoils_the_graph) {
  cuda::Stream stream, other;
  cuda::Memory device(64, "a test");
  cuda::PinnedMemory pinned(64);
  std::vector<uint8_t> plain(64);
  void* memory = nullptr;
  check_spoilt(stream, cudaErrorStreamCaptureUnsupported, "memory", [&] { return cudaMalloc(&memory, 16); });
  check_spoilt(stream, cudaErrorStreamCaptureUnsupported, "pinned memory", [&] { return cudaMallocHost(&memory, 16); });
  check_spoilt(stream, cudaErrorStreamCaptureUnsupported, "memory given back", [&] { return cudaFree(device.data()); });
  check_spoilt(stream, cudaErrorStreamCaptureUnsupported, "waiting for the stream", [&] { return cudaStreamSynchronize(stream); });
  check_spoilt(stream, cudaErrorStreamCaptureUnsupported, "a copy that waits", [&] { return cudaMemcpyAsync(device.data(), plain.data(), 64, cudaMemcpyHostToDevice, stream); });
  check_spoilt(stream, cudaErrorInvalidValue, "a copy the other way round", [&] { return cudaMemcpyAsync(device.data(), pinned.data(), 64, cudaMemcpyDeviceToHost, stream); });
  check_spoilt(stream, cudaErrorStreamCaptureImplicit, "the legacy stream", [&] { return cudaMemsetAsync(device.data(), 0, 4, nullptr); });
  cudaEvent_t event = nullptr;
  CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming) == cudaSuccess && cudaEventRecord(event, other) == cudaSuccess);
  check_spoilt(stream, cudaErrorStreamCaptureIsolation, "what is outside", [&] { return cudaStreamWaitEvent(stream, event, 0); });
  check_spoilt(stream, cudaErrorStreamCaptureUnsupported, "waiting for an event", [&] { return cudaEventSynchronize(event); });
  // An event of a graph is nobody's to wait for.
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaErrorIllegalState);
  CHECK(cudaEventRecord(event, stream) == cudaSuccess && cudaStreamWaitEvent(stream, event, 0) == cudaSuccess);
  CHECK(cudaEventSynchronize(event) == cudaErrorCapturedEvent && cudaStreamWaitEvent(other, event, 0) == cudaErrorNotSupported);
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess && graph);
  CHECK(cudaEventSynchronize(event) == cudaErrorCapturedEvent);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess && cudaEventDestroy(event) == cudaSuccess);
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorIllegalState && !graph);
  cudaGetLastError();
}

TEST(a_graph_keeps_parameters_as_they_were_and_reads_memory_as_it_is) {
  cuda::Stream stream;
  cuda::Memory device(8, "a test");
  cuda::PinnedMemory pinned(8);
  auto* to = device.as<int32_t>();
  auto* host = pinned.as<int32_t>();
  int32_t value = 5;
  cuda::Graph graph = cuda::Graph::capture(stream, [&] {
    cuda::launch(write_kernel, 1, 32, 0, stream, to, value);
    stream.upload(to + 1, host, 4);
  });
  CHECK(graph.nodes() == 2, "%lld", static_cast<long long>(graph.nodes()));
  value = 6;
  for (int32_t now : {7, 8}) {
    host[0] = now;
    graph.launch(stream);
    int32_t found[2] = {};
    stream.download(found, to, 8);
    stream.synchronize();
    CHECK(found[0] == 5 && found[1] == now, "%d %d", found[0], found[1]);
  }
}

TEST(two_events_tell_what_the_device_took_between_them) {
  Machine kept;
  emulator::machine().late = true;
  cuda::Stream stream;
  cudaEvent_t from = nullptr, to = nullptr, untimed = nullptr;
  CHECK(cudaEventCreateWithFlags(&from, cudaEventDefault) == cudaSuccess && cudaEventCreateWithFlags(&to, cudaEventDefault) == cudaSuccess);
  CHECK(cudaEventCreateWithFlags(&untimed, cudaEventDisableTiming) == cudaSuccess && cudaEventRecord(untimed, stream) == cudaSuccess);
  float ms = -1;
  CHECK(cudaEventRecord(from, stream) == cudaSuccess && cudaEventElapsedTime(&ms, from, to) == cudaErrorInvalidResourceHandle);
  CHECK(cudaGetLastError() == cudaErrorInvalidResourceHandle);
  emulator::run_on_host(stream, [] { std::this_thread::sleep_for(std::chrono::milliseconds(2)); });
  CHECK(cudaEventRecord(to, stream) == cudaSuccess && cudaEventElapsedTime(&ms, from, to) == cudaErrorNotReady && ms == -1);
  stream.synchronize();
  CHECK(cudaEventElapsedTime(&ms, from, to) == cudaSuccess && ms >= 2, "%g", ms);
  CHECK(cudaEventElapsedTime(&ms, from, untimed) == cudaErrorInvalidResourceHandle);
  // Not of what was recorded before.
  CHECK(cudaEventRecord(to, stream) == cudaSuccess && cudaEventElapsedTime(&ms, from, to) == cudaErrorNotReady);
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess && cudaEventRecord(to, stream) == cudaSuccess);
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess && cudaEventElapsedTime(&ms, from, to) == cudaErrorCapturedEvent && cudaGraphDestroy(graph) == cudaSuccess);
  for (cudaEvent_t event : {from, to, untimed}) CHECK(cudaEventDestroy(event) == cudaSuccess);
  cudaGetLastError();
}

TEST(a_launch_that_is_refused_in_a_graph_fails_the_graph) {
  cuda::Stream stream;
  cuda::Memory device(4, "a test");
  auto capture = [&](unsigned blocks) {
    return cuda::Graph::capture(stream, [&] { cuda::launch(write_kernel, blocks, 32, 0, stream, device.as<int32_t>(), 3); });
  };
  std::string message;
  try {
    capture(0);
  } catch (const Error& e) {
    message = e.message;
  }
  CHECK(has(message, "launching kernels: invalid configuration argument"), "%s", message.c_str());
  const cuda::Graph graph = capture(1);
  graph.launch(stream);
  int32_t found = 0;
  stream.download(&found, device.data(), 4);
  stream.synchronize();
  CHECK(found == 3, "%d", found);
}

TEST(memory_and_handles_that_are_not_there_are_refused) {
  cuda::Stream stream;
  std::vector<uint8_t> plain(64);
  void *device = nullptr, *pinned = nullptr;
  CHECK(cudaMalloc(&device, 64) == cudaSuccess && cudaMallocHost(&pinned, 64) == cudaSuccess);
  auto* bytes = static_cast<uint8_t*>(device);
  auto copy = [&](void* to, const void* from, size_t count, cudaMemcpyKind kind) { return cudaMemcpyAsync(to, from, count, kind, stream); };
  CHECK(copy(device, pinned, 64, cudaMemcpyHostToDevice) == cudaSuccess && copy(plain.data(), bytes + 60, 4, cudaMemcpyDeviceToHost) == cudaSuccess);
  CHECK(copy(bytes + 61, pinned, 4, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(copy(plain.data(), pinned, 4, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(copy(device, bytes + 32, 4, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(copy(device, pinned, 4, cudaMemcpyDeviceToDevice) == cudaErrorInvalidValue);
  CHECK(cudaMemsetAsync(bytes + 32, 0, 33, stream) == cudaErrorInvalidValue && cudaMemsetAsync(pinned, 0, 4, stream) == cudaErrorInvalidValue);
  CHECK(cudaFree(pinned) == cudaErrorInvalidValue && cudaFreeHost(device) == cudaErrorInvalidValue && cudaFree(bytes + 1) == cudaErrorInvalidValue);
  CHECK(cudaFree(device) == cudaSuccess && cudaFree(device) == cudaErrorInvalidValue && cudaFreeHost(pinned) == cudaSuccess && cudaFree(nullptr) == cudaSuccess);
  CHECK(copy(device, plain.data(), 4, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);

  cudaStream_t ended = nullptr;
  cudaEvent_t event = nullptr, forgotten = nullptr;
  CHECK(cudaStreamCreateWithFlags(&ended, cudaStreamNonBlocking) == cudaSuccess && cudaEventCreateWithFlags(&event, cudaEventDisableTiming) == cudaSuccess);
  CHECK(cudaEventCreateWithFlags(&forgotten, cudaEventDisableTiming) == cudaSuccess && cudaEventDestroy(forgotten) == cudaSuccess);
  CHECK(cudaEventRecord(event, ended) == cudaSuccess && cudaStreamDestroy(ended) == cudaSuccess);
  // An event outlives its stream.
  CHECK(cudaEventSynchronize(event) == cudaSuccess && cudaStreamWaitEvent(stream, event, 0) == cudaSuccess && cudaEventDestroy(event) == cudaSuccess);
  CHECK(cudaStreamSynchronize(ended) == cudaErrorInvalidResourceHandle && cudaStreamDestroy(ended) == cudaErrorInvalidResourceHandle);
  CHECK(cudaEventRecord(forgotten, stream) == cudaErrorInvalidResourceHandle && cudaEventSynchronize(forgotten) == cudaErrorInvalidResourceHandle);
  CHECK(cudaStreamSynchronize(nullptr) == cudaErrorInvalidResourceHandle);
  cudaGetLastError();
}

TEST(after_a_fault_every_call_fails_and_the_error_stays) {
  Machine kept;
  cuda::Stream stream;
  cuda::Event event;
  cuda::Memory device(4, "a test");
  emulator::machine().fault = true;
  cuda::launch(write_kernel, 1, 32, 0, stream, device.as<int32_t>(), 1);
  CHECK(cudaStreamSynchronize(stream) == cudaErrorLaunchFailure);
  emulator::machine().fault = false;
  for (int i = 0; i < 2; i++) CHECK(cudaGetLastError() == cudaErrorLaunchFailure && cudaPeekAtLastError() == cudaErrorLaunchFailure);
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, 4) == cudaErrorLaunchFailure && cudaMallocHost(&memory, 4) == cudaErrorLaunchFailure && !memory);
  CHECK(cudaMemsetAsync(device.data(), 0, 4, stream) == cudaErrorLaunchFailure && cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaErrorLaunchFailure);
  size_t bytes = 0;
  CHECK(cudaMemGetInfo(&bytes, &bytes) == cudaErrorLaunchFailure);
}

// A copy that the host waits for would stop the steps that are planned while others run.
TEST(steps_and_swaps_copy_nothing_that_is_not_pinned) {
  Llama llama;
  Random random(73);
  mr_options o = cuda_options(0);
  auto runner = llama.runner(o, MR_BF16, 1, 8);
  const std::vector<int32_t> tokens = sequence(5, random).ids;
  const int64_t before = emulator::machine().pageable_copies;
  for (int round = 0; round < 4; round++) {
    int32_t positions[5] = {0, 1, 2, 3, 4}, slots[5] = {0, 1, 2, 3, 4}, starts[2] = {0, 5}, length = 5, block = 0, row = 4, host = round;
    mr_step step{5, 1, 1, 1, tokens.data(), positions, slots, starts, &length, &block, &row, nullptr};
    mr_sampling how{};
    how.chooses = 1;
    how.wants_logits = round % 2;
    how.logprobs = how.last = how.mask_at = how.draft = -1;
    char text[512] = "";
    mr_sampled out;
    std::vector<float> logits(kVocabulary);
    CHECK(mr_submit(runner->model(), &step, &how, nullptr, 0, text, sizeof text) == MR_OK, "%s", text);
    CHECK(mr_swap_out(runner->model(), 0, &block, &host, 1, text, sizeof text) == MR_OK, "%s", text);
    CHECK(mr_swap_in(runner->model(), 0, &host, &block, 1, text, sizeof text) == MR_OK, "%s", text);
    CHECK(mr_collect(runner->model(), &out, logits.data(), text, sizeof text) == MR_OK && out.status == MR_ROW_CHOSEN, "%s", text);
  }
  CHECK(before > 0 && emulator::machine().pageable_copies == before, "%lld", static_cast<long long>(emulator::machine().pageable_copies - before));
  CHECK(mr_graph_steps(runner->model()) > 0);
}

TEST(a_step_copies_what_it_has_and_not_what_there_is_room_for) {
  Llama llama;
  Random random(74);
  Sequence a = sequence(60, random), b = sequence(60, random);
  auto small = llama.runner(cuda_options(0), MR_BF16, 1), large = llama.runner(cuda_options(0), MR_BF16, 1);
  // Tables of the largest step take a MiB.
  const mr_limits limits{1024, 128, 32768};
  char text[512] = "";
  CHECK(mr_reserve(large->model(), &limits, text, sizeof text) == MR_OK, "%s", text);
  Sequence c = a, d = b;
  for (const std::vector<int>& counts : {std::vector<int>{1, 1}, {1, 1}, {1, 1}, {20, 3}, {20, 1}, {3, 4}, {3, 4}, {1, 1}}) {
    const std::vector<float> expected = small->step({&a, &b}, counts, kVocabulary);
    const int64_t uploads = emulator::machine().uploads, bytes = emulator::machine().uploaded_bytes;
    const std::vector<float> logits = large->step({&c, &d}, counts, kVocabulary);
    const int64_t copies = emulator::machine().uploads - uploads, copied = emulator::machine().uploaded_bytes - bytes;
    CHECK(copies > 0 && copies <= 2 && copied > 0 && copied < 4096, "%lld bytes in %lld copies", static_cast<long long>(copied), static_cast<long long>(copies));
    CHECK(same_bits(logits.data(), expected.data(), expected.size()));
  }
  CHECK(mr_graph_steps(large->model()) > 2);
}

}  // namespace millrace::test
