#include "models/fit/sampled_error.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "config/base/check.h"
#include "config/base/mapped_file.h"
#include "config/base/mix.h"
#include "kernels/quantize/encoder.h"
#include "models/gguf/name_rules.h"

namespace quern::fit {
namespace {

using formats::FormatId;
using gguf::TensorInfo;

// The largest block of any format, so that a sample is whole blocks of all that fit the rows.
constexpr uint64_t kSampleValues = 256;
// Samples of a matrix: more for large ones, which count more, within what a second can encode.
constexpr uint64_t kValuesPerSample = uint64_t{1} << 18;
constexpr uint64_t kFewestSamples = 8;
constexpr uint64_t kMostSamples = 32;

uint64_t bytes_of(const formats::FormatInfo& format, uint64_t n_values) {
  const auto bytes = formats::row_bytes(format, n_values);
  CHECK(bytes.has_value());
  return *bytes;
}

bool is_matrix(const TensorInfo& tensor) {
  return tensor.n_dims >= 2 && tensor.n_values() > 0 &&
         formats::format_info(tensor.format).decode_row != nullptr;
}

// Decodes the samples' places from a tensor of the same shape.
std::vector<float> values_at(const TensorInfo& tensor, const std::vector<uint64_t>& places,
                             uint64_t block_values) {
  const formats::FormatInfo& format = formats::format_info(tensor.format);
  std::vector<float> values(places.size() * block_values);
  for (size_t i = 0; i < places.size(); ++i) {
    format.decode_row(tensor.data.data() + bytes_of(format, places[i]),
                      values.data() + i * block_values, static_cast<int64_t>(block_values));
  }
  return values;
}

Error gone(const gguf::GgufFile& file) { return went_away(gguf::printable(file.label(), 4096)); }

}  // namespace

bool is_full_precision(const gguf::GgufFile& file) {
  return std::none_of(file.tensors().begin(), file.tensors().end(), [](const TensorInfo& tensor) {
    return formats::format_info(tensor.format).quantized();
  });
}

ErrorSampler::ErrorSampler(std::shared_ptr<const gguf::GgufFile> reference, hardware::IsaMask isa,
                           int threads)
    : reference_(std::move(reference)), isa_(isa), pool_(std::max(threads, 1)) {
  for (const TensorInfo& tensor : reference_->tensors()) {
    if (is_matrix(tensor)) matrices_.push_back(sample(tensor));
  }
}

// One sample in each of as many equal stretches as there are samples, at places that follow no row
// or column.
ErrorSampler::Samples ErrorSampler::sample(const TensorInfo& tensor) {
  Samples out;
  out.tensor = &tensor;
  const uint64_t n_values = tensor.n_values();
  // A matrix of less than a sample is one; its rows are whole blocks of the formats that fit.
  out.block_values = std::min(kSampleValues, n_values);
  const uint64_t n_blocks = n_values / out.block_values;
  const uint64_t n_samples =
      std::min(n_blocks, std::clamp(n_values / kValuesPerSample, kFewestSamples, kMostSamples));
  for (uint64_t i = 0; i < n_samples; ++i) {
    const uint64_t first = i * n_blocks / n_samples;
    const uint64_t end = (i + 1) * n_blocks / n_samples;
    out.places.push_back((first + mix(i + n_values) % (end - first)) * out.block_values);
  }
  out.values = values_at(tensor, out.places, out.block_values);
  for (float& value : out.values) {
    if (!std::isfinite(value)) value = 0;  // quantizing refuses such a file and says where
    out.power += static_cast<double>(value) * static_cast<double>(value);
  }
  return out;
}

double ErrorSampler::relative_error(const Samples& samples, const std::vector<float>& kept) const {
  double squared = 0;
  for (size_t i = 0; i < kept.size(); ++i) {
    const double difference = static_cast<double>(samples.values[i]) - static_cast<double>(kept[i]);
    squared += difference * difference;
  }
  // A file that decodes to what is no number has lost everything.
  if (!std::isfinite(squared)) return std::numeric_limits<double>::infinity();
  return samples.power > 0 ? squared / samples.power : 0;
}

double ErrorSampler::encoded_error(const Samples& samples, FormatId format) const {
  const quantize::Encode encode = quantize::find_encoder(format, isa_);
  CHECK(encode != nullptr);  // plans hold only such formats
  const formats::FormatInfo& info = formats::format_info(format);
  const auto n = static_cast<int64_t>(samples.values.size());
  std::vector<std::byte> bytes(bytes_of(info, samples.values.size()));
  std::vector<float> kept(samples.values.size());
  encode(samples.values.data(), nullptr, bytes.data(), n);
  info.decode_row(bytes.data(), kept.data(), n);
  return relative_error(samples, kept);
}

template <typename ErrorOf>
double ErrorSampler::mean(const ErrorOf& error_of) const {
  double sum = 0;
  double n_weights = 0;
  for (size_t i = 0; i < matrices_.size(); ++i) {
    const auto n = static_cast<double>(matrices_[i].tensor->n_values());
    sum += n * error_of(i);
    n_weights += n;
  }
  return n_weights > 0 ? sum / n_weights : 0;
}

Result<double> ErrorSampler::of_plan(const convert::QuantizePlan& plan) {
  std::map<const TensorInfo*, FormatId> planned;
  for (const convert::PlannedTensor& tensor : plan.tensors) {
    if (!tensor.copied()) planned[tensor.source] = tensor.format;
  }
  std::vector<std::pair<size_t, FormatId>> unknown;
  for (size_t i = 0; i < matrices_.size(); ++i) {
    const auto found = planned.find(matrices_[i].tensor);
    if (found == planned.end() || known_.contains({i, found->second})) continue;
    unknown.emplace_back(i, found->second);
  }
  std::vector<double> errors(unknown.size());
  pool_.parallel_for(
      static_cast<int64_t>(unknown.size()), 1, [&](int64_t begin, int64_t end, int /*worker*/) {
        for (auto j = static_cast<size_t>(begin); j < static_cast<size_t>(end); ++j) {
          errors[j] = encoded_error(matrices_[unknown[j].first], unknown[j].second);
        }
      });
  for (size_t j = 0; j < unknown.size(); ++j) known_[unknown[j]] = errors[j];
  if (reference_->poisoned()) return gone(*reference_);
  return mean([&](size_t i) {
    const auto found = planned.find(matrices_[i].tensor);
    return found == planned.end() ? 0.0 : known_.at({i, found->second});
  });
}

Result<double> ErrorSampler::of_file(const gguf::GgufFile& file) const {
  std::vector<double> errors;
  for (const Samples& samples : matrices_) {
    const TensorInfo* tensor = file.find_tensor(samples.tensor->name);
    if (tensor == nullptr || tensor->dims != samples.tensor->dims || !is_matrix(*tensor)) {
      return Error(ErrorKind::kInvalidInput, gguf::printable(file.label(), 4096) +
                                                 ": has no matrix '" + samples.tensor->name +
                                                 "' such as " +
                                                 gguf::printable(reference_->label(), 4096) +
                                                 " has; name files of one model");
    }
    const std::vector<float> kept = values_at(*tensor, samples.places, samples.block_values);
    errors.push_back(relative_error(samples, kept));
  }
  if (file.poisoned()) return gone(file);
  if (reference_->poisoned()) return gone(*reference_);
  return mean([&](size_t i) { return errors[i]; });
}

}  // namespace quern::fit
