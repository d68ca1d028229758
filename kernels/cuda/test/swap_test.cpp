#include "swaps.h"

#include "op_program.h"

namespace millrace::test {

TEST(swapped_blocks_come_back_with_their_bytes_in_every_cache_type) {
  Swapping(cuda_options(MR_PRECISION_NATIVE), 60).check_types({MR_F32, MR_BF16, MR_F16, MR_INT8, MR_FP8}, 64);
}

TEST(more_blocks_are_swapped_than_are_on_the_way_at_once) { Swapping(cuda_options(MR_PRECISION_NATIVE), 61).check_all_blocks(MR_FP8, 200); }

TEST(blocks_that_are_not_there_are_not_swapped) { Swapping(cuda_options(MR_PRECISION_NATIVE), 62).check_bad_ones(MR_BF16, 64); }

TEST(how_fast_blocks_are_swapped_is_measured_where_there_is_a_pool) { Swapping(cuda_options(MR_PRECISION_NATIVE), 65).check_rates(MR_BF16, 64); }

}  // namespace millrace::test
