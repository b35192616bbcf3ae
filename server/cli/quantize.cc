// `quern quantize`: a model file in the formats of a recipe.
#include "models/convert/quantize.h"

#include <chrono>
#include <filesystem>
#include <iomanip>
#include <map>
#include <sstream>

#include "config/base/json.h"
#include "server/cli/command.h"
#include "server/cli/interrupt.h"
#include "server/cli/progress.h"

namespace quern::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct QuantizeArguments {
  std::string in;
  std::string out;
  std::string recipe;
  std::string imatrix;
  std::vector<std::string> tensors;
  int threads = 0;
  std::string isa;
  bool allow_requantize = false;
  bool dry_run = false;
  bool json = false;
};

std::string format_name(formats::FormatId id) { return std::string(formats::format_info(id).name); }

std::string dims_text(const gguf::TensorInfo& tensor) {
  std::string text;
  for (int i = 0; i < tensor.n_dims; ++i) {
    text += (i > 0 ? " x " : "") + std::to_string(tensor.dims[static_cast<size_t>(i)]);
  }
  return text;
}

double bits_per_weight(const convert::QuantizePlan& plan) {
  uint64_t bytes = 0;
  for (const convert::PlannedTensor& tensor : plan.tensors) bytes += tensor.bytes;
  return plan.n_weights == 0
             ? 0
             : 8.0 * static_cast<double>(bytes) / static_cast<double>(plan.n_weights);
}

// "97 x Q4_K, 1 x Q6_K, 45 x F32"
std::string formats_text(const convert::QuantizePlan& plan) {
  std::map<formats::FormatId, int> counts;
  for (const convert::PlannedTensor& tensor : plan.tensors) ++counts[tensor.format];
  std::string text;
  for (const auto& [format, count] : counts) {
    text += (text.empty() ? "" : ", ") + std::to_string(count) + " x " + format_name(format);
  }
  return text;
}

Json plan_json(const QuantizeArguments& arguments, const gguf::GgufFile& file,
               const convert::QuantizePlan& plan, const convert::Recipe& recipe) {
  Json tensors = Json::array();
  for (const convert::PlannedTensor& tensor : plan.tensors) {
    tensors.push_back({{"name", tensor.source->name},
                       {"from", format_name(tensor.source->format)},
                       {"to", format_name(tensor.format)},
                       {"reason", std::string(convert::reason_text(tensor.reason))},
                       {"importance", tensor.importance != nullptr},
                       {"bytes", tensor.bytes}});
  }
  return {{"input", arguments.in},
          {"output", arguments.out},
          {"recipe", std::string(recipe.name)},
          {"input_bytes", file.file_bytes()},
          {"output_bytes", plan.file_bytes},
          {"bits_per_weight", bits_per_weight(plan)},
          {"dry_run", arguments.dry_run},
          {"notes", plan.notes},
          {"tensors", std::move(tensors)}};
}

void print_plan(std::ostream& out, const convert::QuantizePlan& plan) {
  for (const convert::PlannedTensor& tensor : plan.tensors) {
    out << std::left << std::setw(32) << tensor.source->name << ' ' << std::setw(20)
        << dims_text(*tensor.source) << ' ' << std::setw(5) << format_name(tensor.source->format)
        << " -> " << std::setw(8) << format_name(tensor.format) << ' ' << std::setw(9)
        << convert::reason_text(tensor.reason) << (tensor.importance != nullptr ? "weighted" : "")
        << '\n';
  }
}

std::string size_line(const gguf::GgufFile& file, const convert::QuantizePlan& plan) {
  std::ostringstream line;
  line << options::format_bytes(file.file_bytes()) << " -> "
       << options::format_bytes(plan.file_bytes) << " (" << plan.file_bytes << " bytes, "
       << std::fixed << std::setprecision(2) << bits_per_weight(plan)
       << " bits per weight): " << formats_text(plan);
  return line.str();
}

Result<hardware::IsaMask> isa_of(const std::string& cap, hardware::IsaMask machine) {
  if (cap.empty()) return machine;
  if (cap == "scalar") return hardware::IsaMask();
  for (const hardware::Isa isa : {hardware::Isa::kAvx2, hardware::Isa::kAvx512}) {
    if (hardware::isa_name(isa) != cap) continue;
    if (machine.contains(isa)) {
      return isa == hardware::Isa::kAvx512 ? hardware::Isa::kAvx2 | isa : hardware::IsaMask(isa);
    }
    return Error(ErrorKind::kUnsupported,
                 "this processor has no " + cap + "; it has " + machine.to_string());
  }
  return Error(ErrorKind::kInvalidInput, "there are no encoders for instruction set '" + cap +
                                             "'; expected scalar, avx2 or avx512");
}

