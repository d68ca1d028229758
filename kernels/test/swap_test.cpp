#include "swaps.h"

namespace millrace::test {
namespace {

const Shape kShape{4, 2, 20, 24, 0, 0};
const int kCacheTypes[] = {MR_F32, MR_F16, MR_BF16, MR_INT8};

mr_options swap_options() {
  mr_options o = options(MR_ISA_AUTO, 2);
  o.keep_activations = 1;
  return o;
}

}  // namespace

TEST(swapped_blocks_come_back_with_their_bytes_in_every_cache_type) {
  Random random(60);
  AttentionModel model(kShape, random);
  LatentModel latent(LatentShape{}, random);
  for (int type : kCacheTypes) {
    auto plain = [&](int host_blocks) { return model.runner(swap_options(), type, 3, 2048, host_blocks); };
    check_swaps_keep_bits(plain, model.out, kShape.heads * kShape.value_dim, random, "type " + std::to_string(type));
    auto latents = [&](int host_blocks) { return latent.runner(swap_options(), type, 4, host_blocks); };
    check_swaps_keep_bits(latents, latent.out, latent.width(), random, "latents of type " + std::to_string(type));
  }
}

TEST(all_blocks_are_swapped_at_once) {
  Random random(61);
  AttentionModel model(kShape, random);
  check_swap_of_all_blocks([&](int host_blocks) { return model.runner(swap_options(), MR_INT8, 3, 2048, host_blocks); }, 128, model.out,
                           kShape.heads * kShape.value_dim, random, "int8");
}

TEST(blocks_that_are_not_there_are_not_swapped) {
  Random random(62);
  AttentionModel model(kShape, random);
  check_bad_swaps_are_refused([&](int host_blocks) { return model.runner(swap_options(), MR_F32, 3, 2048, host_blocks); }, 128);
  mr_options o = swap_options();
  mr_kv_group group{8, 1, 2, 20, 24, MR_F32, -2};
  o.groups = 1;
  o.group = &group;
  char message[256] = "";
  mr_model* made = nullptr;
  const int32_t status = mr_create(&o, model.program.data(), static_cast<int64_t>(model.program.size()), &made, message, sizeof message);
  CHECK(status == MR_INVALID && std::strstr(message, "-2 blocks on the host"), "%s", message);
}

}  // namespace millrace::test
