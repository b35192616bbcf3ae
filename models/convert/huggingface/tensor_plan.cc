// Every matrix is opened once while planning, so that what does not fit is found before anything is
// written, and again when its turn comes.
#include "models/convert/huggingface/tensor_plan.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "models/gguf/name_rules.h"

namespace quern::huggingface {
namespace {

using arch::Dim;
using arch::Presence;
using arch::TensorRow;
using safetensors::Tensor;

constexpr std::string_view kWeight = ".weight";

// Tensors that hold nothing a file needs: tables that are computed, scales of quantized caches.
constexpr std::string_view kIgnored[] = {
    ".rotary_emb.inv_freq", ".self_attn.bias", ".masked_bias", ".k_scale", ".v_scale", ".q_scale"};

class JobValues : public convert::ValueSource {
 public:
  JobValues(std::vector<std::unique_ptr<RowReader>> matrices, const TensorJob& job,
            uint64_t head_dim)
      : matrices_(std::move(matrices)),
        n_cols_(job.info.dims[0]),
        n_rows_(job.info.dims[1]),
        is_vector_(job.info.n_dims == 1),
        change_(job.change),
        head_dim_(head_dim) {}

  uint64_t unit() const override { return n_cols_; }

  void read(uint64_t first, uint64_t n, float* out) const override {
    if (is_vector_) {
      read_vector(out);
    } else {
      read_matrix(first / n_cols_, n / n_cols_, out);
    }
    if (change_ == Change::kPlusOne) {
      for (uint64_t i = 0; i < n; ++i) out[i] += 1.0F;
    }
  }

 private:
  void read_vector(float* out) const {
    std::vector<uint64_t> rows(matrices_.front()->n_rows());
    for (uint64_t i = 0; i < rows.size(); ++i) rows[i] = i;
    if (change_ != Change::kPairUp) return matrices_.front()->read_rows(rows, out);
    std::vector<float> values(n_cols_);
    matrices_.front()->read_rows(rows, values.data());
    for (uint64_t i = 0; i < n_cols_; ++i) out[i] = values[unpaired(i, head_dim_)];
  }

  // Rows [first, first + n), which may reach over several matrices of a stack.
  void read_matrix(uint64_t first, uint64_t n, float* out) const {
    std::vector<uint64_t> rows;
    for (uint64_t at = first; at < first + n;) {
      const uint64_t matrix = at / n_rows_;
      const uint64_t end = std::min(first + n, (matrix + 1) * n_rows_);
      rows.clear();
      for (; at < end; ++at) {
        const uint64_t row = at % n_rows_;
        rows.push_back(change_ == Change::kPairUp ? unpaired(row, head_dim_) : row);
      }
      matrices_[matrix]->read_rows(rows, out);
      out += rows.size() * n_cols_;
    }
  }

  std::vector<std::unique_ptr<RowReader>> matrices_;
  uint64_t n_cols_;
  uint64_t n_rows_;
  bool is_vector_;
  Change change_;
  uint64_t head_dim_;
};

// A matrix by its full name, or a vector. Null reader: absent.
Result<StoredMatrix> open_source(const TensorPlanInput& input, const std::string& name) {
  if (name.ends_with(kWeight)) {
    return open_matrix(input.checkpoint, input.quantization,
                       name.substr(0, name.size() - kWeight.size()));
  }
  StoredMatrix out;
  const Tensor* tensor = input.checkpoint.find(name);
  if (tensor == nullptr) return out;
  if (!safetensors::is_float(tensor->dtype) || tensor->data.empty()) {
    return Error(ErrorKind::kInvalidInput, "tensor '" + gguf::printable(name) + "' is " +
                                               safetensors::describe(*tensor) +
                                               "; expected floats");
  }
  out.reader = plain_reader(*tensor);
  out.tensors = {name};
  return out;
}

bool all_zero(const Tensor& tensor) {
  return std::all_of(tensor.data.begin(), tensor.data.end(),
                     [](std::byte b) { return b == std::byte{0}; });
}

class Planner {
 public:
  explicit Planner(const TensorPlanInput& input) : input_(input) {}

  Result<std::vector<TensorJob>> run() {
    for (const TensorRow& row : rows()) {
      if (!row.per_layer()) QUERN_RETURN_IF_ERROR(add(row, 0));
    }
    for (int64_t layer = 0; layer < input_.hyper.n_layers; ++layer) {
      for (const TensorRow& row : rows()) {
        if (row.per_layer()) QUERN_RETURN_IF_ERROR(add(row, layer));
      }
    }
    QUERN_RETURN_IF_ERROR(check_all_used());
    return std::move(jobs_);
  }

 private:
  std::span<const TensorRow> rows() const { return input_.config.spec->tensors; }
  uint64_t size(Dim dim) const { return static_cast<uint64_t>(arch::dim_value(dim, input_.hyper)); }

