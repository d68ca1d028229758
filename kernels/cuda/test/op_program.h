// A program around single ops: ids name rows of tables, and those rows are the ops' inputs.
#pragma once
#include "runner.h"

namespace millrace::test {

class OpProgram {
 public:
  static constexpr int kIds = 29;

  // An activation whose row t is the table's row number tokens[t].
  int input(const std::vector<float>& table, int width) {
    int weight = b.weight("table" + std::to_string(tables_.size()), kIds, width);
    tables_.push_back({weight, kIds, width, table});
    int out = b.rows(width);
    b.op(1, {weight, out, Builder::bits(1)});
    return out;
  }
  int vector(const std::vector<float>& values) {
    int weight = b.vector("vector" + std::to_string(tables_.size()), static_cast<int>(values.size()));
    tables_.push_back({weight, 1, static_cast<int>(values.size()), values});
    return weight;
  }

  std::unique_ptr<Runner> runner(mr_options o, std::vector<mr_kv_group> groups = {}) {
    o.keep_activations = 1;
    auto runner = std::make_unique<Runner>(b.encode(), o, groups, 1);
    for (const Table& t : tables_) runner->bind(t.weight, t.rows, t.columns, t.values);
    return runner;
  }

  // The ids as one sequence each, all in one step.
  static void run(Runner& runner, const std::vector<int32_t>& ids) {
    std::vector<Sequence> sequences(ids.size());
    std::vector<Sequence*> pointers;
    for (size_t i = 0; i < ids.size(); i++) {
      sequences[i].ids = {ids[i]};
      sequences[i].blocks = {0};
      pointers.push_back(&sequences[i]);
    }
    runner.step(pointers, std::vector<int>(ids.size(), 1), 0);
  }

  Builder b;

 private:
  struct Table {
    int weight, rows, columns;
    std::vector<float> values;
  };
  std::vector<Table> tables_;
};

inline mr_options cuda_options(int precision) {
  mr_options o = options(MR_ISA_AUTO, 1);
  o.precision = precision;
  return o;
}

}  // namespace millrace::test
