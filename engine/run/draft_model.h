// Drafts with a second, smaller model of the same vocabulary, for several sequences at a time.
//
// Each token is drawn by the sequence's own sampler settings, at its position and under its
// grammar, so that a draft model which is as good as the model draws the very tokens the model will
// draw, sampled ones too: both draws invert their distributions at the same random number.
// Taking the likeliest token instead would come true only as often as sampling picks it.
//
// Keys and values live in pages of its own, as many as the model has; when they run out, sequences
// that are not drafted for give theirs up, then there is no draft. One thread only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "config/base/log.h"
#include "config/base/result.h"
#include "engine/kv/page_pool.h"
#include "engine/kv/page_table.h"
#include "engine/run/step_cost_meter.h"
#include "engine/run/step_runner.h"
#include "engine/sample/sampler.h"
#include "engine/speculate/drafter.h"

namespace quern::engine {

struct DraftShape {
  int64_t n_vocab = 0;         // of the draft model
  int64_t n_vocab_target = 0;  // of the model; may differ by unused ids at the end
  int64_t context_tokens = 0;  // no drafts beyond
  int32_t n_pages = 0;
  int32_t page_tokens = 32;
  int32_t max_running = 8;  // jobs at once
  // Tokens in one run, and so of a prompt that it catches up with, whatever time there is.
  int32_t max_step_tokens = 128;
};

class DraftModel final : public Drafter {
 public:
  // `runner` makes steps of max(max_step_tokens, max_running) tokens and max_running outputs.
  DraftModel(std::unique_ptr<StepRunner> runner, const DraftShape& shape, Log log);

  void draft(std::span<DraftJob> jobs, double spare_ns) override;
  double run_ns() const override { return run_ns_; }
  void forget(SequenceId id) override { tracks_.erase(id); }
  bool gone() const override { return gone_; }

  int32_t n_pages_used() const { return pool_.n_used(); }

 private:
  // What it knows of one sequence.
  struct Track {
    std::vector<TokenId> tokens;  // known ones, then drafted ones
    size_t n_known = 0;
    size_t n_computed = 0;
    bool foreign = false;  // holds a token that the draft model does not have
    PageTable pages;

    size_t n_missing() const { return tokens.size() - n_computed; }
  };
  // A job under way.
  struct Active {
    DraftJob* job;
    Track* track;
    size_t n_before = 0;  // computed before the run that is being made
    size_t n_tokens = 0;  // in that run
    bool catches_up = false;
    bool draws = false;  // from that run
  };

  void follow(Track& track, std::span<const TokenId> tokens) const;
  bool find_room(Track& track, int64_t n_positions, std::span<const DraftJob> jobs);
  std::vector<Active> begin(std::span<DraftJob> jobs);
  void share_room(std::vector<Active>& active, double spare_ns) const;
  Status run(const std::vector<Active>& active);
  void note_time(std::span<const Active> active, double ns);
  bool draw(Active& one, std::span<const float> row);
  void give_up(const Error& error);

  std::unique_ptr<StepRunner> runner_;
  DraftShape shape_;
  Log log_;
  PagePool pool_;  // before the tracks
  std::map<SequenceId, Track> tracks_;
  Sampler sampler_;
  std::vector<float> logits_;  // [max_running, n_vocab]
  std::vector<float> row_;     // [n_vocab_target]
  std::vector<int32_t> step_tokens_;
  std::vector<ops::SequenceSlice> slices_;
  std::vector<int32_t> outputs_;
  StepCostMeter meter_;  // of its runs; what it catches up with are prompts to it
  double run_ns_ = 0;
  bool gone_ = false;
};

}  // namespace quern::engine
