// Ops on single rows, and chains of them that one launch runs.
#pragma once
#include "kernels/launches.h"

namespace millrace::cuda {

struct EmbedArguments {
  WeightView table;
  const int32_t* tokens;
  RowView out;
  float factor;
};

// Rows of another count than the chain's: the first of its chain.
struct GatherArguments {
  RowView x;
  const int32_t* from;
  RowView out;
  int width;
};

// `values` in runs of `width`.
struct NormArguments {
  RowView x;
  const float* weight;
  RowView out;
  int values, width;
  float eps, offset;
};

// `table`: [positions][2 * half], cosines then sines.
struct Rope {
  const float* table;
  int heads, head_dim, dims;
  bool pairs;
};
struct RopeArguments {
  RowView x;
  const int32_t* positions;
  RowView out;
  Rope how;
};

// Value by value; b may be null.
enum class Map { kAdd, kScale, kSoftCap, kGated, kSigmoidScale };
struct MapArguments {
  Map map;
  RowView a, b, out;
  int values;
  float factor;
  // Of kGated; of kSigmoidScale the number of gates.
  int function;
};

struct KvArguments {
  CacheView cache;
  const int32_t* slots;
  RowView k, v;
};

// `order`: the column of x that belongs to each column of the weight; null: its own. A row is `heads` rows for products, `columns` each.
struct PrepareArguments {
  RowView x;
  int columns;
  const int32_t* order;
  Input out;
  int heads;
};

// In e4m3, with a factor of each row.
struct QuantiseArguments {
  RowView x;
  int columns;
  uint8_t* values;
  float* factors;
  int stride;
};

enum class RowKind : int32_t { kEmbed, kGather, kNorm, kRope, kMap, kKvWrite, kPrepare, kQuantise };

struct RowOp {
  RowKind kind;
  union {
    EmbedArguments embed;
    GatherArguments gather;
    NormArguments norm;
    RopeArguments rope;
    MapArguments map;
    KvArguments kv;
    PrepareArguments prepare;
    QuantiseArguments quantise;
  };

  RowOp() = default;
  RowOp(const EmbedArguments& p) : kind(RowKind::kEmbed), embed(p) {}
  RowOp(const GatherArguments& p) : kind(RowKind::kGather), gather(p) {}
  RowOp(const NormArguments& p) : kind(RowKind::kNorm), norm(p) {}
  RowOp(const RopeArguments& p) : kind(RowKind::kRope), rope(p) {}
  RowOp(const MapArguments& p) : kind(RowKind::kMap), map(p) {}
  RowOp(const KvArguments& p) : kind(RowKind::kKvWrite), kv(p) {}
  RowOp(const PrepareArguments& p) : kind(RowKind::kPrepare), prepare(p) {}
  RowOp(const QuantiseArguments& p) : kind(RowKind::kQuantise), quantise(p) {}
};

inline constexpr int kMostRowOps = 8;

// Ops that are run in order, each row by itself.
struct RowChain {
  int count;
  RowOp ops[kMostRowOps];
};
void run_rows(cudaStream_t stream, RowCount rows, const RowChain& chain);

}  // namespace millrace::cuda
