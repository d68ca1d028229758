// A model on a CUDA device: a step program, its weights, its cache, and the launches of a step.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "arena.h"
#include "choices.h"
#include "device.h"
#include "images.h"
#include "kernels/rows.h"
#include "library.h"
#include "millrace.h"
#include "plan.h"
#include "program.h"
#include "rope_table.h"
#include "step_tasks.h"
#include "swap.h"

namespace millrace::cuda {

// Where the times of a step's ops go; nowhere when `times` is null.
struct Profile {
  mr_stage_time* times = nullptr;
  int32_t room = 0;
  int32_t* count = nullptr;
};

// What a step does with its logits: gives them back; chooses ids; verifies drafts by them too.
enum class Choosing { kNone, kIds, kDrafts };

class Model {
 public:
  Model(const mr_options& options, const int32_t* program, int64_t words);
  // Steps may be under way, which use its memory.
  ~Model() { cudaStreamSynchronize(stream_); }

  void bind(int tensor, int type, int64_t rows, int64_t columns, const void* data, int64_t bytes);
  void bind_groups(int tensor, int64_t rows, int64_t columns, const mr_groups& groups);
  // There is no packed form that is kept.
  int64_t saved_bytes(int) const { return 0; }
  void save(int tensor, uint8_t* out, int64_t bytes);
  void restore(int tensor, const uint8_t* data, int64_t bytes);
  void rope(int table, const float* frequencies, int half, float factor);
  // Takes what the largest step will need.
  void reserve(const mr_limits& limits);
  // A step whose logits all go back to the host.
  void run(const mr_step& step);
  // A step whose ids are chosen here; it runs until it is collected.
  void submit(const mr_step& step, const mr_sampling* sampling, const int32_t* words, int64_t word_count);
  void collect(mr_sampled* sampled, float* logits);
  bool samples() const;
  void profile(const Profile& profile) { profile_ = profile; }
  void copy_blocks(int group, const int32_t* from, const int32_t* to, int count);
  void swap_out(int group, const int32_t* from, const int32_t* host_to, int count);
  void swap_in(int group, const int32_t* host_from, const int32_t* to, int count);
  void read(int tensor, float* out, int64_t floats);

  int64_t weight_bytes() const { return weight_bytes_; }
  int64_t ops_of_last_step() const { return ops_; }
  int64_t cache_bytes() const { return cache_bytes_; }
  int64_t host_bytes() const;
  SwapRates swap_rates() const;
  const std::string& numerics() const { return numerics_; }
  // Rows of logits that submitted steps gave back.
  int64_t copied_rows() const { return copied_rows_; }
  // Steps that were launched as a graph.
  int64_t graph_steps() const { return graph_steps_; }
  // Launches of the last step that ran as a graph.
  int64_t graph_launches() const { return graph_launches_; }

 private:
  struct Weight {
    bool bound = false;
    bool is_matrix = false;
    bool is_vector = false;
    WeightView view{};
    Piece values, scales, offsets, levels, order;
    // As floats.
    Piece vector;
    // A matrix for each head: so many rows of the weight, or those turned over.
    bool is_of_heads = false, turned_over = false;
    int heads = 0;
    WeightView head_view{};
    Piece head_values;
  };

  struct Group {
    int blocks = 0;
    Memory memory;
    std::vector<BlockPart> parts;
    // Null: blocks are not swapped.
    std::unique_ptr<SwapPool> swap;
    std::vector<CacheView> layers;
  };

  // Rotary table on the device, for `positions` positions.
  struct DeviceRope {
    RopeTable table;
    Memory memory;
    int positions = 0;
  };

  // Rows, ids and lists of a step on the device; where each begins in `inputs`. Capacities only grow, and graphs end with them.
  struct Room {
    StepShape shape;
    // Of the step that was sent last.
    StepShape places;
    Memory inputs, counts, partials, logits, input_values, input_factors;
    int64_t partial_floats = 0;
    std::vector<Memory> slots;
    // Of experts.
    Memory router_logits, place, source, tiles, gate, up, down;
    // Of latent attention: queries in the space of latents, and mixed latents.
    Memory latent_queries, latent_mixed;
    // Of products by cuBLASLt.
    Memory library_rows, library_workspace;
  };

