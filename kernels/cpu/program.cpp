#include "program.h"

#include <cstring>

#include "error.h"

namespace millrace {
namespace {

constexpr int32_t kMagic = 0x4D525350;
constexpr int32_t kVersion = 1;
constexpr int32_t kMost = 1 << 20;

class Reader {
 public:
  Reader(const int32_t* words, int64_t count) : words_(words), count_(count) {}

  int64_t at() const { return at_; }

  int32_t next() {
    if (at_ >= count_) fail(MR_INVALID, "the step program ends in the middle, after %lld words", static_cast<long long>(at_));
    return words_[at_++];
  }

  float real() {
    int32_t bits = next();
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
  }

  int32_t length() {
    int32_t n = next();
    if (n < 0 || n > kMost || n > count_ - at_) fail(MR_INVALID, "a list of %d entries does not fit the step program", n);
    return n;
  }

  std::vector<int> list() {
    std::vector<int> values(static_cast<size_t>(length()));
    for (int& v : values) v = next();
    return values;
  }

 private:
  const int32_t* words_;
  int64_t count_;
  int64_t at_ = 0;
};

Tensor tensor(Reader& in) {
  Tensor t;
  t.weight = in.next() == 0;
  t.sizes = in.list();
  int32_t bytes = in.next();
  if (bytes < 0 || bytes > kMost) fail(MR_INVALID, "a tensor's name of %d bytes", bytes);
  for (int i = 0; i < bytes; i += 4) {
    int32_t word = in.next();
    for (int j = 0; j < 4 && i + j < bytes; j++) t.name += static_cast<char>(word >> 8 * j);
  }
  for (size_t i = 0; i < t.sizes.size(); i++) {
    bool rows = i == 0 && (t.sizes[i] == kTokenRows || t.sizes[i] == kLogitRows) && !t.weight;
    if (t.sizes[i] <= 0 && !rows) fail(MR_INVALID, "tensor %s has a size of %d", t.name.c_str(), t.sizes[i]);
  }
  return t;
}

Op op(int32_t number, Reader& in) {
  Op o;
  o.code = static_cast<OpCode>(number);
  switch (o.code) {
    case OpCode::kEmbed:
      o.weights = {in.next()};
      o.outs = {in.next()};
      o.factor = in.real();
      return o;
    case OpCode::kRmsNorm:
      o.a = in.next();
      o.weights = {in.next()};
      o.outs = {in.next()};
      o.width = in.next();
      o.eps = in.real();
      o.offset = in.real();
      return o;
    case OpCode::kLinear:
      o.a = in.next();
      o.weights = in.list();
      o.biases = in.list();
      o.outs = in.list();
      return o;
    case OpCode::kRope:
      o.a = in.next();
      o.outs = {in.next()};
      o.heads = in.next();
      o.key_dim = in.next();
      o.dims = in.next();
      o.pairs = in.next();
      o.table = in.next();
      return o;
    case OpCode::kKvWrite:
      o.a = in.next();
      o.b = in.next();
      o.group = in.next();
      o.layer = in.next();
      return o;
    case OpCode::kAttention:
      o.a = in.next();
      o.outs = {in.next()};
      o.group = in.next();
      o.layer = in.next();
      o.heads = in.next();
      o.kv_heads = in.next();
      o.key_dim = in.next();
      o.value_dim = in.next();
      o.window = in.next();
      o.scale = in.real();
      o.cap = in.real();
      return o;
    case OpCode::kGated:
      o.a = in.next();
      o.b = in.next();
      o.outs = {in.next()};
      o.function = in.next();
      return o;
    case OpCode::kAdd:
      o.a = in.next();
      o.b = in.next();
      o.outs = {in.next()};
      o.factor = in.real();
      return o;
    case OpCode::kScale:
    case OpCode::kSoftCap:
      o.a = in.next();
      o.outs = {in.next()};
      (o.code == OpCode::kScale ? o.factor : o.cap) = in.real();
      return o;
    case OpCode::kGatherRows:
      o.a = in.next();
      o.outs = {in.next()};
      return o;
    case OpCode::kLogits:
      o.a = in.next();
      o.weights = {in.next()};
      o.outs = {in.next()};
      o.factor = in.real();
      o.cap = in.real();
      return o;
    case OpCode::kSample: o.a = in.next(); return o;
    case OpCode::kSigmoidScale:
      o.a = in.next();
      o.b = in.next();
      o.outs = {in.next()};
      return o;
    case OpCode::kMoeRoute: {
      o.a = in.next();
      o.weights = {in.next()};
      int ids = in.next();
      o.outs = {ids, in.next()};
      o.active = in.next();
      o.renormalise = in.next();
      o.scale = in.real();
      o.expert_groups = in.next();
      o.kept_groups = in.next();
      return o;
    }
    case OpCode::kMoeExperts:
      o.a = in.next();
      o.b = in.next();
      o.c = in.next();
      for (int i = 0; i < 3; i++) {
        std::vector<int> matrices = in.list();
        o.weights.insert(o.weights.end(), matrices.begin(), matrices.end());
        o.group = i == 0 ? static_cast<int>(matrices.size()) : o.group;
      }
      o.outs = {in.next()};
      o.function = in.next();
      return o;
    case OpCode::kLatentAttention:
      o.a = in.next();
      o.b = in.next();
      o.weights = {in.next()};
      o.weights.push_back(in.next());
      o.outs = {in.next()};
      o.group = in.next();
      o.layer = in.next();
      o.heads = in.next();
      o.width = in.next();
      o.dims = in.next();
      o.key_dim = in.next();
      o.value_dim = in.next();
      o.scale = in.real();
      o.kv_heads = 1;
      if (o.dims < 0 || o.dims > kMost || o.key_dim < 0 || o.key_dim > kMost) fail(MR_INVALID, "latent attention of %d and %d values", o.key_dim, o.dims);
      o.key_dim += o.dims;
      return o;
  }
  fail(MR_UNSUPPORTED, "these kernels have no op number %d", number);
}

// What of a tensor an op's check asks for.
class Check {
 public:
  Check(const Program& program, size_t index) : program_(program), op_(program.ops[index]), index_(index) {}

