// Where the time of steps goes, by kind of stage.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "model.h"
#include "program.h"

namespace millrace::bench {

class Stages {
 public:
  // Makes the model leave the times of its stages here. Both must outlive the steps.
  Stages(Model& model, const std::vector<int32_t>& words);

  // Adds the step that was run last.
  void add();
  // Prints the share of each kind in all steps since the last call, as a line of JSON.
  void print(const std::string& shape, const std::string& type, int rows);

 private:
  std::string name(const mr_stage_time& stage) const;

  Program program_;
  std::vector<mr_stage_time> times_;
  int32_t count_ = 0;
  int steps_ = 0;
  std::map<std::string, double> nanos_;
};

}  // namespace millrace::bench
