// What one rendering carries: its budgets, its objects, and the line it is at.
//
// Every loop over outside data charges a budget here before it works, so that no template runs
// long or grows large whatever it says. TemplateError is thrown inside this folder only; the public
// face turns it into a quern::Error.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "models/chat/template_value.h"

namespace quern::chat {

struct TemplateLimits {
  static constexpr size_t kSourceBytes = 256 * 1024;
  static constexpr int kParseDepth = 128;        // statements and brackets inside each other
  static constexpr int kExpressionDepth = 256;   // levels of one expression's tree
  static constexpr int kEvalDepth = 400;         // nested evaluation, macro calls included
  static constexpr int kCallDepth = 100;         // macros inside each other
  static constexpr int kValueDepth = 100;        // containers inside each other
  static constexpr uint64_t kSteps = 1'000'000;  // statements and loop turns
  static constexpr uint64_t kWork = 16'000'000;  // expression nodes and container elements
  static constexpr uint64_t kBytes = uint64_t{64} << 20;  // bytes read or written by string work...
  static constexpr uint64_t kBytesPerInputByte = 64;      // ...plus this for each input byte
  static constexpr uint64_t kOutputBytes = uint64_t{1} << 20;  // output, plus 4 x input
  static constexpr uint64_t kOutputPerInputByte = 4;
  static constexpr uint64_t kProbeShare = 64;  // a probe at load time gets this part of a budget
  static constexpr int64_t kRange = 100'000;   // elements of one range(), as Jinja's sandbox has it
};

struct TemplateError {
  std::string message;  // a clause without full stop
  int line = 0;         // 0: where the runtime stands
  bool unsupported = false;
};

[[noreturn]] void fail(std::string message);

class Runtime {
 public:
  virtual ~Runtime() = default;

  int line = 0;
  int depth = 0;
  int64_t now_unix_s = 0;
  uint64_t output_limit = 0;

  // Grants the bytes that an input of this size may cost, and sets the output limit.
  void set_input_bytes(uint64_t input_bytes);
  // Lowers the budgets to those of a probe.
  void limit_to_probe();
  void charge_step() {
    if (steps_-- == 0) exhausted("steps");
  }
  void charge_work(uint64_t units = 1) {
    if (work_ < units) exhausted("work");
    work_ -= units;
  }
  void charge_bytes(uint64_t bytes) {
    if (bytes_ < bytes) exhausted("string bytes");
    bytes_ -= bytes;
  }

  // Values whose cost is charged.
  Value text(Text text);
  Value text(std::string bytes, bool from_user = false);
  Value sequence(SequenceType type, std::vector<Value> items);
  Value list(std::vector<Value> items) { return sequence(SequenceType::kList, std::move(items)); }
  Value tuple(std::vector<Value> items) { return sequence(SequenceType::kTuple, std::move(items)); }
  Value generator(std::vector<Value> items) {
    return sequence(SequenceType::kGenerator, std::move(items));
  }
  // Later duplicates replace earlier values. Fails on keys that Python cannot hash.
  Value dict(std::vector<std::pair<Value, Value>> items);

  template <typename T, typename... Args>
  T* make(Args&&... args) {
    charge_bytes(sizeof(T) + 64);
    auto owned = std::make_unique<T>(std::forward<Args>(args)...);
    T* object = owned.get();
    objects_.push_back(std::move(owned));
    return object;
  }

 private:
  [[noreturn]] void exhausted(const char* what);

  uint64_t steps_ = TemplateLimits::kSteps;
  uint64_t work_ = TemplateLimits::kWork;
  uint64_t bytes_ = TemplateLimits::kBytes;
  std::vector<std::unique_ptr<Object>> objects_;
};

// Counts nested evaluation for as long as it lives.
class DepthGuard {
 public:
  explicit DepthGuard(Runtime& runtime) : depth_(runtime.depth) {
    if (depth_ >= TemplateLimits::kEvalDepth) {
      fail("calls and expressions are nested deeper than " +
           std::to_string(TemplateLimits::kEvalDepth) + " at run time");
    }
    ++depth_;
  }
  ~DepthGuard() { --depth_; }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;

 private:
  int& depth_;
};

// Position of a key in a dict, or nothing (SIZE_MAX). Fails on keys that Python cannot hash.
size_t find_key(Runtime& runtime, const Dict& dict, const Value& key);

}  // namespace quern::chat
