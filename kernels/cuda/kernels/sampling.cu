// A block chooses the id of a logit row. Every sum is of whole units, or in a fixed order, so results depend on the row alone.
#include "kernels/sampling.h"

#include "core/numbers.h"
#include "core/sample.h"
#include "core/verify.h"

namespace millrace::cuda {
namespace {

constexpr int kDigitBits = 11;
constexpr int kBins = 1 << kDigitBits;
// Digits of a key, the highest first: three of the value, two of the id.
constexpr int kDigits = 5;
constexpr int kKeyBits = 32 + kIdBits;
constexpr int kDrawChunk = 1024;
constexpr int kMostWarps = 16;

static_assert(kMostSampledIds / kDrawChunk <= kBins);

// What the threads of a block share.
struct Shared {
  unsigned long long bins[kBins];
  unsigned long long sums[kMostWarps];
  Ranked best[kMostWarps];
  // Of a selection: the digits found, and what lies above them.
  unsigned long long found, above;
  int least[kMostWarps];
  int reached;
};

// What the threads know alike while they work on a row.
struct Row {
  Shared* shared;
  const float* logits;
  float* work;
  int vocabulary;
};

template <class Body>
__device__ inline void each(int n, const Body& body) {
  for (int i = threadIdx.x; i < n; i += blockDim.x) body(i);
}

__device__ inline int warps() { return static_cast<int>(blockDim.x / kWarp); }

__device__ inline unsigned long long sum_of_block(Shared* s, unsigned long long mine) {
  for (int bits = 16; bits > 0; bits /= 2) mine += __shfl_xor_sync(kWholeWarp, mine, bits);
  __syncthreads();
  if (threadIdx.x % kWarp == 0) s->sums[threadIdx.x / kWarp] = mine;
  __syncthreads();
  unsigned long long sum = 0;
  for (int w = 0; w < warps(); w++) sum += s->sums[w];
  return sum;
}

// The best of all threads, and the least of `bad`.
__device__ Ranked best_of_block(Shared* s, Ranked mine, int& bad) {
  for (int bits = 16; bits > 0; bits /= 2) {
    const Ranked other{__shfl_xor_sync(kWholeWarp, mine.value, bits), __shfl_xor_sync(kWholeWarp, mine.id, bits)};
    if (before(other, mine)) mine = other;
    bad = min(bad, __shfl_xor_sync(kWholeWarp, bad, bits));
  }
  __syncthreads();
  if (threadIdx.x % kWarp == 0) {
    s->best[threadIdx.x / kWarp] = mine;
    s->least[threadIdx.x / kWarp] = bad;
  }
  __syncthreads();
  for (int w = 0; w < warps(); w++) {
    if (before(s->best[w], mine)) mine = s->best[w];
    bad = min(bad, s->least[w]);
  }
  return mine;
}

// The best of x after `last`; `bad` becomes the lowest id whose logit is NaN or infinite, or the vocabulary.
__device__ Ranked best_after(const Row& row, const float* x, const Ranked& last, int& bad) {
  Ranked mine{-infinity(), row.vocabulary};
  bad = row.vocabulary;
  each(row.vocabulary, [&](int i) {
    const Ranked here{x[i], i};
    if (!(here.value < infinity())) {
      bad = min(bad, i);
    } else if (before(here, mine) && before(last, here)) {
      mine = here;
    }
  });
  return best_of_block(row.shared, mine, bad);
}

__device__ inline Ranked best(const Row& row, const float* x, int& bad) { return best_after(row, x, {infinity(), -1}, bad); }

// Sum of e^(x - most), in chunks. The work of the row is overwritten.
__device__ double sum_of_exponentials(const Row& row, float most) {
  auto* chains = reinterpret_cast<double*>(row.work);
  const int chunks = (row.vocabulary + kSumChunk - 1) / kSumChunk;
  each(chunks * kSumLanes, [&](int chain) {
    const int lane = chain % kSumLanes, from = chain / kSumLanes * kSumChunk;
    const int n = min(kSumChunk, row.vocabulary - from), whole = n / kSumLanes * kSumLanes;
    double sum = 0;
    for (int i = lane; i < whole; i += kSumLanes) sum += static_cast<float>(relative(row.logits[from + i], most, 1));
    for (int i = whole; lane == 0 && i < n; i++) sum += static_cast<float>(relative(row.logits[from + i], most, 1));
    chains[chain] = sum;
  });
  __syncthreads();
  each(chunks, [&](int chunk) {
    double* s = chains + chunk * kSumLanes;
    s[0] = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
  });
  __syncthreads();
  double total = 0;
  if (threadIdx.x == 0) {
    for (int chunk = 0; chunk < chunks; chunk++) total += chains[chunk * kSumLanes];
  }
  __syncthreads();
  return total;
}

__device__ void put_logprobs(const Row& row, const mr_sampling& how, mr_sampled& out, const Ranked& top) {
  const double sum = sum_of_exponentials(row, top.value);
  if (threadIdx.x == 0) {
    out.sum = sum;
    out.most = top.value;
  }
  Ranked last = top;
  int bad;
  const int count = min(how.logprobs, row.vocabulary);
  for (int k = 0; k < count; k++) {
    if (k > 0) last = best_after(row, row.logits, last, bad);
    if (threadIdx.x != 0) continue;
    out.top_ids[k] = last.id;
    out.top_logits[k] = last.value;
  }
}

// Logits with bias, penalties, and what may not be chosen at -infinity; nobody reads them before a barrier.
__device__ void change(const Row& row, const mr_sampling& how, const int32_t* words, int32_t* counts) {
  const int n = row.vocabulary;
  float* x = row.work;
  each(n, [&](int i) { x[i] = row.logits[i]; });
  __syncthreads();
  const int32_t* bias = words + how.bias_at;
  each(how.bias_count, [&](int i) {
    if (bias[i] >= 0 && bias[i] < n) x[bias[i]] += bits_to_float(static_cast<uint32_t>(bias[how.bias_count + i]));
  });
  if (how.history_count > 0 || how.last >= 0) {
    // Bit 0: it occurred; above: how often in the output.
    const int32_t* history = words + how.history_at;
    const int length = how.history_count + (how.last >= 0 ? 1 : 0);
    auto id_at = [&](int i) { return i < how.history_count ? history[i] : how.last; };
    each(length, [&](int i) {
      const int id = id_at(i);
      if (id < 0 || id >= n) return;
      if (i < how.prompt) {
        atomicOr(counts + id, 1);
      } else {
        atomicAdd(counts + id, 2);
      }
    });
    __syncthreads();
    each(length, [&](int i) {
      const int id = id_at(i);
      const int count = id < 0 || id >= n ? 0 : atomicExch(counts + id, 0);
      if (count != 0) x[id] = penalised(x[id], count >> 1, how.repetition, how.frequency, how.presence);
    });
  }
  __syncthreads();
  each(how.suppressed_count, [&](int i) {
    const int id = words[how.suppressed_at + i];
    if (id >= 0 && id < n) x[id] = -infinity();
  });
  if (how.mask_at >= 0) {
    const int32_t* mask = words + how.mask_at;
    each(n, [&](int i) {
      if ((static_cast<uint32_t>(mask[i / 32]) >> i % 32 & 1) == 0) x[i] = -infinity();
    });
  }
  __syncthreads();
}

// The bin, from the top, in which the sum reaches `target`; leaves what lies above it. False when all together do not.
__device__ bool find_bin(Shared* s, unsigned long long target, int& bin) {
  constexpr int kEach = kBins / kWarp;
  __syncthreads();
  if (threadIdx.x < kWarp) {
    const int lane = threadIdx.x, top = kBins - 1 - lane * kEach;
    unsigned long long mine = 0;
    for (int i = 0; i < kEach; i++) mine += s->bins[top - i];
    unsigned long long up_to = mine;
    for (int distance = 1; distance < kWarp; distance *= 2) {
      const unsigned long long other = __shfl_sync(kWholeWarp, up_to, lane - distance);
      if (lane >= distance) up_to += other;
    }
    unsigned long long above = s->above + up_to - mine;
    if (lane == kWarp - 1 && s->above + up_to < target) s->reached = -1;
    if (above < target && above + mine >= target) {
      int i = 0;
      while (above + s->bins[top - i] < target) above += s->bins[top - i++];
      s->reached = top - i;
      s->found = above;
    }
  }
  __syncthreads();
  bin = s->reached;
  if (threadIdx.x == 0) s->above = s->found;
  __syncthreads();
  return bin >= 0;
}

// The largest key such that all that are not below it add up to `target`; 0 when all together do not. item(i, key, amount): whether i counts.
template <class Item>
__device__ uint64_t select(const Row& row, unsigned long long target, const Item& item) {
  Shared* s = row.shared;
  uint64_t prefix = 0;
  int below = kKeyBits;
  if (threadIdx.x == 0) s->above = 0;
  for (int digit = 0; digit < kDigits; digit++) {
    const int bits = min(kDigitBits, below - (digit < 3 ? kIdBits : 0));
    const int shift = below - bits;
    each(kBins, [&](int i) { s->bins[i] = 0; });
    __syncthreads();
    each(row.vocabulary, [&](int i) {
      uint64_t key = 0;
      unsigned long long amount = 0;
      if (item(i, key, amount) && key >> below == prefix) atomicAdd(&s->bins[key >> shift & (kBins - 1) & ((1 << bits) - 1)], amount);
    });
    int bin;
    if (!find_bin(s, target, bin)) return 0;
    prefix = prefix << bits | static_cast<unsigned>(bin);
    below = shift;
  }
  return prefix;
}

// The units that `share` of a sum takes; at least one, so that something is kept.
__device__ inline unsigned long long share_of(double share, unsigned long long units) {
  const double target = share * (static_cast<double>(units) * kWeightUnit) / kWeightUnit;
  auto whole = static_cast<unsigned long long>(target);
  if (static_cast<double>(whole) < target) whole++;
  return whole > 0 ? whole : 1;
}

// Which ids may still be drawn.
struct Kept {
  const float* weights;
  // Least key of a weight.
  uint64_t least;
  // Of typical: least key of how near ids are to the entropy; not asked about when typical is off.
  bool typical;
  uint64_t nearest;
  double total, entropy;

