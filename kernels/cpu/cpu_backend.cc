// Splits operations over the thread pool and calls the chosen rows; the arithmetic is in the kernel
// files. Work is split over rows, heads and tokens, never over K.
#include "kernels/cpu/cpu_backend.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "config/base/checked.h"
#include "config/base/thread_pool.h"
#include "kernels/cpu/attention_scratch.h"
#include "kernels/cpu/cpu_memory.h"
#include "kernels/cpu/cpu_rows.h"
#include "kernels/cpu/cpu_scratch.h"
#include "kernels/cpu/cpu_weight.h"
#include "kernels/cpu/expert_groups.h"
#include "kernels/cpu/expert_product.h"
#include "kernels/cpu/format_kernels.h"
#include "kernels/cpu/isa_kernels.h"
#include "kernels/cpu/pieces.h"
#include "kernels/cpu/step_layout.h"
#include "kernels/cpu/thread_places.h"
#include "kernels/dispatch/plan.h"

namespace quern::cpu {
namespace {

using dispatch::Planner;
using dispatch::RowChoice;
using ops::OpId;

template <typename Function>
Function function_of(const dispatch::KernelRow& row) {
  return *static_cast<const Function*>(row.function);
}

int64_t panels_of(const dispatch::Weight& weight) {
  return (weight.view.n_rows + kPanelRows - 1) / kPanelRows;
}

const std::byte* panel_of(const dispatch::Weight& weight, int64_t panel) {
  return weight.view.data + panel * kPanelRows * weight.view.row_bytes;
}

class CpuBackend final : public backend::Backend {
 public:
  CpuBackend(Planner planner, int threads, ThreadPlaces places)
      : planner_(std::move(planner)),
        places_(std::move(places)),
        pool_(threads, [this](int worker) { places_.bind(worker); }),
        workers_(threads) {}

  // Picks the rows of all operations without a weight.
  Status choose_ops();

  std::string_view name() const override { return "cpu"; }
  Result<std::unique_ptr<backend::Buffer>> allocate(size_t bytes, std::string_view what) override;
  Result<std::unique_ptr<const dispatch::Weight>> load_weight(const tensor::TensorView& view,
                                                              std::string_view name) override;
  Result<std::unique_ptr<backend::Buffer>> load_floats(const float* values, size_t n,
                                                       std::string_view name) override;
  std::vector<std::string> explain() const override;

  Status begin_step(const ops::StepInputs& inputs) override;
  void gather(const ops::GatherArgs& args) override;
  void matmul(const ops::MatmulArgs& args) override;
  void gated_matmul(const ops::GatedMatmulArgs& args) override;
  void rms_norm(const ops::RmsNormArgs& args) override;
  void rope_table(const ops::RopeTableArgs& args) override;
  void rope(const ops::RopeArgs& args) override;
  void kv_store(const ops::KvStoreArgs& args) override;
  void attention(const ops::AttentionArgs& args) override;
  void gated_activation(const ops::GatedActivationArgs& args) override;
  void add(const ops::AddArgs& args) override;
  void scale(const ops::ScaleArgs& args) override;
  void softcap(const ops::SoftcapArgs& args) override;
  void route(const ops::RouteArgs& args) override;
  void expert_matmul(const ops::ExpertMatmulArgs& args) override;
  void expert_combine(const ops::ExpertCombineArgs& args) override;
  void read_back(const float* device, float* host, size_t n) override {
    std::memcpy(host, device, n * sizeof(float));
  }
  void select_outputs(const float* x, int64_t n_cols, float* y) override;
  Status finish_step() override {
    places_.release();
    return std::exchange(trouble_, ok_status());
  }

 private:
  template <typename Function>
  Status choose(OpId op, Function& function);
  void note_choice(OpId op, const formats::FormatInfo* format, const RowChoice& choice,
                   std::string_view shape = "");
  // Whether `status` is good; the first bad one is kept for finish_step().
  bool good(Status status);
  bool prepare_matmul(const ops::MatmulArgs& args);
  MatmulTask matmul_task(const ops::MatmulArgs& args, const ops::MatmulOutput& output) const;
  int64_t panels_per_piece(int64_t n_panels, int64_t n_in, int64_t n_rows) const;
  void multiply(const MatmulTask& task, const ops::MatmulOutput& output, int64_t begin, int64_t end,
                int worker) const;

