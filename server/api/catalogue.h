// The models that this server has on offer, and how a request gets hold of one.
//
// Listings read the catalogue and load nothing. A handler acquires the model it needs, which may
// mean waiting for it to be loaded, and holds it until its answer has ended. Immutable while the
// server runs, but for what the manager does inside.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/manager/model_manager.h"
#include "server/api/api_error.h"
#include "server/api/model_counters.h"
#include "server/api/overflow_policy.h"
#include "server/api/served_model.h"

namespace quern::api {

// A loaded model in the manager's hands: what each source of a catalogue makes.
class ServedResident : public engine::Resident {
 public:
  virtual const ServedModel& model() const = 0;
};

// One model and how to load it.
struct ModelOffer {
  ListedModel listed;
  uint64_t bytes = 0;  // that it will take
  std::function<Result<std::unique_ptr<ServedResident>>()> load;
};

// Holds a loaded model.
class ModelLease {
 public:
  ModelLease() = default;
  explicit ModelLease(engine::ModelManager::Lease lease) : lease_(std::move(lease)) {}
  explicit operator bool() const { return static_cast<bool>(lease_); }
  // Precondition: not empty. The catalogue's sources make nothing but ServedResidents.
  const ServedModel& model() const {
    return static_cast<const ServedResident&>(lease_.resident()).model();
  }

 private:
  engine::ModelManager::Lease lease_;
};

struct CatalogueOptions {
  std::string version = "0.1.0";  // of the program
  // Name of each API key's share of the engine, in the order of the keys; empty with one key.
  std::vector<std::string> shares;
  std::chrono::seconds request_timeout{0};  // 0: none
  OverflowPolicy overflow;                  // where a request does not say
  engine::ManagerOptions manager;
};

class Catalogue {
 public:
  // At least one model; the first is the default.
  Catalogue(std::vector<ModelOffer> offers, CatalogueOptions options);

  const std::vector<ListedModel>& models() const { return models_; }
  // The model of this name, and with which adapter; ids go before aliases, models before adapters.
  struct Found {
    size_t index = 0;
    std::optional<size_t> adapter;  // of ListedModel::adapters
  };
  std::optional<Found> find(std::string_view name) const;
  // What the engine is to add for a model that was found: its adapter, as strong as configured.
  std::vector<engine::AdapterUse> adapters_of(const Found& found) const;

  // Loads the model if need be. Errors: see ModelManager::acquire.
  MaybeError acquire(size_t index, const engine::ModelManager::Ask& ask, ModelLease& out) const;
  // Empty when it is not loaded. Changes nothing about how long it stays.
  ModelLease peek(size_t index) const { return ModelLease(manager_->peek(index)); }
  void unload(size_t index) const { manager_->unload(index); }
  engine::ModelState state(size_t index) const { return manager_->state(index); }
  engine::ModelManager& manager() const { return *manager_; }
  // Counts of all the times it was loaded, this one included.
  engine::EngineStats counters(size_t index) const { return counters_[index]->get(); }

  const std::string& version() const { return options_.version; }
  const std::string& fingerprint() const { return fingerprint_; }  // version and contract
  const std::vector<std::string>& shares() const { return options_.shares; }
  std::chrono::seconds request_timeout() const { return options_.request_timeout; }
  const OverflowPolicy& overflow() const { return options_.overflow; }

 private:
  CatalogueOptions options_;
  std::string fingerprint_;
  std::vector<ListedModel> models_;
  std::vector<std::shared_ptr<ModelCounters>> counters_;
  std::unique_ptr<engine::ModelManager> manager_;
};

// Offers of models that are loaded already and stay so, whatever is said; they must outlive the
// catalogue.
std::vector<ModelOffer> fixed_offers(std::vector<ServedModel> models);

}  // namespace quern::api
