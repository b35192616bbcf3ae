// Result and Status: values, errors, context, and the early-return macros.
#include "config/base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>

namespace quern {
namespace {

Result<int> half_of(int value) {
  if (value % 2 != 0) return Error(ErrorKind::kInvalidInput, "odd: expected an even number");
  return value / 2;
}

Result<int> quarter_of(int value) {
  QUERN_ASSIGN_OR_RETURN(const int half, half_of(value));
  QUERN_ASSIGN_OR_RETURN(const int quarter, half_of(half));
  return quarter;
}

Status check_even(int value) {
  QUERN_RETURN_IF_ERROR(half_of(value));
  return ok_status();
}

TEST(Result, CarriesAValueOrAnError) {
  EXPECT_EQ(*half_of(4), 2);
  const auto bad = half_of(3);
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().kind(), ErrorKind::kInvalidInput);
  EXPECT_EQ(bad.error().message(), "odd: expected an even number");
}

TEST(Result, MacrosReturnTheFirstError) {
  EXPECT_EQ(*quarter_of(8), 2);
  EXPECT_FALSE(quarter_of(6).ok());
  EXPECT_TRUE(check_even(2).ok());
  EXPECT_FALSE(check_even(1).ok());
}

TEST(Result, HoldsMoveOnlyValues) {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(7));
  const std::unique_ptr<int> taken = std::move(result).value();
  EXPECT_EQ(*taken, 7);
}

TEST(Result, AnErrorAsValueTypeIsNotMistakenForAnError) {
  const Result<std::string> result(std::string("text"));
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(result->size(), 4u);
}

TEST(Error, ContextIsPutInFront) {
  const Error inner(ErrorKind::kIo, "short read");
  const Error outer = inner.with_context("key 'x'").with_context("a.gguf");
  EXPECT_EQ(outer.kind(), ErrorKind::kIo);
  EXPECT_EQ(outer.message(), "a.gguf: key 'x': short read");
}

TEST(Error, EveryKindHasItsOwnName) {
  std::set<std::string_view> names;
  for (int kind = 0; kind <= static_cast<int>(ErrorKind::kInternal); ++kind) {
    names.insert(error_kind_name(static_cast<ErrorKind>(kind)));
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(ErrorKind::kInternal) + 1);
  EXPECT_FALSE(names.contains("unknown"));
}

TEST(ResultDeathTest, ReadingTheValueOfAnErrorIsAProgrammerError) {
  const auto bad = half_of(3);
  EXPECT_DEATH(static_cast<void>(bad.value()), "CHECK failed");
}

}  // namespace
}  // namespace quern