  // Rows that were quantized by the operation that wrote them.
  struct ReadyRows {
    const float* x = nullptr;
    int64_t x_stride = 0;
    int64_t n_rows = 0;
    int64_t n_in = 0;
    bool operator==(const ReadyRows&) const = default;
  };
  void forget_ready() {
    ready_ = {};
    ready_forms_ = {};
  }
  void note_ready(const ReadyRows& rows, const ActivationForms& forms) {
    ready_ = rows;
    ready_forms_ = forms;
  }
  // The forms in which rows of n_in values are worth quantizing for `next`, by an operation that
  // writes `piece` values of a row at a time: those of which that is whole blocks.
  ActivationForms wanted_by(const dispatch::Weight* next, int64_t n_in, int64_t piece) const;
  bool make_room(size_t store, const ActivationForms& forms, int64_t n_rows, int64_t n_in);
  ActivationForms inputs_of(const ops::MatmulArgs& args) const;
  const ActivationStore& activations() const { return activations_[current_]; }

  Planner planner_;
  const ThreadPlaces places_;
  ThreadPool pool_;
  WorkerScratch workers_;
  // Two, so that a gated product can write its result in this form: the first one for everything
  // but that. The current one holds ready_, or else the rows of the product at work. Every
  // operation but products forgets ready_ first, since it may write to them.
  std::array<ActivationStore, 2> activations_;
  size_t current_ = 0;
  ReadyRows ready_;
  ActivationForms ready_forms_;
  GrowingBuffer attention_parts_;
  ExpertProduct expert_product_;
  OpKernels ops_{};
  GatherFn gather_ = nullptr;
  std::map<std::pair<OpId, std::string>, std::string> explanations_;

