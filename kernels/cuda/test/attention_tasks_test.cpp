#include <vector>

#include "check.h"
#include "kernels/launches.h"
#include "step_tasks.h"

namespace millrace::test {
namespace {

// Sequences of which each has so many rows at the end of so long a context.
struct Rows {
  int rows, context;
};

cuda::TaskList plan(const cuda::AttentionKind& kind, const std::vector<Rows>& sequences, int64_t workers) {
  std::vector<int32_t> starts = {0}, positions, lengths;
  for (const Rows& s : sequences) {
    for (int i = 0; i < s.rows; i++) positions.push_back(s.context - s.rows + i);
    starts.push_back(static_cast<int32_t>(positions.size()));
    lengths.push_back(s.context);
  }
  mr_step step{};
  step.rows = starts.back();
  step.sequences = static_cast<int32_t>(sequences.size());
  step.positions = positions.data();
  step.query_start = starts.data();
  step.context_len = lengths.data();
  return cuda::plan_attention(kind, step, workers);
}

}  // namespace

TEST(attention_tasks_of_more_rows_than_a_warp_has_are_of_blocks_and_come_first) {
  const cuda::AttentionKind kind{0, 8, 2, 0, cuda::kBlockTile};
  // Four heads of a group: four tokens are a warp's, sixteen a block's.
  const cuda::TaskList list = plan(kind, {{1, 3000}, {4, 500}, {5, 600}, {33, 900}}, 1);
  CHECK(list.tasks.size() == 6 && list.of_blocks == 3 && list.merges.empty(), "%zu tasks, %d of blocks", list.tasks.size(), list.of_blocks);
  int rows = 0;
  for (size_t i = 0; i < list.tasks.size(); i++) {
    const cuda::AttentionTask& task = list.tasks[i];
    rows += task.rows;
    const bool of_block = i < static_cast<size_t>(list.of_blocks);
    CHECK(of_block == task.rows * 4 > cuda::kQueryTile && task.rows * 4 <= cuda::kBlockTile && task.partial < 0, "task %zu has %d rows", i, task.rows);
    if (i > 0 && i != static_cast<size_t>(list.of_blocks)) {
      const cuda::AttentionTask& before = list.tasks[i - 1];
      CHECK(before.chunk1 - before.chunk0 >= task.chunk1 - task.chunk0, "task %zu is longer than the one before", i);
    }
  }
  CHECK(rows == 43, "%d rows", rows);
}

TEST(few_attention_tasks_are_split_by_chunks_and_have_a_piece_of_partial_results_for_each_16_rows) {
  const cuda::AttentionKind kind{0, 8, 2, 0, cuda::kBlockTile};
  const cuda::TaskList list = plan(kind, {{1, 700}, {10, 600}, {1, 200}}, 1000);
  CHECK(list.tasks.size() == 7 && list.of_blocks == 3 && list.merges.size() == 2, "%zu tasks, %d of blocks, %zu merged", list.tasks.size(), list.of_blocks, list.merges.size());
  CHECK(list.partials == 3 + 3 * 3, "%d pieces", list.partials);
  std::vector<bool> taken(static_cast<size_t>(list.partials));
  for (const cuda::AttentionTask& task : list.tasks) {
    for (int i = 0; task.partial >= 0 && i < cuda::partial_pieces(task.rows * 4); i++) {
      CHECK(!taken[static_cast<size_t>(task.partial + i)], "piece %d twice", task.partial + i);
      taken[static_cast<size_t>(task.partial + i)] = true;
    }
  }
  // Enough warps are at work without.
  CHECK(plan(kind, {{1, 700}, {10, 600}}, 8).merges.empty());
}

TEST(attention_tasks_of_latents_are_of_warps_however_many_rows_there_are) {
  const cuda::TaskList list = plan({0, 8, 1, 0, cuda::kQueryTile}, {{40, 40}}, 1);
  CHECK(list.tasks.size() == 20 && list.of_blocks == 0, "%zu tasks, %d of blocks", list.tasks.size(), list.of_blocks);
}

}  // namespace millrace::test
