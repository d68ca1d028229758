// A block chooses the id of a logit row. Every sum is of whole units, or in a fixed order, so results depend on the row alone.
#include "kernels/sampling.h"

#include "core/verify.h"
#include "kernels/sampling_draw.h"

namespace millrace::cuda {
namespace {

// The best of x after `last`; `bad` becomes the lowest id whose logit is NaN or infinite, or the vocabulary.
__device__ Ranked best_after(const Row& row, const float* x, const Ranked& last, int& bad) {
  Ranked mine{-infinity(), row.vocabulary};
  bad = row.vocabulary;
  ahead<kRowAhead>(threadIdx.x, row.vocabulary, blockDim.x, [&](int i) { return x[i]; }, [&](int i, float value) {
    const Ranked here{value, i};
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
  ahead<kRowAhead>(threadIdx.x, n, blockDim.x, [&](int i) { return row.logits[i]; }, [&](int i, float logit) { x[i] = logit; });
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
    // The list may have an id twice.
    if (id >= 0 && id < n) atomicExch(x + id, -infinity());
  });
  if (how.mask_at >= 0) {
    __syncthreads();
    const int32_t* mask = words + how.mask_at;
    each(n, [&](int i) {
      if ((static_cast<uint32_t>(mask[i / 32]) >> i % 32 & 1) == 0) x[i] = -infinity();
    });
  }
  __syncthreads();
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
  await_launches();
  each(*rows.count, [&](int r) {
    if (begins_drafts(p.rows, r)) verify_drafts(p.rows, r, p.out, p.ids);
  });
}

__global__ void __launch_bounds__(512, 1) sample_kernel(RowCount rows, SampleArguments p) {
  MR_SHARED_MEMORY(Shared, shared);
  allow_next_launch();
  await_launches();
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
  allow_next_launch();
  each(*rows.count, [&](int i) {
    if (tokens[i] < 0) tokens[i] = min(ids[-1 - tokens[i]], vocabulary - 1);
  });
  if (!sampling) return;
  each(*logit_rows.count, [&](int i) {
    if (sampling[i].chooses != 0 && sampling[i].last >= 0) sampling[i].last = ids[sampling[i].last];
  });
}

}  // namespace

void resolve(cudaStream_t stream, RowCount rows, RowCount logit_rows, int32_t* tokens, mr_sampling* sampling, const int32_t* ids, int vocabulary) {
  launch(resolve_kernel, 1, 256, 0, stream, rows, logit_rows, tokens, sampling, ids, vocabulary);
}

void sample(cudaStream_t stream, RowCount rows, const SampleArguments& p) {
  const unsigned threads = p.vocabulary <= 4096 ? 128 : 512;
  launch_early(sample_kernel, rows.most, threads, sizeof(Shared), stream, rows, p);
}

void verify(cudaStream_t stream, RowCount rows, const SampleArguments& p) { launch_early(verify_kernel, 1, 256, 0, stream, rows, p); }

}  // namespace millrace::cuda
