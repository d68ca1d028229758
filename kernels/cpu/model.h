// A model: a step program, its weights, its cache and the threads that run it.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "draw.h"
#include "input.h"
#include "kernels.h"
#include "memory.h"
#include "plan.h"
#include "pool.h"
#include "program.h"
#include "rope_table.h"
#include "swap_rates.h"

namespace millrace {

// Most values of a key or a value of one head.
inline constexpr int kMaxKeyDim = 1024;

// Where the times of a step's stages go; nowhere when `times` is null.
struct Profile {
  mr_stage_time* times = nullptr;
  int32_t room = 0;
  int32_t* count = nullptr;

  void add(const Stage& stage, int rows, int64_t begin_ns, int64_t nanos) const;
};

class Model {
 public:
  Model(const mr_options& options, const int32_t* program, int64_t words);

  void bind(int tensor, int type, int64_t rows, int64_t columns, const void* data, int64_t bytes);
  void bind_groups(int tensor, int64_t rows, int64_t columns, const mr_groups& groups);
  // A bound weight in its packed form, for a cache outside; 0 bytes when it is not bound.
  int64_t saved_bytes(int tensor) const;
  void save(int tensor, uint8_t* out, int64_t bytes);
  void restore(int tensor, const uint8_t* data, int64_t bytes);
  void rope(int table, const float* frequencies, int half, float factor);
  void run(const mr_step& step);
  void draw(const float* logits, const mr_draw* draws, int count, int32_t* ids);
  void profile(const Profile& profile) { profile_ = profile; }
  void copy_blocks(int group, const int32_t* from, const int32_t* to, int count);
  void swap_out(int group, const int32_t* from, const int32_t* host_to, int count);
  void swap_in(int group, const int32_t* host_from, const int32_t* to, int count);
  void read(int tensor, float* out, int64_t floats) const;

  int64_t weight_bytes() const { return slabs_.size(); }
  int64_t ops_of_last_step() const { return ops_; }
  int64_t cache_bytes() const { return cache_bytes_; }
  int64_t host_bytes() const;
  const SwapRates& swap_rates() const { return swap_rates_; }
  const std::string& numerics() const { return numerics_; }

 private:
  struct Weight {
    bool bound = false;
    // Used as a matrix or table: packed; as a vector: widened.
    bool is_matrix = false;
    bool is_vector = false;
    Packed packed;
    uint8_t* memory = nullptr;
    std::vector<float> vector;
    // Of a weight in groups of columns.
    std::vector<int32_t> order;
    std::vector<float> levels;
  };

  // A stretch of the cache that has the same for every block.
  struct Part {
    uint8_t* base;
    int64_t block_bytes;
  };

  // Layers of a group, in one piece of memory.
  struct Group {
    int blocks = 0;
    // Keys are the latent and the turned part, values the latent.
    bool latent = false;
    Memory memory;
    std::vector<Part> parts;
    std::vector<KvLayer> layers;
    // Blocks that were swapped out, each with its parts side by side.
    Memory host;
    int64_t host_block_bytes = 0;
  };

  // Attention of one step for ops that see the same rows.
  struct AttentionPlan {
    int group, heads, kv_heads, window;
    std::vector<AttentionTask> tasks;
    // With partial results: per task to merge, its first and number of chunks, and where they lie.
    std::vector<AttentionTask> merges;
    std::vector<int64_t> partial_at;
    std::vector<int64_t> merge_at;
    int64_t partial_floats = 0;
  };

  void copy_groups(const Packed& packed, const uint8_t* from, uint8_t* to);
  void make_cache(const mr_options& options);
  void place_cache(Group& group, const KvLayer& shape, int layers);
  void measure_swaps();
  void mark_uses();
  void prepare();
  void make_room(const mr_step& step);
  void run_rows(const Stage& stage, const mr_step& step, int rows);
  void run_row(const Stage& stage, const mr_step& step, int row);
  void run_op(const Op& op, const mr_step& step, int row);
  void route(const Op& op, const float* x, int row);
  void multiply(const std::vector<LinearTask>& products);
  void run_product(const Op& op, int rows);
  void run_experts(const Op& op, int rows);
  void run_attention(const Op& op, Rows q, Rows out, const mr_step& step);
  void run_latent(const Op& op, const mr_step& step);
  void write_latent(const KvLayer& kv, int slot, const float* latent, const float* turned) const;
  const AttentionPlan& attention_plan(const Op& op, const mr_step& step);
  void plan_sequence(AttentionPlan& plan, const Op& op, const mr_step& step, int sequence, bool split);
  Rows rows_of(int tensor) const;

  // Calls f(row) for all rows, by all threads when it is worth it.
  template <class Function>
  void share_rows(int rows, const Function& f) {
    constexpr int kAlone = 2;
    constexpr int kTasksOfThread = 4;
    if (rows <= kAlone) {
      for (int r = 0; r < rows; r++) f(r);
      return;
    }
    int tasks = std::min(rows, pool_.threads() * kTasksOfThread);
    pool_.run(tasks, [&](int task, int) {
      int end = static_cast<int>(int64_t{rows} * (task + 1) / tasks);
      for (int r = static_cast<int>(int64_t{rows} * task / tasks); r < end; r++) f(r);
    });
  }

  const Weight& weight(int handle) const { return weights_[static_cast<size_t>(handle)]; }
  const float* vector_of(int handle) const { return weights_[static_cast<size_t>(handle)].vector.data(); }

  const Kernels& kernels_;
  Pool pool_;
  Program program_;
  Plan plan_;
  int precision_;
  int block_tokens_;
  bool keep_;
  bool prepared_ = false;
  int vocabulary_ = 0;
  Slabs slabs_;
  std::vector<Weight> weights_;
  std::vector<Group> groups_;
  // Of each group.
  std::vector<int> blocks_, host_blocks_;
  std::vector<RopeTable> ropes_;
  std::vector<Memory> slots_;
  // Of the product that comes next.
  Input input_;
  std::vector<LinearTask> pieces_;
  Memory expert_in_, expert_gate_, expert_up_, expert_out_;
  std::vector<Memory> scratch_;
  std::vector<Drawer> drawers_;
  // First draws of those that verify drafts, and draws that are alone.
  std::vector<int> chains_;
  Memory partials_;
  std::vector<AttentionPlan> attention_plans_;
  float* logits_ = nullptr;
  int last_rows_ = 0, last_logit_rows_ = 0;
  int64_t cache_bytes_ = 0;
  SwapRates swap_rates_;
  int64_t ops_ = 0;
  std::string numerics_;
  Profile profile_;
};

}  // namespace millrace
