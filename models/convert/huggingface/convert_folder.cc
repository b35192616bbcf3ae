#include "models/convert/huggingface/convert_folder.h"

#include <system_error>
#include <utility>

#include "config/base/mapped_file.h"
#include "models/convert/huggingface/config.h"
#include "models/convert/huggingface/json_fields.h"
#include "models/convert/huggingface/quantization.h"
#include "models/convert/huggingface/tensor_plan.h"
#include "models/convert/huggingface/tokenizer_files.h"
#include "models/convert/quantize_plan.h"
#include "models/gguf/name_rules.h"
#include "models/safetensors/checkpoint.h"

namespace quern::huggingface {
namespace {

using safetensors::Checkpoint;
using safetensors::DType;

std::string shown(const std::filesystem::path& path) {
  return gguf::printable(path.string(), 4096);
}

// Of the folder itself, whether or not its path ends in a slash.
std::string folder_name(const std::filesystem::path& folder) {
  std::error_code failed;
  auto full = std::filesystem::weakly_canonical(folder, failed);
  if (failed) full = folder;
  return full.filename().string();
}

class Conversion {
 public:
  Conversion(const std::filesystem::path& folder, const ConvertChoices& choices)
      : folder_(folder), choices_(choices) {}

  Result<ConvertSummary> run(const std::filesystem::path& out) {
    QUERN_RETURN_IF_ERROR(read_model());
    QUERN_ASSIGN_OR_RETURN(checkpoint_, Checkpoint::open(folder_));
    const Status planned = plan();
    if (!planned.ok()) return planned.error().with_context(shown(folder_));
    QUERN_RETURN_IF_ERROR(write(out));
    return std::move(summary_);
  }

 private:
  Status read_model() {
    const auto path = folder_ / "config.json";
    QUERN_ASSIGN_OR_RETURN(const auto config, read_json_file(path));
    if (!config) {
      return Error(ErrorKind::kNotFound, shown(path) +
                                             ": no such file; expected the folder of a Hugging "
                                             "Face model, with config.json in it");
    }
    auto read = read_config(*config, metadata_);
    if (!read.ok()) return read.error().with_context(shown(path));
    config_ = std::move(*read);
    auto quantization = read_quantization(*config);
    if (!quantization.ok()) return quantization.error().with_context(shown(path));
    quantization_ = std::move(*quantization);
    const std::string name = choices_.name.empty() ? folder_name(folder_) : choices_.name;
    metadata_.set("general.type", std::string("model"));
    metadata_.set("general.name", name);
    if (!choices_.license.empty()) metadata_.set("general.license", choices_.license);
    QUERN_RETURN_IF_ERROR(
        set_tokenizer(folder_, *config, config_.n_vocab, metadata_, summary_.notes));
    auto hyper =
        arch::read_hyper_params(*config_.spec, metadata_, static_cast<int64_t>(config_.n_vocab));
    if (!hyper.ok()) return hyper.error().with_context(shown(path));
    hyper_ = *hyper;
    return ok_status();
  }

  TensorPlanInput input() const { return {*checkpoint_, quantization_, config_, hyper_}; }

  Status plan() {
    const TensorPlanInput planned = input();
    QUERN_ASSIGN_OR_RETURN(jobs_, plan_tensors(planned));
    for (const TensorJob& job : jobs_) infos_.push_back(job.info);
    convert::QuantizeChoices choices;
    choices.recipe = choices_.recipe != nullptr ? choices_.recipe : stored_recipe();
    QUERN_ASSIGN_OR_RETURN(plan_, convert::plan_quantization({metadata_, infos_}, choices));
    summary_.architecture = config_.spec->name;
    summary_.recipe = choices.recipe->name;
    summary_.quantization = quantization_.name;
    summary_.n_tensors = jobs_.size();
    summary_.n_weights = plan_.n_weights;
    summary_.n_tokens = config_.n_vocab;
    summary_.file_bytes = plan_.file_bytes;
    for (std::string& note : plan_.notes) summary_.notes.push_back(std::move(note));
    return ok_status();
  }

  // The recipe that changes least.
  const convert::Recipe* stored_recipe() const {
    for (const TensorJob& job : jobs_) {
      if (job.info.name != "token_embd.weight" || job.sources.empty()) continue;
      const safetensors::Tensor* tensor = checkpoint_->find(job.sources.front());
      if (tensor == nullptr) break;
      if (tensor->dtype == DType::kBF16) return convert::find_recipe("BF16");
      if (tensor->dtype == DType::kF16) return convert::find_recipe("F16");
    }
    return convert::find_recipe("F32");
  }

  Status write(const std::filesystem::path& out) {
    QUERN_RETURN_IF_ERROR(convert::check_room(out, plan_.file_bytes));
    QUERN_ASSIGN_OR_RETURN(const auto output, plan_.writer.create(out));
    const TensorPlanInput planned = input();
    convert::TensorEncoder encoder(shown(folder_), plan_.n_weights, choices_.options, *output);
    for (size_t i = 0; i < jobs_.size(); ++i) {
      QUERN_ASSIGN_OR_RETURN(const auto values, open_values(planned, jobs_[i]));
      QUERN_RETURN_IF_ERROR(encoder.encode({.source = values.get(),
                                            .name = jobs_[i].info.name,
                                            .format = plan_.tensors[i].format,
                                            .n_values = jobs_[i].info.n_values(),
                                            .n_cols = jobs_[i].info.dims[0],
                                            .n_rows = jobs_[i].info.dims[1]}));
      if (!checkpoint_->poisoned()) continue;
      return went_away(shown(folder_));
    }
    return output->finish();
  }

  const std::filesystem::path& folder_;
  const ConvertChoices& choices_;
  gguf::Metadata metadata_;
  ModelConfig config_;
  Quantization quantization_;
  arch::HyperParams hyper_;
  std::shared_ptr<const Checkpoint> checkpoint_;
  std::vector<TensorJob> jobs_;
  std::vector<gguf::TensorInfo> infos_;
  convert::QuantizePlan plan_;
  ConvertSummary summary_;
};

}  // namespace

Result<ConvertSummary> convert_folder(const std::filesystem::path& folder,
                                      const std::filesystem::path& out,
                                      const ConvertChoices& choices) {
  return Conversion(folder, choices).run(out);
}

}  // namespace quern::huggingface
