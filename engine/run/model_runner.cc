// Binds graph::ForwardPass to the engine.
#include "engine/run/model_runner.h"

#include <string>
#include <utility>

#include "models/gguf/reader.h"

namespace quern::engine {

Result<std::unique_ptr<ModelRunner>> ModelRunner::create(std::shared_ptr<const loader::Model> model,
                                                         backend::Backend& backend,
                                                         const RunnerShape& shape) {
  std::unique_ptr<ModelRunner> runner(new ModelRunner());
  const auto weights = model->weights();
  QUERN_ASSIGN_OR_RETURN(
      runner->cache_, graph::KvStorage::create(backend, *weights, shape.kv_format, shape.n_pages));
  std::vector<std::shared_ptr<const graph::AdapterWeights>> deltas;
  for (const auto& adapter : shape.adapters) deltas.push_back(adapter->weights());
  QUERN_ASSIGN_OR_RETURN(runner->forward_,
                         graph::ForwardPass::create(backend, weights, shape.max_step_tokens,
                                                    shape.max_step_outputs, std::move(deltas)));
  runner->page_bytes_ = graph::KvStorage::bytes_per_page(*weights, shape.kv_format);
  runner->model_ = std::move(model);
  runner->adapters_ = shape.adapters;
  return runner;
}

Status ModelRunner::run(const ops::StepInputs& inputs, std::span<float> logits) {
  return forward_->run(inputs, *cache_, logits);
}

Status ModelRunner::check_model() const {
  const auto gone = [](std::string_view what, const gguf::GgufFile& file) {
    return Error(ErrorKind::kIo, "reading the " + std::string(what) + " file " + file.label() +
                                     " failed while it was in use (truncated, or its device is "
                                     "gone); restore the file and load the model again");
  };
  if (model_->file().poisoned()) return gone("model", model_->file());
  for (const auto& adapter : adapters_) {
    if (adapter->file().poisoned()) return gone("adapter", adapter->file());
  }
  return ok_status();
}

}  // namespace quern::engine
