// The queue between engine and reader: order, coalescing, bound, end.
#include "engine/run/event_queue.h"

#include <gtest/gtest.h>

namespace quern::engine {
namespace {

using std::chrono::milliseconds;

Event text(std::string content) {
  Event event;
  event.text = std::move(content);
  event.tokens = {1};
  return event;
}

Event finished() {
  Event event;
  event.kind = Event::Kind::kFinished;
  return event;
}

TEST(EventQueue, KeepsOrderAndTimesOut) {
  EventQueue queue(1000);
  EXPECT_FALSE(queue.next(milliseconds(1)).has_value());
  queue.push(text("a"));
  queue.push(text("b"));
  queue.push(finished());
  EXPECT_EQ(queue.next(milliseconds(0))->text, "a");
  EXPECT_EQ(queue.next(milliseconds(0))->text, "b");
  EXPECT_EQ(queue.next(milliseconds(0))->kind, Event::Kind::kFinished);
  EXPECT_FALSE(queue.next(milliseconds(0)).has_value());
}

TEST(EventQueue, JoinsTextForASlowReader) {
  EventQueue queue(100000);
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(queue.push(text("x")));
  queue.push(finished());
  size_t n_events = 0;
  size_t n_tokens = 0;
  std::string all;
  while (const auto event = queue.next(milliseconds(0))) {
    ++n_events;
    all += event->text;
    n_tokens += event->tokens.size();
  }
  EXPECT_EQ(n_events, EventQueue::kMaxEvents + 1);
  EXPECT_EQ(all, std::string(1000, 'x'));
  EXPECT_EQ(n_tokens, 1000U);
}

TEST(EventQueue, RefusesTextBeyondItsBoundButNeverTheEnd) {
  EventQueue queue(50);
  int accepted = 0;
  while (queue.push(text("0123456789"))) ++accepted;
  EXPECT_EQ(accepted, 3);
  EXPECT_TRUE(queue.push(finished()));
  queue.next(milliseconds(0));
  EXPECT_TRUE(queue.push(text("0123456789")));
}

TEST(EventQueue, EndsWithoutMemory) {
  EventQueue queue(50);
  queue.push(text("a"));
  queue.fail_out_of_memory();
  EXPECT_EQ(queue.next(milliseconds(0))->text, "a");
  const auto event = queue.next(milliseconds(0));
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->kind, Event::Kind::kFailed);
  EXPECT_EQ(event->error->kind(), ErrorKind::kOutOfMemory);
  EXPECT_FALSE(queue.next(milliseconds(0)).has_value());
}

}  // namespace
}  // namespace quern::engine
