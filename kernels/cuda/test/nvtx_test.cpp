#include "nvtx.h"

#include <dlfcn.h>

#include "models.h"
#include "op_program.h"

namespace millrace::test {

TEST(steps_and_ops_are_ranges_of_nvtx_while_a_tool_listens) {
  OpProgram program;
  const int width = 16;
  Random random(12);
  int x = program.input(random.normals(static_cast<size_t>(OpProgram::kIds * width)), width);
  int weight = program.vector(std::vector<float>(width, 1));
  int out = program.b.rows(width);
  program.b.op(2, {x, weight, out, width, Builder::bits(1e-5f), Builder::bits(0)});
  auto runner = program.runner(cuda_options(MR_PRECISION_NATIVE));
  OpProgram::run(*runner, {1, 2, 3});

  CHECK(!cuda::attach_nvtx("no such library"));
  CHECK(cuda::attach_nvtx(NVTX_RECORDER));
  void* tool = dlopen(NVTX_RECORDER, RTLD_LAZY);
  auto recorded = reinterpret_cast<const char* (*)()>(dlsym(tool, "recorded"));
  OpProgram::run(*runner, {1, 2, 3});
  std::string seen = recorded();
  CHECK(seen == "+millrace/step:3 +millrace/embed:3 - +millrace/rms_norm:3 - - ", "%s", seen.c_str());

  Llama llama;
  auto submits = llama.runner(cuda_options(MR_PRECISION_NATIVE), MR_BF16, 1);
  int32_t token = 1, position = 0, slot = 0, starts[2] = {0, 1}, length = 1, block = 0, row = 0;
  mr_step step{1, 1, 1, 1, &token, &position, &slot, starts, &length, &block, &row, nullptr};
  mr_sampling how{};
  how.chooses = 1;
  how.logprobs = how.last = how.mask_at = how.draft = -1;
  mr_sampled chosen;
  char message[512] = "";
  CHECK(mr_submit(submits->model(), &step, &how, nullptr, 0, message, sizeof message) == MR_OK, "%s", message);
  CHECK(mr_collect(submits->model(), &chosen, nullptr, message, sizeof message) == MR_OK, "%s", message);
  seen = recorded();
  CHECK(seen.starts_with("+millrace/step:1 +millrace/embed:1 - ") && seen.ends_with("+millrace/logits:1 - - "), "%s", seen.c_str());

  cuda::detach_nvtx();
  OpProgram::run(*runner, {4});
  seen = recorded();
  CHECK(seen.empty(), "%s", seen.c_str());
}

}  // namespace millrace::test