  void run() {
    const Op& o = op_;
    for (int w : o.weights) handle(w, true);
    for (int b : o.biases) {
      if (b != -1) handle(b, true);
    }
    for (int h : {o.a, o.b, o.c}) {
      if (h != -1) handle(h, false);
    }
    for (int h : o.outs) handle(h, false);
    require(o.a != -1 || o.code == OpCode::kEmbed, "an operand is missing");
    switch (o.code) {
      case OpCode::kLinear: linear(); break;
      case OpCode::kLogits:
        same(width(o.a), width(o.weights[0]), "columns");
        same(width(o.out()), program_.tensors[static_cast<size_t>(o.weights[0])].rows(), "rows");
        break;
      case OpCode::kEmbed: same(width(o.out()), width(o.weights[0]), "columns"); break;
      case OpCode::kRmsNorm:
        same(width(o.a), width(o.out()), "width");
        same(width(o.weights[0]), o.width, "width");
        require(o.width > 0 && width(o.a) % o.width == 0, "runs do not fill the row");
        break;
      case OpCode::kRope:
        same(width(o.a), static_cast<int64_t>(o.heads) * o.key_dim, "heads");
        same(width(o.a), width(o.out()), "width");
        require(o.dims > 0 && o.dims % 2 == 0 && o.dims <= o.key_dim && o.table >= 0 && o.table < 64, "dims or table are out of range");
        break;
      case OpCode::kAttention: attention(); break;
      case OpCode::kGated:
      case OpCode::kAdd:
        require(o.b != -1, "an operand is missing");
        same(width(o.a), width(o.b), "width");
        same(width(o.a), width(o.out()), "width");
        require(o.function >= 0 && o.function <= 1, "no such function");
        break;
      case OpCode::kScale:
      case OpCode::kSoftCap:
      case OpCode::kGatherRows: same(width(o.a), width(o.out()), "width"); break;
      case OpCode::kKvWrite: require(o.b != -1 && o.group >= 0 && o.layer >= 0, "group or layer are out of range"); break;
      case OpCode::kSample: break;
      case OpCode::kSigmoidScale:
        require(o.b != -1, "an operand is missing");
        same(width(o.a), width(o.out()), "width");
        require(width(o.a) % width(o.b) == 0, "gates do not divide the row");
        break;
      case OpCode::kMoeRoute: route(); break;
      case OpCode::kMoeExperts: experts(); break;
      case OpCode::kLatentAttention: latent(); break;
    }
  }

 private:
  void linear() {
    const Op& o = op_;
    require(!o.weights.empty() && o.biases.size() == o.weights.size() && o.outs.size() == o.weights.size(),
            "weights, biases and outputs differ in number");
    for (size_t i = 0; i < o.weights.size(); i++) {
      int rows = program_.tensors[static_cast<size_t>(o.weights[i])].rows();
      same(width(o.a), width(o.weights[i]), "columns");
      same(width(o.outs[i]), rows, "rows");
      if (o.biases[i] != -1) same(width(o.biases[i]), rows, "bias");
    }
  }

  void route() {
    const Op& o = op_;
    int experts = program_.tensors[static_cast<size_t>(o.weights[0])].rows();
    same(width(o.a), width(o.weights[0]), "columns");
    require(o.active > 0 && o.active <= experts && o.expert_groups > 0 && experts % o.expert_groups == 0 && o.kept_groups > 0 &&
                o.kept_groups <= o.expert_groups && o.active <= experts / o.expert_groups * o.kept_groups,
            "experts, groups and their chosen numbers do not fit");
    same(width(o.outs[0]), o.active, "chosen experts");
    same(width(o.outs[1]), o.active, "chosen experts");
  }

