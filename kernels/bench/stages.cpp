#include "stages.h"

#include <cstdio>

namespace millrace::bench {

Stages::Stages(Model& model, const std::vector<int32_t>& words)
    : program_(decode(words.data(), static_cast<int64_t>(words.size()))), times_(2 * program_.ops.size()) {
  model.profile({times_.data(), static_cast<int32_t>(times_.size()), &count_});
}

std::string Stages::name(const mr_stage_time& stage) const {
  if (stage.ops == 0) return "input of a product";
  switch (program_.ops[static_cast<size_t>(stage.op[0])].code) {
    case OpCode::kLinear: return "products";
    case OpCode::kLogits: return "logits";
    case OpCode::kAttention: return "attention";
    case OpCode::kRope: return "rope and cache";
    case OpCode::kGated: return "gate and input";
    case OpCode::kAdd: return "add, norm and input";
    default: return "other rows";
  }
}

void Stages::add() {
  steps_++;
  for (int32_t i = 0; i < count_; i++) nanos_[name(times_[static_cast<size_t>(i)])] += static_cast<double>(times_[static_cast<size_t>(i)].nanos);
}

void Stages::print(const std::string& shape, const std::string& type, int rows) {
  double all = 0;
  for (const auto& kind : nanos_) all += kind.second;
  std::printf("{\"what\":\"stages\",\"shape\":\"%s\",\"type\":\"%s\",\"rows\":%d,\"ms\":%.3f", shape.c_str(), type.c_str(), rows, all / 1e6 / steps_);
  for (const auto& kind : nanos_) std::printf(",\"%s\":%.3f", kind.first.c_str(), kind.second / all);
  std::printf("}\n");
  nanos_.clear();
  steps_ = 0;
}

}  // namespace millrace::bench
