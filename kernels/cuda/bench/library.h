// cuBLASLt's products, as a peer to measure beside ours: found when the program runs, and declared here as far as it is used.
#pragma once
#include <dlfcn.h>

#include <array>
#include <functional>
#include <memory>
#include <string>

#include "cuda_api.h"

namespace millrace::cuda {

class Library {
 public:
  // Says why not where the library is not found.
  Library();
  ~Library();
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  bool there() const { return handle_ != nullptr; }
  const std::string& why_not() const { return why_not_; }

  // out [rows, outs] = x [rows, columns] · wᵀ, w [outs, columns], all in bf16: a function that launches it; empty when the library has no way.
  // `workspace` has kWorkspace bytes.
  std::function<void()> product(cudaStream_t stream, const void* w, const void* x, void* out, int rows, int outs, int columns, void* workspace) const;

  static constexpr size_t kWorkspace = size_t{32} << 20;

 private:
  void* library_ = nullptr;
  void* handle_ = nullptr;
  std::string why_not_;
};

namespace library {

// As cublasLt.h of CUDA 12 and 13 has them.
inline constexpr int kFloat = 0, kBf16 = 14, kComputeFloat = 68, kTransposed = 1;
inline constexpr int kTransposeA = 3, kMostWorkspace = 1;
struct Heuristic {
  std::array<uint64_t, 8> algorithm;
  size_t workspace;
  int state;
  float waves;
  int reserved[4];
};

template <class Function>
Function* find(void* library, const char* name) {
  return reinterpret_cast<Function*>(dlsym(library, name));
}

using Create = int(void**);
using Destroy = int(void*);
using DescribeProduct = int(void**, int compute, int scale);
using DescribeMatrix = int(void**, int type, uint64_t rows, uint64_t columns, int64_t stride);
using Set = int(void*, int attribute, const void* value, size_t bytes);
using Choose = int(void* handle, void* product, void* a, void* b, void* c, void* d, void* preference, int wanted, Heuristic* found, int* count);
using Multiply = int(void* handle, void* product, const void* alpha, const void* a, void* of_a, const void* b, void* of_b, const void* beta, const void* c, void* of_c, void* d, void* of_d,
                     const void* algorithm, void* workspace, size_t bytes, cudaStream_t stream);

}  // namespace library

inline Library::Library() {
  for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"}) {
    library_ = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library_) break;
  }
  if (!library_) {
    why_not_ = "libcublasLt is not found (LD_LIBRARY_PATH names its folder)";
    return;
  }
  using namespace library;
  auto* create = find<Create>(library_, "cublasLtCreate");
  if (!create || create(&handle_) != 0) {
    handle_ = nullptr;
    why_not_ = "libcublasLt does not begin";
  }
}

inline Library::~Library() {
  if (handle_) library::find<library::Destroy>(library_, "cublasLtDestroy")(handle_);
  if (library_) dlclose(library_);
}

// Its matrices are column-major: out of ours is outᵀ = w · xᵀ of its own, where w is stored transposed.
inline std::function<void()> Library::product(cudaStream_t stream, const void* w, const void* x, void* out, int rows, int outs, int columns, void* workspace) const {
  using namespace library;
  auto* describe = find<DescribeProduct>(library_, "cublasLtMatmulDescCreate");
  auto* matrix = find<DescribeMatrix>(library_, "cublasLtMatrixLayoutCreate");
  auto* prefer = find<Create>(library_, "cublasLtMatmulPreferenceCreate");
  auto* set_product = find<Set>(library_, "cublasLtMatmulDescSetAttribute");
  auto* set_preference = find<Set>(library_, "cublasLtMatmulPreferenceSetAttribute");
  auto* choose = find<Choose>(library_, "cublasLtMatmulAlgoGetHeuristic");
  auto* multiply = find<Multiply>(library_, "cublasLtMatmul");
  if (!describe || !matrix || !prefer || !set_product || !set_preference || !choose || !multiply) return {};
  void *product = nullptr, *of_w = nullptr, *of_x = nullptr, *of_out = nullptr, *preference = nullptr;
  const auto m = static_cast<uint64_t>(outs), n = static_cast<uint64_t>(rows), k = static_cast<uint64_t>(columns);
  bool good = describe(&product, kComputeFloat, kFloat) == 0 && matrix(&of_w, kBf16, k, m, columns) == 0 && matrix(&of_x, kBf16, k, n, columns) == 0 &&
              matrix(&of_out, kBf16, m, n, outs) == 0 && prefer(&preference) == 0;
  const int transposed = kTransposed;
  const size_t most = kWorkspace;
  good = good && set_product(product, kTransposeA, &transposed, sizeof transposed) == 0 && set_preference(preference, kMostWorkspace, &most, sizeof most) == 0;
  auto found = std::make_shared<Heuristic>();
  int count = 0;
  good = good && choose(handle_, product, of_w, of_x, of_out, of_out, preference, 1, found.get(), &count) == 0 && count > 0;
  if (!good) return {};
  // The descriptions live as long as the program, which ends soon.
  return [=, handle = handle_] {
    const float one = 1, zero = 0;
    multiply(handle, product, &one, w, of_w, x, of_x, &zero, out, of_out, out, of_out, found->algorithm.data(), workspace, kWorkspace, stream);
  };
}

}  // namespace millrace::cuda
