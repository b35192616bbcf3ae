#include "server/cli/timed_backend.h"

#include <chrono>
#include <functional>

namespace quern::cli {
namespace {

using ops::OpId;

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Adds what `body` takes to `part`.
template <typename Body>
void timed(StepTimes::Part& part, const Body& body) {
  const int64_t begin = now_ns();
  body();
  part.ns += now_ns() - begin;
  ++part.calls;
}

// Both with `join(a, b)` of their numbers.
template <typename Join>
StepTimes joined(const StepTimes& a, const StepTimes& b, Join join) {
  const auto part = [&](const StepTimes::Part& p, const StepTimes::Part& q) {
    return StepTimes::Part{join(p.calls, q.calls), join(p.ns, q.ns)};
  };
  StepTimes out;
  for (size_t i = 0; i < out.ops.size(); ++i) out.ops[i] = part(a.ops[i], b.ops[i]);
  out.copies = part(a.copies, b.copies);
  out.steps = join(a.steps, b.steps);
  out.step_ns = join(a.step_ns, b.step_ns);
  return out;
}

}  // namespace

int64_t StepTimes::outside_ns() const {
  int64_t rest = step_ns - copies.ns;
  for (const Part& part : ops) rest -= part.ns;
  return rest;
}

StepTimes StepTimes::operator-(const StepTimes& earlier) const {
  return joined(*this, earlier, std::minus<>());
}

StepTimes StepTimes::operator+(const StepTimes& more) const {
  return joined(*this, more, std::plus<>());
}

Status TimedBackend::begin_step(const ops::StepInputs& inputs) {
  step_began_ = now_ns();
  return inner_.begin_step(inputs);
}

Status TimedBackend::finish_step() {
  const Status done = inner_.finish_step();
  times_.step_ns += now_ns() - step_began_;
  ++times_.steps;
  return done;
}

void TimedBackend::read_back(const float* device, float* host, size_t n) {
  timed(times_.copies, [&] { inner_.read_back(device, host, n); });
}

void TimedBackend::select_outputs(const float* x, int64_t n_cols, float* y) {
  timed(times_.copies, [&] { inner_.select_outputs(x, n_cols, y); });
}

#define QUERN_TIMED(id, name, Args)                                               \
  void TimedBackend::name(const ops::Args& args) {                                \
    timed(times_.ops[static_cast<size_t>(OpId::id)], [&] { inner_.name(args); }); \
  }
QUERN_TIMED(kGather, gather, GatherArgs)
QUERN_TIMED(kMatmul, matmul, MatmulArgs)
QUERN_TIMED(kMatmul, gated_matmul, GatedMatmulArgs)
QUERN_TIMED(kRmsNorm, rms_norm, RmsNormArgs)
QUERN_TIMED(kRopeTable, rope_table, RopeTableArgs)
QUERN_TIMED(kRope, rope, RopeArgs)
QUERN_TIMED(kKvStore, kv_store, KvStoreArgs)
QUERN_TIMED(kAttention, attention, AttentionArgs)
QUERN_TIMED(kGatedActivation, gated_activation, GatedActivationArgs)
QUERN_TIMED(kAdd, add, AddArgs)
QUERN_TIMED(kScale, scale, ScaleArgs)
QUERN_TIMED(kSoftcap, softcap, SoftcapArgs)
QUERN_TIMED(kRoute, route, RouteArgs)
QUERN_TIMED(kMatmul, expert_matmul, ExpertMatmulArgs)
QUERN_TIMED(kExpertCombine, expert_combine, ExpertCombineArgs)
#undef QUERN_TIMED

}  // namespace quern::cli
