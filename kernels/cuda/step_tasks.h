// What the host works out for a step: lists of attention tasks, and where a step's integers lie in one array.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/launches.h"
#include "millrace.h"

namespace millrace::cuda {

// Attention ops that see the same rows of the same sequences have the same tasks.
struct AttentionKind {
  int group, heads, kv_heads, window;
  // Query rows of a task.
  int tile;

  bool operator==(const AttentionKind&) const = default;
};

// Floats of a piece of partial results of all head tiles.
inline int64_t piece_floats(const AttentionKind& kind, int value_width) { return head_tiles(kind.heads, kind.kv_heads, kind.tile) * partial_floats(value_width); }

// Tasks of one kind.
struct TaskList {
  std::vector<AttentionTask> tasks;
  std::vector<MergeTask> merges;
  // How many of the tasks are for whole blocks; they come first.
  int of_blocks = 0;
  // Partial results of each head tile, in pieces of kQueryTile query rows.
  int partials = 0;
};

// Rows of each sequence in tiles, those of whole blocks and of those the longest contexts first. A tile whose chunks are by a quarter more than the share of
// a worker is split by chunks, the longest first, as far as there is room. `workers`: how many warps, or blocks that work together, the device can have
// at work; `room`: for so many partial results of each head tile, in pieces.
inline constexpr int64_t kNoBound = 0x7fffffff;
TaskList plan_attention(const AttentionKind& kind, const mr_step& step, int64_t workers, int64_t room = kNoBound);

// Capacities of a step, and the places of its arrays, in integers. Arrays of rows come first; lists and tables are as long as the largest step's.
struct StepShape {
  int rows = 0, logit_rows = 0, sequences = 0, table_width = 0, groups = 0, kinds = 0;
  // Most tasks of a kind, and most that are merged.
  int tasks = 0, merges = 0;

  int64_t counts() const { return 0; }
  int64_t table_width_at() const { return counts() + kCounts; }
  int64_t task_counts(int kind) const { return table_width_at() + 4 + 4 * int64_t{kind}; }
  // Tokens, which launches complete, have lines of their own.
  int64_t tokens() const { return whole_lines(task_counts(kinds)); }
  int64_t positions() const { return whole_lines(tokens() + rows); }
  int64_t logit_row() const { return positions() + rows; }
  int64_t slots(int group) const { return logit_row() + logit_rows + int64_t{group} * rows; }
  int64_t merge_list(int kind) const { return slots(groups) + int64_t{kind} * merges * kMergeInts; }
  int64_t task_list(int kind) const { return merge_list(kinds) + int64_t{kind} * tasks * kTaskInts; }
  int64_t block_table(int group) const { return task_list(kinds) + int64_t{group} * sequences * table_width; }
  int64_t ints() const { return block_table(groups); }

  // Places of steps of at most so many rows, with these capacities: arrays of fewer rows lie closer together. They are the same for all such steps, so that a
  // graph finds them, but for steps that want more logits than they have rows.
  StepShape of_rows(int most_rows, int logit_rows_of_step) const;

  static constexpr int64_t whole_lines(int64_t ints) { return (ints + kLineInts - 1) / kLineInts * kLineInts; }
  static constexpr int kTaskInts = sizeof(AttentionTask) / sizeof(int32_t);
  static constexpr int kMergeInts = sizeof(MergeTask) / sizeof(int32_t);
};

using StepTasks = std::vector<TaskList>;

// Integers that are copied together: from the first on, up to the one after the last.
struct Stretch {
  int64_t from, to;
};
// So many integers that nobody reads are copied along rather than begin another copy: 16 KiB cross in less time than one takes to begin.
inline constexpr int64_t kMostBetween = 4096;

// Writes a step into `to`, `shape.ints()` long, and says which stretches of it the step has.
std::vector<Stretch> write_step(const mr_step& step, const StepShape& shape, const StepTasks& tasks, int32_t* to);

}  // namespace millrace::cuda
