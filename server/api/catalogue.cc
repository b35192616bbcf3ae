// See catalogue.h.
#include "server/api/catalogue.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "config/base/check.h"
#include "engine/types/contract.h"
#include "server/http/message.h"

namespace quern::api {
namespace {

// Seconds; nobody plans further ahead.
constexpr double kMaxRetryAfter = 3600;

// Keeps the engine's last counts when the model is unloaded.
class CountedResident final : public ServedResident {
 public:
  CountedResident(std::unique_ptr<ServedResident> inner, std::shared_ptr<ModelCounters> counters)
      : inner_(std::move(inner)), counters_(std::move(counters)) {
    counters_->attach(*inner_->model().engine);
  }
  ~CountedResident() override {
    inner_->drain(std::chrono::steady_clock::now());  // nothing is counted any more
    counters_->detach();
  }
  CountedResident(const CountedResident&) = delete;
  CountedResident& operator=(const CountedResident&) = delete;

  uint64_t bytes() const override { return inner_->bytes(); }
  bool usable() const override { return inner_->usable(); }
  void drain(std::chrono::steady_clock::time_point deadline) override { inner_->drain(deadline); }
  const ServedModel& model() const override { return inner_->model(); }

 private:
  std::unique_ptr<ServedResident> inner_;
  std::shared_ptr<ModelCounters> counters_;
};

// A model whose engine somebody else owns.
class FixedResident final : public ServedResident {
 public:
  explicit FixedResident(ServedModel model) : model_(std::move(model)) {}
  uint64_t bytes() const override { return model_.facts.file_bytes; }
  bool usable() const override { return true; }
  void drain(std::chrono::steady_clock::time_point) override {}
  const ServedModel& model() const override { return model_; }

 private:
  ServedModel model_;
};

engine::ModelSource source_of(ModelOffer offer, std::shared_ptr<ModelCounters> counters) {
  engine::ModelSource source;
  source.name = offer.listed.id;
  source.bytes = offer.bytes;
  source.load = [load = std::move(offer.load),
                 counters = std::move(counters)]() -> Result<std::unique_ptr<engine::Resident>> {
    QUERN_ASSIGN_OR_RETURN(auto resident, load());
    return std::unique_ptr<engine::Resident>(
        std::make_unique<CountedResident>(std::move(resident), counters));
  };
  return source;
}

}  // namespace

Catalogue::Catalogue(std::vector<ModelOffer> offers, CatalogueOptions options)
    : options_(std::move(options)),
      fingerprint_("quern-" + options_.version + "-" + std::string(engine::kContract)) {
  CHECK(!offers.empty());
  std::vector<engine::ModelSource> sources;
  for (ModelOffer& offer : offers) {
    models_.push_back(offer.listed);
    counters_.push_back(std::make_shared<ModelCounters>());
    sources.push_back(source_of(std::move(offer), counters_.back()));
  }
  manager_ = std::make_unique<engine::ModelManager>(std::move(sources), options_.manager);
}

std::optional<Catalogue::Found> Catalogue::find(std::string_view name) const {
  std::optional<Found> found;
  for (size_t i = 0; i < models_.size(); ++i) {
    if (http::equals_ignoring_case(models_[i].id, name)) return Found{i, {}};
    if (!found && models_[i].is_called(name)) found = Found{i, {}};
  }
  for (size_t i = 0; i < models_.size() && !found; ++i) {
    if (const auto adapter = models_[i].adapter_called(name)) found = Found{i, adapter};
  }
  return found;
}

std::vector<engine::AdapterUse> Catalogue::adapters_of(const Found& found) const {
  if (!found.adapter) return {};
  return {
      {static_cast<int32_t>(*found.adapter), models_[found.index].adapters[*found.adapter].scale}};
}

MaybeError Catalogue::acquire(size_t index, const engine::ModelManager::Ask& ask,
                              ModelLease& out) const {
  auto lease = manager_->acquire(index, ask);
  if (lease.ok()) {
    out = ModelLease(std::move(lease).value());
    return std::nullopt;
  }
  ApiError error = from_error(lease.error());
  // The file is the server's, not the client's: whatever is wrong with it is no bad request.
  if (error.status == 400 || error.status == 404) error.status = 500;
  if (lease.error().kind() == ErrorKind::kBusy && manager_->share_is_full(ask.share)) {
    blame_key(error);
  }
  const double wait_s = std::chrono::duration<double>(manager_->predicted_wait(index)).count();
  error.retry_after_s = static_cast<int>(std::clamp(std::ceil(wait_s), 1.0, kMaxRetryAfter));
  return error;
}

std::vector<ModelOffer> fixed_offers(std::vector<ServedModel> models) {
  std::vector<ModelOffer> offers;
  for (ServedModel& model : models) {
    ModelOffer offer;
    offer.listed = model;  // its listing only
    offer.bytes = model.facts.file_bytes;
    offer.load = [model = std::move(model)]() -> Result<std::unique_ptr<ServedResident>> {
      return std::unique_ptr<ServedResident>(std::make_unique<FixedResident>(model));
    };
    offers.push_back(std::move(offer));
  }
  return offers;
}

}  // namespace quern::api
