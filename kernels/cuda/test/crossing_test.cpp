#include "bench/crossing.h"

#include "check.h"

namespace millrace::test {

using cuda::crossing;
using cuda::crossing_text;

TEST(two_ways_cross_where_the_other_is_faster_from_there_on) {
  CHECK(crossing({}) == 0 && crossing_text({}) == "not measured");
  CHECK(crossing({{1, 1, 2}, {64, 3, 2}, {128, 4, 5}, {256, 9, 7}, {512, 20, 12}}) == 256);
  CHECK(crossing({{1, 2, 1}, {64, 3, 2}}) == 1);
  // Equal is not faster, and what is faster in the middle alone does not count.
  CHECK(crossing({{1, 2, 1}, {64, 3, 2}, {128, 4, 4}}) == 0);
  CHECK(crossing_text({{1, 2, 1}, {64, 2, 3}}) == "never, up to 64 rows" && crossing_text({{1, 1, 2}, {96, 3, 2}}) == "from 96 rows on");
}

}  // namespace millrace::test
