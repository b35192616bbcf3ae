#include "models/fit/candidate.h"

#include <algorithm>
#include <map>

#include "models/convert/quantize_plan.h"
#include "models/gguf/name_rules.h"
#include "models/loader/model_facts.h"

namespace quern::fit {
namespace {

using gguf::GgufFile;
using gguf::TensorInfo;

double bits_per_weight(uint64_t bytes, uint64_t n_weights) {
  return n_weights == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(n_weights);
}

Status judge(const loader::ModelSize& size, const Terms& terms, Candidate& out) {
  const int64_t context =
      terms.run.context_tokens > 0 ? terms.run.context_tokens : size.hyper.context_length;
  QUERN_ASSIGN_OR_RETURN(out.memory, loader::estimate_memory(size, terms.run));
  loader::RunSize one = terms.run;
  one.sequences = 1;
  QUERN_ASSIGN_OR_RETURN(const loader::MemoryEstimate of_one, loader::estimate_memory(size, one));
  const uint64_t least = terms.run.context_tokens > 0 ? of_one.kv : 0;
  out.full_kv_bytes = out.memory.kv;
  out.memory.kv = std::min(out.full_kv_bytes, std::max(terms.most_kv_bytes, least));
  out.kv_bytes_per_token = size.work.kv_bytes;
  out.prefill = loader::estimate_prefill(size.work, terms.machine, terms.prompt_tokens, 0);
  out.decode = loader::estimate_decode(size.work, terms.machine, 1, 0);
  out.parallel =
      loader::estimate_decode(size.work, terms.machine, terms.run.sequences, context / 2);
  return ok_status();
}

Result<Candidate> candidate_of_plan(const GgufFile& reference, const convert::QuantizePlan& plan,
                                    const convert::Recipe& recipe, const Terms& terms) {
  std::map<const TensorInfo*, uint64_t> bytes;
  uint64_t all = 0;
  for (const convert::PlannedTensor& tensor : plan.tensors) {
    bytes[tensor.source] = tensor.bytes;
    all += tensor.bytes;
  }
  QUERN_ASSIGN_OR_RETURN(
      const loader::ModelSize size,
      loader::model_size(reference, terms.run.kv_format,
                         [&](const TensorInfo& tensor) { return bytes.at(&tensor); }));
  Candidate out;
  out.name = loader::collect_facts(reference, "", size.hyper, {}).name;
  out.recipe = recipe.name;
  out.path = reference.label();
  out.planned = true;
  out.n_parameters = plan.n_weights;
  out.file_bytes = plan.file_bytes;
  out.bits_per_weight = bits_per_weight(all, plan.n_weights);
  QUERN_RETURN_IF_ERROR(judge(size, terms, out));
  return out;
}

// What tells the results of two plans apart.
std::vector<formats::FormatId> formats_of(const convert::QuantizePlan& plan) {
  std::vector<formats::FormatId> formats;
  for (const convert::PlannedTensor& tensor : plan.tensors) formats.push_back(tensor.format);
  return formats;
}

}  // namespace

Result<Candidate> candidate_of_file(const GgufFile& file, const Terms& terms) {
  const auto sized = loader::model_size(file, terms.run.kv_format);
  if (!sized.ok()) return sized.error().with_context(gguf::printable(file.label(), 4096));
  const loader::ModelFacts facts = loader::collect_facts(file, "", sized->hyper, {});
  Candidate out;
  out.name = facts.name;
  out.recipe = facts.recipe;
  out.path = file.label();
  out.n_parameters = facts.n_parameters;
  out.file_bytes = file.file_bytes();
  out.bits_per_weight = bits_per_weight(sized->weight_bytes, facts.n_parameters);
  QUERN_RETURN_IF_ERROR(judge(*sized, terms, out));
  return out;
}

Result<std::vector<Candidate>> candidates_of_recipes(
    const GgufFile& reference, const std::vector<const convert::Recipe*>& recipes,
    const Terms& terms, ErrorSampler& sampler) {
  std::vector<Candidate> out;
  std::vector<std::vector<formats::FormatId>> seen;
  for (const convert::Recipe* recipe : recipes) {
    convert::QuantizeChoices choices;
    choices.recipe = recipe;
    auto plan = convert::plan_quantization(reference, choices);
    if (!plan.ok()) return plan.error().with_context(gguf::printable(reference.label(), 4096));
    auto formats = formats_of(*plan);
    const bool again = std::find(seen.begin(), seen.end(), formats) != seen.end();
    if (again || plan->file_bytes >= reference.file_bytes()) continue;
    seen.push_back(std::move(formats));
    QUERN_ASSIGN_OR_RETURN(Candidate candidate,
                           candidate_of_plan(reference, *plan, *recipe, terms));
    QUERN_ASSIGN_OR_RETURN(candidate.error, sampler.of_plan(*plan));
    out.push_back(std::move(candidate));
  }
  std::stable_sort(out.begin(), out.end(), [](const Candidate& a, const Candidate& b) {
    return a.file_bytes > b.file_bytes;
  });
  return out;
}

}  // namespace quern::fit
