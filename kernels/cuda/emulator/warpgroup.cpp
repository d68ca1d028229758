#include "warpgroup.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "block.h"
#include "scalar.h"

namespace millrace::emulator {
namespace {

constexpr int kRows = 64, kDepth = 16;
constexpr uint32_t kGranule = 16;

// An mbarrier's 8 bytes. Nothing but the functions here may read them.
struct Gate {
  uint16_t mark, count, pending, phase;
};
constexpr uint16_t kGateMark = 0x6a7e;

Gate& gate_at(void* at, bool made) {
  if (shared_address(at) % sizeof(Gate) != 0) fault("a barrier in shared memory that is not aligned to 8 bytes");
  auto& gate = *static_cast<Gate*>(at);
  if (made && gate.mark != kGateMark) fault("a barrier in shared memory that was not made");
  return gate;
}

// Row of A or D, of value i of a thread: the warps of a group have 16 rows each.
int row_of(int thread, int i) { return thread / kWarpThreads * 16 + thread % kWarpThreads / 4 + i / 2 % 2 * 8; }
int column_of(int thread, int i) { return i / 4 * 8 + thread % 4 * 2 + i % 2; }

float widen(uint16_t stored, bool bf16) { return bf16 ? bf16_to_float(stored) : half_to_float(stored); }

}  // namespace

// A product that all threads of a group issue.
struct Warpgroups::Issued {
  AsyncProduct product{};
  int arrived = 0, delivered = 0;
  bool done = false;
  // Who has issued it.
  const void* where = nullptr;
  // Of each thread: where its part of D is, and which product before left it there that has not been waited for; -1: none.
  std::vector<float*> places = std::vector<float*>(kWarpgroupThreads);
  std::vector<int64_t> sources = std::vector<int64_t>(kWarpgroupThreads, -1);
  // [64][n], as it was and then as it is.
  std::vector<float> d;
  std::vector<uint16_t> a, b;
};

struct Warpgroups::Group {
  int64_t first = 0;
  std::deque<Issued> products;

