// Products of few rows, by blocks of eight warps. Warps share the chunks of their outputs, `sharing` of them; those with the same chunk share what they
// read of the rows. So rows cross from L2 once for all outputs of a block, and weights once for up to 64 rows. Blocks of a cluster may share chunks too, so that
// a block has more outputs and fewer columns.
#pragma once
#include "core/cluster.h"
#include "kernels/stream.h"

namespace millrace::cuda {

// Block (rows, tiles, head), so that weights come from memory once for all rows: kProductWarps / sharing * kTiles tiles of 16 outputs, 8 * kTokens rows.
template <class Math, Store kStore, int kTokens, int kTiles>
__global__ void __launch_bounds__(kProductWarps* kWarp, TileShape<Math, kStore, kTokens, kTiles>::kRoom.two_blocks ? 2 : 1) tile_kernel(const __grid_constant__ ProductArguments arguments) {
  using Shape = TileShape<Math, kStore, kTokens, kTiles>;
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
  const int cluster = arguments.cluster, rank = cluster > 1 ? cluster_rank<kProductWarps * kWarp>() : 0;
  const int warp = threadIdx.x / kWarp % kProductWarps, lane = threadIdx.x % kWarp;
  // Warps with the same outputs, and the running one's number among them: those of a block, then those of the next.
  const int in_block = arguments.sharing, sharing = in_block * cluster, share = rank * in_block + warp % in_block, members = kProductWarps / in_block;
  const int tile = (take_part(p, arguments.p.parts, members * kTiles, blockIdx.y) * members + warp / in_block) * kTiles;
  memory = shared_of_block(memory, rank, arguments.shared_bytes);
  const bool of_experts = arguments.experts.tiles != nullptr;

  const int stages = arguments.stages;
  Stream<Math, kStore, kTokens, kTiles> stream{p.w, p.x, memory + warp * stages * Shape::kOwnStage,
                                               memory + stages * (kProductWarps * Shape::kOwnStage + warp % in_block * Shape::kCommonStage),
                                               stages, tile, lane, share, sharing, warp / in_block, members};
  if (!of_experts) {
    stream.begin_weights();
    stream.ask_weights();
  }
  await_launches();
  const int row_tile = cluster_index(cluster);
  TileRows rows{row_tile * 8 * kTokens, 0, nullptr};
  if (of_experts) {
    if (row_tile >= *arguments.experts.tile_count) return;
    const ExpertTile expert = arguments.experts.tiles[row_tile];
    p.w = arguments.experts.weights[expert.expert];
    rows = {expert.first, expert.first + expert.rows, arguments.experts.source};
    stream.begin_weights();
  } else {
    rows.end = min(*arguments.rows.count, rows.first + 8 * kTokens);
    if (rows.first >= rows.end) {
      close_copies();
      wait_for_copies<0>();
      return;
    }
  }
  stream.begin_rows(rows);
  stream.begin(of_experts);

  const float level = kStore == Store::kCode4 ? lane_level(p.w, lane) : 0.0f;
  // Halves of a step have factors of their own.
  const bool apart = kIsCode<kStore> && p.w.group_columns < kStepColumns;
  Runs runs(p.w);
  // With `sharing` 1 all sums of a thread; else of each piece of them every `sharing`th, from `share` on.
  float total[Shape::kTotals];
#pragma unroll
  for (int i = 0; i < Shape::kTotals; i++) total[i] = 0;
  float* piece_at = reinterpret_cast<float*>(memory + stages * (kProductWarps * Shape::kOwnStage + in_block * Shape::kCommonStage)) + lane;
  bool second = false;
  const int chunks = (p.w.steps + kChunkSteps - 1) / kChunkSteps;
  for (int chunk = 0; chunk < chunks; chunk += sharing) {
    Tile<kTokens> sums[kTiles];
    const bool mine = chunk + share < chunks;
    if (mine) {
      const int first = (chunk + share) * kChunkSteps, end = min(p.w.steps, first + kChunkSteps);
#pragma unroll
      for (int t = 0; t < kTiles; t++) sums[t].clear();
      LaneFactors factors[kTiles];
      if constexpr (kIsCode<kStore>) runs.begin(first);
      for (int stage_step = first; stage_step < end; stage_step += Shape::kSteps) {
        const int stage = stream.next();
        stream.ask();
#pragma unroll
        for (int u = 0; u < Shape::kSteps; u++) {
          if (u > 0 && stage_step + u >= end) break;
          const uint8_t *own = stream.own + stage * Shape::kOwnStage + u * Shape::kOwnBytes, *common = stream.common + stage * Shape::kCommonStage + u * Shape::kCommonBytes;
          const bool begins = kIsCode<kStore> && ((u == 0 && stage_step == first) || runs.begins());
          Step<Math, kStore> a[kTiles];
#pragma unroll
          for (int t = 0; t < kTiles; t++) {
            a[t].read(p.w, level, own + t * WeightPieces<kStore>::kWarpBytes, own + Shape::kWeightBytes + t * 4 * kFactorBytes, begins, apart, lane, factors[t]);
          }
          if constexpr (kIsCode<kStore>) runs.next();
#pragma unroll
          for (int j = 0; j < kTokens; j++) {
            uint32_t values[2 * Math::kBytes];
            RowPieces<Math>::read(common + j * RowPieces<Math>::kWarpBytes, lane, values);
#pragma unroll
            for (int h = 0; h < 2; h++) {
              const typename Math::B b = Math::b_words(values, h);
#pragma unroll
              for (int t = 0; t < kTiles; t++) Math::multiply(sums[t].sum[j], a[t].half[h], b);
            }
          }
        }
      }
    }
    auto sum_at = [&](int i) { return sums[i / (4 * kTokens)].sum[i / 4 % kTokens].v[i % 4]; };
    if constexpr (Shape::kLeastSharing == 1) {
      if (sharing == 1) {
#pragma unroll
        for (int i = 0; i < Shape::kFloats; i++) total[i] += sum_at(i);
        continue;
      }
    }
    const int count = min(sharing, chunks - chunk);
#pragma unroll
    for (int piece = 0; piece < Shape::kPieces; piece++, second = !second) {
      // Who writes here has met all that read what was here before.
      float* all = piece_at + (second ? Shape::kPieceFloats : 0);
      if (mine) {
#pragma unroll
        for (int i = 0; i < Shape::kPiece; i++) all[(warp * Shape::kPiece + i) * kWarp] = sum_at(piece * Shape::kPiece + i);
      }
      const float* first = all + (warp / in_block * in_block * Shape::kPiece + share) * kWarp;
      auto add = [&](const auto& read) {
#pragma unroll
        for (int k = 0; k < Shape::kPiece / 2; k++) {
          if (k * sharing + share < Shape::kPiece) total[piece * (Shape::kPiece / 2) + k] += read(k * sharing * kWarp);
        }
      };
      if (cluster == 1) {
        __syncthreads();
        for (int s = 0; s < count; s++) add([&](int i) { return first[s * Shape::kPiece * kWarp + i]; });
      } else {
        meet_cluster();
        for (int s = 0; s < count; s++) {
          const PeerPlace peer(first + s % in_block * Shape::kPiece * kWarp, rank, s / in_block, arguments.shared_bytes);
          add([&](int i) { return peer.read(i); });
        }
      }
    }
  }

  if (cluster > 1) meet_cluster();
  auto write = [&](int i, float value) { write_value(p, value, tile + i / (4 * kTokens), i / 4 % kTokens, i % 4, rows, lane); };
  if (Shape::kLeastSharing == 1 && sharing == 1) {
#pragma unroll
    for (int i = 0; i < Shape::kTotals; i++) write(i, total[i]);
    return;
  }
#pragma unroll
  for (int i = 0; i < Shape::kFloats / 2; i++) {
    const int piece = i / (Shape::kPiece / 2), at = i % (Shape::kPiece / 2) * sharing + share;
    if (at < Shape::kPiece) write(piece * Shape::kPiece + at, total[i]);
  }
}

template <class Math, Store kStore, int kTokens, int kTiles>
void multiply_tiles(cudaStream_t stream, const ProductArguments& a) {
  using Shape = TileShape<Math, kStore, kTokens, kTiles>;
  ProductArguments arguments = a;
  arguments.stages = Shape::kRoom.stages(a.sharing, a.cluster, static_cast<int>(most_shared()));
  const int row_tiles = a.experts.tiles ? a.experts.most_tiles() : (a.rows.most + 8 * kTokens - 1) / (8 * kTokens);
  const dim3 grid{static_cast<unsigned>(row_tiles), static_cast<unsigned>(tile_blocks(a.p, kProductWarps / a.sharing * kTiles)),
                  static_cast<unsigned>(a.p.heads.count > 0 ? a.p.heads.count : 1)};
  arguments.shared_bytes = Shape::kRoom.shared_bytes(a.sharing, a.cluster, static_cast<int>(most_shared()));
  allow_shared(tile_kernel<Math, kStore, kTokens, kTiles>, static_cast<size_t>(arguments.shared_bytes));
  launch_clusters(tile_kernel<Math, kStore, kTokens, kTiles>, a.cluster, grid, kProductWarps * kWarp, static_cast<size_t>(arguments.shared_bytes), stream, arguments);
}

}  // namespace millrace::cuda
