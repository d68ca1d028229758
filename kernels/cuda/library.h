// Products by cuBLASLt, which is found when it is wanted and never linked.
#pragma once
#include <compare>
#include <map>
#include <memory>

#include "device.h"
#include "kernels/launches.h"

namespace millrace::cuda {

namespace cublas {

// As cublasLt.h of CUDA 12 and 13 has them.
inline constexpr int kFloat = 0, kBf16 = 14, kE4m3 = 28, kComputeFloat = 68, kTransposed = 1;
inline constexpr int kTransposeA = 3, kEpilogue = 7, kBiasPointer = 8, kScaleA = 17, kScaleB = 18, kScaleModeA = 31, kScaleModeB = 32, kMostWorkspace = 1;
inline constexpr int kAddsBias = 4, kScaleOfRows = 3;
inline constexpr int kGood = 0;

struct Heuristic {
  uint64_t algorithm[8];
  size_t workspace;
  int state;
  float waves;
  int reserved[4];
};

using Create = int(void**);
using Destroy = int(void*);
using Version = size_t();
using DescribeProduct = int(void**, int compute, int scale);
using DescribeMatrix = int(void**, int type, uint64_t rows, uint64_t columns, int64_t stride);
using Set = int(void*, int attribute, const void* value, size_t bytes);
using Choose = int(void* handle, void* product, void* a, void* b, void* c, void* d, void* preference, int wanted, Heuristic* found, int* count);
using Multiply = int(void* handle, void* product, const void* alpha, const void* a, void* of_a, const void* b, void* of_b, const void* beta, const void* c, void* of_c, void* d, void* of_d,
                     const void* algorithm, void* workspace, size_t bytes, cudaStream_t stream);

}  // namespace cublas

// out [rows, outs] = (x [rows, columns] · wᵀ) · factor + bias: w [outs, columns] and x in bf16, the rest in float32; or both in e4m3 with a scale
// for each row, and no bias.
struct LibraryProduct {
  const void* w;
  const void* x;
  float* out;
  // [outs]; null: none.
  const float* bias;
  int rows, outs, columns;
  int64_t out_stride;
  float factor;
  // [outs] and [rows]; null: bf16.
  const float* w_scales = nullptr;
  const float* x_scales = nullptr;
};

// The library, and the ways to multiply that it was asked for: one for each shape, chosen by its heuristic. Belongs to one thread.
class Library {
 public:
  // An Error with MR_UNSUPPORTED that says why it cannot be had, and what to do.
  Library();
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  // As it counts itself: 130100 is 13.1.0.
  int64_t version() const { return static_cast<int64_t>(functions_.version()); }
  // Whether it has a way for such a product.
  bool can(const LibraryProduct& p) { return plan_of(p).there; }
  // Launches a product; false when the library has no way for its shape. `workspace` has kWorkspace bytes.
  bool multiply(cudaStream_t stream, const LibraryProduct& p, void* workspace);

  static constexpr int64_t kWorkspace = int64_t{32} << 20;

 private:
  struct Functions {
    cublas::Create* create;
    cublas::Destroy* destroy;
    cublas::Version* version;
    cublas::DescribeProduct* describe_product;
    cublas::Destroy* forget_product;
    cublas::Set* set_product;
    cublas::DescribeMatrix* describe_matrix;
    cublas::Destroy* forget_matrix;
    cublas::Create* prefer;
    cublas::Destroy* forget_preference;
    cublas::Set* set_preference;
    cublas::Choose* choose;
    cublas::Multiply* multiply;
  };
  using Owned = std::unique_ptr<void, cublas::Destroy*>;
  struct Shape {
    int rows, outs, columns;
    int64_t out_stride;
    bool has_bias, fp8;
    auto operator<=>(const Shape&) const = default;
  };
  struct Plan {
    Owned product, w, x, out;
    cublas::Heuristic how{};
    // Whether there is a way.
    bool there = false;
  };

  static Functions load();
  const Plan& plan_of(const LibraryProduct& p);
  Plan plan(const LibraryProduct& p) const;
  // Where this product's bias and scales are.
  int point(const Plan& plan, const LibraryProduct& p) const;

  Functions functions_;
  Owned handle_;
  std::map<Shape, Plan> plans_;
};

// An engine's rows are filled up to a multiple of this, so that there are few shapes.
inline constexpr int kLibraryRowStep = 64;

// Whether it multiplies a weight in e4m3 that has one scale a row with inputs in e4m3: so many rows, and where they go.
bool multiplies_fp8(Library& library, int rows, const WeightView& w, RowView out);

// Memory of the device for products by the library: rows of a weight in bf16, and what the library works in.
struct LibraryRoom {
  uint16_t* rows;
  void* workspace;
};

// Bytes of `rows` that a weight wants. Weights that are larger than this are multiplied in slices.
int64_t library_row_bytes(int outs, int columns);

// The product of `rows` rows, all of which have memory: a weight's rows are made bf16 just before they are multiplied. Neither cap, further weights nor
// heads, and of inputs in e4m3 no bias. False when the library has no way.
bool multiply_by_library(Library& library, cudaStream_t stream, int rows, const Product& p, const LibraryRoom& room, int chips);

}  // namespace millrace::cuda
