// What a step needs for choosing its ids on the device, and what its host side holds while it runs.
#pragma once
#include <vector>

#include "device.h"
#include "kernels/sampling.h"

namespace millrace::cuda {

// A step that was launched. Its pinned memory is read and written by the device until it is done.
struct Flight {
  int logit_rows = 0;
  bool chooses = false;
  // Logit rows that are given back to the host.
  std::vector<int> copied;
  Event done;
  PinnedMemory inputs, choices, results, logits;
};

// What the rows of a step refer to when ids are chosen: histories, masks.
inline constexpr int kReservedWords = 1 << 16;

// Bytes of the device for choosing the ids of so many rows, with the words that are reserved.
int64_t choice_bytes(int rows, int vocabulary);

// Memory of the device for choosing ids. Grows; whoever waits for a stream does so before.
class Choices {
 public:
  // Room for `rows` logit rows, of which `choosing` choose, and `words`. True when something has moved.
  bool need(Stream& stream, int rows, int choosing, int64_t words, int vocabulary);
  // Sends what the rows of a step want; rows that choose get places of their own to work in.
  void send(Stream& stream, Flight& flight, const mr_sampling* sampling, int rows, const int32_t* words, int64_t count);
  SampleArguments arguments(RowView logits) const;

  int32_t* ids() const { return ids_.as<int32_t>(); }
  mr_sampling* rows() const { return sent_.as<mr_sampling>(); }
  const mr_sampled* results() const { return results_.as<mr_sampled>(); }

 private:
  int64_t row_bytes() const { return int64_t{rows_} * static_cast<int64_t>(sizeof(mr_sampling)); }

  int rows_ = 0, choosing_ = 0, vocabulary_ = 0;
  int64_t words_ = 0;
  Memory ids_, results_, sent_, work_, counts_;
};

}  // namespace millrace::cuda
