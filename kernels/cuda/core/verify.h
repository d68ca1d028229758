// Verifying drafts: which of the ids that were proposed are those that were chosen.
#pragma once
#include "millrace.h"
#include "scalar.h"

namespace millrace::cuda {

// The draft that the row after this one verifies; -1: there is none.
MR_HOST_DEVICE inline int32_t draft_after(const mr_sampling& row) { return row.chooses != 0 ? row.draft : -1; }

// Whether the row is the first of some that verify drafts.
MR_HOST_DEVICE inline bool begins_drafts(const mr_sampling* rows, int r) { return draft_after(rows[r]) >= 0 && (r == 0 || draft_after(rows[r - 1]) < 0); }

// Counts the drafts that are accepted of those that row `first` begins, and refuses the rows after them; these have chosen nothing.
MR_HOST_DEVICE inline void verify_drafts(const mr_sampling* rows, int first, mr_sampled* out, int32_t* ids) {
  int r = first;
  while (draft_after(rows[r]) >= 0 && out[r].status == MR_ROW_CHOSEN && out[r].id == rows[r].draft) r++;
  out[first].accepted = r - first;
  for (; draft_after(rows[r]) >= 0; r++) {
    out[r + 1].status = MR_ROW_REFUSED;
    ids[r + 1] = 0;
  }
}

}  // namespace millrace::cuda
