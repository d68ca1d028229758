#include "nvtx.h"

#include <dlfcn.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "error.h"

namespace millrace::cuda {
namespace {

// The protocol between a program and a tool, as https://github.com/NVIDIA/NVTX has it.
enum Table : uint32_t { kCallbacks = 1, kVersion = 3 };
enum Module : uint32_t { kCore2 = 5, kModules = 7 };
enum Core2 : uint32_t { kDomainRangePush = 4, kDomainRangePop = 5, kDomainCreate = 12 };
constexpr uint32_t kNvtxVersion = 3;
// Functions of each module, with one that is none at 0.
constexpr uint32_t kFunctions[kModules] = {0, 16, 9, 15, 7, 16, 7};
constexpr uint32_t kMostFunctions = 16;

struct Attributes {
  uint16_t version = kNvtxVersion, size = sizeof(Attributes);
  uint32_t category = 0;
  int32_t color_type = 0;
  uint32_t color = 0;
  int32_t payload_type = 2;  // int64
  int32_t reserved = 0;
  int64_t payload = 0;
  int32_t message_type = 1;  // characters
  const char* message = nullptr;
};
static_assert(sizeof(Attributes) == 48 && offsetof(Attributes, payload) == 24 && offsetof(Attributes, message) == 40);

using Function = void (*)();
using Push = int (*)(void* domain, const Attributes* attributes);
using Pop = int (*)(void* domain);
using CreateDomain = void* (*)(const char* name);

// What a tool fills in.
Function functions[kModules][kMostFunctions];
Function* tables[kModules][kMostFunctions];
std::atomic<bool> listening{false};
void* domain = nullptr;

int module_table(uint32_t module, Function*** table, uint32_t* size) {
  if (module == 0 || module >= kModules) return 0;
  for (uint32_t i = 1; i < kFunctions[module]; i++) tables[module][i] = &functions[module][i];
  if (size) *size = kFunctions[module];
  if (table) *table = tables[module];
  return 1;
}

struct Callbacks {
  size_t size = sizeof(Callbacks);
  int (*module_table)(uint32_t, Function***, uint32_t*) = &cuda::module_table;
};

struct Version {
  size_t size = sizeof(Version);
  uint32_t version = kNvtxVersion, reserved = 0;
  void (*tools)(uint32_t) = [](uint32_t) {};
};

const void* export_table(uint32_t id) {
  static const Callbacks callbacks;
  static const Version version;
  return id == kCallbacks ? static_cast<const void*>(&callbacks) : id == kVersion ? &version : nullptr;
}

template <class F>
F function(Core2 id) {
  return reinterpret_cast<F>(functions[kCore2][id]);
}

bool open(const char* name, int rows) {
  if (!listening.load(std::memory_order_relaxed)) return false;
  Attributes attributes;
  attributes.payload = rows;
  attributes.message = name;
  function<Push>(kDomainRangePush)(domain, &attributes);
  return true;
}

const char* name_of(OpCode op) {
  switch (op) {
    case OpCode::kEmbed: return "embed";
    case OpCode::kRmsNorm: return "rms_norm";
    case OpCode::kLinear: return "linear";
    case OpCode::kRope: return "rope";
    case OpCode::kKvWrite: return "kv_write";
    case OpCode::kAttention: return "attention";
    case OpCode::kGated: return "gated";
    case OpCode::kAdd: return "add";
    case OpCode::kScale: return "scale";
    case OpCode::kSoftCap: return "soft_cap";
    case OpCode::kGatherRows: return "gather_rows";
    case OpCode::kLogits: return "logits";
    case OpCode::kSample: return "sample";
    case OpCode::kSigmoidScale: return "sigmoid_scale";
    case OpCode::kMoeRoute: return "moe_route";
    case OpCode::kMoeExperts: return "moe_experts";
    case OpCode::kLatentAttention: return "latent_attention";
  }
  return "op";
}

struct Setting {
  bool ops = false;

  Setting() {
    const char* wanted = std::getenv("MILLRACE_NVTX");
    if (!wanted || !*wanted || std::strcmp(wanted, "steps") == 0) return;
    ops = std::strcmp(wanted, "ops") == 0;
    if (!ops) fail(MR_INVALID, "MILLRACE_NVTX is '%s'; use steps or ops", wanted);
  }
};

const Setting& setting() {
  static const Setting read;
  return read;
}

}  // namespace

void start_nvtx() {
  setting();
  static const bool attached = [] {
    const char* library = std::getenv("NVTX_INJECTION64_PATH");
    return library && *library && attach_nvtx(library);
  }();
  (void)attached;
}

bool nvtx_wants_ops() { return setting().ops; }

bool attach_nvtx(const char* library) {
  detach_nvtx();
  void* tool = dlopen(library, RTLD_LAZY);
  if (!tool) return false;
  using Initialize = int (*)(const void* (*)(uint32_t));
  auto initialize = reinterpret_cast<Initialize>(dlsym(tool, "InitializeInjectionNvtx2"));
  if (!initialize || !initialize(&export_table) || !function<Push>(kDomainRangePush) || !function<Pop>(kDomainRangePop)) {
    dlclose(tool);
    detach_nvtx();
    return false;
  }
  auto create = function<CreateDomain>(kDomainCreate);
  domain = create ? create("millrace") : nullptr;
  listening = true;
  return true;
}

void detach_nvtx() {
  listening = false;
  domain = nullptr;
  std::memset(functions, 0, sizeof functions);
}

Range::Range(const char* name, int rows) : open_(open(name, rows)) {}

Range::Range(OpCode op, int rows) : open_(open(name_of(op), rows)) {}

Range::~Range() {
  if (open_) function<Pop>(kDomainRangePop)(domain);
}

}  // namespace millrace::cuda
