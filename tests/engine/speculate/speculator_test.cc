// What is proposed from text and from a draft model, and that it stops where it does not pay.
#include "engine/speculate/speculator.h"

#include <gtest/gtest.h>

#include <new>
#include <set>

namespace quern::engine {
namespace {

// Guesses one token over and over.
class ConstantDrafter final : public Drafter {
 public:
  static constexpr TokenId kToken = 77;

  void draft(std::span<DraftJob> jobs, double /*spare_ns*/) override {
    if (out_of_memory) throw std::bad_alloc();
    ++n_calls;
    for (DraftJob& job : jobs) {
      known.insert(job.id);
      if (ready) job.drafted.assign(static_cast<size_t>(job.n_wanted), kToken);
    }
  }
  double run_ns() const override { return 1; }
  void forget(SequenceId id) override { known.erase(id); }
  bool gone() const override { return has_failed; }

  bool has_failed = false;
  int n_calls = 0;
  bool out_of_memory = false;
  bool ready = true;
  std::set<SequenceId> known;
};

StepCosts cheap_rows() {
  StepCosts costs;
  costs.step_ns = 80e9;  // nothing that a fake drafter takes counts beside it
  costs.row_ns = 10e9;
  return costs;
}

const std::vector<TokenId> kRepetitive = {1, 2, 3, 4, 5, 6, 1, 2, 3, 4};
const std::vector<TokenId> kFresh = {1, 2, 3, 4, 5, 6, 7, 8};

Speculator::Stream stream(SequenceId id, const std::vector<TokenId>& tokens, int64_t left = 100) {
  static const SamplingParams sampling;
  return {id, tokens, &sampling, nullptr, left};
}

std::vector<TokenId> draft_of(const Speculator& speculator, SequenceId id) {
  const auto draft = speculator.draft(id);
  return {draft.begin(), draft.end()};
}

TEST(Speculator, CopiesWhatFollowedBefore) {
  Speculator speculator({.max_tokens = 3, .adaptive = false}, nullptr);
  const std::vector<Speculator::Stream> streams = {stream(1, kRepetitive), stream(2, kFresh)};
  speculator.propose(streams, {}, 16);
  EXPECT_EQ(draft_of(speculator, 1), (std::vector<TokenId>{5, 6, 1}));
  EXPECT_TRUE(speculator.draft(2).empty());
  ASSERT_EQ(speculator.lengths().size(), 1U);
  EXPECT_EQ(speculator.lengths()[0].n_tokens, 3);
}

TEST(Speculator, KeepsTheRowsAndTheEndOfTheAnswer) {
  Speculator speculator({.max_tokens = 8, .adaptive = false}, nullptr);
  const std::vector<Speculator::Stream> streams = {stream(1, kRepetitive, 2),
                                                   stream(2, kRepetitive)};
  speculator.propose(streams, {}, 5);
  EXPECT_EQ(speculator.draft(1).size(), 2U);
  EXPECT_EQ(speculator.draft(2).size(), 3U);
  speculator.propose(streams, {}, 0);
  EXPECT_TRUE(speculator.lengths().empty());
}

TEST(Speculator, AsksTheDraftModelWhereTheTextDoesNotRepeat) {
  auto drafter = std::make_unique<ConstantDrafter>();
  const ConstantDrafter& seen = *drafter;
  Speculator speculator({.max_tokens = 2, .adaptive = false}, std::move(drafter));
  const std::vector<Speculator::Stream> streams = {stream(1, kRepetitive), stream(2, kFresh),
                                                   stream(3, kFresh)};
  speculator.propose(streams, {}, 16);
  EXPECT_EQ(draft_of(speculator, 1), (std::vector<TokenId>{5, 6}));
  EXPECT_EQ(draft_of(speculator, 2), (std::vector<TokenId>{77, 77}));
  EXPECT_EQ(draft_of(speculator, 3), (std::vector<TokenId>{77, 77}));
  EXPECT_EQ(seen.n_calls, 1);  // for both
  // Matches of that length come true less often than the model's guesses.
  for (int i = 0; i < 10; ++i) speculator.note(1, 0, true);
  speculator.propose(streams, {}, 16);
  EXPECT_EQ(draft_of(speculator, 1), (std::vector<TokenId>{77, 77}));
  speculator.forget(2);
  EXPECT_EQ(seen.known, (std::set<SequenceId>{1, 3}));
}

TEST(Speculator, StopsWhereGuessesAreWrongAndProbesRarely) {
  Speculator speculator({.max_tokens = 8}, nullptr);
  const std::vector<Speculator::Stream> streams = {stream(1, kRepetitive)};
  int n_drafts = 0;
  int n_tokens = 0;
  constexpr int kSteps = 2000;
  for (int step = 0; step < kSteps; ++step) {
    speculator.propose(streams, cheap_rows(), 16);
    n_drafts += speculator.lengths().empty() ? 0 : 1;
    n_tokens += static_cast<int>(speculator.draft(1).size());
    speculator.note(1, 0, true);
  }
  EXPECT_GE(n_drafts, kSteps / 70);
  EXPECT_LE(n_drafts, kSteps / 40);
  EXPECT_LE(n_tokens, n_drafts + 100);
  // It has become worth while.
  for (int step = 0; step < 1000; ++step) {
    speculator.propose(streams, cheap_rows(), 16);
    speculator.note(1, static_cast<int32_t>(speculator.draft(1).size()), false);
  }
  speculator.propose(streams, cheap_rows(), 16);
  EXPECT_EQ(speculator.draft(1).size(), 8U);
}

TEST(Speculator, ProbesUntilTheDraftModelIsReady) {
  auto drafter = std::make_unique<ConstantDrafter>();
  ConstantDrafter& seen = *drafter;
  Speculator speculator({.lookup = false, .max_tokens = 8}, std::move(drafter));
  const std::vector<Speculator::Stream> streams = {stream(1, kFresh)};
  for (int step = 0; step < 100; ++step) {
    speculator.propose(streams, cheap_rows(), 16);
    speculator.note(1, 0, true);
  }
  seen.ready = false;
  seen.n_calls = 0;
  for (int step = 0; step < 100; ++step) speculator.propose(streams, cheap_rows(), 16);
  EXPECT_GT(seen.n_calls, 30);  // in each step since the probe was due
  seen.ready = true;
  speculator.propose(streams, cheap_rows(), 16);
  EXPECT_EQ(speculator.draft(1).size(), 1U);
  seen.n_calls = 0;
  speculator.note(1, 0, true);
  for (int step = 0; step < 50; ++step) speculator.propose(streams, cheap_rows(), 16);
  EXPECT_EQ(seen.n_calls, 0);
}

TEST(Speculator, NewSequencesBeginWithWhatOthersHaveSeen) {
  Speculator speculator({.max_tokens = 8}, nullptr);
  for (SequenceId id = 1; id <= 30; ++id) {
    const std::vector<Speculator::Stream> streams = {stream(id, kRepetitive)};
    for (int step = 0; step < 30; ++step) {
      speculator.propose(streams, cheap_rows(), 16);
      speculator.note(id, 0, true);
    }
    speculator.forget(id);
  }
  const std::vector<Speculator::Stream> fresh = {stream(31, kRepetitive)};
  speculator.propose(fresh, cheap_rows(), 16);
  EXPECT_TRUE(speculator.draft(31).empty());
}

// Else the rate of a draft model that is no more would keep the text from being tried.
TEST(Speculator, ADraftModelThatHasFailedLeavesTheTextToItself) {
  auto drafter = std::make_unique<ConstantDrafter>();
  ConstantDrafter& seen = *drafter;
  Speculator speculator({.max_tokens = 2, .adaptive = false}, std::move(drafter));
  const std::vector<Speculator::Stream> streams = {stream(1, kRepetitive)};
  speculator.propose(streams, {}, 16);
  for (int i = 0; i < 10; ++i) speculator.note(1, 0, true);  // matches of that length are wrong
  speculator.propose(streams, {}, 16);
  EXPECT_EQ(draft_of(speculator, 1), (std::vector<TokenId>{77, 77}));
  EXPECT_TRUE(speculator.has_drafter());
  seen.ready = false;
  seen.has_failed = true;
  speculator.propose(streams, {}, 16);
  EXPECT_FALSE(speculator.has_drafter());
  EXPECT_TRUE(speculator.on());
  speculator.propose(streams, {}, 16);
  EXPECT_EQ(draft_of(speculator, 1), (std::vector<TokenId>{5, 6}));
}

TEST(Speculator, TellsWhatWasMeasuredAndNothingElse) {
  Speculator speculator({.max_tokens = 2, .adaptive = false}, std::make_unique<ConstantDrafter>());
  const std::vector<Speculator::Stream> streams = {stream(1, kRepetitive), stream(2, kFresh)};
  speculator.propose(streams, {}, 16);
  for (int kind = 0; kind < kDraftKinds; ++kind) {
    EXPECT_FALSE(speculator.acceptance().known(kind)) << kind;
  }
  speculator.note(1, 1, true);
  speculator.note(2, 2, false);
  for (int kind = 0; kind < kDraftKinds; ++kind) {
    EXPECT_EQ(speculator.acceptance().known(kind), kind == 3 || kind == kModelKind) << kind;
  }
  EXPECT_LT(speculator.acceptance().rate(3), speculator.acceptance().rate(kModelKind));
}

TEST(Speculator, WithoutMemoryThereAreNoDrafts) {
  auto drafter = std::make_unique<ConstantDrafter>();
  ConstantDrafter& seen = *drafter;
  Speculator speculator({.max_tokens = 2, .adaptive = false}, std::move(drafter));
  seen.out_of_memory = true;
  const std::vector<Speculator::Stream> streams = {stream(1, kRepetitive), stream(2, kFresh)};
  speculator.propose(streams, {}, 16);
  EXPECT_TRUE(speculator.lengths().empty());
  EXPECT_TRUE(speculator.draft(1).empty());
  seen.out_of_memory = false;
  speculator.propose(streams, {}, 16);
  EXPECT_EQ(speculator.lengths().size(), 2U);
}

}  // namespace
}  // namespace quern::engine
