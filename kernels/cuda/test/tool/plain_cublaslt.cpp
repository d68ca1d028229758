// A cuBLASLt that multiplies by a plain loop, for tests under the emulator. What it is asked is checked as far as the real one would.
#include <atomic>
#include <cstring>

#include "cuda_api.h"
#include "library.h"
#include "scalar.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

namespace cublas = millrace::cuda::cublas;
using millrace::bf16_to_float;
using millrace::e4m3_to_float;

constexpr int kGood = 0, kInvalid = 7, kUnsupported = 15;
constexpr size_t kWorkspace = 4096;
// There is no way for so many columns.
constexpr uint64_t kNone = 160;

std::atomic<int64_t> products, products_fp8, chosen;

struct Product {
  int compute, scale;
  int transposed = 0, epilogue = 1;
  const float* bias = nullptr;
  int mode_a = 0, mode_b = 0;
  const float* scale_a = nullptr;
  const float* scale_b = nullptr;
};
struct Matrix {
  int type;
  uint64_t rows, columns;
  int64_t stride;
};
struct Preference {
  uint64_t workspace = 0;
};

bool fits(const Product& p, const Matrix& a, const Matrix& b, const Matrix& d) {
  const bool fp8 = a.type == cublas::kE4m3;
  const bool types = p.compute == cublas::kComputeFloat && p.scale == cublas::kFloat && (fp8 || a.type == cublas::kBf16) && b.type == a.type && d.type == cublas::kFloat;
  const bool scales = fp8 ? p.mode_a == cublas::kScaleOfRows && p.mode_b == cublas::kScaleOfRows && p.scale_a && p.scale_b && !p.bias && a.rows % 16 == 0 : !p.scale_a && !p.scale_b;
  const bool sizes = p.transposed == cublas::kTransposed && a.rows == b.rows && a.columns == d.rows && b.columns == d.columns;
  return types && scales && sizes && (p.epilogue == cublas::kAddsBias) == (p.bias != nullptr);
}

uint64_t way(const Matrix& a, const Matrix& b) { return (a.rows * 31 + a.columns) * 31 + b.columns; }

bool aligned(const void* pointer, size_t to) { return pointer && reinterpret_cast<uintptr_t>(pointer) % to == 0; }

int put(void* to, size_t room, const void* value, size_t bytes) {
  if (bytes != room) return kInvalid;
  std::memcpy(to, value, bytes);
  return kGood;
}

template <class T>
int make(void** to, const T& value) {
  *to = new T(value);
  return kGood;
}

template <class T>
int drop(void* object) {
  delete static_cast<T*>(object);
  return kGood;
}

}  // namespace

EXPORT int64_t plain_cublaslt_products() { return products; }
EXPORT int64_t plain_cublaslt_products_fp8() { return products_fp8; }
EXPORT int64_t plain_cublaslt_chosen() { return chosen; }

EXPORT int cublasLtCreate(void** handle) { return make(handle, 0); }
EXPORT int cublasLtDestroy(void* handle) { return drop<int>(handle); }
EXPORT size_t cublasLtGetVersion() { return 1; }
EXPORT int cublasLtMatmulDescCreate(void** to, int compute, int scale) { return make(to, Product{compute, scale}); }
EXPORT int cublasLtMatmulDescDestroy(void* product) { return drop<Product>(product); }
EXPORT int cublasLtMatmulPreferenceCreate(void** to) { return make(to, Preference{}); }
EXPORT int cublasLtMatmulPreferenceDestroy(void* preference) { return drop<Preference>(preference); }
EXPORT int cublasLtMatrixLayoutDestroy(void* matrix) { return drop<Matrix>(matrix); }

EXPORT int cublasLtMatrixLayoutCreate(void** to, int type, uint64_t rows, uint64_t columns, int64_t stride) {
  if (rows == 0 || columns == 0 || stride < static_cast<int64_t>(rows)) return kInvalid;
  return make(to, Matrix{type, rows, columns, stride});
}

