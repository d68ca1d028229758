#include "library.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "error.h"

namespace millrace::cuda {
namespace {

constexpr const char* kVariable = "MILLRACE_CUBLASLT";

// Of a weight that is made bf16 at a time; few under the emulator, whose weights are small.
constexpr int64_t kSliceBytes = MR_EMULATED ? 32 << 10 : 128 << 20;
// Tiles of a slice, where that many fit.
constexpr int kSliceTiles = 8;

void* open(std::string& why) {
  std::vector<std::string> names;
  if (const char* named = std::getenv(kVariable); named && *named) {
    names = {named};
  } else if (!MR_EMULATED) {
    names = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"};
  }
  why = "it was not looked for under the emulator";
  for (const std::string& name : names) {
    if (void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
    const char* error = dlerror();
    why = error ? error : name;
  }
  return nullptr;
}

[[noreturn]] void unusable(const std::string& why) {
  fail(MR_UNSUPPORTED, "products by cuBLASLt were asked for, and %s. Install it (CUDA's libraries, or the Python package nvidia-cublas), name its file in %s, or leave --products out", why.c_str(), kVariable);
}

int slice_tiles(int stride) {
  const int64_t tiles = std::max<int64_t>(1, kSliceBytes / (int64_t{kTileRows} * stride * 2));
  return static_cast<int>(tiles < kSliceTiles ? tiles : tiles / kSliceTiles * kSliceTiles);
}

}  // namespace

Library::Functions Library::load() {
  std::string why;
  void* library = open(why);
  if (!library) unusable("it cannot be loaded (" + why + ")");
  auto find = [&]<class Function>(Function*& to, const char* name) {
    to = reinterpret_cast<Function*>(dlsym(library, name));
    if (!to) unusable(std::string("the library has no ") + name);
  };
  Functions f{};
  find(f.create, "cublasLtCreate");
  find(f.destroy, "cublasLtDestroy");
  find(f.version, "cublasLtGetVersion");
  find(f.describe_product, "cublasLtMatmulDescCreate");
  find(f.forget_product, "cublasLtMatmulDescDestroy");
  find(f.set_product, "cublasLtMatmulDescSetAttribute");
  find(f.describe_matrix, "cublasLtMatrixLayoutCreate");
  find(f.forget_matrix, "cublasLtMatrixLayoutDestroy");
  find(f.prefer, "cublasLtMatmulPreferenceCreate");
  find(f.forget_preference, "cublasLtMatmulPreferenceDestroy");
  find(f.set_preference, "cublasLtMatmulPreferenceSetAttribute");
  find(f.choose, "cublasLtMatmulAlgoGetHeuristic");
  find(f.multiply, "cublasLtMatmul");
  return f;
}

Library::Library() : functions_(load()), handle_(nullptr, functions_.destroy) {
  void* handle = nullptr;
  const int status = functions_.create(&handle);
  if (status != cublas::kGood) unusable("it does not begin (status " + std::to_string(status) + ")");
  handle_.reset(handle);
}

// Its matrices are column-major: out of ours is outᵀ = w · xᵀ of its own, where w is stored transposed.
Library::Plan Library::plan(const LibraryProduct& p) const {
  using namespace cublas;
  const Functions& f = functions_;
  Plan plan{{nullptr, f.forget_product}, {nullptr, f.forget_matrix}, {nullptr, f.forget_matrix}, {nullptr, f.forget_matrix}};
  auto made = [](Owned& to, auto make) {
    void* object = nullptr;
    const bool good = make(&object) == kGood;
    to.reset(object);
    return good;
  };
  const auto m = static_cast<uint64_t>(p.outs), n = static_cast<uint64_t>(p.rows), k = static_cast<uint64_t>(p.columns);
  Owned preference(nullptr, f.forget_preference);
  const bool fp8 = p.w_scales != nullptr;
  const int transposed = kTransposed, adds_bias = kAddsBias, of_rows = kScaleOfRows, type = fp8 ? kE4m3 : kBf16;
  const size_t most = kWorkspace;
  bool good = made(plan.product, [&](void** to) { return f.describe_product(to, kComputeFloat, kFloat); }) &&
              made(plan.w, [&](void** to) { return f.describe_matrix(to, type, k, m, p.columns); }) &&
              made(plan.x, [&](void** to) { return f.describe_matrix(to, type, k, n, p.columns); }) &&
              made(plan.out, [&](void** to) { return f.describe_matrix(to, kFloat, m, n, p.out_stride); }) && made(preference, f.prefer) &&
              f.set_product(plan.product.get(), kTransposeA, &transposed, sizeof transposed) == kGood &&
              f.set_preference(preference.get(), kMostWorkspace, &most, sizeof most) == kGood;
  if (p.bias) good = good && f.set_product(plan.product.get(), kEpilogue, &adds_bias, sizeof adds_bias) == kGood;
  good = good && point(plan, p) == kGood;
  if (!good) fail(MR_INTERNAL, "cuBLASLt cannot describe a product of %d rows, %d outputs and %d columns", p.rows, p.outs, p.columns);
  // Versions that know no scales of rows have no way.
  if (fp8 && (f.set_product(plan.product.get(), kScaleModeA, &of_rows, sizeof of_rows) != kGood || f.set_product(plan.product.get(), kScaleModeB, &of_rows, sizeof of_rows) != kGood)) {
    return plan;
  }
  int count = 0;
  plan.there = f.choose(handle_.get(), plan.product.get(), plan.w.get(), plan.x.get(), plan.out.get(), plan.out.get(), preference.get(), 1, &plan.how, &count) == kGood &&
               count > 0 && plan.how.state == kGood;
  return plan;
}

int Library::point(const Plan& plan, const LibraryProduct& p) const {
  using namespace cublas;
  int status = kGood;
  auto set = [&](int what, const float* const& to) {
    if (to && status == kGood) status = functions_.set_product(plan.product.get(), what, &to, sizeof to);
  };
  set(kBiasPointer, p.bias);
  set(kScaleA, p.w_scales);
  set(kScaleB, p.x_scales);
  return status;
}

const Library::Plan& Library::plan_of(const LibraryProduct& p) {
  const Shape shape{p.rows, p.outs, p.columns, p.out_stride, p.bias != nullptr, p.w_scales != nullptr};
  auto found = plans_.find(shape);
  if (found == plans_.end()) found = plans_.emplace(shape, plan(p)).first;
  return found->second;
}

bool Library::multiply(cudaStream_t stream, const LibraryProduct& p, void* workspace) {
  using namespace cublas;
  const Plan& plan = plan_of(p);
  if (!plan.there) return false;
  const float zero = 0;
  int status = point(plan, p);
  if (status == kGood) {
    status = functions_.multiply(handle_.get(), plan.product.get(), &p.factor, p.w, plan.w.get(), p.x, plan.x.get(), &zero, p.out, plan.out.get(), p.out, plan.out.get(),
                                 plan.how.algorithm, workspace, static_cast<size_t>(kWorkspace), stream);
  }
  if (status != kGood) fail(MR_INTERNAL, "cuBLASLt's product of %d rows, %d outputs and %d columns: status %d", p.rows, p.outs, p.columns, status);
  return true;
}

int64_t library_row_bytes(int outs, int columns) {
  const int stride = rounded_up(columns, kStepColumns);
  return int64_t{std::min(slice_tiles(stride), rounded_up(outs, kTileRows) / kTileRows)} * kTileRows * stride * 2;
}

bool multiplies_fp8(Library& library, int rows, const WeightView& w, RowView out) {
  if (w.store != Store::kE4m3 || w.groups != 1) return false;
  const int stride = w.steps * kStepColumns, slice = slice_tiles(stride);
  for (int tile = 0; tile < w.tiles; tile += slice) {
    const int first = tile * kTileRows;
    const auto* scales = static_cast<const float*>(w.scales) + first;
    // What is pointed to is not looked at.
    if (!library.can({w.values, w.values, out.data + first, nullptr, rows, std::min(slice * kTileRows, w.rows - first), stride, out.stride, 1, scales, scales})) return false;
  }
  return true;
}

bool multiply_by_library(Library& library, cudaStream_t stream, int rows, const Product& p, const LibraryRoom& room, int chips) {
  const int slice = slice_tiles(p.x.stride);
  for (int tile = 0; tile < p.w.tiles; tile += slice) {
    const int tiles = std::min(slice, p.w.tiles - tile), first = tile * kTileRows;
    LibraryProduct part{room.rows, p.x.values, p.out.data + first, p.bias ? p.bias + first : nullptr, rows, std::min(tiles * kTileRows, p.w.rows - first), p.x.stride, p.out.stride, p.factor};
    if (p.x.factors) {
      expand_codes(stream, p.w, tile, tiles, reinterpret_cast<uint8_t*>(room.rows), chips);
      part.w_scales = static_cast<const float*>(p.w.scales) + first;
      part.x_scales = p.x.factors;
    } else {
      expand(stream, p.w, tile, tiles, room.rows, chips);
    }
    if (!library.multiply(stream, part, room.workspace)) return false;
  }
  return true;
}

}  // namespace millrace::cuda
