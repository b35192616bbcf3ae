// What a for loop walks over, and its `loop` variable.
#pragma once

#include <string_view>
#include <vector>

#include "models/chat/template_runtime.h"

namespace quern::chat {

// The elements of an iterable by index; a range is not spread out.
class LoopItems {
 public:
  LoopItems() = default;
  // Fails if the value cannot be iterated over. Uses up a generator.
  LoopItems(Runtime& runtime, const Value& iterable);
  explicit LoopItems(std::vector<Value> items) : items_(std::move(items)) {}

  size_t size() const {
    return range_ == nullptr ? items_.size() : static_cast<size_t>(range_->size);
  }
  Value at(size_t index) const {
    return range_ == nullptr ? items_[index] : Value(range_->at(static_cast<int64_t>(index)));
  }

 private:
  std::vector<Value> items_;
  RangeRef range_;
};

class LoopObject final : public Object {
 public:
  explicit LoopObject(LoopItems items) : items_(std::move(items)) {}
  std::string_view type_name() const override { return "LoopContext"; }
  bool attribute(Runtime& runtime, std::string_view name, Value& out) override;

  const LoopItems& items() const { return items_; }
  void move_to(size_t index) { index_ = index; }
  Value cycle(const Arguments& arguments) const;
  Value changed(Runtime& runtime, const Arguments& arguments);

 private:
  LoopItems items_;
  size_t index_ = 0;
  bool has_last_ = false;
  std::vector<Value> last_changed_;
};

}  // namespace quern::chat