  void make_cache(const mr_options& options);
  void mark_uses();
  void check_shared() const;
  AttentionKind kind_of(const Op& op) const;
  size_t kind_index(const Op& op) const;
  void upload(Piece& piece, const void* from, int64_t bytes, const char* what);
  void place(Weight& w, const Image& image, const char* name);
  // What is uploaded, which has to stay until it is.
  std::vector<uint8_t> place_heads(Weight& w, int type, int64_t rows, int64_t columns, const uint8_t* stored, const char* name);
  void prepare();
  void make_room(const mr_step& step);
  void allocate_inputs(const mr_step& step, int tasks, int merges, int64_t partials);
  void allocate_rows();
  void extend(DeviceRope& rope, int positions);
  void send_inputs(const mr_step& step, Flight& flight);
  void launch_submitted(const mr_step& step, const mr_sampling* sampling, const int32_t* words, int64_t word_count);
  void count_ops(const mr_step& step);
  void launch_step(const mr_step& step, Choosing how);
  void launch_all(int most_rows, int most_logit_rows, Choosing how);
  void copy_within(int group, const int32_t* from, const int32_t* to, int count);
  // What was launched ends, and is not collected.
  void forget_steps();
  // A body whose failure takes along what was launched.
  template <class Body>
  void or_forget(const Body& body) {
    try {
      body();
    } catch (...) {
      forget_steps();
      throw;
    }
  }
  void launch_op(const Op& op, RowCount rows);
  // Adds to the chain of row ops, which is launched before anything else is, or when rows are others.
  void add(const RowOp& op, RowCount rows);
  void launch_chain();
  void launch_linear(const Op& op, RowCount rows);
  void launch_product(RowCount rows, int weight, RowView x, int columns, RowView out, const float* bias, float factor, float cap, const Experts* experts,
                      const WeightView* like, const Parts& parts = {});
  // Whether a step of so many rows has products by cuBLASLt.
  bool uses_library(int rows) const { return library_ && rows >= library_rows_; }
  void allocate_library();
  // Rows of a product by cuBLASLt: filled up, so that there are few shapes.
  int library_rows(RowCount rows) const;
  void launch_by_library(RowCount rows, const Product& p);
  // In which form a product's input is wanted.
  enum class Form { kBf16, kF32, kFp8 };
  Form form_of(const WeightView& w, RowCount rows, RowView out);
  void launch_experts(const Op& op, RowCount rows);
  AttentionArguments attention_of(const Op& op) const;
  // Attention, and the merging of what is split.
  void launch_attention(const Op& op, const AttentionArguments& p);
  void launch_latent(const Op& op, RowCount rows);
  void launch_heads(RowCount rows, const Weight& w, RowView x, int columns, RowView out, int out_columns);
  RowView rows_of(int tensor) const;
  int width_of(int tensor) const { return program_.tensors[static_cast<size_t>(tensor)].width(); }
  const float* vector_of(int handle) const { return weights_[static_cast<size_t>(handle)].vector.as<float>(); }
  const int32_t* input(int64_t at) const { return room_.inputs.as<int32_t>() + at; }
  bool needs_f32(const WeightView& w) const { return exact_ || w.store == Store::kF32; }

  DeviceInfo device_;
  Stream stream_;
  Staging staging_;
  Program program_;
  Plan plan_;
  bool exact_, fp8_, keep_;
  // Whether attention is by wgmma, where it can.
  bool warpgroups_;
  int block_tokens_;
  // None where all products are ours.
  std::unique_ptr<Library> library_;
  int library_rows_;
  bool prepared_ = false;
  int vocabulary_ = 0;
  // What weights and lists of experts lie in.
  Arena arena_;
  std::vector<Weight> weights_;
  std::vector<Group> groups_;
  std::vector<int> blocks_, host_blocks_;
  std::vector<DeviceRope> ropes_;
  // Of each MOE_EXPERTS op, by its index: gates, ups and downs on the device.
  std::map<const Op*, Piece> expert_views_;
  std::vector<AttentionKind> attention_kinds_;
  // Tasks of each kind that are at work at the same time.
  std::vector<int> attention_places_;
  // Of each kind: pieces of partial results that were reserved, which steps keep to; none: nothing was.
  std::vector<int64_t> reserved_pieces_;
  Room room_;
  // Of blocks that are copied.
  Memory copies_;
  // Row ops that are to be launched, and their rows.
  RowChain chain_{};
  RowCount chain_rows_;
  StepTasks tasks_;
  // By most rows, and how ids are chosen; a bucket is captured the second time it is wanted.
  std::map<std::pair<int, Choosing>, Graph> graphs_;
  Choices choices_;
  // The steps under way are `flying_` from `first_` on.
  Flight flights_[MR_STEPS];
  int first_ = 0, flying_ = 0;
  // Logit rows of the step submitted last.
  int chosen_rows_ = 0;
  Profile profile_;
  int last_rows_ = 0, last_logit_rows_ = 0;
  int64_t weight_bytes_ = 0, cache_bytes_ = 0, ops_ = 0, graph_steps_ = 0, graph_launches_ = 0, copied_rows_ = 0;
  std::string numerics_;
};

}  // namespace millrace::cuda
