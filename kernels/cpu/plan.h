// How a program is run: stages, and where activations lie.
#pragma once
#include <vector>

#include "program.h"

namespace millrace {

// Ops that run together. Between two stages all threads meet.
struct Stage {
  enum class Kind {
    kRows,      // ops on one row each, one row through all of them
    kProduct,   // LINEAR or LOGITS
    kExperts,
    kLatent,
    kAttention
  };
  Kind kind{};
  // Rows are logit rows, not token rows.
  bool logit_rows = false;
  std::vector<int> ops;
  // Of kRows: the product whose input form is made at the end; -1: none.
  int prepares = -1;
};

struct Plan {
  std::vector<Stage> stages;
  // Slot of each activation; -1 for weights and for the logits, which are written to the caller.
  std::vector<int> slot;
  // Floats of a row of each slot, and whether it has logit rows.
  std::vector<int> slot_width;
  std::vector<bool> slot_logit_rows;
  // What SAMPLE reads; -1: nothing.
  int logits = -1;
};

// `keep`: no two activations share a slot.
Plan make_plan(const Program& program, bool keep);

}  // namespace millrace
