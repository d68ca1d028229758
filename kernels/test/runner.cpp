#include "runner.h"

#include <algorithm>

namespace millrace::test {
namespace {

char message[512];

void check(int32_t status) { CHECK(status == MR_OK, "%s", message); }

}  // namespace

mr_options options(int isa, int threads) {
  mr_options o{};
  o.abi_version = MR_ABI_VERSION;
  o.isa = isa;
  o.threads = threads;
  o.block_tokens = 16;
  return o;
}

Runner::Runner(const std::vector<int32_t>& program, mr_options o, const std::vector<mr_kv_group>& groups, uint32_t seed)
    : groups_(groups), block_tokens_(o.block_tokens) {
  o.groups = static_cast<int32_t>(groups.size());
  o.group = groups_.data();
  check(mr_create(&o, program.data(), static_cast<int64_t>(program.size()), &model_, message, sizeof message));
  int blocks = groups.empty() ? 0 : groups[0].blocks;
  for (int i = 0; i < blocks; i++) free_.push_back(i);
  std::shuffle(free_.begin(), free_.end(), std::mt19937(seed));
}

void Runner::bind(int tensor, int type, int rows, int columns, const std::vector<uint8_t>& data) {
  check(mr_bind(model_, tensor, type, rows, columns, data.data(), static_cast<int64_t>(data.size()), message, sizeof message));
}

void Runner::bind(int tensor, int rows, int columns, const std::vector<float>& data) {
  check(mr_bind(model_, tensor, MR_F32, rows, columns, data.data(), static_cast<int64_t>(data.size() * 4), message, sizeof message));
}

void Runner::rope(const std::vector<float>& frequencies) {
  check(mr_rope(model_, 0, frequencies.data(), static_cast<int32_t>(frequencies.size()), 1, message, sizeof message));
}

std::vector<float> Runner::step(const std::vector<Sequence*>& sequences, const std::vector<int>& counts, int vocabulary) {
  std::vector<int32_t> tokens, positions, slots, starts = {0}, lengths, rows;
  int width = 1;
  for (size_t s = 0; s < sequences.size(); s++) {
    Sequence& q = *sequences[s];
    for (int i = 0; i < counts[s]; i++) {
      int position = q.computed++;
      if (static_cast<int>(q.blocks.size()) * block_tokens_ <= position) {
        q.blocks.push_back(free_.back());
        free_.pop_back();
      }
      tokens.push_back(q.ids[static_cast<size_t>(position)]);
      positions.push_back(position);
      slots.push_back(q.blocks[static_cast<size_t>(position / block_tokens_)] * block_tokens_ + position % block_tokens_);
      rows.push_back(static_cast<int32_t>(rows.size()));
    }
    starts.push_back(static_cast<int32_t>(tokens.size()));
    lengths.push_back(q.computed);
    width = std::max(width, static_cast<int>(q.blocks.size()));
  }
  std::vector<int32_t> table;
  for (Sequence* q : sequences) {
    std::vector<int32_t> row = q->blocks;
    row.resize(static_cast<size_t>(width), -7);
    table.insert(table.end(), row.begin(), row.end());
  }
  std::vector<float> logits(rows.size() * static_cast<size_t>(vocabulary), NAN);
  mr_step step{};
  step.rows = static_cast<int32_t>(tokens.size());
  step.sequences = static_cast<int32_t>(sequences.size());
  step.logit_rows = vocabulary > 0 ? step.rows : 0;
  step.table_width = width;
  step.tokens = tokens.data();
  step.positions = positions.data();
  step.slots = slots.data();
  step.query_start = starts.data();
  step.context_len = lengths.data();
  step.block_table = table.data();
  step.logit_row = rows.data();
  step.logits = logits.data();
  check(mr_run(model_, &step, message, sizeof message));
  return logits;
}

std::vector<float> Runner::read(int tensor, int rows, int width) {
  std::vector<float> out(static_cast<size_t>(rows * width), NAN);
  check(mr_read(model_, tensor, out.data(), static_cast<int64_t>(out.size()), message, sizeof message));
  return out;
}

}  // namespace millrace::test
