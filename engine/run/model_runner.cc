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
  QUERN_ASSIGN_OR_RETURN(
      runner->forward_,
      graph::ForwardPass::create(backend, weights, shape.max_step_tokens, shape.max_step_outputs));
  runner->page_bytes_ = graph::KvStorage::bytes_per_page(*weights, shape.kv_format);
  runner->model_ = std::move(model);
  return runner;
}

Status ModelRunner::run(const ops::StepInputs& inputs, std::span<float> logits) {
  return forward_->run(inputs, *cache_, logits);
}

Status ModelRunner::check_model() const {
  if (!model_->file().poisoned()) return ok_status();
  return Error(ErrorKind::kIo, "reading the model file " + model_->file().label() +
                                   " failed while it was in use (truncated, or its device is "
                                   "gone); restore the file and load the model again");
}

}  // namespace quern::engine