  __device__ bool weighs(int i, float& weight) const {
    weight = weights[i];
    return rank_key(float_to_bits(weight), i) >= least;
  }
  __device__ uint64_t nearness(int i, float weight) const {
    const float distance = static_cast<float>(fabs(-natural_log(weight / total) - entropy));
    return rank_key(~float_to_bits(distance), i);
  }
  __device__ unsigned long long units(int i) const {
    float weight;
    if (!weighs(i, weight) || (typical && nearness(i, weight) < nearest)) return 0;
    return units_of(weight);
  }
};

__device__ unsigned long long mass(const Row& row, const Kept& kept) {
  unsigned long long mine = 0;
  each(row.vocabulary, [&](int i) { mine += kept.units(i); });
  return sum_of_block(row.shared, mine);
}

__device__ void keep_typical(const Row& row, Kept& kept, float share) {
  const unsigned long long all = mass(row, kept);
  kept.total = static_cast<double>(all) * kWeightUnit;
  unsigned long long mine = 0;
  each(row.vocabulary, [&](int i) {
    float weight;
    if (kept.weighs(i, weight)) mine += units_of(surprise(weight / kept.total));
  });
  kept.entropy = static_cast<double>(sum_of_block(row.shared, mine)) * kWeightUnit;
  kept.nearest = select(row, share_of(share, all), [&](int i, uint64_t& key, unsigned long long& amount) {
    float weight;
    if (!kept.weighs(i, weight)) return false;
    key = kept.nearness(i, weight);
    amount = units_of(weight);
    return true;
  });
  kept.typical = true;
}

// The id at which the running sum, in the order of ids, first exceeds u times the whole.
__device__ int draw(const Row& row, const Kept& kept, double u) {
  Shared* s = row.shared;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int chunks = (row.vocabulary + kDrawChunk - 1) / kDrawChunk;
  __syncthreads();
  unsigned long long mine = 0;
  int last = -1;
  for (int chunk = warp; chunk < chunks; chunk += warps()) {
    const int to = min(row.vocabulary, (chunk + 1) * kDrawChunk);
    unsigned long long sum = 0;
    for (int i = chunk * kDrawChunk + lane; i < to; i += kWarp) {
      const unsigned long long units = kept.units(i);
      sum += units;
      if (units > 0) last = i;
    }
    for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(kWholeWarp, sum, bits);
    if (lane == 0) {
      s->bins[chunk] = sum;
      mine += sum;
    }
  }
  for (int bits = 16; bits > 0; bits /= 2) last = max(last, __shfl_xor_sync(kWholeWarp, last, bits));
  if (lane == 0) s->least[warp] = last;
  const unsigned long long all = sum_of_block(s, mine);
  if (warp != 0) return 0;
  const auto target = static_cast<unsigned long long>(u * (static_cast<double>(all) * kWeightUnit) / kWeightUnit);
  unsigned long long sum = 0;
  int chunk = 0;
  while (chunk < chunks && sum + s->bins[chunk] <= target) sum += s->bins[chunk++];
  for (int from = chunk * kDrawChunk; chunk < chunks && from < (chunk + 1) * kDrawChunk; from += kWarp) {
    unsigned long long up_to = from + lane < row.vocabulary ? kept.units(from + lane) : 0;
    for (int distance = 1; distance < kWarp; distance *= 2) {
      const unsigned long long other = __shfl_sync(kWholeWarp, up_to, lane - distance);
      if (lane >= distance) up_to += other;
    }
    const unsigned reached = __ballot_sync(kWholeWarp, sum + up_to > target);
    if (reached != 0) {
      int first = 0;
      while ((reached >> first & 1) == 0) first++;
      return from + first;
    }
    sum += __shfl_sync(kWholeWarp, up_to, kWarp - 1);
  }
  // u times the whole was rounded up to the whole.
  for (int w = 0; w < warps(); w++) last = max(last, s->least[w]);
  return last;
}

// Turns x into weights, thins them out and draws.
__device__ int draw_from(const Row& row, const float* x, float most, const mr_sampling& how) {
  const double scale = 1.0 / static_cast<double>(how.temperature);
  const int n = row.vocabulary;
  unsigned long long mine = 0;
  each(n, [&](int i) {
    const float weight = weight_of(x[i], most, scale);
    row.work[i] = weight;
    mine += units_of(weight);
  });
  unsigned long long all = sum_of_block(row.shared, mine);
  // Any weight but 0.
  Kept kept{row.work, rank_key(1, (1 << kIdBits) - 1), false, 0, 1, 0};
  const bool top_k = how.top_k > 0 && how.top_k < n;
  if (top_k) {
    const uint64_t least = select(row, static_cast<unsigned long long>(how.top_k), [&](int i, uint64_t& key, unsigned long long& amount) {
      float weight;
      if (!kept.weighs(i, weight)) return false;
      key = rank_key(float_to_bits(weight), i);
      amount = 1;
      return true;
    });
    kept.least = least > kept.least ? least : kept.least;
  }
  if (how.top_p < 1) {
    if (top_k) all = mass(row, kept);
    const uint64_t least = select(row, share_of(how.top_p, all), [&](int i, uint64_t& key, unsigned long long& amount) {
      float weight;
      if (!kept.weighs(i, weight)) return false;
      key = rank_key(float_to_bits(weight), i);
      amount = units_of(weight);
      return true;
    });
    kept.least = least > kept.least ? least : kept.least;
  }
  if (how.min_p > 0) {
    const uint64_t least = rank_key(float_to_bits(how.min_p), (1 << kIdBits) - 1);
    kept.least = least > kept.least ? least : kept.least;
  }
  if (how.typical_p < 1) keep_typical(row, kept, how.typical_p);
  return draw(row, kept, philox_uniform(how.seed_low, how.seed_high, how.choice, how.position));
}

__device__ inline void fail_row(mr_sampled& out, int status, const float* x, int bad) {
  if (threadIdx.x != 0) return;
  out.status = status;
  out.bad = bad;
  out.bad_logit = status == MR_ROW_BROKEN ? x[bad] : 0;
}

__device__ void sample_row(const Row& row, const SampleArguments& p, const mr_sampling& how, mr_sampled& out, int32_t& chosen) {
  int bad;
  Ranked top = best(row, row.logits, bad);
  if (bad < row.vocabulary) return fail_row(out, MR_ROW_BROKEN, row.logits, bad);
  if (how.logprobs >= 0) put_logprobs(row, how, out, top);
  const float* x = row.logits;
  if (how.changes != 0) {
    __syncthreads();
    change(row, how, p.words, p.counts + (how.chooses - 1) * p.stride);
    x = row.work;
    top = best(row, x, bad);
    if (bad < row.vocabulary) return fail_row(out, MR_ROW_BROKEN, x, bad);
  }
  if (top.value == -infinity()) return fail_row(out, MR_ROW_EMPTY, x, 0);
  const int id = how.temperature == 0 || how.top_k == 1 ? top.id : draw_from(row, x, top.value, how);
  if (threadIdx.x != 0) return;
  chosen = id;
  out.id = id;
  out.logit = row.logits[id];
  out.status = MR_ROW_CHOSEN;
}

// A thread for each row that begins drafts.
__global__ void __launch_bounds__(256) verify_kernel(RowCount rows, SampleArguments p) {
  each(*rows.count, [&](int r) {
    if (begins_drafts(p.rows, r)) verify_drafts(p.rows, r, p.out, p.ids);
  });
}

__global__ void __launch_bounds__(512) sample_kernel(RowCount rows, SampleArguments p) {
  MR_SHARED_MEMORY(Shared, shared);
  if (static_cast<int>(blockIdx.x) >= *rows.count) return;
  const mr_sampling& how = p.rows[blockIdx.x];
  if (threadIdx.x == 0) {
    p.ids[blockIdx.x] = 0;
    p.out[blockIdx.x].accepted = 0;
  }
  if (how.chooses == 0) {
    if (threadIdx.x == 0) p.out[blockIdx.x].status = MR_ROW_LEFT;
    return;
  }
  const int64_t place = how.chooses - 1;
  const Row row{shared, p.logits.data + static_cast<int64_t>(blockIdx.x) * p.logits.stride, p.work + place * p.stride, p.vocabulary};
  sample_row(row, p, how, p.out[blockIdx.x], p.ids[blockIdx.x]);
}

__global__ void resolve_kernel(RowCount rows, RowCount logit_rows, int32_t* tokens, mr_sampling* sampling, const int32_t* ids, int vocabulary) {
  each(*rows.count, [&](int i) {
    if (tokens[i] < 0) tokens[i] = min(ids[-1 - tokens[i]], vocabulary - 1);
  });
  if (!sampling) return;
  each(*logit_rows.count, [&](int i) {
    if (sampling[i].last >= 0) sampling[i].last = ids[sampling[i].last];
  });
}

}  // namespace

void resolve(cudaStream_t stream, RowCount rows, RowCount logit_rows, int32_t* tokens, mr_sampling* sampling, const int32_t* ids, int vocabulary) {
  launch(resolve_kernel, 1, 256, 0, stream, rows, logit_rows, tokens, sampling, ids, vocabulary);
}

void sample(cudaStream_t stream, RowCount rows, const SampleArguments& p) {
  const unsigned threads = p.vocabulary <= 4096 ? 128 : 512;
  launch(sample_kernel, rows.most, threads, sizeof(Shared), stream, rows, p);
}

void verify(cudaStream_t stream, RowCount rows, const SampleArguments& p) { launch(verify_kernel, 1, 256, 0, stream, rows, p); }

}  // namespace millrace::cuda
