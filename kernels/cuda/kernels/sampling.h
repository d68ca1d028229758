// Choosing ids on the device, and handing them to the next step.
#pragma once
#include "kernels/launches.h"
#include "millrace.h"

namespace millrace::cuda {

struct SampleArguments {
  RowView logits;
  int vocabulary;
  // [rows], and what their places refer to. `chooses` is the place in `work` and `counts`, from 1 on.
  const mr_sampling* rows;
  const int32_t* words;
  // [rows], 0 of a row that chose none.
  int32_t* ids;
  mr_sampled* out;
  // [places][stride]: logits as they are changed, then weights; how often ids occurred, all 0 between steps.
  float* work;
  int32_t* counts;
  int64_t stride;
};

// Logits or weights of a row of scratch memory.
inline int64_t sample_stride(int vocabulary) { return rounded_up(vocabulary, 64); }

// Puts ids of the step before where this step refers to them: in its tokens, and in `last` of its rows that sample (null: none do).
void resolve(cudaStream_t stream, RowCount rows, RowCount logit_rows, int32_t* tokens, mr_sampling* sampling, const int32_t* ids, int vocabulary);

void sample(cudaStream_t stream, RowCount rows, const SampleArguments& p);

// Of rows that were sampled: accepts drafts, and refuses what follows the first that is not accepted.
void verify(cudaStream_t stream, RowCount rows, const SampleArguments& p);

}  // namespace millrace::cuda
