// What the executor makes of machines that lack something. The emulator alone can be such a machine.
#include <cstdlib>
#include <tuple>

#include "arena.h"
#include "machine.h"
#include "models.h"
#include "op_program.h"
#include "swaps.h"

namespace millrace::test {
namespace {

// Creates a small model; its status and message.
int32_t create(const Llama& llama, std::string& message, mr_options o = cuda_options(0)) {
  mr_kv_group group{64, 1, Llama::kKv, Llama::kDim, Llama::kDim, MR_F32, 0};
  o.groups = 1;
  o.group = &group;
  char text[512] = "";
  mr_model* model = nullptr;
  int32_t status = mr_create(&o, llama.program.data(), static_cast<int64_t>(llama.program.size()), &model, text, sizeof text);
  if (status == MR_OK) mr_free(model);
  message = text;
  return status;
}

}  // namespace

TEST(a_machine_that_cannot_is_refused_with_what_to_do) {
  Llama llama;
  std::string message;
  char text[512];
  CHECK(create(llama, message) == MR_OK, "%s", message.c_str());
  CHECK(mr_device(nullptr, nullptr, text, sizeof text) == MR_OK && has(text, "sm_90"), "%s", text);
  auto refuses = [&](const char* part, const char* remedy) {
    CHECK(create(llama, message) == MR_UNSUPPORTED && has(message, part) && has(message, remedy), "%s", message.c_str());
    CHECK(mr_device(nullptr, nullptr, text, sizeof text) == MR_UNSUPPORTED && message == text, "%s", text);
  };
  Machine kept;
  emulator::machine().driver = 0;
  refuses("no NVIDIA driver", "--engine cpu");
  emulator::machine().driver = 12040;
  refuses("CUDA 12.4", "Update the driver");
  emulator::machine().driver = 13000;
  emulator::machine().devices = 0;
  refuses("no NVIDIA device", "nvidia-smi");
  emulator::machine().devices = 1;
  emulator::machine().major = 7;
  emulator::machine().minor = 5;
  refuses("sm_75 is older than sm_80", "--engine cpu");
  // A chip that is newer than the code, and a driver that is older.
  emulator::machine().major = 12;
  emulator::machine().minor = 0;
  emulator::machine().code = cudaErrorUnsupportedPtxVersion;
  refuses("sm_120 runs none of the code", "Update the driver");
  emulator::machine().code = cudaErrorNoKernelImageForDevice;
  refuses("no kernel image", "Update the driver");
  emulator::machine().code = cudaSuccess;
  // Attention by wgmma is for sm_90 alone.
  mr_options o = cuda_options(0);
  o.isa = MR_ISA_WGMMA;
  auto refused = [&](const char* part) {
    mr_model* model = nullptr;
    const int32_t status = mr_create(&o, llama.program.data(), static_cast<int64_t>(llama.program.size()), &model, text, sizeof text);
    CHECK(status == MR_UNSUPPORTED && has(text, part), "%d %s", status, text);
  };
  emulator::machine().major = 8;
  emulator::machine().minor = 0;
  refused("wgmma on sm_80");
  o.isa = MR_ISA_AUTO;
  emulator::machine().major = 10;
  setenv("MILLRACE_CUDA_ATTENTION", "wgmma", 1);
  refused("wgmma on sm_100");
  setenv("MILLRACE_CUDA_ATTENTION", "cuda", 1);
  refused("use mma or wgmma");
  unsetenv("MILLRACE_CUDA_ATTENTION");
  emulator::machine().major = 9;
  emulator::machine().minor = 0;
  // All memory, or the device alone by its mode.
  emulator::machine().taken_by_another = cudaErrorMemoryAllocation;
  refuses("sm_90 gives no memory (out of memory): another process may have it all", "nvidia-smi");
  emulator::machine().taken_by_another = cudaErrorDevicesUnavailable;
  refuses("busy or unavailable", "nvidia-smi");
  emulator::machine().taken_by_another = cudaSuccess;
  CHECK(create(llama, message) == MR_OK, "%s", message.c_str());
}

TEST(memory_that_is_not_there_is_named_with_numbers_and_nothing_is_lost) {
  Llama llama;
  std::string message;
  Machine kept;
  int64_t live = emulator::machine().live;
  emulator::machine().free_bytes = 100 << 10;
  CHECK(create(llama, message) == MR_MEMORY && has(message, "the KV cache takes 1 MiB") && has(message, "4096 MiB 0 are free"), "%s", message.c_str());
  emulator::machine().free_bytes = kept.before.free_bytes;
  CHECK(emulator::machine().live == live, "%lld allocations were left", static_cast<long long>(emulator::machine().live - live));
  // An allocation that fails in the middle of the first step: the next one is right.
  Random random(36);
  Sequence a = sequence(5, random);
  Sequence x = a;
  std::vector<float> expected = llama.runner(cuda_options(0), MR_BF16, 1)->step({&x}, {5}, kVocabulary);
  for (int after = 0; after < 12; after++) {
    auto runner = llama.runner(cuda_options(0), MR_BF16, 1);
    int32_t positions[5] = {0, 1, 2, 3, 4}, slots[5] = {0, 1, 2, 3, 4}, starts[2] = {0, 5}, length = 5, block = 0, rows[5] = {0, 1, 2, 3, 4};
    std::vector<float> logits(expected.size());
    mr_step step{5, 1, 5, 1, a.ids.data(), positions, slots, starts, &length, &block, rows, logits.data()};
    char text[512] = "";
    emulator::machine().allocations = after;
    int32_t status = mr_run(runner->model(), &step, text, sizeof text);
    emulator::machine().allocations = -1;
    CHECK(status == MR_MEMORY, "after %d: %d %s", after, status, text);
    status = mr_run(runner->model(), &step, text, sizeof text);
    CHECK(status == MR_OK && same_bits(logits.data(), expected.data(), expected.size()), "after %d: %s", after, text);
  }
}

// The driver gives memory in pages, of which a matrix of three halves takes two: the plan holds for any number of them, to the page.
TEST(a_model_of_many_experts_takes_what_was_planned_to_the_page) {
  constexpr int kWidth = 32, kInner = 48, kExperts = 96, kActive = 2;
  Random random(47);
  OpProgram p;
  const int in = p.input(random.normals(OpProgram::kIds * kWidth), kWidth);
  const int route = p.b.weight("router", kExperts, kWidth), ids = p.b.rows(kActive), chosen = p.b.rows(kActive), out = p.b.rows(kWidth);
  p.b.op(34, {in, route, ids, chosen, kActive, 1, Builder::bits(1), 1, 1});
  std::vector<mr_stored> stored = {{0, MR_F32, 0, 0}, {route, MR_F32, 0, 0}};
  std::vector<int32_t> words = {in, ids, chosen};
  for (int part = 0; part < 3; part++) {
    words.push_back(kExperts);
    for (int e = 0; e < kExperts; e++) {
      words.push_back(p.b.weight("m" + std::to_string(stored.size()), part < 2 ? kInner : kWidth, part < 2 ? kWidth : kInner));
      stored.push_back({words.back(), MR_BF16, 0, 0});
    }
  }
  words.insert(words.end(), {out, 0});
  p.b.op(35, words);
  const mr_limits limits{8, 1, 16};
  const std::vector<int32_t> program = p.b.encode();
  mr_options o = cuda_options(0);
  o.keep_activations = 1;
  mr_need need{};
  char text[512] = "";
  CHECK(mr_memory(&o, program.data(), static_cast<int64_t>(program.size()), stored.data(), static_cast<int32_t>(stored.size()), &limits, &need, text, sizeof text) == MR_OK, "%s", text);
  Machine kept;
  size_t free_bytes = 0, total_bytes = 0;
  CHECK(cudaMemGetInfo(&free_bytes, &total_bytes) == cudaSuccess);
  const int64_t live = emulator::machine().live;
  for (int short_by : {0, 1}) {
    emulator::machine().free_bytes = kept.before.free_bytes - free_bytes + static_cast<size_t>(need.weights - short_by);
    auto runner = p.runner(o);
    int32_t status = MR_OK;
    const std::vector<float> router = random.normals(kExperts * kWidth);
    runner->bind(route, kExperts, kWidth, router);
    for (size_t i = 2; i < stored.size() && status == MR_OK; i++) {
      const int rows = i < 2 + 2 * kExperts ? kInner : kWidth, columns = kWidth + kInner - rows;
      const std::vector<uint8_t> values = random_stored(MR_BF16, rows, columns, random);
      status = mr_bind(runner->model(), stored[i].tensor, MR_BF16, rows, columns, values.data(), static_cast<int64_t>(values.size()), text, sizeof text);
    }
    CHECK(status == (short_by > 0 ? MR_MEMORY : MR_OK), "short by %d: %d %s", short_by, status, text);
    // A step's integers are beside the plan.
    emulator::machine().free_bytes += static_cast<size_t>(need.workspace) + (32 << 10);
    CHECK(short_by > 0 || mr_reserve(runner->model(), &limits, text, sizeof text) == MR_OK, "%s", text);
  }
  CHECK(emulator::machine().live == live, "%lld allocations were left", static_cast<long long>(emulator::machine().live - live));
}

TEST(what_a_model_takes_is_known_before_and_no_step_asks_for_more_than_was_reserved) {
  Llama llama;
  setenv("MILLRACE_CUBLASLT", PLAIN_CUBLASLT, 1);
  for (auto [type, library_rows, isa] : {std::tuple<int, int, int>{MR_F32, 0, MR_ISA_AUTO}, {MR_BF16, 0, MR_ISA_AUTO}, {MR_BF16, 0, MR_ISA_WGMMA}, {MR_Q4_0, 0, MR_ISA_AUTO}, {MR_Q2_K, 0, MR_ISA_AUTO}, {MR_Q6_K, 0, MR_ISA_AUTO}, {MR_IQ4_NL, 0, MR_ISA_AUTO}, {MR_Q4_0, 16, MR_ISA_AUTO}, {MR_F32, 16, MR_ISA_AUTO}, {MR_Q4_0, 65, MR_ISA_AUTO}}) {
    mr_options o = cuda_options(0);
    o.library_rows = library_rows;
    o.isa = isa;
    const int cache = isa == MR_ISA_WGMMA ? MR_BF16 : MR_F32;
    mr_kv_group group{64, 1, Llama::kKv, Llama::kDim, Llama::kDim, cache, 0};
    o.groups = 1;
    o.group = &group;
    std::vector<mr_stored> stored;
    for (const Llama::Weight& w : llama.weights) stored.push_back({w.handle, w.matrix ? type : MR_F32, 0, 0});
    const mr_limits limits{48, 20, 600};
    mr_need need{};
    char text[512] = "";
    CHECK(mr_memory(&o, llama.program.data(), static_cast<int64_t>(llama.program.size()), stored.data(), static_cast<int32_t>(stored.size()), &limits, &need, text,
                    sizeof text) == MR_OK,
          "%s", text);
    Machine kept;
    const int64_t before = emulator::machine().taken;
    auto runner = llama.runner(o, type, 3, 0, cache);
    const int64_t cache_bytes = cuda::allocated(mr_cache_bytes(runner->model())), loaded = emulator::machine().taken - before - cache_bytes;
    CHECK(loaded == need.weights, "type %d: %lld, planned %lld", type, static_cast<long long>(loaded), static_cast<long long>(need.weights));
    CHECK(mr_reserve(runner->model(), &limits, text, sizeof text) == MR_OK, "%s", text);
    const int64_t reserved = emulator::machine().taken - before - cache_bytes - loaded;
    CHECK(reserved < need.workspace + (1 << 20) && need.workspace < reserved + (1 << 20), "type %d: %lld, planned %lld", type, static_cast<long long>(reserved),
          static_cast<long long>(need.workspace));
    // No device memory is asked for any more; pinned memory of the host is.
    Random random(40);
    Sequence a = sequence(48, random);
    const int64_t now = emulator::machine().taken;
    runner->step({&a}, {20}, kVocabulary);
    runner->step({&a}, {20}, kVocabulary);
    CHECK(emulator::machine().taken == now, "type %d: %lld more", type, static_cast<long long>(emulator::machine().taken - now));
  }
  unsetenv("MILLRACE_CUBLASLT");
}

TEST(a_prefill_far_into_a_long_context_keeps_to_what_was_reserved) {
  Machine kept;
  // As many as would be at work on each chunk of the context.
  emulator::machine().multiprocessors = 132;
  Random random(44);
  constexpr int kRows = 256, kContext = 1536;
  const AttentionModel model({2, 1, 64, 64, 0, 0}, random);
  for (int isa : {MR_ISA_AUTO, MR_ISA_WGMMA}) {
    mr_options o = cuda_options(0);
    o.block_tokens = 256;
    o.isa = isa;
    auto runner = model.runner(o, MR_BF16, 1, kContext);
    const mr_limits limits{kRows, 4, kContext};
    char text[512] = "";
    CHECK(mr_reserve(runner->model(), &limits, text, sizeof text) == MR_OK, "%s", text);
    const int64_t now = emulator::machine().taken;
    Sequence a = sequence(kContext, random);
    for (int i = 0; i < kContext / 256; i++) a.blocks.push_back(i);
    // Nothing of what lies before was computed.
    for (int rows : {kRows, 40, 1}) {
      a.computed = kContext - rows;
      runner->step({&a}, {rows}, 0);
      CHECK(emulator::machine().taken == now, "isa %d, %d rows: %lld more", isa, rows, static_cast<long long>(emulator::machine().taken - now));
    }
  }
}

TEST(a_pool_on_the_host_is_in_the_plan_and_said_when_it_cannot_be_had) {
  Llama llama;
  mr_options o = cuda_options(0);
  o.block_tokens = 64;
  mr_kv_group group{16, 1, Llama::kKv, Llama::kDim, Llama::kDim, MR_F32, 0};
  o.groups = 1;
  o.group = &group;
  const mr_limits limits{48, 20, 600};
  auto needs = [&](int host_blocks) {
    group.host_blocks = host_blocks;
    mr_need need{};
    CHECK(mr_memory(&o, llama.program.data(), static_cast<int64_t>(llama.program.size()), nullptr, 0, &limits, &need, nullptr, 0) == MR_OK);
    return need;
  };
  const mr_need none = needs(0), some = needs(100);
  const int64_t block = 64 * Llama::kKv * Llama::kDim * 2 * 4;
  CHECK(none.host == 0 && some.host == 100 * block, "%lld", static_cast<long long>(some.host));
  auto taken = [&](int host_blocks) {
    const int64_t before = emulator::machine().taken;
    auto runner = llama.runner(o, MR_BF16, 1, host_blocks);
    CHECK(mr_host_bytes(runner->model()) == host_blocks * block, "%lld", static_cast<long long>(mr_host_bytes(runner->model())));
    return emulator::machine().taken - before;
  };
  const int64_t more = taken(100) - taken(0), planned = some.workspace - none.workspace;
  // The list of parts is planned for a cache with factors.
  CHECK(more <= planned && planned <= more + 1024, "%lld more, planned %lld", static_cast<long long>(more), static_cast<long long>(planned));

  Machine kept;
  const int64_t live = emulator::machine().live;
  group.host_blocks = 100;
  char text[512] = "";
  bool pinned = false;
  for (int after = 0; after < 6; after++) {
    emulator::machine().allocations = after;
    mr_model* model = nullptr;
    const int32_t status = mr_create(&o, llama.program.data(), static_cast<int64_t>(llama.program.size()), &model, text, sizeof text);
    emulator::machine().allocations = -1;
    CHECK((status == MR_MEMORY) == (model == nullptr), "after %d: %d %s", after, status, text);
    pinned = pinned || (model == nullptr && has(text, "7 MiB of pinned memory of the host"));
    if (model) mr_free(model);
    CHECK(emulator::machine().live == live, "after %d: %lld allocations were left", after, static_cast<long long>(emulator::machine().live - live));
  }
  CHECK(pinned);
}

TEST(swaps_stay_in_order_with_steps_when_nothing_runs_before_somebody_waits) {
  Swapping swapping(cuda_options(0), 63);
  Machine kept;
  emulator::machine().late = true;
  swapping.check_bits(MR_BF16, 200);
  swapping.check_all_blocks(MR_BF16, 200);
}

TEST(a_swap_after_a_fault_says_so) {
  auto runner = Swapping(cuda_options(0), 64).make(MR_BF16, 64, 8);
  const int32_t block = 0;
  char text[512] = "";
  Machine kept;
  emulator::machine().fault = true;
  const int32_t first = mr_swap_out(runner->model(), 0, &block, &block, 1, text, sizeof text);
  emulator::machine().fault = false;
  CHECK(first == MR_FAULT || mr_swap_in(runner->model(), 0, &block, &block, 1, text, sizeof text) == MR_FAULT, "%s", text);
}

TEST(weights_that_are_copied_late_are_those_that_were_bound) {
  Llama llama;
  Random random(41);
  Sequence a = sequence(9, random), b = a;
  for (int type : {MR_BF16, MR_Q4_K}) {
    Sequence x = a, y = a;
    std::vector<float> expected = llama.runner(cuda_options(0), type, 1)->step({&x}, {9}, kVocabulary);
    Machine kept;
    emulator::machine().late = true;
    std::vector<float> late = llama.runner(cuda_options(0), type, 1)->step({&y}, {9}, kVocabulary);
    CHECK(same_bits(late.data(), expected.data(), expected.size()), "type %d", type);
  }
}

TEST(a_kernel_that_faults_fails_its_step) {
  Llama llama;
  Random random(37);
  auto runner = llama.runner(cuda_options(0), MR_BF16, 1);
  int32_t token = 1, position = 0, slot = 0, starts[2] = {0, 1}, length = 1, block = 0, row = 0;
  float logits[kVocabulary];
  mr_step step{1, 1, 1, 1, &token, &position, &slot, starts, &length, &block, &row, logits};
  char text[512] = "";
  Machine kept;
  emulator::machine().fault = true;
  CHECK(mr_run(runner->model(), &step, text, sizeof text) == MR_FAULT && has(text, "unspecified launch failure"), "%s", text);
  emulator::machine().fault = false;
  CHECK(mr_run(runner->model(), &step, text, sizeof text) == MR_FAULT, "nothing runs after a fault: %s", text);
}

TEST(a_copy_of_blocks_that_fails_takes_along_what_was_submitted) {
  Llama llama;
  Machine kept;
  auto runner = llama.runner(cuda_options(0), MR_BF16, 1);
  int32_t token = 1, position = 0, slot = 0, starts[2] = {0, 1}, length = 1, block = 0, row = 0, to = 1;
  mr_step step{1, 1, 1, 1, &token, &position, &slot, starts, &length, &block, &row, nullptr};
  mr_sampling how{};
  how.chooses = 1;
  how.logprobs = how.last = how.mask_at = how.draft = -1;
  mr_sampled first, out;
  char text[512] = "";
  CHECK(mr_submit(runner->model(), &step, &how, nullptr, 0, text, sizeof text) == MR_OK, "%s", text);
  CHECK(mr_collect(runner->model(), &first, nullptr, text, sizeof text) == MR_OK, "%s", text);
  token = 2;
  CHECK(mr_submit(runner->model(), &step, &how, nullptr, 0, text, sizeof text) == MR_OK, "%s", text);
  emulator::machine().allocations = 0;
  CHECK(mr_copy_blocks(runner->model(), 0, &block, &to, 1, text, sizeof text) == MR_MEMORY && has(text, "copies of KV blocks"), "%s", text);
  emulator::machine().allocations = -1;
  CHECK(mr_collect(runner->model(), &out, nullptr, text, sizeof text) == MR_INVALID, "%s", text);
  CHECK(mr_copy_blocks(runner->model(), 0, &block, &to, 1, text, sizeof text) == MR_OK, "%s", text);
  token = 1;
  for (int i = 0; i < MR_STEPS; i++) CHECK(mr_submit(runner->model(), &step, &how, nullptr, 0, text, sizeof text) == MR_OK, "%s", text);
  CHECK(mr_collect(runner->model(), &out, nullptr, text, sizeof text) == MR_OK && out.id == first.id, "%d, expected %d: %s", out.id, first.id, text);
}

TEST(a_fault_shows_when_a_submitted_step_is_collected) {
  Llama llama;
  Random random(38);
  Machine kept;
  emulator::machine().late = true;
  auto runner = llama.runner(cuda_options(0), MR_BF16, 1);
  int32_t token = 1, position = 0, slot = 0, starts[2] = {0, 1}, length = 1, block = 0, row = 0;
  mr_step step{1, 1, 1, 1, &token, &position, &slot, starts, &length, &block, &row, nullptr};
  mr_sampling how{};
  how.chooses = 1;
  how.logprobs = how.last = how.mask_at = how.draft = -1;
  mr_sampled out;
  char text[512] = "";
  CHECK(mr_submit(runner->model(), &step, &how, nullptr, 0, text, sizeof text) == MR_OK, "%s", text);
  CHECK(mr_submit(runner->model(), &step, &how, nullptr, 0, text, sizeof text) == MR_OK, "%s", text);
  CHECK(mr_collect(runner->model(), &out, nullptr, text, sizeof text) == MR_OK && out.status == MR_ROW_CHOSEN, "%s", text);
  token = -1;
  emulator::machine().fault = true;
  CHECK(mr_submit(runner->model(), &step, &how, nullptr, 0, text, sizeof text) == MR_OK, "%s", text);
  CHECK(mr_collect(runner->model(), &out, nullptr, text, sizeof text) == MR_FAULT, "%s", text);
  CHECK(mr_collect(runner->model(), &out, nullptr, text, sizeof text) == MR_INVALID, "what was submitted is gone: %s", text);
}

}  // namespace millrace::test