  ops::StepInputs inputs_;
  StepLayout layout_;
  Status trouble_;
};

bool CpuBackend::good(Status status) {
  if (status.ok()) return true;
  if (trouble_.ok()) trouble_ = std::move(status);
  return false;
}

void CpuBackend::note_choice(OpId op, const formats::FormatInfo* format, const RowChoice& choice,
                             std::string_view shape) {
  const std::string format_name =
      format != nullptr ? std::string(format->name).append(shape) : std::string();
  std::string line(dispatch::op_name(op));
  if (format != nullptr) line.append(" ").append(format_name);  // "Q4_K, one column"
  line.append(": ").append(choice.row->name).append(" (").append(choice.why).append(")");
  explanations_.try_emplace({op, format_name}, std::move(line));
}

template <typename Function>
Status CpuBackend::choose(OpId op, Function& function) {
  QUERN_ASSIGN_OR_RETURN(const RowChoice choice, planner_.choose({op}));
  function = function_of<Function>(*choice.row);
  note_choice(op, nullptr, choice);
  return ok_status();
}

Status CpuBackend::choose_ops() {
  QUERN_RETURN_IF_ERROR(choose(OpId::kGather, gather_));
  QUERN_RETURN_IF_ERROR(choose(OpId::kRmsNorm, ops_.rms_norm));
  QUERN_RETURN_IF_ERROR(choose(OpId::kRopeTable, ops_.rope_table));
  QUERN_RETURN_IF_ERROR(choose(OpId::kRope, ops_.rope));
  QUERN_RETURN_IF_ERROR(choose(OpId::kKvStore, ops_.kv_store));
  QUERN_RETURN_IF_ERROR(choose(OpId::kAttention, ops_.attention));
  QUERN_RETURN_IF_ERROR(choose(OpId::kGatedActivation, ops_.gated_activation));
  QUERN_RETURN_IF_ERROR(choose(OpId::kAdd, ops_.add));
  QUERN_RETURN_IF_ERROR(choose(OpId::kScale, ops_.scale));
  QUERN_RETURN_IF_ERROR(choose(OpId::kSoftcap, ops_.softcap));
  QUERN_RETURN_IF_ERROR(choose(OpId::kRoute, ops_.route));
  QUERN_RETURN_IF_ERROR(choose(OpId::kExpertCombine, ops_.expert_combine));
  ops_.quantize = best_quantize(planner_.isa());
  return ok_status();
}

Result<std::unique_ptr<backend::Buffer>> CpuBackend::allocate(size_t bytes, std::string_view what) {
  QUERN_ASSIGN_OR_RETURN(auto buffer, allocate_host(bytes, what));
  // Any thread may use any part of it.
  if (places_.nodes().size() > 1) spread_over_nodes(*buffer, places_.nodes());
  return buffer;
}

Result<std::unique_ptr<const dispatch::Weight>> CpuBackend::load_weight(
    const tensor::TensorView& view, std::string_view name) {
  const auto fail = [&](ErrorKind kind, std::string_view why) {
    return Error(kind, "Tensor '" + std::string(name) +
                           "' cannot be used as a weight: " + std::string(why) + ".");
  };
  if (view.empty() || view.format == nullptr || view.n_rows <= 0 || view.n_cols <= 0) {
    return fail(ErrorKind::kInvalidInput, "it is empty");
  }
  if (view.format->decode_row == nullptr) {
    return fail(ErrorKind::kUnsupported,
                "its format " + std::string(view.format->name) + " holds no weights");
  }
  const auto bytes = formats::row_bytes(*view.format, static_cast<uint64_t>(view.n_cols));
  if (!bytes || !std::in_range<int64_t>(*bytes) || static_cast<int64_t>(*bytes) != view.row_bytes) {
    return fail(ErrorKind::kInvalidInput,
                "its rows are not whole blocks of " + std::string(view.format->name));
  }
  const auto choose_for = [&](dispatch::ShapeClass shape) {
    return planner_.choose({OpId::kMatmul, view.format, view.n_cols, shape});
  };
  QUERN_ASSIGN_OR_RETURN(const RowChoice choice, choose_for(dispatch::ShapeClass::kBatch));
  QUERN_ASSIGN_OR_RETURN(const RowChoice one, choose_for(dispatch::ShapeClass::kDecode));
  note_choice(OpId::kMatmul, view.format, choice);
  if (one.row != choice.row) note_choice(OpId::kMatmul, view.format, one, ", one column");
  auto weight = std::make_unique<CpuWeight>();
  weight->view = view;
  weight->matmul_row = choice.row;
  weight->name = name;
  weight->matmul = function_of<MatmulFn>(*choice.row);
  weight->matmul_one = function_of<MatmulFn>(*one.row);
  weight->kernels = &format_kernels(view.format->id);
  return std::unique_ptr<const dispatch::Weight>(std::move(weight));
}

Result<std::unique_ptr<backend::Buffer>> CpuBackend::load_floats(const float* values, size_t n,
                                                                 std::string_view name) {
  const auto bytes = checked_mul(n, sizeof(float));
  if (!bytes) return Error(ErrorKind::kInvalidInput, std::string(name) + " is too large.");
  QUERN_ASSIGN_OR_RETURN(auto buffer, allocate_host(*bytes, name));
  if (n > 0) std::memcpy(buffer->data(), values, *bytes);
  return buffer;
}

std::vector<std::string> CpuBackend::explain() const {
  std::vector<std::string> lines;
  lines.reserve(explanations_.size());
  for (const auto& [key, line] : explanations_) lines.push_back(line);
  if (places_.bound()) lines.push_back("threads: " + places_.to_string());
  return lines;
}

Status CpuBackend::begin_step(const ops::StepInputs& inputs) {
  trouble_ = ok_status();
  inputs_ = inputs;
  forget_ready();
  QUERN_RETURN_IF_ERROR(layout_.set(inputs));
  places_.bind(0);
  return ok_status();
}

ActivationForms CpuBackend::wanted_by(const dispatch::Weight* next, int64_t n_in,
                                      int64_t piece) const {
  if (next == nullptr || next->view.n_cols != n_in) return {};
  const ActivationForms forms = ActivationForms::of(own(next).kernels->input);
  return forms.quantized() && piece % forms.block_values() == 0 ? forms : ActivationForms{};
}

bool CpuBackend::make_room(size_t store, const ActivationForms& forms, int64_t n_rows,
                           int64_t n_in) {
  return good(activations_[store].reserve(forms, n_rows, n_in));
}

ActivationForms CpuBackend::inputs_of(const ops::MatmulArgs& args) const {
  ActivationForms forms;
  for (const ops::MatmulOutput& output : args.outputs) {
    CHECK(output.weight->view.n_cols == args.outputs.front().weight->view.n_cols);
    forms.add(ActivationForms::of(own(output.weight).kernels->input));
  }
  return forms;
}

void CpuBackend::gather(const ops::GatherArgs& args) {
  forget_ready();
  const tensor::TensorView& view = args.table->view;
  const GatherTask task = {view.data,  view.row_bytes,        view.n_cols, view.format->decode_row,
                           args.scale, inputs_.tokens.data(), args.y};
  pool_.parallel_for(static_cast<int64_t>(inputs_.tokens.size()), rows_per_piece(view.n_cols),
                     [&](int64_t begin, int64_t end, int) { gather_(task, begin, end); });
}

// Quantizes x once in each form that an output wants, and makes room for the workers.
bool CpuBackend::prepare_matmul(const ops::MatmulArgs& args) {
  const int64_t n_in = args.outputs.front().weight->view.n_cols;
  const ActivationForms inputs = inputs_of(args);
  if (!good(workers_.reserve_matmul(inputs.floats ? n_in : 0))) return false;
  if (ReadyRows{args.x, args.x_stride, args.n_rows, n_in} != ready_) {
    forget_ready();
    if (inputs.quantized()) current_ = 0;
  }
  const ActivationForms missing = inputs.without(ready_forms_);
  if (!missing.quantized()) return true;
  if (!make_room(current_, missing, args.n_rows, n_in)) return false;
  const QuantizeTask task = activations().task(missing, args.x, args.x_stride, 0, n_in);
  pool_.parallel_for(args.n_rows, rows_per_piece(n_in),
                     [&](int64_t begin, int64_t end, int) { ops_.quantize(task, begin, end); });
  if (ready_.x != nullptr) ready_forms_.add(missing);
  return true;
}

MatmulTask CpuBackend::matmul_task(const ops::MatmulArgs& args,
                                   const ops::MatmulOutput& output) const {
  const CpuWeight& weight = own(output.weight);
  MatmulTask task{};
  task.weight = weight.view.data;
  task.row_bytes = weight.view.row_bytes;
  task.n_out = weight.view.n_rows;
  task.n_in = weight.view.n_cols;
  task.format = weight.kernels->panel_format();
  task.oracle = weight.kernels->oracle;
  task.decode = weight.view.format->decode_row;
  task.x = args.x;
  task.x_stride = args.x_stride;
  task.xq = activations().rows();
  task.xs = activations().super_rows();
  task.n_rows = args.n_rows;
  task.bias = output.bias;
  task.y = output.y;
  task.y_stride = output.y_stride;
  return task;
}

// Enough for the work of a piece, and few enough for an even finish.
int64_t CpuBackend::panels_per_piece(int64_t n_panels, int64_t n_in, int64_t n_rows) const {
  const int64_t panel_products = kPanelRows * n_in * n_rows;
  const int64_t smallest = (kPieceProducts + panel_products - 1) / panel_products;
  return std::max(smallest, n_panels / (kPiecesPerThread * pool_.n_threads()));
}

void CpuBackend::multiply(const MatmulTask& task, const ops::MatmulOutput& output, int64_t begin,
                          int64_t end, int worker) const {
  const CpuWeight& weight = own(output.weight);
  const MatmulFn function = task.n_rows == 1 ? weight.matmul_one : weight.matmul;
  function(task, begin, end, workers_.matmul(worker));
}

void CpuBackend::matmul(const ops::MatmulArgs& args) {
  if (args.n_rows <= 0 || args.outputs.empty()) return;
  if (!prepare_matmul(args)) return;
  // All panels of all outputs in one line.
  int64_t n_panels = 0;
  for (const ops::MatmulOutput& output : args.outputs) n_panels += panels_of(*output.weight);
  const int64_t n_in = args.outputs.front().weight->view.n_cols;
  pool_.parallel_for(n_panels, panels_per_piece(n_panels, n_in, args.n_rows),
                     [&](int64_t begin, int64_t end, int worker) {
                       const bool goes_on = end < pool_.range_end(worker);
                       int64_t first = 0;  // panel number of the output's first panel
                       for (const ops::MatmulOutput& output : args.outputs) {
                         const int64_t count = panels_of(*output.weight);
                         const int64_t from = std::max(begin - first, int64_t{0});
                         const int64_t to = std::min(end - first, count);
                         if (from < to) {
                           MatmulTask task = matmul_task(args, output);
                           if (goes_on && to < count) task.following = panel_of(*output.weight, to);
                           multiply(task, output, from, to, worker);
                         }
                         first += count;
                       }
                     });
}

// A piece is some columns of y: both products, their activation, and its quantized form.
void CpuBackend::gated_matmul(const ops::GatedMatmulArgs& args) {
  const int64_t n_out = args.gate.weight->view.n_rows;
  CHECK(args.up.weight->view.n_rows == n_out);
  const std::array outputs = {args.gate, args.up};
  const ops::MatmulArgs product = {args.x, args.x_stride, args.n_rows, outputs};
  if (args.n_rows <= 0 || !prepare_matmul(product)) return;
  const ActivationStore& result = activations_[1 - current_];
  ActivationForms forms = wanted_by(args.next, n_out, n_out);
  // Units of panels whose columns are quantized together. Where super-blocks would be too few units
  // for an even finish, the next product quantizes its input.
  int64_t unit = std::max<int64_t>(2, forms.block_values() / kPanelRows);
  const int64_t n_panels = panels_of(*args.gate.weight);
  if (unit > 2 && n_panels < unit * kUnitsPerThread * pool_.n_threads()) {
    forms = {};
    unit = 2;
  }
  if (!make_room(1 - current_, forms, args.n_rows, n_out)) return;
  const int64_t grain = panels_per_piece(2 * n_panels, args.gate.weight->view.n_cols, args.n_rows);
  pool_.parallel_for(
      (n_panels + unit - 1) / unit, (grain + 2 * unit - 1) / (2 * unit),
      [&](int64_t begin, int64_t end, int worker) {
        const int64_t first_panel = unit * begin;
        const int64_t last_panel = std::min(unit * end, n_panels);
        MatmulTask gate = matmul_task(product, args.gate);
        gate.following = panel_of(*args.up.weight, first_panel);
        multiply(gate, args.gate, first_panel, last_panel, worker);
        MatmulTask up = matmul_task(product, args.up);
        if (end < pool_.range_end(worker)) up.following = panel_of(*args.gate.weight, last_panel);
        multiply(up, args.up, first_panel, last_panel, worker);
        const int64_t first = first_panel * kPanelRows;
        const int64_t count = std::min(last_panel * kPanelRows, n_out) - first;
        ops_.gated_activation(
            {args.activation, args.gate.y + first, args.gate.y_stride, args.up.y + first,
             args.up.y_stride, args.y + first, args.y_stride, args.n_rows, count},
            0, args.n_rows);
        ops_.quantize(result.task(forms, args.y, args.y_stride, first, count), 0, args.n_rows);
      });
  forget_ready();
  if (!forms.quantized()) return;
  current_ = 1 - current_;
  note_ready({args.y, args.y_stride, args.n_rows, n_out}, forms);
}

void CpuBackend::rms_norm(const ops::RmsNormArgs& args) {
  forget_ready();
  const ActivationForms forms = wanted_by(args.next, args.n_cols, args.n_cols);
  current_ = 0;
  if (!make_room(current_, forms, args.n_rows, args.n_cols)) return;
  const QuantizeTask task = activations().task(forms, args.y, args.y_stride, 0, args.n_cols);
  pool_.parallel_for(args.n_rows, rows_per_piece(args.n_cols),
                     [&](int64_t begin, int64_t end, int) {
                       for (int64_t row = begin; row < end; ++row) {
                         ops_.rms_norm(args, row, row + 1);
                         ops_.quantize(task, row, row + 1);
                       }
                     });
  if (forms.quantized()) note_ready({args.y, args.y_stride, args.n_rows, args.n_cols}, forms);
}

void CpuBackend::rope_table(const ops::RopeTableArgs& args) {
  forget_ready();
  const auto& positions = layout_.positions();
  pool_.parallel_for(static_cast<int64_t>(positions.size()), 16,
                     [&](int64_t begin, int64_t end, int) {
                       ops_.rope_table(args, positions.data(), begin, end);
                     });
}

void CpuBackend::rope(const ops::RopeArgs& args) {
  forget_ready();
  pool_.parallel_for(layout_.n_tokens(), rows_per_piece(args.n_heads * args.head_dim),
                     [&](int64_t begin, int64_t end, int) { ops_.rope(args, begin, end); });
}

void CpuBackend::kv_store(const ops::KvStoreArgs& args) {
  forget_ready();
  const auto& slots = layout_.slots(args.cache.page_tokens);
  const int64_t values = int64_t{args.cache.n_kv_heads} * args.cache.head_dim;
  pool_.parallel_for(
      layout_.n_tokens(), rows_per_piece(values),
      [&](int64_t begin, int64_t end, int) { ops_.kv_store(args, slots.data(), begin, end); });
}

void CpuBackend::attention(const ops::AttentionArgs& args) {
  forget_ready();
  CHECK(args.cache.page_tokens % 16 == 0 && args.cache.page_tokens > 0 &&
        kSpanPositions % args.cache.page_tokens == 0);
  CHECK(ops::kv_format_fits(args.cache.format, args.cache.head_dim));
  CHECK(args.cache.n_kv_heads > 0 && args.n_heads % args.cache.n_kv_heads == 0);
  const int64_t group = args.n_heads / args.cache.n_kv_heads;
  // Enough queries to pay for widening a page, few enough to stay in the cache.
  const auto tile_tokens = static_cast<int32_t>(std::clamp<int64_t>(64 / group, 1, 16));
  const auto& tiles = layout_.tiles(tile_tokens);
  const auto bytes = AttentionScratch::floats(args.cache, tile_tokens * group) * sizeof(float);
  if (!good(workers_.reserve_attention(bytes))) return;
  AttentionTask task = {&args, tiles.data(), 1, nullptr, 0};
  const auto n_items = static_cast<int64_t>(tiles.size()) * args.cache.n_kv_heads;
  // An item writes the columns of its heads, which are whole blocks as a rule.
  const int64_t width = args.n_heads * args.cache.head_dim;
  const int64_t item_width = group * args.cache.head_dim;
  const ActivationForms forms = wanted_by(args.next, width, item_width);
  current_ = 0;
  if (!make_room(current_, forms, layout_.n_tokens(), width)) return;
  const auto quantize_items = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; forms.quantized() && i < end; ++i) {
      const TokenTile& tile = tiles[static_cast<size_t>(i / args.cache.n_kv_heads)];
      const int64_t first = i % args.cache.n_kv_heads * item_width;
      ops_.quantize(activations().task(forms, args.y, args.y_stride, first, item_width),
                    tile.first_token, tile.first_token + tile.n_tokens);
    }
  };
  const int32_t end = layout_.last_position() + 1;
  const int64_t n_spans = (end + kSpanPositions - 1) / kSpanPositions;
  if (n_spans == 1 || n_items >= kPiecesPerThread * pool_.n_threads()) {
    pool_.parallel_for(n_items, 1, [&](int64_t first, int64_t last, int worker) {
      ops_.attention.whole(task, first, last, workers_.attention(worker));
      quantize_items(first, last);
    });
  } else {
    // Too few items for an even finish: the spans of long contexts apart.
    task.n_spans = n_spans;
    task.part_floats = SoftmaxState::floats(args.cache.head_dim, tile_tokens * group);
    const int64_t n_parts = n_items * n_spans;
    if (!good(attention_parts_.reserve(
            static_cast<size_t>(n_parts * task.part_floats) * sizeof(float), "attention"))) {
      return;
    }
    task.parts = reinterpret_cast<float*>(attention_parts_.data());
    pool_.parallel_for(n_parts, 1, [&](int64_t first, int64_t last, int worker) {
      ops_.attention.part(task, first, last, workers_.attention(worker));
    });
    pool_.parallel_for(n_items, 1, [&](int64_t first, int64_t last, int) {
      ops_.attention.join(task, first, last);
      quantize_items(first, last);
    });
  }
  if (forms.quantized()) note_ready({args.y, args.y_stride, layout_.n_tokens(), width}, forms);
}