  Issued* find(int64_t index) { return index >= first && index < first + static_cast<int64_t>(products.size()) ? &products[static_cast<size_t>(index - first)] : nullptr; }
};

SharedMatrix decode_descriptor(uint64_t descriptor) {
  auto field = [&](int low, int bits) { return static_cast<uint32_t>(descriptor >> low & ((uint64_t{1} << bits) - 1)); };
  if (field(49, 3) != 0) fault("a matrix whose pattern begins at no multiple of its size: not modelled");
  if (field(14, 2) != 0 || field(30, 2) != 0 || field(46, 3) != 0 || field(52, 10) != 0) fault("a matrix descriptor with bits that mean nothing");
  constexpr int kSwizzles[4] = {0, 128, 64, 32};
  return {field(0, 14) << 4, field(16, 14) << 4, field(32, 14) << 4, kSwizzles[field(62, 2)]};
}

uint32_t element_address(const SharedMatrix& m, bool transposed, int mn, int k) {
  // The canonical layouts, in units of 16 bytes (8 values) of which `width` make a row of the pattern.
  const int width = m.swizzle == 0 ? 1 : m.swizzle / 16;
  const auto u = [](int n) { return static_cast<uint32_t>(n); };
  uint32_t at = m.start;
  if (!transposed) {
    at += u(mn % 8 * width * 16) + u(mn / 8) * m.stride_bytes + u(k % 8 * 2) + u(k / 8) * (m.swizzle == 0 ? m.leading_bytes : 16);
  } else if (m.swizzle == 0) {
    at += u(mn % 8 * 2) + u(mn / 8) * m.stride_bytes + u(k % 8 * 16) + u(k / 8) * m.leading_bytes;
  } else {
    at += u(mn % 8 * 2) + u(mn / 8 % width * 16) + u(mn / 8 / width) * m.leading_bytes + u(k % 8 * width * 16) + u(k / 8) * m.stride_bytes;
  }
  // Swizzle<B, 4, 3>: as many bits from 4 on as the width has are changed by those from 7 on.
  return at ^ ((at >> 7 & u(width - 1)) << 4);
}

void Warpgroups::begin(int threads, size_t shared_bytes) {
  thread_count_ = threads;
  shared_bytes_ = shared_bytes;
  made_ = false;
}

void Warpgroups::make() {
  const races::Quiet quiet;
  made_ = true;
  threads_.assign(static_cast<size_t>(thread_count_), {});
  groups_.clear();
  for (int i = 0; i < thread_count_ / kWarpgroupThreads; i++) groups_.push_back(std::make_shared<Group>());
  unfenced_.assign((shared_bytes_ + kGranule - 1) / kGranule, 0);
  for (NamedBarrier& b : barriers_) b = {};
}

Warpgroups::OfThread& Warpgroups::self() {
  if (!made_) make();
  return threads_[static_cast<size_t>(thread().number)];
}

Warpgroups::Group& Warpgroups::group() {
  if (!made_) make();
  const auto index = static_cast<size_t>(thread().number / kWarpgroupThreads);
  if (index >= groups_.size()) fault("a product of a warpgroup that is not whole");
  return *groups_[index];
}

void Warpgroups::fence_products() {
  const races::Quiet quiet;
  self().fenced = true;
}

namespace {

// A product's reads are those of a thread of each warp, from when it is issued until it is waited for.
void touch_operands([[maybe_unused]] const AsyncProduct& product, [[maybe_unused]] int lane, [[maybe_unused]] const void* where) {
#if MR_RACES
  if (lane % kWarpThreads != 0) return;
  auto touch = [&](uint64_t descriptor, bool transposed, int first, int end) {
    const SharedMatrix matrix = decode_descriptor(descriptor);
    // Eight values side by side.
    for (int mn = first; mn < end; mn += transposed ? 8 : 1) {
      for (int k = 0; k < kDepth; k += transposed ? 1 : 8) races::touch(shared_memory() + element_address(matrix, transposed, mn, k), 16, races::Kind::kRead, where);
    }
  };
  const int row = lane / kWarpThreads * 16;
  if (!product.a_registers) touch(product.a, false, row, row + 16);
  touch(product.b, product.b_transposed, 0, product.n);
#endif
}

}  // namespace

void Warpgroups::multiply(float* d, const AsyncProduct& product) {
  const races::Quiet quiet;
  OfThread& me = self();
  if (!me.fenced) fault("a product that no fence stands before, since its thread may have touched registers");
  if (product.n < 8 || product.n > 256 || product.n % 8 != 0) fault("a product of a number of columns that there is not");
  Group& all = group();
  const int64_t index = me.issued++;
  if (!all.find(index)) {
    all.products.emplace_back();
    all.products.back().product = product;
    all.products.back().where = __builtin_return_address(0);
    all.products.back().d.resize(static_cast<size_t>(kRows * product.n));
    if (product.a_registers) all.products.back().a.resize(kRows * kDepth);
  }
  Issued& it = *all.find(index);
  const AsyncProduct& first = it.product;
  if (first.n != product.n || first.bf16 != product.bf16 || first.add != product.add || first.a != product.a || first.b != product.b ||
      first.b_transposed != product.b_transposed || (first.a_registers == nullptr) != (product.a_registers == nullptr)) {
    fault("threads of a warpgroup want different products");
  }
  const int lane = thread().number % kWarpgroupThreads;
  it.places[static_cast<size_t>(lane)] = d;
  if (product.a_registers) {
    for (int i = 0; i < 8; i++) {
      it.a[static_cast<size_t>(row_of(lane, i) * kDepth + column_of(lane, i))] = static_cast<uint16_t>(product.a_registers[i / 2] >> i % 2 * 16);
    }
  }
  if (product.add) {
    for (int64_t before = index - 1; before >= me.delivered && it.sources[static_cast<size_t>(lane)] < 0; before--) {
      if (all.find(before)->places[static_cast<size_t>(lane)] == d) it.sources[static_cast<size_t>(lane)] = before;
    }
    if (it.sources[static_cast<size_t>(lane)] < 0) {
      for (int i = 0; i < product.n / 2; i++) it.d[static_cast<size_t>(row_of(lane, i) * product.n + column_of(lane, i))] = d[i];
    }
  }
  for (int i = 0; i < product.n / 2; i++) d[i] = NAN;
  touch_operands(it.product, lane, it.where);
  if (++it.arrived == kWarpgroupThreads) begin_product(it);
}

namespace {

// The bytes that a product reads; row by row of A, column by column of B.
void read_matrix(uint64_t descriptor, bool transposed, int mns, const std::vector<uint8_t>& unfenced, std::vector<uint16_t>& to) {
  const SharedMatrix matrix = decode_descriptor(descriptor);
  to.resize(static_cast<size_t>(mns * kDepth));
  for (int mn = 0; mn < mns; mn++) {
    for (int k = 0; k < kDepth; k++) {
      const uint32_t at = element_address(matrix, transposed, mn, k);
      if (at / kGranule >= unfenced.size()) fault("a product that reads beyond shared memory");
      if (unfenced[at / kGranule] != 0) fault("a product that reads what was written to shared memory without a fence between");
      std::memcpy(&to[static_cast<size_t>(mn * kDepth + k)], shared_memory() + at, 2);
    }
  }
}

}  // namespace

void Warpgroups::begin_product(Issued& it) {
  if (!it.product.a_registers) read_matrix(it.product.a, false, kRows, unfenced_, it.a);
  read_matrix(it.product.b, it.product.b_transposed, it.product.n, unfenced_, it.b);
}

void Warpgroups::finish_product(Group& all, Issued& it) {
  const int n = it.product.n;
  std::vector<uint16_t> again;
  auto unchanged = [&](uint64_t descriptor, bool transposed, int mns, const std::vector<uint16_t>& before) {
    read_matrix(descriptor, transposed, mns, unfenced_, again);
    if (again != before) fault("shared memory that a product reads was written to before it had ended");
  };
  if (!it.product.a_registers) unchanged(it.product.a, false, kRows, it.a);
  unchanged(it.product.b, it.product.b_transposed, n, it.b);
  for (int lane = 0; lane < kWarpgroupThreads; lane++) {
    const int64_t source = it.sources[static_cast<size_t>(lane)];
    if (source < 0) continue;
    const Issued& before = *all.find(source);
    for (int i = 0; i < n / 2; i++) {
      const auto at = static_cast<size_t>(row_of(lane, i) * n + column_of(lane, i));
      it.d[at] = before.d[at];
    }
  }
  // Columns of B side by side, so that they are summed several at a time; each sum of 16 products is rounded once.
  std::vector<double> b(static_cast<size_t>(kDepth * n)), sums(static_cast<size_t>(n));
  for (int c = 0; c < n; c++) {
    for (int k = 0; k < kDepth; k++) b[static_cast<size_t>(k * n + c)] = widen(it.b[static_cast<size_t>(c * kDepth + k)], it.product.bf16);
  }
  for (int r = 0; r < kRows; r++) {
    std::fill(sums.begin(), sums.end(), 0.0);
    for (int k = 0; k < kDepth; k++) {
      const double a = widen(it.a[static_cast<size_t>(r * kDepth + k)], it.product.bf16);
      const double* of_k = &b[static_cast<size_t>(k * n)];
      for (int c = 0; c < n; c++) sums[static_cast<size_t>(c)] += a * of_k[c];
    }
    float* d = &it.d[static_cast<size_t>(r * n)];
    for (int c = 0; c < n; c++) d[c] = static_cast<float>(sums[static_cast<size_t>(c)] + (it.product.add ? static_cast<double>(d[c]) : 0.0));
  }
  it.done = true;
}

void Warpgroups::commit_products() {
  const races::Quiet quiet;
  self().groups.push_back(self().issued);
}

void Warpgroups::wait_for_products(int groups) {
  const int number = thread().number;
  const auto lane = static_cast<size_t>(number % kWarpgroupThreads);
  Group& all = group();
  OfThread& me = self();
  me.fenced = false;
  const auto closed = static_cast<int>(me.groups.size());
  const int64_t until = closed > groups ? me.groups[static_cast<size_t>(closed - groups - 1)] : 0;
  await_until([&] { return until <= me.delivered || all.find(until - 1)->arrived == kWarpgroupThreads; });
  const races::Quiet quiet;
  for (int64_t i = me.delivered; i < until; i++) {
    Issued& it = *all.find(i);
    if (!it.done) finish_product(all, it);
    // What a later product adds to is not to be had yet.
    bool later = false;
    for (int64_t j = i + 1; j < me.issued; j++) later = later || all.find(j)->places[lane] == it.places[lane];
    if (!later) {
      for (int v = 0; v < it.product.n / 2; v++) it.places[lane][v] = it.d[static_cast<size_t>(row_of(static_cast<int>(lane), v) * it.product.n + column_of(static_cast<int>(lane), v))];
    }
    touch_operands(it.product, static_cast<int>(lane), it.where);
    it.delivered++;
  }
  me.delivered = std::max(me.delivered, until);
  if (closed > groups) me.groups.erase(me.groups.begin(), me.groups.end() - groups);
  while (!all.products.empty() && all.products.front().delivered == kWarpgroupThreads) {
    // Products under way may add to what it has left.
    const bool wanted = std::any_of(all.products.begin() + 1, all.products.end(), [&](const Issued& it) {
      return !it.done && std::find(it.sources.begin(), it.sources.end(), all.first) != it.sources.end();
    });
    if (wanted) break;
    all.products.pop_front();
    all.first++;
  }
}

void Warpgroups::written(const void* to, size_t bytes) {
  const races::Quiet quiet;
  if (!made_) return;
  for (uint32_t at = shared_address(to) / kGranule; at <= (shared_address(to) + bytes - 1) / kGranule; at++) {
    unfenced_[at] = 1;
    self().unfenced.push_back(at);
  }
}

void Warpgroups::fence_shared() {
  const races::Quiet quiet;
  for (uint32_t at : self().unfenced) unfenced_[at] = 0;
  self().unfenced.clear();
}

void Warpgroups::init_gate(void* at, int count) {
  const races::Quiet quiet;
  if (count < 1 || count > 1024) fault("a barrier in shared memory of no sensible count");
  races::touch(at, sizeof(Gate), races::Kind::kWrite, __builtin_return_address(0));
  gate_at(at, false) = {kGateMark, static_cast<uint16_t>(count), static_cast<uint16_t>(count), 0};
  if (!made_) make();
}

void Warpgroups::arrive(void* at) {
  Gate& gate = gate_at(at, true);
  races::touch(at, sizeof(Gate), races::Kind::kAtomic, __builtin_return_address(0));
  races::release(at);
  if (--gate.pending > 0) return;
  gate.pending = gate.count;
  gate.phase++;
  races::complete(at, true);
}

void Warpgroups::wait_for_gate(void* at, int parity) {
  Gate& gate = gate_at(at, true);
  races::touch(at, sizeof(Gate), races::Kind::kAtomic, __builtin_return_address(0));
  await_until([&] { return gate.phase % 2 != parity; });
  races::acquire(at);
}

bool Warpgroups::passed(void* at, int parity) {
  const Gate& gate = gate_at(at, true);
  races::touch(at, sizeof(Gate), races::Kind::kAtomic, __builtin_return_address(0));
  if (gate.phase % 2 == parity) return false;
  races::acquire(at);
  return true;
}

void Warpgroups::barrier(int id, int threads, bool waits) {
  if (id < 0 || id > 15 || threads < kWarpThreads || threads % kWarpThreads != 0) fault("a named barrier that there is not");
  if (!made_) make();
  NamedBarrier& b = barriers_[id];
  if (b.arrived > 0 && b.threads != threads) fault("threads that meet at a barrier count on different numbers");
  b.threads = threads;
  const unsigned generation = b.generation;
  races::release(&b);
  if (++b.arrived == threads) {
    b.arrived = 0;
    b.generation++;
    races::complete(&b, false);
  } else if (waits) {
    await_until([&] { return b.generation != generation; });
  }
  if (waits) races::acquire(&b);
}

}  // namespace millrace::emulator
