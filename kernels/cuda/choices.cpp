#include "choices.h"

#include <bit>
#include <cstring>

#include "arena.h"

namespace millrace::cuda {

int64_t choice_bytes(int rows, int vocabulary) {
  const int64_t all = rows;
  return 2 * allocated(all * sample_stride(vocabulary) * 4) + allocated(all * 4) + allocated(all * static_cast<int64_t>(sizeof(mr_sampled))) +
         allocated(all * static_cast<int64_t>(sizeof(mr_sampling)) + kReservedWords * 4);
}

bool Choices::need(Stream& stream, int rows, int choosing, int64_t words, int vocabulary) {
  vocabulary_ = vocabulary;
  if (rows <= rows_ && choosing <= choosing_ && words <= words_) return false;
  stream.synchronize();
  if (rows > rows_ || words > words_) {
    const int more_rows = std::max(rows_, static_cast<int>(std::bit_ceil(static_cast<unsigned>(rows))));
    const int64_t more_words = std::max(words_, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(words))));
    rows_ = 0;
    words_ = 0;
    // The ids are those of the step before, to which the next may refer.
    Memory ids(int64_t{more_rows} * 4, "chosen ids");
    stream.clear(ids.data(), ids.size());
    if (ids_.size() > 0) check(cudaMemcpyAsync(ids.data(), ids_.data(), static_cast<size_t>(ids_.size()), cudaMemcpyDeviceToDevice, stream), "copying ids");
    stream.synchronize();
    ids_ = std::move(ids);
    results_.renew(int64_t{more_rows} * static_cast<int64_t>(sizeof(mr_sampled)), "chosen ids");
    sent_.renew(int64_t{more_rows} * static_cast<int64_t>(sizeof(mr_sampling)) + more_words * 4, "how ids are chosen");
    rows_ = more_rows;
    words_ = more_words;
  }
  if (choosing > choosing_) {
    const int more = static_cast<int>(std::bit_ceil(static_cast<unsigned>(choosing)));
    choosing_ = 0;
    work_.renew(more * sample_stride(vocabulary) * 4, "logits at work");
    counts_.renew(more * sample_stride(vocabulary) * 4, "counts of ids");
    stream.clear(counts_.data(), counts_.size());
    choosing_ = more;
  }
  return true;
}

void Choices::send(Stream& stream, Flight& flight, const mr_sampling* sampling, int rows, const int32_t* words, int64_t count) {
  const int64_t bytes = row_bytes() + count * 4;
  flight.choices.need(row_bytes() + words_ * 4);
  auto* to = flight.choices.as<mr_sampling>();
  int places = 0;
  for (int r = 0; r < rows; r++) {
    to[r] = sampling[r];
    if (to[r].chooses != 0) to[r].chooses = ++places;
  }
  if (count > 0) std::memcpy(flight.choices.data() + row_bytes(), words, static_cast<size_t>(count) * 4);
  stream.upload(sent_.data(), to, count > 0 ? bytes : int64_t{rows} * static_cast<int64_t>(sizeof(mr_sampling)));
}

SampleArguments Choices::arguments(RowView logits) const {
  SampleArguments p{};
  p.logits = logits;
  p.vocabulary = vocabulary_;
  p.rows = rows();
  p.words = reinterpret_cast<const int32_t*>(sent_.data() + row_bytes());
  p.ids = ids();
  p.out = results_.as<mr_sampled>();
  p.work = work_.as<float>();
  p.counts = counts_.as<int32_t>();
  p.stride = sample_stride(vocabulary_);
  return p;
}

}  // namespace millrace::cuda
