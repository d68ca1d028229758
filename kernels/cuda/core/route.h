// Which experts a row goes to, as MOE_ROUTE says.
#pragma once
#include "numbers.h"

namespace millrace::cuda {

struct Chosen {
  int experts, active, groups, kept;
  bool renormalise;
  float scale;
};

// `p`: logits, which become probabilities. `open` has room for the experts; ids become ascending.
MR_HOST_DEVICE inline void choose(const Chosen& how, float* p, uint8_t* open, int32_t* ids, float* weights) {
  float most = p[0];
  for (int e = 1; e < how.experts; e++) most = p[e] > most ? p[e] : most;
  float sum = 0;
  for (int e = 0; e < how.experts; e++) sum += p[e] = exp_of(p[e] - most);
  for (int e = 0; e < how.experts; e++) {
    p[e] /= sum;
    open[e] = how.groups <= 1;
  }
  const int each = how.experts / how.groups;
  for (int i = 0; how.groups > 1 && i < how.kept; i++) {
    int best = -1;
    float value = 0;
    for (int g = 0; g < how.groups; g++) {
      if (open[g * each]) continue;
      float top = p[g * each];
      for (int e = 1; e < each; e++) top = p[g * each + e] > top ? p[g * each + e] : top;
      if (best < 0 || top > value) {
        best = g;
        value = top;
      }
    }
    for (int e = 0; e < each; e++) open[best * each + e] = 1;
  }
  for (int k = 0; k < how.active; k++) {
    int best = -1;
    for (int e = 0; e < how.experts; e++) {
      if (open[e] && (best < 0 || p[e] > p[best])) best = e;
    }
    open[best] = 0;
    int at = k;
    for (; at > 0 && ids[at - 1] > best; at--) ids[at] = ids[at - 1];
    ids[at] = best;
  }
  float chosen = 0;
  for (int k = 0; k < how.active; k++) chosen += weights[k] = p[ids[k]];
  for (int k = 0; k < how.active; k++) weights[k] = (how.renormalise ? weights[k] / chosen : weights[k]) * how.scale;
}

}  // namespace millrace::cuda