  Status add(const TensorRow& row, int64_t layer) {
    if (!row.applies(input_.hyper)) return ok_status();
    if (row.presence == Presence::kTied && input_.config.tied.value_or(false)) return ok_status();
    TensorJob job;
    job.info.name = row.name(layer);
    job.info.format = formats::FormatId::kF32;
    job.info.dims = {size(row.cols), size(row.rows), size(row.depth()), 1};
    job.info.n_dims = row.is_vector() ? 1 : row.is_stack() ? 3 : 2;
    if (const ConfigTensor* constant = find_constant(row)) return add_constant(*constant, job);
    const SourceTensor* source = find_source(row);
    if (source == nullptr) return row.presence == Presence::kRequired ? missing(row, "") : Status();
    job.change = source->change;
    for (uint64_t expert = 0; expert < job.info.dims[2]; ++expert) {
      const std::string name = source_name(*source, layer, static_cast<int64_t>(expert));
      QUERN_ASSIGN_OR_RETURN(const StoredMatrix stored, open_source(input_, name));
      if (stored.reader == nullptr) {
        const bool needed = row.presence == Presence::kRequired ||
                            (row.presence == Presence::kTied && input_.config.tied.has_value());
        return needed ? missing(row, name) : ok_status();
      }
      QUERN_RETURN_IF_ERROR(check_shape(row, job, name, *stored.reader));
      used_.insert(stored.tensors.begin(), stored.tensors.end());
      job.sources.push_back(name);
    }
    jobs_.push_back(std::move(job));
    return ok_status();
  }

  Status add_constant(const ConfigTensor& constant, TensorJob& job) {
    // Both lengths follow from the size of a head.
    if (constant.values.size() != job.info.n_values()) {
      return Error(ErrorKind::kInvalidInput,
                   "config.json gives " + std::to_string(constant.values.size()) + " " +
                       std::string(arch::role_text(constant.role)) + ", expected " +
                       std::to_string(job.info.n_values()));
    }
    job.constant = constant.values;
    jobs_.push_back(std::move(job));
    return ok_status();
  }

  const ConfigTensor* find_constant(const TensorRow& row) const {
    for (const ConfigTensor& tensor : input_.config.tensors) {
      if (tensor.role == row.role) return &tensor;
    }
    return nullptr;
  }

  const SourceTensor* find_source(const TensorRow& row) const {
    for (const SourceTensor& source : input_.config.model_class->tensors) {
      if (source.role == row.role) return &source;
    }
    return nullptr;
  }

  Status missing(const TensorRow& row, const std::string& name) const {
    return Error(ErrorKind::kInvalidInput, "tensor '" + name + "' (" +
                                               std::string(arch::role_text(row.role)) +
                                               ") is missing: the checkpoint is incomplete, get "
                                               "it again");
  }

  static Status check_shape(const TensorRow& row, const TensorJob& job, const std::string& name,
                            const RowReader& reader) {
    const bool fits = row.is_vector() ? reader.n_rows() * reader.n_cols() == job.info.dims[0]
                                      : reader.n_rows() == job.info.dims[1] &&
                                            reader.n_cols() == job.info.dims[0];
    if (fits) return ok_status();
    std::string expected = std::to_string(job.info.dims[0]);
    if (!row.is_vector()) expected = std::to_string(job.info.dims[1]) + " x " + expected;
    return Error(ErrorKind::kInvalidInput,
                 "tensor '" + name + "' holds " + std::to_string(reader.n_rows()) + " x " +
                     std::to_string(reader.n_cols()) + " values; expected " + expected + " (" +
                     (row.is_vector() ? "" : std::string(arch::dim_text(row.rows)) + " x ") +
                     std::string(arch::dim_text(row.cols)) +
                     "): config.json belongs to another checkpoint");
  }

  bool is_ignored(const Tensor& tensor) const {
    const std::string_view name = tensor.name;
    if (name == "lm_head.weight") return input_.config.tied.value_or(false);
    // GPTQ's tools write biases where the model has none.
    if (name.ends_with(".bias") && all_zero(tensor)) return true;
    return std::any_of(std::begin(kIgnored), std::end(kIgnored),
                       [&](std::string_view end) { return name.ends_with(end); });
  }

  Status check_all_used() const {
    for (const Tensor& tensor : input_.checkpoint.tensors()) {
      if (used_.contains(tensor.name) || is_ignored(tensor)) continue;
      return Error(ErrorKind::kUnsupported,
                   "tensor '" + gguf::printable(tensor.name, 200) + "', " +
                       safetensors::describe(tensor) + ", has no place in architecture '" +
                       std::string(input_.config.spec->name) +
                       "'; leaving it out would change what the model computes");
    }
    return ok_status();
  }

  const TensorPlanInput& input_;
  std::vector<TensorJob> jobs_;
  std::unordered_set<std::string> used_;
};

}  // namespace

Result<std::vector<TensorJob>> plan_tensors(const TensorPlanInput& input) {
  return Planner(input).run();
}

Result<std::unique_ptr<convert::ValueSource>> open_values(const TensorPlanInput& input,
                                                          const TensorJob& job) {
  std::vector<std::unique_ptr<RowReader>> matrices;
  if (job.sources.empty()) matrices.push_back(constant_reader(job.constant));
  for (const std::string& name : job.sources) {
    QUERN_ASSIGN_OR_RETURN(StoredMatrix stored, open_source(input, name));
    if (stored.reader == nullptr) {
      return Error(ErrorKind::kInternal, "tensor '" + name + "' was there and is not any more");
    }
    matrices.push_back(std::move(stored.reader));
  }
  std::unique_ptr<convert::ValueSource> values = std::make_unique<JobValues>(
      std::move(matrices), job, static_cast<uint64_t>(input.hyper.head_dim));
  return values;
}

}  // namespace quern::huggingface
