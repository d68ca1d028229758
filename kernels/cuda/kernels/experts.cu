// Mixtures of experts: who is chosen, in which order their rows stand, and the sum of what they give.
#include "core/copies.h"
#include "kernels/ahead.h"
#include "kernels/choose.h"
#include "kernels/launches.h"

namespace millrace::cuda {
namespace {

constexpr int kThreads = 256;
// Of kernels that few blocks run.
constexpr int kMostThreads = 512;
// Blocks of a launch up to which several share a row.
constexpr int kPartBlocks = 128;
// Rows up to which each warp has one of them for its logits, and up to which it has 4.
constexpr int kFewRows = 8, kSomeRows = 128;

// Warps of a block that works out logits, side by side over experts.
constexpr int kExpertWarps = 4;
// And over rows, where a warp has several.
template <int kRows>
constexpr int kRowWarps = kRows > 1 ? 2 : 1;

// What several experts and rows have in a column.
template <int kExperts, int kRows>
struct Column {
  float w[kExperts], x[kRows];
};

// Block (rows, experts): a warp has so many experts of so many rows, and what it reads of each serves all of the others. A logit is the sum of what its
// lanes have added up, in an order that does not depend on that.
template <int kExperts, int kRows, int kAhead>
__global__ void __launch_bounds__(kExpertWarps * kRowWarps<kRows> * kWarp) router_logits_kernel(RowCount rows, RouteArguments p) {
  static_assert(kExperts * kRows <= kWarp);
  allow_next_launch();
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int first = static_cast<int>(blockIdx.y * kExpertWarps + warp % kExpertWarps) * kExperts, count = min(kExperts, p.experts - first);
  const float* weights = p.weight + static_cast<int64_t>(first) * p.columns;
  constexpr int kEach = kPrefetchedBytes / sizeof(float);
  for (int i = lane * kEach; blockIdx.x == 0 && warp < kExpertWarps && i < count * p.columns; i += kWarp * kEach) prefetch(weights + i);
  await_launches();
  const int all_rows = *rows.count, first_row = static_cast<int>(blockIdx.x * kRowWarps<kRows> + warp / kExpertWarps) * kRows;
  if (first_row >= all_rows || count <= 0) return;
  // Those beyond the last are the last again.
  const float *w[kExperts], *x[kRows];
#pragma unroll
  for (int e = 0; e < kExperts; e++) w[e] = weights + static_cast<int64_t>(min(e, count - 1)) * p.columns;
#pragma unroll
  for (int r = 0; r < kRows; r++) x[r] = p.x.data + min(first_row + r, all_rows - 1) * p.x.stride;
  float sums[kExperts][kRows] = {};
  auto load = [&](int i) {
    Column<kExperts, kRows> column;
#pragma unroll
    for (int e = 0; e < kExperts; e++) column.w[e] = w[e][i];
#pragma unroll
    for (int r = 0; r < kRows; r++) column.x[r] = x[r][i];
    return column;
  };
  ahead<kAhead>(lane, p.columns, kWarp, load, [&](int, const Column<kExperts, kRows>& column) {
#pragma unroll
    for (int e = 0; e < kExperts; e++) {
#pragma unroll
      for (int r = 0; r < kRows; r++) sums[e][r] = fmaf(column.x[r], column.w[e], sums[e][r]);
    }
  });
  // Each lane keeps one.
  float own = 0;
#pragma unroll
  for (int e = 0; e < kExperts; e++) {
#pragma unroll
    for (int r = 0; r < kRows; r++) {
      float sum = sums[e][r];
      for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(kWholeWarp, sum, bits);
      if (lane == r * kExperts + e) own = sum;
    }
  }
  const int e = lane % kExperts, row = first_row + lane / kExperts;
  if (lane < kExperts * kRows && e < count && row < all_rows) p.logits[static_cast<int64_t>(row) * p.experts + first + e] = own;
}

// Block: a row, which a warp has.
__global__ void __launch_bounds__(kWarp) route_kernel(RowCount rows, RouteArguments p) {
  MR_SHARED_MEMORY(float, memory);
  allow_next_launch();
  await_launches();
  const int row = blockIdx.x, lane = threadIdx.x;
  if (row >= *rows.count) return;
  const float* logits = p.logits + static_cast<int64_t>(row) * p.experts;
  ahead<4>(lane, p.experts, kWarp, [&](int e) { return logits[e]; }, [&](int e, float logit) { memory[e] = logit; });
  __syncwarp();
  float* tops = memory + p.experts;
  auto* open = reinterpret_cast<uint8_t*>(tops + p.groups);
  const Chosen how{p.experts, p.active, p.groups, p.kept, p.renormalise, p.scale};
  auto* ids = reinterpret_cast<int32_t*>(p.ids.data + row * p.ids.stride);
  float* weights = p.weights.data + row * p.weights.stride;
  if (p.active <= kWarp) {
    choose_by_warp(how, memory, tops, open, ids, weights);
  } else if (lane == 0) {
    choose(how, memory, open, ids, weights);
  }
}

// The pairs that lanes of a warp have side by side, of which some are wanted: where this lane's is among them.
__device__ inline int place_among(unsigned wanted, int lane) { return __popc(wanted & ((1u << lane) - 1)); }

// Where the rows and the tiles of each expert begin, from how many rows each has: by a warp.
__device__ inline void begin_experts(const SortArguments& p, int32_t* starts, int32_t* tile_starts) {
  const int lane = threadIdx.x % kWarp;
  int at = 0, tiles = 0;
  for (int first = 0; first < p.experts; first += kWarp) {
    const int e = first + lane, n = e < p.experts ? starts[e] : 0, own_tiles = (n + p.tile_rows - 1) / p.tile_rows;
    int rows_to = n, tiles_to = own_tiles;
    for (int distance = 1; distance < kWarp; distance *= 2) {
      const int rows_before = __shfl_sync(kWholeWarp, rows_to, lane - distance), tiles_before = __shfl_sync(kWholeWarp, tiles_to, lane - distance);
      if (lane >= distance) {
        rows_to += rows_before;
        tiles_to += tiles_before;
      }
    }
    if (e < p.experts) {
      starts[e] = at + rows_to - n;
      tile_starts[e] = tiles + tiles_to - own_tiles;
    }
    at += __shfl_sync(kWholeWarp, rows_to, kWarp - 1);
    tiles += __shfl_sync(kWholeWarp, tiles_to, kWarp - 1);
  }
  if (lane > 0) return;
  starts[p.experts] = at;
  p.counts[kExpertRowCount] = at;
  p.counts[kExpertTileCount] = tiles;
}

// Runs of pairs that a warp each sorts, with counts of their own of all experts: as many as these may take of shared memory.
constexpr int kMostRuns = kMostThreads / kWarp, kRunCounts = 8192;
static_assert(kRunCounts >= kMostExperts);
inline int sorted_runs(int experts) { return experts * kMostRuns > kRunCounts ? kRunCounts / experts : kMostRuns; }

// One block. Places of an expert are in the order of rows: those of a run after those of the run before.
__global__ void __launch_bounds__(kMostThreads, 1) sort_kernel(RowCount rows, SortArguments p, int runs) {
  MR_SHARED_MEMORY(int32_t, starts);
  allow_next_launch();
  await_launches();
  int32_t *tile_starts = starts + p.experts + 1, *counts = tile_starts + p.experts;
  const int pairs = *rows.count * p.active, lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int length = (pairs + runs - 1) / runs, begin = warp < runs ? min(warp * length, pairs) : pairs, end = min(begin + length, pairs);
  int32_t* own = counts + warp * p.experts;
  auto id = [&](int pair) { return reinterpret_cast<const int32_t*>(p.ids.data + pair / p.active * p.ids.stride)[pair % p.active]; };
  for (int i = threadIdx.x; i < runs * p.experts; i += kMostThreads) counts[i] = 0;
  __syncthreads();
  ahead<4>(begin + lane, end, kWarp, id, [&](int, int e) { atomicAdd(&own[e], 1); });
  __syncthreads();
  for (int e = threadIdx.x; e < p.experts; e += kMostThreads) {
    int all = 0;
    for (int run = 0; run < runs; run++) all += counts[run * p.experts + e];
    starts[e] = all;
  }
  __syncthreads();
  if (warp == 0) begin_experts(p, starts, tile_starts);
  __syncthreads();
  for (int e = threadIdx.x; e < p.experts; e += kMostThreads) {
    const int last = starts[e + 1];
    int tile = tile_starts[e], at = starts[e];
    for (int first = at; first < last; first += p.tile_rows) p.tiles[tile++] = {e, first, min(p.tile_rows, last - first)};
    for (int run = 0; run < runs; run++) {
      const int n = counts[run * p.experts + e];
      counts[run * p.experts + e] = at;
      at += n;
    }
  }
  __syncthreads();
  constexpr int kAtOnce = 4;
  for (int first = begin + lane; first - lane < end; first += kAtOnce * kWarp) {
    int ids[kAtOnce];
#pragma unroll
    for (int j = 0; j < kAtOnce; j++) ids[j] = first + j * kWarp < end ? id(first + j * kWarp) : p.experts;
#pragma unroll
    for (int j = 0; j < kAtOnce; j++) {
      const int pair = first + j * kWarp, e = ids[j];
      // The lanes with the same expert.
      unsigned same = kWholeWarp;
      for (int bit = 1; bit <= p.experts; bit *= 2) {
        const unsigned with = __ballot_sync(kWholeWarp, e & bit);
        same &= e & bit ? with : ~with;
      }
      const int place = e < p.experts ? own[e] + place_among(same, lane) : 0;
      __syncwarp();
      if (e < p.experts) {
        if ((same >> lane) == 1) own[e] = place + 1;
        p.place[pair] = place;
        p.source[place] = pair / p.active;
      }
      __syncwarp();
    }
  }
}

// Block (row, part of its columns).
__global__ void __launch_bounds__(kThreads, 2) combine_kernel(RowCount rows, RowView x, const int32_t* place, RowView weights, int active, RowView out, int width) {
  allow_next_launch();
  await_launches();
  const int row = blockIdx.x;
  if (row >= *rows.count) return;
  for (int i = blockIdx.y * kThreads + threadIdx.x; i < width; i += gridDim.y * kThreads) {
    float sum = 0;
    auto load = [&](int k) { return Two{weights.data[row * weights.stride + k], x.data[place[row * active + k] * x.stride + i]}; };
    ahead<8>(0, active, 1, load, [&](int, const Two& v) { sum = fmaf(v.a, v.b, sum); });
    out.data[row * out.stride + i] = sum;
  }
}

template <int kExperts, int kRows, int kAhead>
void find_router_logits(cudaStream_t stream, RowCount rows, const RouteArguments& p) {
  constexpr int kOfBlock = kRowWarps<kRows> * kRows;
  const dim3 grid(static_cast<unsigned>((rows.most + kOfBlock - 1) / kOfBlock), static_cast<unsigned>((p.experts + kExpertWarps * kExperts - 1) / (kExpertWarps * kExperts)));
  launch_early(router_logits_kernel<kExperts, kRows, kAhead>, grid, kExpertWarps * kRowWarps<kRows> * kWarp, 0, stream, rows, p);
}

}  // namespace

// Few rows want many warps that wait for memory, many rows few reads.
void route(cudaStream_t stream, RowCount rows, const RouteArguments& p) {
  const size_t shared = (static_cast<size_t>(p.experts) + static_cast<size_t>(p.groups)) * sizeof(float) + static_cast<size_t>(p.experts);
  if (rows.most <= kFewRows) {
    find_router_logits<1, 1, 16>(stream, rows, p);
  } else if (rows.most <= kSomeRows) {
    find_router_logits<2, 4, 8>(stream, rows, p);
  } else {
    find_router_logits<4, 8, 4>(stream, rows, p);
  }
  allow_shared(route_kernel, shared);
  launch_early(route_kernel, rows.most, kWarp, shared, stream, rows, p);
}

void sort_by_expert(cudaStream_t stream, RowCount rows, const SortArguments& p) {
  const int runs = sorted_runs(p.experts);
  const size_t shared = (static_cast<size_t>(2 + runs) * static_cast<size_t>(p.experts) + 1) * sizeof(int32_t);
  allow_shared(sort_kernel, shared);
  launch_early(sort_kernel, 1, kMostThreads, shared, stream, rows, p, runs);
}

void combine(cudaStream_t stream, RowCount rows, RowView x, const int32_t* place, RowView weights, int active, RowView out, int width) {
  const int parts = rows.most > kPartBlocks / 2 ? 1 : (width + kThreads - 1) / kThreads;
  launch_early(combine_kernel, {static_cast<unsigned>(rows.most), static_cast<unsigned>(parts)}, kThreads, 0, stream, rows, x, place, weights, active, out, width);
}

}  // namespace millrace::cuda
