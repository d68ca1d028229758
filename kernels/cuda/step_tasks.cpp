#include "step_tasks.h"

#include <algorithm>
#include <cstring>

namespace millrace::cuda {

namespace {

// Of a tile that warps work on: rows of a warp, or of a block's four.
bool is_of_block(const AttentionKind& kind, int rows, int together) { return kind.tile == kBlockTile && rows * together > kQueryTile; }

int chunks_of(const AttentionTask& task) { return task.chunk1 - task.chunk0; }

// A split has to bring a quarter.
bool is_longer(int chunks, int64_t than) { return chunks > 1 && 4 * int64_t{chunks} > 5 * than; }

// Rows of each sequence in tiles of `tokens` at most.
std::vector<AttentionTask> tiles_of(const AttentionKind& kind, const mr_step& step, int tokens) {
  std::vector<AttentionTask> tiles;
  for (int s = 0; s < step.sequences; s++) {
    for (int end = step.query_start[s + 1]; end > step.query_start[s]; end -= tokens) {
      AttentionTask task{};
      task.sequence = s;
      task.row0 = std::max(step.query_start[s], end - tokens);
      task.rows = end - task.row0;
      const int first = kind.window > 0 ? std::max(0, step.positions[task.row0] - kind.window + 1) : 0;
      task.chunk0 = first / kAttentionChunk;
      task.chunk1 = step.positions[end - 1] / kAttentionChunk + 1;
      task.partial = -1;
      tiles.push_back(task);
    }
  }
  return tiles;
}

// Chunks beyond which tiles are split: the share of a worker; or those of the longest tile for whose partial results there is no room, as nothing is done
// before it is.
int64_t longest_whole(std::vector<AttentionTask> tiles, int64_t share, int together, int64_t room) {
  std::stable_sort(tiles.begin(), tiles.end(), [](const AttentionTask& a, const AttentionTask& b) { return chunks_of(a) > chunks_of(b); });
  for (const AttentionTask& tile : tiles) {
    const int chunks = chunks_of(tile);
    if (!is_longer(chunks, share)) break;
    room -= int64_t{chunks} * partial_pieces(tile.rows * together);
    if (room < 0) return chunks;
  }
  return share;
}

}  // namespace

TaskList plan_attention(const AttentionKind& kind, const mr_step& step, int64_t workers, int64_t room) {
  TaskList list;
  const int together = heads_together(kind.heads, kind.kv_heads, kind.tile);
  const std::vector<AttentionTask> tiles = tiles_of(kind, step, std::max(1, kind.tile / together));
  int64_t all = 0;
  for (const AttentionTask& tile : tiles) all += int64_t{chunks_of(tile)} * (is_of_block(kind, tile.rows, together) ? kBlockTile / kQueryTile : 1);
  all *= head_tiles(kind.heads, kind.kv_heads, kind.tile);
  const int64_t longest = longest_whole(tiles, (all + workers - 1) / workers, together, room);
  for (const AttentionTask& tile : tiles) {
    const int chunks = chunks_of(tile);
    if (!is_longer(chunks, longest)) {
      list.tasks.push_back(tile);
      continue;
    }
    list.merges.push_back({tile.row0, tile.rows, chunks, list.partials});
    for (int c = tile.chunk0; c < tile.chunk1; c++) {
      AttentionTask part = tile;
      part.chunk0 = c;
      part.chunk1 = c + 1;
      part.partial = list.partials;
      list.partials += partial_pieces(tile.rows * together);
      list.tasks.push_back(part);
    }
  }
  auto before = [&](const AttentionTask& a, const AttentionTask& b) {
    const bool first = is_of_block(kind, a.rows, together), second = is_of_block(kind, b.rows, together);
    return first != second ? first : chunks_of(a) > chunks_of(b);
  };
  std::stable_sort(list.tasks.begin(), list.tasks.end(), before);
  list.of_blocks = static_cast<int>(std::count_if(list.tasks.begin(), list.tasks.end(), [&](const AttentionTask& t) { return is_of_block(kind, t.rows, together); }));
  return list;
}

StepShape StepShape::of_rows(int most_rows, int logit_rows_of_step) const {
  // Each sequence has a row, and so has each tile that is merged.
  StepShape shape = *this;
  shape.rows = std::min(rows, most_rows);
  shape.logit_rows = std::min(logit_rows, std::max(shape.rows, logit_rows_of_step));
  shape.sequences = std::min(sequences, shape.rows);
  shape.merges = std::min(merges, shape.rows);
  return shape;
}

std::vector<Stretch> write_step(const mr_step& s, const StepShape& shape, const StepTasks& tasks, int32_t* to) {
  // In the order of places.
  std::vector<Stretch> stretches = {{0, shape.tokens()}};
  auto put = [&](int64_t at, const void* from, size_t ints) {
    if (ints == 0) return;
    std::memcpy(to + at, from, ints * sizeof(int32_t));
    if (at - stretches.back().to > kMostBetween) stretches.push_back({at, at});
    stretches.back().to = at + static_cast<int64_t>(ints);
  };
  std::fill_n(to, shape.tokens(), 0);
  to[shape.counts() + kRowCount] = s.rows;
  to[shape.counts() + kLogitRowCount] = s.logit_rows;
  to[shape.table_width_at()] = s.table_width;
  const auto rows = static_cast<size_t>(s.rows), table = static_cast<size_t>(s.sequences) * static_cast<size_t>(s.table_width);
  put(shape.tokens(), s.tokens, rows);
  put(shape.positions(), s.positions, rows);
  put(shape.logit_row(), s.logit_row, static_cast<size_t>(s.logit_rows));
  for (int g = 0; g < shape.groups; g++) put(shape.slots(g), s.slots + int64_t{g} * s.rows, rows);
  for (int k = 0; k < shape.kinds; k++) {
    const TaskList& list = tasks[static_cast<size_t>(k)];
    to[shape.task_counts(k)] = static_cast<int32_t>(list.tasks.size());
    to[shape.task_counts(k) + 1] = static_cast<int32_t>(list.merges.size());
    to[shape.task_counts(k) + 2] = list.of_blocks;
    put(shape.merge_list(k), list.merges.data(), list.merges.size() * StepShape::kMergeInts);
  }
  for (int k = 0; k < shape.kinds; k++) {
    const TaskList& list = tasks[static_cast<size_t>(k)];
    put(shape.task_list(k), list.tasks.data(), list.tasks.size() * StepShape::kTaskInts);
  }
  for (int g = 0; g < shape.groups; g++) put(shape.block_table(g), s.block_table + static_cast<int64_t>(table) * g, table);
  return stretches;
}

}  // namespace millrace::cuda
