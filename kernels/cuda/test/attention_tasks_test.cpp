#include <algorithm>
#include <vector>

#include "check.h"
#include "kernels/launches.h"
#include "machine.h"
#include "needs.h"
#include "step_tasks.h"

namespace millrace::test {
namespace {

// Sequences of which each has so many rows at the end of so long a context.
struct Rows {
  int rows, context;
};

cuda::TaskList plan(const cuda::AttentionKind& kind, const std::vector<Rows>& sequences, int64_t workers, int64_t room = cuda::kNoBound) {
  std::vector<int32_t> starts = {0}, positions, lengths;
  for (const Rows& s : sequences) {
    for (int i = 0; i < s.rows; i++) positions.push_back(s.context - s.rows + i);
    starts.push_back(static_cast<int32_t>(positions.size()));
    lengths.push_back(s.context);
  }
  mr_step step{};
  step.rows = starts.back();
  step.sequences = static_cast<int32_t>(sequences.size());
  step.positions = positions.data();
  step.query_start = starts.data();
  step.context_len = lengths.data();
  return cuda::plan_attention(kind, step, workers, room);
}

// Of a model of 8B: 32 heads on 8 KV heads.
constexpr cuda::AttentionKind kLarge{0, 32, 8, 0, cuda::kBlockTile};
constexpr int kChips = 132, kPlaces = 2 * kChips;
const int64_t kWorkers = int64_t{kPlaces} * cuda::attention_workers(cuda::kBlockTile);

}  // namespace

TEST(attention_tasks_of_more_rows_than_a_warp_has_are_of_blocks_and_come_first) {
  const cuda::AttentionKind kind{0, 8, 2, 0, cuda::kBlockTile};
  // Four heads of a group: four tokens are a warp's, sixteen a block's.
  const cuda::TaskList list = plan(kind, {{1, 3000}, {4, 500}, {5, 600}, {33, 900}}, 1);
  CHECK(list.tasks.size() == 6 && list.of_blocks == 3 && list.merges.empty(), "%zu tasks, %d of blocks", list.tasks.size(), list.of_blocks);
  int rows = 0;
  for (size_t i = 0; i < list.tasks.size(); i++) {
    const cuda::AttentionTask& task = list.tasks[i];
    rows += task.rows;
    const bool of_block = i < static_cast<size_t>(list.of_blocks);
    CHECK(of_block == (task.rows * 4 > cuda::kQueryTile) && task.rows * 4 <= cuda::kBlockTile && task.partial < 0, "task %zu has %d rows", i, task.rows);
    if (i > 0 && i != static_cast<size_t>(list.of_blocks)) {
      const cuda::AttentionTask& before = list.tasks[i - 1];
      CHECK(before.chunk1 - before.chunk0 >= task.chunk1 - task.chunk0, "task %zu is longer than the one before", i);
    }
  }
  CHECK(rows == 43, "%d rows", rows);
}

TEST(few_attention_tasks_are_split_by_chunks_and_have_a_piece_of_partial_results_for_each_16_rows) {
  const cuda::AttentionKind kind{0, 8, 2, 0, cuda::kBlockTile};
  const cuda::TaskList list = plan(kind, {{1, 700}, {10, 600}, {1, 200}}, 1000);
  CHECK(list.tasks.size() == 7 && list.of_blocks == 3 && list.merges.size() == 2, "%zu tasks, %d of blocks, %zu merged", list.tasks.size(), list.of_blocks, list.merges.size());
  CHECK(list.partials == 3 + 3 * 3, "%d pieces", list.partials);
  std::vector<bool> taken(static_cast<size_t>(list.partials));
  for (const cuda::AttentionTask& task : list.tasks) {
    for (int i = 0; task.partial >= 0 && i < cuda::partial_pieces(task.rows * 4); i++) {
      CHECK(!taken[static_cast<size_t>(task.partial + i)], "piece %d twice", task.partial + i);
      taken[static_cast<size_t>(task.partial + i)] = true;
    }
  }
  // Enough warps are at work without.
  CHECK(plan(kind, {{1, 700}, {10, 600}}, 8).merges.empty());
}

TEST(attention_tasks_of_latents_are_of_warps_however_many_rows_there_are) {
  const cuda::TaskList list = plan({0, 8, 1, 0, cuda::kQueryTile}, {{40, 40}}, 1);
  CHECK(list.tasks.size() == 20 && list.of_blocks == 0, "%zu tasks, %d of blocks", list.tasks.size(), list.of_blocks);
}

TEST(attention_tasks_that_nearly_fill_the_device_are_left_whole) {
  CHECK(plan(kLarge, {{512, 131072}}, kWorkers).merges.empty(), "a prefill");
  CHECK(plan(kLarge, std::vector<Rows>(130, {1, 2048}), kWorkers).merges.empty(), "decodes");
  const cuda::TaskList half = plan(kLarge, std::vector<Rows>(60, {1, 2048}), kWorkers);
  CHECK(half.merges.size() == 60 && half.tasks.size() == 480, "%zu merges of %zu tasks", half.merges.size(), half.tasks.size());
}

TEST(a_context_that_is_longer_than_a_share_is_split_however_many_tasks_there_are) {
  std::vector<Rows> sequences(400, {1, 500});
  sequences.push_back({1, 32768});
  sequences.push_back({64, 8192});
  const cuda::TaskList list = plan(kLarge, sequences, kWorkers);
  CHECK(list.merges.size() == 1 + 4, "%zu tiles are split", list.merges.size());
  int longest = 0;
  for (const cuda::AttentionTask& task : list.tasks) longest = std::max(longest, task.chunk1 - task.chunk0);
  CHECK(longest == 2, "%d chunks", longest);
}

TEST(attention_tasks_are_split_as_far_as_there_is_room_for_their_partial_results) {
  // Each of ten has 4 chunks and a piece.
  const std::vector<Rows> alike(10, {1, 1000});
  CHECK(plan(kLarge, alike, kWorkers, 40).merges.size() == 10 && plan(kLarge, alike, kWorkers, 39).merges.empty(), "alike");
  std::vector<Rows> mixed = alike;
  mixed.push_back({1, 10000});
  // The longest is; that those behind it are, as far as it goes, would bring nothing.
  const cuda::TaskList list = plan(kLarge, mixed, kWorkers, 40 + 39);
  CHECK(list.merges.size() == 1 && list.merges[0].chunks == 40 && list.partials == 40, "%zu merges", list.merges.size());
  Random random(71);
  for (int i = 0; i < 200; i++) {
    const cuda::AttentionKind kind{0, 16, 4, i % 3 == 0 ? 700 : 0, i % 5 == 0 ? cuda::kWarpgroupTile : cuda::kBlockTile};
    std::vector<Rows> sequences;
    int rows = 0;
    for (int s = 1 + random.below(6); s > 0; s--) {
      const int own = random.below(2) == 0 ? 1 : 1 + random.below(100);
      sequences.push_back({own, own + random.below(9000)});
      rows += own;
    }
    const int64_t room = random.below(300);
    const cuda::TaskList some = plan(kind, sequences, 1 + random.below(200), room), none = plan(kind, sequences, 1);
    CHECK(some.partials <= room && static_cast<int64_t>(some.tasks.size()) <= rows + room && static_cast<int64_t>(some.merges.size()) <= std::min<int64_t>(rows, room / 2),
          "room for %lld: %d pieces, %zu tasks, %zu merges", static_cast<long long>(room), some.partials, some.tasks.size(), some.merges.size());
    auto chunks = [](const cuda::TaskList& of) {
      int64_t sum = 0;
      for (const cuda::AttentionTask& task : of.tasks) sum += int64_t{task.rows} * (task.chunk1 - task.chunk0);
      return sum;
    };
    CHECK(chunks(some) == chunks(none) && none.merges.empty());
  }
}

TEST(what_is_reserved_for_attention_holds_the_decodes_of_a_full_cache) {
  constexpr int kBlock = 64, kBlocks = 6400, kSequences = 80;
  const mr_limits limits{512, 128, 131072};
  const int64_t pieces = cuda::most_pieces(kLarge, kBlocks, kBlock, limits, kChips);
  const cuda::TaskList even = plan(kLarge, std::vector<Rows>(kSequences, {1, kBlocks / kSequences * kBlock}), kWorkers, pieces);
  CHECK(even.merges.size() == kSequences, "%zu of those alike", even.merges.size());
  std::vector<Rows> uneven(kSequences - 3, {1, 100});
  uneven.insert(uneven.end(), 3, {1, 131072});
  const cuda::TaskList few = plan(kLarge, uneven, kWorkers, pieces);
  CHECK(few.merges.size() == 3 && few.tasks.size() == kSequences - 3 + 3 * 512, "%zu of those that are longer", few.merges.size());
  // And a turn of a long conversation.
  CHECK(plan(kLarge, {{48, 131072}}, kWorkers, pieces).merges.size() == 3);
  // No more than can be split.
  CHECK(cuda::most_pieces(kLarge, 1 << 20, kBlock, {512, 128, 1024}, kChips) == kWorkers / 8 * 4);
}

TEST(attention_has_as_many_blocks_as_are_at_work_at_the_same_time) {
  auto places = [](int type, int dim, bool latent, bool exact = false) {
    cuda::CacheView cache{};
    cache.type = type;
    cache.block_tokens = 16;
    cache.key_dim = cache.value_dim = cache.key_stride = cache.value_stride = cache.value_width = dim;
    if (latent) cache.key_dim = cache.key_stride = dim + (cache.turned_dim = 64);
    return cuda::attention_places(cache, exact, latent ? cuda::kQueryTile : cuda::kBlockTile, kChips);
  };
  CHECK(places(MR_BF16, 128, false) == kPlaces && places(MR_BF16, 64, false) == kPlaces);
  // What 160 KiB do not hold twice; values in two parts, each with a block.
  CHECK(places(MR_F32, 128, false) < kPlaces && places(MR_BF16, 256, false) == kChips / 2, "%d, %d", places(MR_F32, 128, false), places(MR_BF16, 256, false));
  CHECK(places(MR_BF16, 512, true) == kChips || places(MR_BF16, 512, true) == kPlaces, "%d", places(MR_BF16, 512, true));
  CHECK(cuda::attention_places({}, false, cuda::kWarpgroupTile, kChips) == kChips);
  {
    Machine kept;
    emulator::machine().shared_bytes = 99 << 10;
    CHECK(places(MR_BF16, 128, false) == kChips, "where a block has 99 KiB: %d", places(MR_BF16, 128, false));
  }
  // In one wave, however many head tiles and tasks there are.
  for (int tiles : {1, 8, 32, 48, 100, 300}) {
    const int blocks = cuda::attention_blocks(kPlaces, 1 << 20, tiles);
    CHECK(blocks >= 1 && (blocks * tiles <= kPlaces || blocks == 1) && (blocks + 1) * tiles > kPlaces, "%d head tiles: %d blocks", tiles, blocks);
  }
  CHECK(cuda::attention_blocks(kPlaces, 3, 8) == 3);
}

TEST(what_is_copied_of_a_step_has_all_of_it_at_places_that_steps_of_as_many_rows_share) {
  cuda::StepShape room;
  room.rows = room.tasks = 4096;
  room.logit_rows = room.sequences = room.merges = 256;
  room.table_width = 2048;
  room.groups = room.kinds = 2;
  const std::vector<int32_t> tokens = {5, 6, 7, 8, 9}, positions = {0, 1, 2, 700, 701}, slots = {10, 11, 12, 13, 14, 20, 21, 22, 23, 24}, rows = {2, 4};
  const std::vector<int32_t> starts = {0, 3, 5}, lengths = {3, 702}, tables = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  mr_step step{};
  step.rows = 5;
  step.sequences = step.logit_rows = 2;
  step.table_width = 3;
  step.tokens = tokens.data();
  step.positions = positions.data();
  step.slots = slots.data();
  step.query_start = starts.data();
  step.context_len = lengths.data();
  step.block_table = tables.data();
  step.logit_row = rows.data();
  const cuda::StepTasks tasks = {cuda::plan_attention({0, 8, 2, 0, cuda::kBlockTile}, step, 1000), cuda::plan_attention({1, 8, 2, 64, cuda::kBlockTile}, step, 1000)};
  const cuda::StepShape places = room.of_rows(8, step.logit_rows), others = room.of_rows(8, 1);
  CHECK(places.ints() <= room.ints() && places.block_table(1) == others.block_table(1) && places.task_list(1) == others.task_list(1));
  std::vector<int32_t> written(static_cast<size_t>(room.ints()), -1), copied(written.size(), -2);
  const std::vector<cuda::Stretch> stretches = cuda::write_step(step, places, tasks, written.data());
  int64_t ints = 0, end = 0;
  for (const cuda::Stretch& s : stretches) {
    CHECK(s.from >= end && s.to > s.from && s.to <= room.ints());
    std::copy(written.begin() + s.from, written.begin() + s.to, copied.begin() + s.from);
    ints += s.to - s.from;
    end = s.to;
  }
  // Tasks and tables are longer than what is worth copying along.
  CHECK(stretches.size() == 4 && ints < 1024, "%zu stretches of %lld", stretches.size(), static_cast<long long>(ints));
  auto has = [&](int64_t at, const void* from, size_t count) {
    return std::equal(static_cast<const int32_t*>(from), static_cast<const int32_t*>(from) + count, copied.begin() + at);
  };
  CHECK(copied[cuda::kRowCount] == 5 && copied[cuda::kLogitRowCount] == 2 && copied[cuda::kExpertRowCount] == 0 && copied[cuda::kExpertTileCount] == 0);
  CHECK(copied[static_cast<size_t>(places.table_width_at())] == 3);
  CHECK(has(places.tokens(), tokens.data(), 5) && has(places.positions(), positions.data(), 5) && has(places.logit_row(), rows.data(), 2));
  for (int i = 0; i < 2; i++) {
    CHECK(has(places.slots(i), slots.data() + 5 * i, 5) && has(places.block_table(i), tables.data() + 6 * i, 6), "group %d", i);
    const cuda::TaskList& list = tasks[static_cast<size_t>(i)];
    const int32_t counts[3] = {static_cast<int32_t>(list.tasks.size()), static_cast<int32_t>(list.merges.size()), list.of_blocks};
    CHECK(has(places.task_counts(i), counts, 3) && !list.tasks.empty(), "kind %d", i);
    CHECK(has(places.task_list(i), list.tasks.data(), list.tasks.size() * cuda::StepShape::kTaskInts), "kind %d", i);
    CHECK(has(places.merge_list(i), list.merges.data(), list.merges.size() * cuda::StepShape::kMergeInts), "kind %d", i);
  }
  CHECK(!tasks[0].merges.empty() && room.of_rows(4096, 300).ints() == room.ints());
}

}  // namespace millrace::test
