// Says of each kernel how many threads and how much dynamic shared memory the launches of it ask for at most on a chip, within what a model may be
// (Model::check_shared). The launches are those of the engine, written down instead of run. Prints lines: address of the kernel, chip, threads, bytes.
#include <algorithm>
#include <cstdio>
#include <map>

#include "kernels/rows.h"
#include "kernels/sampling.h"
#include "kernels/swap.h"
#include "millrace.h"

namespace millrace::cuda {
namespace {

struct Chip {
  const char* name;
  int major, minor;
  size_t shared_bytes;
};
// Those that there is code for, and those that give a block the least.
constexpr Chip kChips[] = {{"sm_80", 8, 0, 163 << 10}, {"sm_86", 8, 6, 99 << 10}, {"sm_90a", 9, 0, 227 << 10}};
constexpr int kMultiprocessors = 132;
const RowCount kRows{4096, nullptr};

void ask_products(cudaStream_t stream, const ChipShape& shape) {
  for (Store store : {Store::kF32, Store::kBf16, Store::kF16, Store::kCode8, Store::kCode4, Store::kE4m3}) {
    for (bool f32 : {false, true}) {
      Product p{};
      p.w.store = store;
      p.w.tiles = 1;
      p.w.steps = 512;
      p.x.f32 = f32;
      for (Tiling tiling : {Tiling::kRows8, Tiling::kRows16, Tiling::kWide8, Tiling::kWide16, Tiling::kWide32, Tiling::kRows64, Tiling::kPanels}) {
        for (int sharing : {1, 2, 4, 8}) {
          for (int cluster : {1, 2, 4}) {
            const Way way{tiling, sharing, cluster};
            if (is_possible(p, nullptr, way, shape)) multiply(stream, kRows, p, nullptr, kMultiprocessors, way);
          }
        }
      }
      WeightView w{};
      w.store = store;
      w.steps = 8;
      if (store != Store::kF32) expand(stream, w, 0, 1, nullptr, kMultiprocessors);
      if (store == Store::kE4m3) expand_codes(stream, w, 0, 1, nullptr, kMultiprocessors);
    }
  }
}

void ask_attention(cudaStream_t stream, const Chip& chip, const CacheView& cache, bool exact) {
  if (least_shared(cache, exact) > chip.shared_bytes) return;
  AttentionArguments p{};
  p.cache = cache;
  p.heads = 8;
  p.kv_heads = 1;
  p.exact = exact;
  for (bool warpgroups : {false, chip.major == 9}) {
    p.tile = attention_tile(warpgroups, exact, cache.type, cache.key_stride, cache.value_stride, cache.turned_dim > 0);
    attend(stream, p, 1);
    merge_attention(stream, p, 1);
  }
}

void ask_attention(cudaStream_t stream, const Chip& chip) {
  constexpr int kMostDim = 4096;
  for (int type : {MR_F32, MR_F16, MR_BF16, MR_INT8, MR_FP8}) {
    for (bool exact : {false, true}) {
      for (int key = 32; key <= kMostDim; key += 32) {
        for (int value : {16, 32, 64, 96, 128, 256, 512}) {
          CacheView cache{};
          cache.type = type;
          cache.block_tokens = 16;
          cache.key_dim = cache.key_stride = cache_key_stride(key);
          cache.value_dim = value;
          cache.value_stride = cache.value_width = cache_value_stride(value);
          ask_attention(stream, chip, cache, exact);
          // Latents are filled up to whole 32s.
          cache.value_width = cache_key_stride(value);
          cache.turned_dim = 16;
          ask_attention(stream, chip, cache, exact);
        }
      }
    }
  }
}

void ask_others(cudaStream_t stream) {
  RowChain chain{};
  chain.ops[chain.count++] = MapArguments{};
  run_rows(stream, kRows, chain);
  copy_blocks(stream, nullptr, 1 << 20, nullptr, nullptr, 1, nullptr);
  PackArguments pack{};
  pack.count = pack.part_count = 1;
  pack_blocks(stream, pack);
  unpack_blocks(stream, pack);
  RouteArguments routed{};
  routed.experts = kMostExperts;
  routed.groups = kMostExperts;
  for (int rows : {1, 64, 4096}) route(stream, {rows, nullptr}, routed);
  SortArguments sorted{};
  sorted.experts = kMostExperts;
  sort_by_expert(stream, kRows, sorted);
  combine(stream, kRows, {}, nullptr, {}, 8, {}, 4096);
  resolve(stream, kRows, kRows, nullptr, nullptr, nullptr, 1);
  for (int vocabulary : {1 << 10, 1 << 19}) {
    SampleArguments p{};
    p.vocabulary = vocabulary;
    sample(stream, kRows, p);
    verify(stream, kRows, p);
  }
}

// Fails with what the runtime would not launch.
bool tell(const Chip& chip) {
  std::vector<emulator::Launch> asked;
  emulator::machine().major = chip.major;
  emulator::machine().minor = chip.minor;
  emulator::machine().shared_bytes = chip.shared_bytes;
  emulator::machine().asked = &asked;
  cudaStream_t stream = nullptr;
  ask_products(stream, {kMultiprocessors, static_cast<int>(chip.shared_bytes), has_clusters()});
  ask_attention(stream, chip);
  ask_others(stream);
  emulator::machine().asked = nullptr;
  const cudaError_t status = cudaGetLastError();
  if (status != cudaSuccess) std::fprintf(stderr, "a launch that %s would refuse: %s\n", chip.name, cudaGetErrorString(status));
  std::map<const void*, emulator::Launch> most;
  for (const emulator::Launch& launch : asked) {
    emulator::Launch& of_kernel = most.try_emplace(launch.kernel, launch).first->second;
    of_kernel.threads = std::max(of_kernel.threads, launch.threads);
    of_kernel.shared_bytes = std::max(of_kernel.shared_bytes, launch.shared_bytes);
  }
  for (const auto& [kernel, launch] : most) std::printf("%016zx\t%s\t%u\t%zu\n", reinterpret_cast<size_t>(kernel), chip.name, launch.threads, launch.shared_bytes);
  return status == cudaSuccess;
}

}  // namespace
}  // namespace millrace::cuda

int main() {
  bool good = true;
  for (const millrace::cuda::Chip& chip : millrace::cuda::kChips) good = millrace::cuda::tell(chip) && good;
  return good ? 0 : 1;
}