EXPORT int cublasLtMatmulDescSetAttribute(void* product, int attribute, const void* value, size_t bytes) {
  auto& p = *static_cast<Product*>(product);
  switch (attribute) {
    case cublas::kTransposeA: return put(&p.transposed, sizeof p.transposed, value, bytes);
    case cublas::kEpilogue: return put(&p.epilogue, sizeof p.epilogue, value, bytes);
    case cublas::kBiasPointer: return put(&p.bias, sizeof p.bias, value, bytes);
    case cublas::kScaleModeA: return put(&p.mode_a, sizeof p.mode_a, value, bytes);
    case cublas::kScaleModeB: return put(&p.mode_b, sizeof p.mode_b, value, bytes);
    case cublas::kScaleA: return put(&p.scale_a, sizeof p.scale_a, value, bytes);
    case cublas::kScaleB: return put(&p.scale_b, sizeof p.scale_b, value, bytes);
    default: return kInvalid;
  }
}

EXPORT int cublasLtMatmulPreferenceSetAttribute(void* preference, int attribute, const void* value, size_t bytes) {
  auto& p = *static_cast<Preference*>(preference);
  return attribute == cublas::kMostWorkspace ? put(&p.workspace, sizeof p.workspace, value, bytes) : kInvalid;
}

EXPORT int cublasLtMatmulAlgoGetHeuristic(void*, void* product, void* a, void* b, void* c, void* d, void* preference, int wanted, cublas::Heuristic* found, int* count) {
  const auto &w = *static_cast<Matrix*>(a), &x = *static_cast<Matrix*>(b);
  *count = 0;
  if (wanted < 1 || c != d || !fits(*static_cast<Product*>(product), w, x, *static_cast<Matrix*>(d))) return kInvalid;
  if (w.rows == kNone || static_cast<Preference*>(preference)->workspace < kWorkspace) return kUnsupported;
  chosen++;
  *found = {};
  found->algorithm[0] = way(w, x);
  found->workspace = kWorkspace;
  *count = 1;
  return kGood;
}

EXPORT int cublasLtMatmul(void*, void* product, const void* alpha, const void* a, void* of_a, const void* b, void* of_b, const void* beta, const void* c, void* of_c, void* d, void* of_d,
                          const void* algorithm, void* workspace, size_t bytes, cudaStream_t stream) {
  const Product p = *static_cast<Product*>(product);
  const Matrix w = *static_cast<Matrix*>(of_a), x = *static_cast<Matrix*>(of_b), out = *static_cast<Matrix*>(of_d);
  uint64_t chosen_way;
  std::memcpy(&chosen_way, algorithm, sizeof chosen_way);
  const float factor = *static_cast<const float*>(alpha), kept = *static_cast<const float*>(beta);
  if (!fits(p, w, x, out) || chosen_way != way(w, x) || c != d || of_c != of_d || kept != 0) return kInvalid;
  if (!aligned(a, 16) || !aligned(b, 16) || !aligned(d, 16) || !aligned(workspace, 16) || bytes < kWorkspace) return kInvalid;
  products++;
  const bool fp8 = w.type == cublas::kE4m3;
  if (fp8) products_fp8++;
  auto value = [fp8](const void* from, uint64_t at) {
    return fp8 ? e4m3_to_float(static_cast<const uint8_t*>(from)[at]) : bf16_to_float(static_cast<const uint16_t*>(from)[at]);
  };
  auto* to = static_cast<float*>(d);
  stream->run(stream, [=] {
    std::memset(workspace, 0xff, kWorkspace);
    for (uint64_t n = 0; n < x.columns; n++) {
      for (uint64_t m = 0; m < w.columns; m++) {
        float sum = 0;
        for (uint64_t k = 0; k < w.rows; k++) {
          sum += value(a, m * static_cast<uint64_t>(w.stride) + k) * value(b, n * static_cast<uint64_t>(x.stride) + k);
        }
        if (fp8) sum *= p.scale_a[m] * p.scale_b[n];
        to[n * static_cast<uint64_t>(out.stride) + m] = sum * factor + (p.bias ? p.bias[m] : 0.0f);
      }
    }
  });
  return kGood;
}
