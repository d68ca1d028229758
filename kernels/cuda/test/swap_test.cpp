#include "swaps.h"

#include "op_program.h"

namespace millrace::test {
namespace {

const Shape kShape{4, 2, 20, 24, 0, 0};

mr_options swap_options() {
  mr_options o = cuda_options(MR_PRECISION_NATIVE);
  o.keep_activations = 1;
  return o;
}

}  // namespace

TEST(swapped_blocks_come_back_with_their_bytes_in_every_cache_type) {
  Random random(60);
  AttentionModel model(kShape, random);
  LatentModel latent(LatentShape{}, random);
  for (int type : {MR_F32, MR_BF16, MR_F16, MR_INT8, MR_FP8}) {
    auto plain = [&](int host_blocks) { return model.runner(swap_options(), type, 3, 1024, host_blocks); };
    check_swaps_keep_bits(plain, model.out, kShape.heads * kShape.value_dim, random, "type " + std::to_string(type));
    auto latents = [&](int host_blocks) { return latent.runner(swap_options(), type, 4, host_blocks); };
    check_swaps_keep_bits(latents, latent.out, latent.width(), random, "latents of type " + std::to_string(type));
  }
}

TEST(more_blocks_are_swapped_than_are_on_the_way_at_once) {
  Random random(61);
  AttentionModel model(kShape, random);
  check_swap_of_all_blocks([&](int host_blocks) { return model.runner(swap_options(), MR_FP8, 3, 3200, host_blocks); }, 200, model.out,
                           kShape.heads * kShape.value_dim, random, "fp8");
}

TEST(blocks_that_are_not_there_are_not_swapped) {
  Random random(62);
  AttentionModel model(kShape, random);
  check_bad_swaps_are_refused([&](int host_blocks) { return model.runner(swap_options(), MR_BF16, 3, 1024, host_blocks); }, 64);
}

}  // namespace millrace::test
