// Where pieces go in slabs, and what they take.
#include "arena.h"

#include <algorithm>

#include "check.h"
#include "error.h"
#include "machine.h"

namespace millrace::test {
namespace {

using cuda::allocated;
using cuda::kLargestShared;
using cuda::kPageBytes;
using cuda::kSlabBytes;

}  // namespace

TEST(an_allocation_takes_whole_pages_or_an_equal_part_of_one) {
  CHECK(allocated(0) == 0 && allocated(kPageBytes) == kPageBytes && allocated(kPageBytes + 1) == 2 * kPageBytes);
  // 768 KiB of 2 MiB take one, 1.5 MiB two, 3 MiB four; a little less than a fifth takes a fifth.
  CHECK(allocated(kPageBytes * 3 / 8) == kPageBytes / 2 && allocated(kPageBytes * 3 / 4) == kPageBytes && allocated(kPageBytes * 3 / 2) == 2 * kPageBytes);
  CHECK(allocated(kPageBytes / 5 - 3) == (kPageBytes + 4) / 5);
}

TEST(pieces_go_into_the_first_slab_that_has_room_and_large_ones_have_their_own_where_none_has) {
  const int64_t page = kPageBytes;
  cuda::Slabs slabs;
  for (int i = 0; i < 100; i++) slabs.put(page * 3 / 2);
  CHECK(slabs.bytes() == 2 * kSlabBytes, "%lld", static_cast<long long>(slabs.bytes()));
  slabs.put(kSlabBytes + page / 2);
  CHECK(slabs.bytes() == 3 * kSlabBytes + page);
  // What is left is for others, be they large.
  slabs.put(page / 2);
  slabs.put(kLargestShared + 1);
  CHECK(slabs.bytes() == 3 * kSlabBytes + page);
  slabs.put(0);
  CHECK(slabs.bytes() == 3 * kSlabBytes + page);
}

TEST(pieces_of_an_arena_are_aligned_and_apart_and_given_back_with_it) {
  Machine kept;
  const int64_t live = emulator::machine().live, taken = emulator::machine().taken;
  {
    cuda::Arena arena;
    cuda::Slabs plan;
    std::vector<std::pair<uint8_t*, uint8_t*>> all;
    for (int i = 0; i < 300; i++) {
      const int64_t bytes = 100 + i * 37 % 3000;
      const cuda::Piece piece = arena.take(bytes, "a piece");
      plan.put(bytes);
      CHECK(reinterpret_cast<uintptr_t>(piece.data()) % 16 == 0 && piece.size() == bytes);
      all.push_back({piece.data(), piece.data() + bytes});
    }
    std::sort(all.begin(), all.end());
    for (size_t i = 1; i < all.size(); i++) CHECK(all[i].first >= all[i - 1].second, "piece %zu", i);
    CHECK(emulator::machine().taken - taken == plan.bytes(), "%lld, planned %lld", static_cast<long long>(emulator::machine().taken - taken), static_cast<long long>(plan.bytes()));
    // What failed is asked for again.
    emulator::machine().allocations = 0;
    bool failed = false;
    try {
      arena.take(kSlabBytes + 1, "a large piece");
    } catch (const Error& e) {
      failed = e.status == MR_MEMORY && e.message.find("a large piece takes 1 MiB of the device") == 0;
    }
    CHECK(failed && emulator::machine().taken - taken == plan.bytes());
    emulator::machine().allocations = -1;
    CHECK(arena.take(kSlabBytes + 1, "a large piece").data() != nullptr);
  }
  CHECK(emulator::machine().live == live && emulator::machine().taken == taken);
}

}  // namespace millrace::test
