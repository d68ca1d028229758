// The choice of experts.
#pragma once
#include <cstdint>

namespace millrace {

// How MOE_ROUTE chooses.
struct Route {
  int experts, active, groups, kept;
  bool renormalise;
  float scale;
};

// Chooses from the logits of one row, which are changed. `ids` and `weights` are [active], ids ascending. A NaN gives NaN weights.
void choose_experts(const Route& route, float* logits, int32_t* ids, float* weights);

}  // namespace millrace
