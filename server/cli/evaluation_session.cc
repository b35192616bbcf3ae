#include "server/cli/evaluation_session.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "kernels/cpu/cpu_backend.h"
#include "models/loader/embedded_model.h"

namespace quern::cli {
namespace {

constexpr uintmax_t kMaxTextBytes = uintmax_t{1} << 30;

}  // namespace

Result<std::string> read_text(const std::string& path) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  std::ifstream in(path, std::ios::binary);
  if (error || !in) {
    return Error(ErrorKind::kIo, "cannot read the text " + path + "; give a file of plain text");
  }
  if (size > kMaxTextBytes) {
    return Error(ErrorKind::kInvalidInput, path + " has " + std::to_string(size) +
                                               " bytes, and a text of more than 1 GiB is not read; "
                                               "cut it");
  }
  return std::string(std::istreambuf_iterator<char>(in), {});
}

int evaluation_threads(const options::Options& options, const hardware::HardwareProfile& profile) {
  return options.threads > 0 ? static_cast<int>(options.threads) : profile.cpu.physical_cores;
}

Result<std::unique_ptr<EvaluatedModel>> open_evaluated(const options::Options& options,
                                                       const hardware::HardwareProfile& profile,
                                                       const std::string& path, int32_t context,
                                                       const std::vector<AdapterChoice>& adapters) {
  if (options.device == "cuda") {
    return Error(ErrorKind::kUnsupported,
                 "device cuda was asked for, but this command runs on the CPU; use --device cpu");
  }
  auto out = std::make_unique<EvaluatedModel>();
  out->path = path;
  QUERN_ASSIGN_OR_RETURN(
      out->backend,
      cpu::create_cpu_backend({profile, evaluation_threads(options, profile), options.kernel,
                               options.isa, cpu::pinning_of(options.pin)}));
  auto file = loader::open_file_or_embedded(path);
  if (!file.ok()) return file.error();
  QUERN_ASSIGN_OR_RETURN(out->model, loader::Model::load(*file, *out->backend));
  if (context > out->model->facts().context_length) {
    return Error(ErrorKind::kInvalidInput,
                 "windows of " + std::to_string(context) + " tokens are longer than the " +
                     std::to_string(out->model->facts().context_length) + " that " +
                     out->model->file().label() + " was trained for; use a smaller --context");
  }
  QUERN_ASSIGN_OR_RETURN(out->adapters, load_adapters(adapters, *out->model, *out->backend));
  std::vector<evaluate::ScoredAdapter> scored;
  for (size_t i = 0; i < adapters.size(); ++i) {
    scored.push_back({out->adapters[i], adapters[i].scale});
  }
  QUERN_ASSIGN_OR_RETURN(out->scorer,
                         evaluate::WindowScorer::create(
                             *out->backend, out->model,
                             {.context = context,
                              .max_step_tokens = static_cast<int32_t>(options.max_step_tokens),
                              .kv_format = *ops::kv_format_of(options.kv_format),
                              .adapters = std::move(scored)}));
  return out;
}

Result<evaluate::Windows> cut_windows(const EvaluatedModel& model, std::string_view text,
                                      const EvaluationText& how) {
  auto windows =
      evaluate::Windows::cut(model.model->tokenizer(), text, how.context, how.max_windows);
  if (!windows.ok()) return windows.error().with_context(how.path);
  return windows;
}

Status check_same_vocabulary(const EvaluatedModel& a, const EvaluatedModel& b) {
  const tokenizer::Tokenizer& first = a.model->tokenizer();
  const tokenizer::Tokenizer& second = b.model->tokenizer();
  const std::string names = a.model->file().label() + " and " + b.model->file().label();
  if (a.scorer->n_vocab() != b.scorer->n_vocab()) {
    return Error(ErrorKind::kInvalidInput, names + " have vocabularies of " +
                                               std::to_string(a.scorer->n_vocab()) + " and " +
                                               std::to_string(b.scorer->n_vocab()) +
                                               " tokens; compare files of the same model");
  }
  for (int64_t i = 0; i < a.scorer->n_vocab(); ++i) {
    const auto token = static_cast<tokenizer::TokenId>(i);
    if (first.text(token) != second.text(token)) {
      return Error(ErrorKind::kInvalidInput, names + " differ in the text of token " +
                                                 std::to_string(i) +
                                                 "; compare files of the same model");
    }
  }
  return ok_status();
}

std::string estimate_text(const evaluate::Estimate& estimate, int digits) {
  char buffer[96];
  std::snprintf(buffer, sizeof(buffer), "%.*f +/- %.*f", digits, estimate.value, digits,
                estimate.error);
  return buffer;
}

}  // namespace quern::cli