  void experts() {
    const Op& o = op_;
    size_t n = o.weights.size() / 3;
    require(n > 0 && o.weights.size() % 3 == 0 && o.group == static_cast<int>(n) && o.b != -1 && o.c != -1, "experts differ in number");
    require(o.function >= 0 && o.function <= 1, "no such function");
    same(width(o.a), width(o.out()), "width");
    same(width(o.b), width(o.c), "chosen experts");
    int wide = program_.tensors[static_cast<size_t>(o.weights[0])].rows();
    for (size_t i = 0; i < o.weights.size(); i++) {
      same(width(o.weights[i]), i < 2 * n ? width(o.a) : wide, "columns");
      same(program_.tensors[static_cast<size_t>(o.weights[i])].rows(), i < 2 * n ? wide : width(o.a), "rows");
    }
  }

  void latent() {
    const Op& o = op_;
    int64_t heads = o.heads;
    require(o.b != -1 && heads > 0 && o.width > 0 && o.dims > 0 && o.key_dim > o.dims && o.value_dim > 0 && o.group >= 0 && o.layer >= 0,
            "sizes are out of range");
    same(width(o.a), heads * o.width, "heads");
    same(width(o.b), heads * o.dims, "heads");
    same(width(o.out()), heads * o.value_dim, "heads");
    for (int w : o.weights) same(width(w), o.key_dim - o.dims, "columns");
    same(program_.tensors[static_cast<size_t>(o.weights[0])].rows(), heads * o.width, "rows");
    same(program_.tensors[static_cast<size_t>(o.weights[1])].rows(), heads * o.value_dim, "rows");
  }

  void attention() {
    const Op& o = op_;
    require(o.heads > 0 && o.kv_heads > 0 && o.heads % o.kv_heads == 0, "heads are no multiple of KV heads");
    require(o.group >= 0 && o.layer >= 0 && o.window >= 0, "group, layer or window are out of range");
    same(width(o.a), static_cast<int64_t>(o.heads) * o.key_dim, "heads");
    same(width(o.out()), static_cast<int64_t>(o.heads) * o.value_dim, "heads");
  }

  int width(int h) const { return program_.tensors[static_cast<size_t>(h)].width(); }

  void handle(int h, bool weight) const {
    bool good = h >= 0 && h < static_cast<int>(program_.tensors.size()) && program_.tensors[static_cast<size_t>(h)].weight == weight;
    if (good && !weight) good = program_.tensors[static_cast<size_t>(h)].sizes.size() == 2;
    if (!good) wrong("a handle names no such tensor");
  }

  void same(int64_t a, int64_t b, const char* what) const {
    if (a != b) {
      fail(MR_INVALID, "op %zu (number %d) of the step program: %s are %lld and %lld", index_, static_cast<int>(op_.code), what,
           static_cast<long long>(a), static_cast<long long>(b));
    }
  }

  void require(bool good, const char* what) const {
    if (!good) wrong(what);
  }

  [[noreturn]] void wrong(const char* what) const {
    fail(MR_INVALID, "op %zu (number %d) of the step program: %s", index_, static_cast<int>(op_.code), what);
  }

  const Program& program_;
  const Op& op_;
  size_t index_;
};

}  // namespace

Program decode(const int32_t* words, int64_t count) {
  Reader in(words, count);
  int32_t magic = in.next();
  int32_t version = in.next();
  if (magic != kMagic || version != kVersion) fail(MR_UNSUPPORTED, "not a step program of version %d", kVersion);
  int32_t tensors = in.next();
  int32_t ops = in.next();
  if (tensors < 0 || tensors > kMost || ops < 0 || ops > kMost) fail(MR_INVALID, "a step program of %d tensors and %d ops", tensors, ops);
  Program program;
  for (int32_t i = 0; i < tensors; i++) program.tensors.push_back(tensor(in));
  std::vector<bool> written(static_cast<size_t>(tensors));
  for (int32_t i = 0; i < ops; i++) {
    int32_t number = in.next();
    int32_t length = in.length();
    int64_t end = in.at() + length;
    program.ops.push_back(op(number, in));
    if (in.at() != end) fail(MR_INVALID, "op %d (number %d) of the step program has %d words", i, number, length);
    Check(program, program.ops.size() - 1).run();
    Op& o = program.ops.back();
    if (o.code == OpCode::kMoeExperts) o.active = program.tensors[static_cast<size_t>(o.b)].width();
    for (int h : {o.a, o.b, o.c}) {
      if (h != -1 && !written[static_cast<size_t>(h)]) fail(MR_INVALID, "op %d of the step program reads what none before it wrote", i);
    }
    for (int h : o.outs) {
      if (written[static_cast<size_t>(h)]) fail(MR_INVALID, "op %d of the step program writes an activation again", i);
      written[static_cast<size_t>(h)] = true;
    }
  }
  return program;
}

}  // namespace millrace
