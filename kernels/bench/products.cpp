#include "products.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include "input.h"
#include "isa.h"
#include "memory.h"
#include "pack.h"
#include "pool.h"
#include "probes.h"
#include "weights.h"

namespace millrace::bench {
namespace {

constexpr int kColumns = 2048;
constexpr int64_t kBytes = int64_t{160} << 20;
// Outputs of products with many rows.
constexpr int kOutputs = 8192;
constexpr int kManyRows = 64;
constexpr double kLeastSeconds = 0.02;

class Product {
 public:
  Product(int type, const Kernels& kernels, int threads) : kernels_(kernels), pool_(threads, false) {
    w_ = layout(type, 1, kColumns, kernels.lanes, kernels.panels);
    wide_ = kernels.lanes * kernels.panels;
    w_.groups = static_cast<int>(std::max<int64_t>(kOutputs / wide_, kBytes / w_.group_bytes));
    w_.rows = w_.groups * wide_;
    memory_.need(packed_bytes(w_));
    std::vector<uint8_t> one = stored(type, int64_t{wide_} * kColumns);
    for (int g = 0; g < w_.groups; g++) {
      if (g == 0) {
        pack_group(w_, one.data(), 0, kernels.offset_codes, memory_.data());
      } else {
        std::memcpy(memory_.data() + g * w_.group_bytes, memory_.data(), static_cast<size_t>(w_.group_bytes));
      }
    }
    w_.data = memory_.data();
  }

  // Seconds of a product with the first `groups` groups; each thread has its share of them.
  double time(int rows, int groups) {
    prepare(rows);
    LinearTask task{};
    task.w = &w_;
    task.factor = 1;
    task.row1 = rows;
    task.out = {out_.floats(), w_.rows};
    input_.give({x_.floats(), kColumns}, task);
    double best = 1e9, start = now();
    do {
      double began = now();
      int tasks = std::min(groups, pool_.threads() == 1 ? 1 : 4 * pool_.threads());
      pool_.run(tasks, [&](int i, int) {
        LinearTask piece = task;
        piece.group0 = static_cast<int>(int64_t{groups} * i / tasks);
        piece.group1 = static_cast<int>(int64_t{groups} * (i + 1) / tasks);
        kernels_.linear(piece);
      });
      best = std::min(best, now() - began);
    } while (now() - start < kLeastSeconds);
    return best;
  }

  // Seconds of one thread for one group.
  double kernel_time(int rows) {
    constexpr int kTimes = 200;
    prepare(rows);
    LinearTask task{};
    task.w = &w_;
    task.factor = 1;
    task.row1 = rows;
    task.group1 = 1;
    task.out = {out_.floats(), w_.rows};
    input_.give({x_.floats(), kColumns}, task);
    double start = now();
    for (int i = 0; i < kTimes; i++) kernels_.linear(task);
    return (now() - start) / kTimes;
  }

  int groups() const { return w_.groups; }
  int few_groups() const { return kOutputs / wide_; }
  double bytes(int groups) const { return static_cast<double>(w_.group_bytes) * groups; }
  double operations(int rows, int groups) const { return 2.0 * rows * kColumns * wide_ * groups; }

 private:
  void prepare(int rows) {
    if (rows == rows_) return;
    rows_ = rows;
    x_.need(int64_t{rows} * kColumns * 4);
    out_.need(int64_t{rows} * w_.rows * 4);
    for (int i = 0; i < rows * kColumns; i++) x_.floats()[i] = std::sin(static_cast<float>(i));
    input_.start(kernels_, kColumns, rows);
    input_.want(w_);
    input_.allocate();
    for (int r = 0; r < rows; r++) input_.make(r, x_.floats() + int64_t{r} * kColumns);
  }

  const Kernels& kernels_;
  Pool pool_;
  Packed w_;
  int wide_ = 0, rows_ = 0;
  Memory memory_, x_, out_;
  Input input_;
};

double peak(int type, const Kernels& kernels) {
  if (is_quantised(type)) return int8_peak();
  return type == MR_BF16 && kernels.bf16_rows ? bf16_peak() : f32_peak();
}

}  // namespace

void measure_products(int type, int isa, int threads, int rounds, std::vector<int> all) {
  const Kernels& kernels = kernels_of(isa);
  Product product(type, kernels, threads);
  all.insert(all.begin(), 0);
  for (int rows : all) {
    bool alone = rows == 0;
    std::vector<double> reads, rates, shares, peak_shares, scalings;
    for (int round = 0; round < rounds; round++) {
      double ceiling = peak(type, kernels);
      double read = alone ? 0 : read_bandwidth(threads);
      int groups = alone ? 1 : rows >= kManyRows ? product.few_groups() : product.groups();
      double time = alone ? product.kernel_time(24) : product.time(rows, groups);
      reads.push_back(product.bytes(groups) / time / 1e9);
      rates.push_back(product.operations(alone ? 24 : rows, groups) / time / 1e9);
      shares.push_back(alone ? 0 : reads.back() / read);
      peak_shares.push_back(ceiling > 0 ? rates.back() * 1e9 / (ceiling * (alone ? 1 : threads)) : 0);
      scalings.push_back(scaling());
    }
    std::printf("{\"what\":\"%s\",\"isa\":\"%s\",\"type\":\"%s\",\"rows\":%d,\"gb_s\":%.1f,\"share_of_read\":%.2f,\"gops\":%.0f,"
                "\"share_of_peak\":%.2f,\"scaling\":%.2f}\n",
                alone ? "kernel" : "product", kernels.name, kTypes[type].name, alone ? 24 : rows, median(reads), median(shares), median(rates),
                median(peak_shares), median(scalings));
    std::fflush(stdout);
  }
}

}  // namespace millrace::bench