void CpuBackend::gated_activation(const ops::GatedActivationArgs& args) {
  forget_ready();
  pool_.parallel_for(
      args.n_rows, rows_per_piece(args.n_cols),
      [&](int64_t begin, int64_t end, int) { ops_.gated_activation(args, begin, end); });
}

void CpuBackend::add(const ops::AddArgs& args) {
  forget_ready();
  if (args.n_rows == 1) {
    pool_.parallel_for(args.n, kPieceValues,
                       [&](int64_t begin, int64_t end, int) { ops_.add(args, begin, end); });
    return;
  }
  pool_.parallel_for(args.n_rows, rows_per_piece(args.n), [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      ops_.add({args.x + row * args.x_stride, args.y + row * args.y_stride, args.n}, 0, args.n);
    }
  });
}

void CpuBackend::scale(const ops::ScaleArgs& args) {
  forget_ready();
  pool_.parallel_for(args.n, kPieceValues,
                     [&](int64_t begin, int64_t end, int) { ops_.scale(args, begin, end); });
}

void CpuBackend::softcap(const ops::SoftcapArgs& args) {
  forget_ready();
  pool_.parallel_for(args.n, kPieceValues,
                     [&](int64_t begin, int64_t end, int) { ops_.softcap(args, begin, end); });
}

