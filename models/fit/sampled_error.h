// What a format costs a model, measured on samples of the model's own matrices: the squared error
// of the weights relative to their square, 0 for none.
//
//   error of a matrix  sum over samples of (weight - weight as it would be kept)^2 / sum of
//   weight^2 error of a model   the mean over its matrices, each counted by its number of weights
//
// Samples are blocks of 256 values at fixed places spread over each matrix, encoded by the same
// encoders that write files (kernels/quantize) or taken from a file that is there. The error says
// how well weights are kept, not how much worse answers become: it orders the formats of one model
// (README.md shows it beside the divergence that was measured), and no more.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "config/base/result.h"
#include "config/base/thread_pool.h"
#include "config/hardware/profile.h"
#include "models/convert/quantize_plan.h"
#include "models/gguf/reader.h"

namespace quern::fit {

class ErrorSampler {
 public:
  // `reference` holds the model at full precision. Decodes the samples: some MiB.
  ErrorSampler(std::shared_ptr<const gguf::GgufFile> reference, hardware::IsaMask isa, int threads);

  // Of the file that `plan` describes; the plan is of the reference. Importance is not used: the
  // error is that of all columns alike. Errors: the file went away under the mapping.
  Result<double> of_plan(const convert::QuantizePlan& plan);
  // Of a file of the same model (same_model.h). Errors: a matrix is missing or has another shape,
  // one of the files went away under the mapping.
  Result<double> of_file(const gguf::GgufFile& file) const;

 private:
  // The samples of one matrix, one after the other.
  struct Samples {
    const gguf::TensorInfo* tensor = nullptr;
    uint64_t block_values = 0;     // of one sample
    std::vector<uint64_t> places;  // first value of each
    std::vector<float> values;
    double power = 0;  // sum of squares
  };
  static Samples sample(const gguf::TensorInfo& tensor);
  double relative_error(const Samples& samples, const std::vector<float>& kept) const;
  double encoded_error(const Samples& samples, formats::FormatId format) const;
  template <typename ErrorOf>
  double mean(const ErrorOf& error_of) const;

  std::shared_ptr<const gguf::GgufFile> reference_;
  hardware::IsaMask isa_;
  ThreadPool pool_;
  std::vector<Samples> matrices_;
  std::map<std::pair<size_t, formats::FormatId>, double> known_;  // by matrix and format
};

// Whether no tensor of the file is quantized.
bool is_full_precision(const gguf::GgufFile& file);

}  // namespace quern::fit
