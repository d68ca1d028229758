// Products with weights, all by one rule: an output is summed in chunks of 256 columns, each from zero in ascending order, and the chunks are
// added in ascending order. So the few rows of a decode, whose chunks are shared by the warps of a block, and the many of a prefill (panels.cu),
// where a warp takes all chunks of its outputs, get the same bits, whoever else is in the batch.
#include "kernels/product.h"

namespace millrace::cuda {
namespace {

// Steps that a thread has on their way, and the one that it works on.
constexpr int kStages = 4;

// What one warp has of a stage in shared memory: weights, then 8 rows after 8 rows.
template <class Math, Store kStore, int kTokens>
constexpr int kStageBytes = WeightPieces<kStore>::kWarpBytes + kTokens * RowPieces<Math>::kWarpBytes;

// The steps of a warp's chunks one after the other, copied ahead. A thread reads only what it has copied itself, so nobody waits for others.
template <class Math, Store kStore, int kTokens>
struct Stream {
  const WeightView& w;
  uint8_t* ring;
  int tile, lane, share, sharing;
  const typename Math::Value* rows[kTokens] = {};
  // How many were asked for, and where the next goes.
  int asked = 0, place = 0;

  // Copies a step when there is one, and closes its group in any case.
  __device__ __forceinline__ void ask(bool weights = true) {
    const int step = (asked / kChunkSteps * sharing + share) * kChunkSteps + asked % kChunkSteps;
    if (tile < w.tiles && step < w.steps) {
      uint8_t* to = ring + place * kStageBytes<Math, kStore, kTokens>;
      if (weights) WeightPieces<kStore>::copy(to, weights_at(w, kStore, tile, step, lane), lane);
      to += WeightPieces<kStore>::kWarpBytes;
#pragma unroll
      for (int j = 0; j < kTokens; j++, to += RowPieces<Math>::kWarpBytes) {
        RowPieces<Math>::copy(to, reinterpret_cast<const uint8_t*>(rows[j] + static_cast<int64_t>(step) * kStepColumns), lane);
      }
    }
    close_copies();
    asked++;
    place = place + 1 == kStages ? 0 : place + 1;
  }
  // Weights of the first steps, which no launch before this one writes.
  __device__ __forceinline__ void ask_weights() const {
#pragma unroll
    for (int i = 0; i < kStages - 1; i++) {
      const int step = share * kChunkSteps + i;
      if (tile < w.tiles && step < w.steps) WeightPieces<kStore>::copy(ring + i * kStageBytes<Math, kStore, kTokens>, weights_at(w, kStore, tile, step, lane), lane);
    }
  }
  // The first steps; the first group has weights that were asked for before it.
  __device__ __forceinline__ void begin(bool weights) {
#pragma unroll
    for (int i = 0; i < kStages - 1; i++) ask(weights);
  }
  // The next step's place. What is asked for after it was used takes the place of the one before.
  __device__ __forceinline__ const uint8_t* next() {
    wait_for_copies<kStages - 2>();
    return ring + (place + 1 == kStages ? 0 : place + 1) * kStageBytes<Math, kStore, kTokens>;
  }
};

// Block (tiles, rows, head): kProductWarps / sharing tiles of 16 outputs, 8 * kTokens rows.
template <class Math, Store kStore, int kTokens>
__global__ void __launch_bounds__(kProductWarps* kWarp, 1) linear_kernel(const __grid_constant__ ProductArguments arguments) {
  MR_SHARED_MEMORY(uint8_t, memory);
  allow_next_launch();
  Product p = arguments.p;
  if (p.heads.count > 0) {
    const int head = blockIdx.z;
    p.w.values += head * p.heads.weight_bytes;
    p.x.values = static_cast<typename Math::Value*>(p.x.values) + static_cast<int64_t>(head) * p.x.stride;
    p.x.stride *= p.heads.count;
    p.out.data += static_cast<int64_t>(head) * p.heads.out_step;
  }
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int sharing = arguments.sharing, share = warp % sharing;
  const int tiles = kProductWarps / sharing;
  const int tile = take_part(p, arguments.p.parts, tiles) * tiles + warp / sharing;
  const bool of_experts = arguments.experts.tiles != nullptr;

  constexpr int kRing = kStages * kStageBytes<Math, kStore, kTokens>;
  Stream<Math, kStore, kTokens> stream{p.w, memory + warp * kRing, tile, lane, share, sharing};
  if (!of_experts) stream.ask_weights();
  await_launches();
  TileRows rows{static_cast<int>(blockIdx.y) * 8 * kTokens, 0, nullptr};
  if (of_experts) {
    if (static_cast<int>(blockIdx.y) >= *arguments.experts.tile_count) return;
    const ExpertTile expert = arguments.experts.tiles[blockIdx.y];
    p.w = arguments.experts.weights[expert.expert];
    rows = {expert.first, expert.first + expert.rows, arguments.experts.source};
  } else {
    rows.end = min(*arguments.rows.count, rows.first + 8 * kTokens);
    if (rows.first >= rows.end) {
      close_copies();
      wait_for_copies<0>();
      return;
    }
  }
  const bool there = tile < p.w.tiles;
#pragma unroll
  for (int j = 0; j < kTokens; j++) {
    stream.rows[j] = static_cast<const typename Math::Value*>(p.x.values) + static_cast<int64_t>(rows.input(8 * j + lane / 4)) * p.x.stride + lane % 4 * 8;
  }
  stream.begin(of_experts);

  Tile<kTokens> total;
  total.clear();
  auto* partials = reinterpret_cast<float*>(memory + kProductWarps * kRing);
  const int chunks = (p.w.steps + kChunkSteps - 1) / kChunkSteps;
  constexpr int kFloats = kTokens * 4 * kWarp;
  for (int chunk = 0; chunk < chunks; chunk += sharing) {
    ChunkSums<Math, kStore, kTokens> sums;
    const bool mine = there && chunk + share < chunks;
    if (mine) {
      const int first = (chunk + share) * kChunkSteps, end = min(p.w.steps, first + kChunkSteps);
      sums.clear(chunk + share);
      for (int step = first; step < end; step++) {
        const uint8_t* from = stream.next();
        uint32_t words[lane_bytes(kStore) / 4], values[kTokens][2 * Math::kBytes];
        WeightPieces<kStore>::read(from, lane, words);
#pragma unroll
        for (int j = 0; j < kTokens; j++) RowPieces<Math>::read(from + WeightPieces<kStore>::kWarpBytes + j * RowPieces<Math>::kWarpBytes, lane, values[j]);
        Step<Math, kStore> a;
        a.set(p.w, words);
#pragma unroll
        for (int h = 0; h < 2; h++) {
#pragma unroll
          for (int j = 0; j < kTokens; j++) sums.multiply(j, a.half[h], Math::b_words(values[j], h));
          sums.after(p.w, p.x, rows, tile, step, h, end, lane);
        }
        stream.ask();
      }
    }
    if (sharing == 1) {
      if (mine) total.add(sums.out);
      continue;
    }
    float* own = partials + warp * kFloats + lane;
    if (mine) {
#pragma unroll
      for (int i = 0; i < kTokens * 4; i++) own[i * kWarp] = sums.out.sum[i / 4].v[i % 4];
    }
    __syncthreads();
    if (share == 0 && there) {
      const int count = min(sharing, chunks - chunk);
      for (int s = 0; s < count; s++) {
#pragma unroll
        for (int i = 0; i < kTokens * 4; i++) total.sum[i / 4].v[i % 4] += own[s * kFloats + i * kWarp];
      }
    }
    __syncthreads();
  }
  if (share == 0 && there) write_tile(p, total, tile, rows, lane);
}

template <class Math, Store kStore, int kTokens>
void start(cudaStream_t stream, const ProductArguments& a, int chips) {
  const int heads = a.p.heads.count > 0 ? a.p.heads.count : 1;
  const int row_tiles = a.experts.tiles ? a.experts.most_tiles : (a.rows.most + 8 * kTokens - 1) / (8 * kTokens);
  const int chunks = (a.p.w.steps + kChunkSteps - 1) / kChunkSteps;
  constexpr size_t kRing = size_t{kProductWarps} * kStages * kStageBytes<Math, kStore, kTokens>, kPartials = size_t{kProductWarps} * kTokens * 4 * kWarp * sizeof(float);
  // Where a block has less shared memory (99 KiB) fewer rows go together, or the warps share nothing.
  if constexpr (kTokens > 1) {
    if (kRing + kPartials > most_shared()) return start<Math, kStore, kTokens / 2>(stream, a, chips);
  }
  const int most_sharing = kRing + kPartials > most_shared() ? 1 : kProductWarps;
  ProductArguments arguments = a;
  // Enough warps to keep memory busy, 16 for each multiprocessor.
  arguments.sharing = 1;
  while (arguments.sharing < most_sharing && arguments.sharing < chunks && all_tiles(a.p) * row_tiles * heads * arguments.sharing < chips * 16) arguments.sharing *= 2;
  const int tiles = kProductWarps / arguments.sharing;
  const dim3 grid{static_cast<unsigned>(tile_blocks(a.p, tiles)), static_cast<unsigned>(row_tiles), static_cast<unsigned>(heads)};
  const size_t shared = kRing + (arguments.sharing == 1 ? 0 : kPartials);
  allow_shared(linear_kernel<Math, kStore, kTokens>, shared);
  launch_early(linear_kernel<Math, kStore, kTokens>, grid, kProductWarps * kWarp, shared, stream, arguments);
}

template <class Math, Store kStore>
void start(cudaStream_t stream, const ProductArguments& a, int chips, Tiling tiling) {
  const bool panels = !a.experts.tiles && a.p.heads.count == 0;
  if (tiling == Tiling::kAuto) tiling = choose_tiling(kStore, Math::kBytes == 4, a.rows.most);
  if (!panels && tiling != Tiling::kRows8 && tiling != Tiling::kRows16) tiling = Tiling::kRows16;
  if (a.experts.tiles) tiling = Tiling::kRows8;
  switch (tiling) {
    case Tiling::kAuto:
    case Tiling::kRows8: return start<Math, kStore, 1>(stream, a, chips);
    case Tiling::kRows16: return start<Math, kStore, 2>(stream, a, chips);
    case Tiling::kRows32:
      if constexpr (Math::kBytes == 2) return start<Math, kStore, 4>(stream, a, chips);
      [[fallthrough]];
    case Tiling::kPanels: return multiply_panels<Math, kStore>(stream, a);
  }
}

}  // namespace

// By the rows there may be at most, as measurements say; none were made on a GPU yet.
Tiling choose_tiling(Store, bool f32, int rows) {
  if (rows <= 8) return Tiling::kRows8;
  if (rows <= 16) return Tiling::kRows16;
  return rows <= 64 && !f32 ? Tiling::kRows32 : Tiling::kPanels;
}

void multiply(cudaStream_t stream, RowCount rows, const Product& p, const Experts* experts, int chips, Tiling tiling) {
  const ProductArguments a{p, experts ? *experts : Experts{}, rows, 1};
  if (p.x.f32) {
    switch (p.w.store) {
      case Store::kF32: return start<F32, Store::kF32>(stream, a, chips, tiling);
      case Store::kBf16: return start<F32, Store::kBf16>(stream, a, chips, tiling);
      case Store::kF16: return start<F32, Store::kF16>(stream, a, chips, tiling);
      case Store::kCode8: return start<F32, Store::kCode8>(stream, a, chips, tiling);
      case Store::kCode4: return start<F32, Store::kCode4>(stream, a, chips, tiling);
      case Store::kE4m3: return start<F32, Store::kE4m3>(stream, a, chips, tiling);
    }
  }
  switch (p.w.store) {
    case Store::kF32: return;
    case Store::kBf16: return start<Bf16, Store::kBf16>(stream, a, chips, tiling);
    case Store::kF16: return start<SplitBf16, Store::kF16>(stream, a, chips, tiling);
    case Store::kCode8: return start<Bf16, Store::kCode8>(stream, a, chips, tiling);
    case Store::kCode4: return start<Bf16, Store::kCode4>(stream, a, chips, tiling);
    case Store::kE4m3: return start<Bf16, Store::kE4m3>(stream, a, chips, tiling);
  }
}

}  // namespace millrace::cuda
