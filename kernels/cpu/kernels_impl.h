// All kernels of one instruction set. The including file names it in MR_ISA and has included its simd header.
#pragma once
#include "kernels.h"
#include "scalar.h"

// clang-format off
#include "math_impl.h"
#include "linear_impl.h"
#include "group_impl.h"
#include "attention_impl.h"
#include "rows_impl.h"
#include "draw_impl.h"
// clang-format on

namespace millrace::MR_ISA {
namespace {

Kernels table(const char* name) {
  return {name, kLanes, kPanels, kOffsetCodes, false, any_linear, attention, merge, quantise, to_bf16, rms_norm, rope, gated, add,
          sigmoid_scale, dot, scale,
          soft_cap_row, kv_write, largest, weigh, above};
}

}  // namespace
}  // namespace millrace::MR_ISA
