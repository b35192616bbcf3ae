// KV sizing: granted, shortened or refused, with the bytes in the message.
#include "engine/run/memory_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quern::engine {
namespace {

using testing::HasSubstr;

KvDemand demand() {
  KvDemand d;
  d.context_trained = 1000;
  d.max_sequences = 4;
  d.available_bytes = 1 << 20;
  d.bytes_per_page = 1024;
  d.page_tokens = 32;
  return d;
}

TEST(PlanKv, RoomForAllSequencesWhenMemoryAllows) {
  const auto plan = plan_kv(demand());
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->n_pages, 4 * 32);
  EXPECT_EQ(plan->context_tokens, 1000);
  EXPECT_EQ(plan->bytes, 4U * 32 * 1024);
}

TEST(PlanKv, BoundedByMemory) {
  KvDemand d = demand();
  d.available_bytes = 50 * 1024;
  EXPECT_EQ(plan_kv(d)->n_pages, 50);
  d.available_bytes = 20 * 1024;  // less than one trained context
  EXPECT_EQ(plan_kv(d)->context_tokens, 640);
  d.available_bytes = 7 * 1024;  // less than the shortest that is offered
  const auto plan = plan_kv(d);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().kind(), ErrorKind::kOutOfMemory);
  EXPECT_THAT(plan.error().message(), HasSubstr("takes 8192 bytes, available are 7168"));
}

TEST(PlanKv, AskedForContextIsNeverShortened) {
  KvDemand d = demand();
  d.context_option = 1000;
  d.kv_bytes_option = 31 * 1024;
  const auto plan = plan_kv(d);
  ASSERT_FALSE(plan.ok());
  EXPECT_THAT(plan.error().message(), HasSubstr("32768 bytes, allowed are 31744"));
  d.kv_bytes_option = 32 * 1024;
  EXPECT_EQ(plan_kv(d)->n_pages, 32);
  d.context_option = 1001;
  EXPECT_EQ(plan_kv(d).error().kind(), ErrorKind::kInvalidInput);
}

TEST(PlanKv, SmallModelsNeedNoMinimum) {
  KvDemand d = demand();
  d.context_trained = 10;
  d.available_bytes = 1024;
  EXPECT_EQ(plan_kv(d)->context_tokens, 10);
}

TEST(PlanKv, HugeNumbersDoNotOverflow) {
  KvDemand d = demand();
  d.context_trained = int64_t{1} << 30;
  d.max_sequences = 1024;
  d.page_tokens = 1;
  d.available_bytes = UINT64_MAX;
  const auto plan = plan_kv(d);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->n_pages, INT32_MAX);
}

}  // namespace
}  // namespace quern::engine