Result<convert::QuantizeChoices> read_choices(const QuantizeArguments& arguments) {
  convert::QuantizeChoices choices;
  choices.allow_requantize = arguments.allow_requantize;
  choices.recipe = convert::find_recipe(arguments.recipe);
  if (choices.recipe == nullptr) {
    return Error(ErrorKind::kInvalidInput, "there is no recipe \"" + arguments.recipe +
                                               "\"; expected one of " + convert::recipe_names());
  }
  for (const std::string& text : arguments.tensors) {
    QUERN_ASSIGN_OR_RETURN(auto parsed, convert::parse_override(text));
    choices.overrides.push_back(std::move(parsed));
  }
  if (!arguments.imatrix.empty()) {
    QUERN_ASSIGN_OR_RETURN(choices.importance, convert::ImportanceFile::open(arguments.imatrix));
  }
  return choices;
}

Status check_output(const QuantizeArguments& arguments) {
  std::error_code unknown;
  if (!std::filesystem::equivalent(arguments.in, arguments.out, unknown)) return ok_status();
  return Error(ErrorKind::kInvalidInput, "\"" + arguments.out +
                                             "\" is the input file itself; name another output, "
                                             "quantizing cannot be undone");
}

Status write_result(const Process& process, const QuantizeArguments& arguments,
                    const gguf::GgufFile& file, const convert::QuantizePlan& plan) {
  const hardware::HardwareProfile profile = hardware::probe_hardware();
  convert::QuantizeOptions options;
  options.threads = arguments.threads > 0 ? arguments.threads : profile.cpu.logical_processors;
  QUERN_ASSIGN_OR_RETURN(options.isa, isa_of(arguments.isa, profile.cpu.isa));
  Progress progress(process, "quantizing");
  options.progress = [&](uint64_t done, uint64_t total) { progress.show(done, total); };
  const Interrupt interrupt;
  options.stop = &interrupt.flag();
  return convert::quantize_file(file, plan, options, arguments.out);
}

int quantize(const Process& process, const QuantizeArguments& arguments) {
  const auto start = Clock::now();
  const auto choices = read_choices(arguments);
  if (!choices.ok()) return fail(process, choices.error());
  const auto file = gguf::GgufFile::open(arguments.in);
  if (!file.ok()) return fail(process, file.error());
  if (const Status status = check_output(arguments); !status.ok()) {
    return fail(process, status.error());
  }
  const auto plan = convert::plan_quantization(**file, *choices);
  if (!plan.ok()) return fail(process, plan.error().with_context(arguments.in));
  for (const std::string& note : plan->notes) process.err << "note: " << note << std::endl;
  if (!arguments.dry_run) {
    const Status written = write_result(process, arguments, **file, *plan);
    if (!written.ok()) {
      fail(process, written.error());
      return written.error().kind() == ErrorKind::kCancelled ? kExitInterrupted : kExitFailed;
    }
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  if (arguments.json) {
    Json summary = plan_json(arguments, **file, *plan, *choices->recipe);
    summary["seconds"] = seconds;
    process.out << dump_json(summary, 2) << std::endl;
    return kExitDone;
  }
  if (arguments.dry_run) {
    print_plan(process.out, *plan);
    process.out << "would write " << arguments.out << ", " << size_line(**file, *plan) << std::endl;
    return kExitDone;
  }
  process.out << "wrote " << arguments.out << ", " << size_line(**file, *plan) << ", in "
              << std::fixed << std::setprecision(1) << seconds << " s" << std::endl;
  return kExitDone;
}

}  // namespace

Action define_quantize(CLI::App& app, const Process& process) {
  auto arguments = std::make_shared<QuantizeArguments>();
  app.add_option("IN", arguments->in, "GGUF file (the first of a split model)")->required();
  app.add_option("OUT", arguments->out, "GGUF file to write")->required();
  app.add_option("RECIPE", arguments->recipe, "one of " + convert::recipe_names())->required();
  app.add_option("--tensor", arguments->tensors,
                 "PATTERN=FORMAT: give matrices whose name holds PATTERN this format whatever the "
                 "recipe says; * stands for anything; may be repeated, the first match wins")
      ->allow_extra_args(false);
  app.add_option("--imatrix", arguments->imatrix,
                 "importance matrix (GGUF): errors in columns that matter more count more");
  app.add_flag("--allow-requantize", arguments->allow_requantize,
               "accept input that is quantized already; its errors add to the new ones");
  app.add_flag("--dry-run", arguments->dry_run,
               "list what every tensor would become, and the size; write nothing");
  app.add_flag("--json", arguments->json, "print the summary as JSON");
  app.add_option("-t,--threads", arguments->threads, "threads to use [one per logical processor]")
      ->check(CLI::Range(1, 1024));
  app.add_option("--isa", arguments->isa,
                 "highest instruction set to use: scalar, avx2, avx512; the bytes are the same")
      ->type_name("NAME");
  app.footer(
      "\nExamples:\n"
      "  quern quantize model-f16.gguf model-q4km.gguf Q4_K_M\n"
      "  quern quantize --imatrix model.imatrix model-f16.gguf model-iq2.gguf IQ2_XS\n"
      "  quern quantize --dry-run --tensor ffn_down=Q6_K --tensor 'blk.0.*=Q8_0' in.gguf out.gguf "
      "Q4_K_M\n");
  return [arguments, &process] { return quantize(process, *arguments); };
}

}  // namespace quern::cli