void CpuBackend::route(const ops::RouteArgs& args) {
  forget_ready();
  pool_.parallel_for(args.n_rows, rows_per_piece(args.routing.n_experts),
                     [&](int64_t begin, int64_t end, int) { ops_.route(args, begin, end); });
  group_by_expert(args.routing, args.n_rows);
}

void CpuBackend::expert_matmul(const ops::ExpertMatmulArgs& args) {
  forget_ready();
  good(expert_product_.run(args, pool_, workers_, ops_.quantize));
}

void CpuBackend::expert_combine(const ops::ExpertCombineArgs& args) {
  forget_ready();
  pool_.parallel_for(
      args.n_rows, rows_per_piece(args.n_cols),
      [&](int64_t begin, int64_t end, int) { ops_.expert_combine(args, begin, end); });
}

void CpuBackend::select_outputs(const float* x, int64_t n_cols, float* y) {
  forget_ready();
  for (const int32_t token : inputs_.outputs) {
    std::memcpy(y, x + token * n_cols, static_cast<size_t>(n_cols) * sizeof(float));
    y += n_cols;
  }
}

}  // namespace

Pinning pinning_of(std::string_view name) {
  if (name == "on") return Pinning::kOn;
  return name == "off" ? Pinning::kOff : Pinning::kAuto;
}

Result<std::unique_ptr<backend::Backend>> create_cpu_backend(const CpuBackendOptions& options) {
  const int threads =
      options.threads > 0 ? options.threads : std::max(1, options.profile.cpu.physical_cores);
  if (options.threads < 0 || threads > kMaxThreads) {
    return Error(ErrorKind::kInvalidInput,
                 "The number of threads is " + std::to_string(options.threads) +
                     "; it must be between 1 and " + std::to_string(kMaxThreads) + ".");
  }
  QUERN_ASSIGN_OR_RETURN(auto registry, dispatch::KernelRegistry::create(cpu_rows()));
  QUERN_ASSIGN_OR_RETURN(auto planner, Planner::create(registry, options.profile, options.isa_cap,
                                                       options.forced_rows));
  auto cpu = std::make_unique<CpuBackend>(std::move(planner), threads,
                                          ThreadPlaces(options.pinning, threads));
  QUERN_RETURN_IF_ERROR(cpu->choose_ops());
  return std::unique_ptr<backend::Backend>(std::move(cpu));
}

}  // namespace quern::cpu
