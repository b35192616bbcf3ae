// `quern inspect`: what is inside a GGUF file.
#include <cmath>
#include <iomanip>
#include <map>
#include <sstream>

#include "config/base/json.h"
#include "models/gguf/reader.h"
#include "server/cli/command.h"

namespace quern::cli {
namespace {

// Long strings and arrays are cut after this much in the readable form.
constexpr size_t kShownText = 60;
constexpr size_t kShownItems = 6;

std::string printable(std::string_view text, size_t limit) {
  std::string out;
  for (const char c : text.substr(0, limit)) {
    if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += '.';
    } else {
      out += c;
    }
  }
  if (text.size() > limit) out += "...";
  return out;
}

template <typename T>
std::string scalar_text(const T& value) {
  std::ostringstream out;
  if constexpr (std::is_same_v<T, bool>) {
    out << (value ? "true" : "false");
  } else if constexpr (std::is_same_v<T, uint8_t> || std::is_same_v<T, int8_t>) {
    out << static_cast<int>(value);
  } else if constexpr (std::is_same_v<T, std::string>) {
    out << '"' << printable(value, kShownText) << '"';
  } else {
    out << value;
  }
  return out.str();
}

template <typename T>
std::string list_text(const std::vector<T>& values) {
  std::string text = std::to_string(values.size()) + " values: [";
  for (size_t i = 0; i < values.size() && i < kShownItems; ++i) {
    if (i > 0) text += ", ";
    text += scalar_text(values[i]);
  }
  if (values.size() > kShownItems) text += ", ...";
  return text + "]";
}

struct ValueText {
  template <typename T>
  std::string operator()(const std::vector<T>& values) const {
    return list_text(values);
  }
  std::string operator()(const gguf::BoolArray& values) const { return list_text(values.values); }
  template <typename T>
  std::string operator()(const T& value) const {
    return scalar_text(value);
  }
};

struct ValueJson {
  Json operator()(const gguf::BoolArray& values) const {
    Json list = Json::array();
    for (const uint8_t value : values.values) list.push_back(value != 0);
    return list;
  }
  template <typename T>
  Json operator()(const T& value) const {
    return Json(value);
  }
};

Json dims_json(const gguf::TensorInfo& tensor) {
  Json dims = Json::array();
  for (int i = 0; i < tensor.n_dims; ++i) dims.push_back(tensor.dims[static_cast<size_t>(i)]);
  return dims;
}

Json file_json(const gguf::GgufFile& file) {
  Json metadata = Json::object();
  for (const auto& [key, value] : file.metadata().entries()) {
    metadata[key] = std::visit(ValueJson{}, value);
  }
  Json tensors = Json::array();
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    tensors.push_back({{"name", tensor.name},
                       {"format", std::string(formats::format_info(tensor.format).name)},
                       {"dims", dims_json(tensor)},
                       {"bytes", tensor.data.size()}});
  }
  return {{"file", file.label()},       {"version", file.version()},
          {"bytes", file.file_bytes()}, {"alignment", file.alignment()},
          {"metadata", metadata},       {"tensors", tensors}};
}

void print_formats(std::ostream& out, const gguf::GgufFile& file) {
  struct Sum {
    uint64_t tensors = 0;
    uint64_t values = 0;
    uint64_t bytes = 0;
  };
  std::map<std::string, Sum> sums;
  Sum all;
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    for (Sum* sum : {&sums[std::string(formats::format_info(tensor.format).name)], &all}) {
      ++sum->tensors;
      sum->values += tensor.n_values();
      sum->bytes += tensor.data.size();
    }
  }
  out << "Formats\n";
  const auto row = [&](const std::string& name, const Sum& sum) {
    const double bits =
        sum.values == 0 ? 0
                        : 8.0 * static_cast<double>(sum.bytes) / static_cast<double>(sum.values);
    out << "  " << std::left << std::setw(10) << name << std::right << std::setw(6) << sum.tensors
        << " tensors " << std::setw(14) << sum.values << " values " << std::setw(10)
        << options::format_bytes(sum.bytes) << std::fixed << std::setprecision(2) << std::setw(8)
        << bits << " bits per value\n";
  };
  for (const auto& [name, sum] : sums) row(name, sum);
  row("all", all);
}

void print_file(std::ostream& out, const gguf::GgufFile& file, bool tensors) {
  out << file.label() << ": GGUF version " << file.version() << ", "
      << options::format_bytes(file.file_bytes()) << ", alignment " << file.alignment() << "\n";
  out << "Metadata\n";
  for (const auto& [key, value] : file.metadata().entries()) {
    out << "  " << key << " = " << std::visit(ValueText{}, value) << '\n';
  }
  print_formats(out, file);
  if (!tensors) return;
  out << "Tensors\n";
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    out << "  " << std::left << std::setw(36) << tensor.name << ' ' << std::setw(8)
        << formats::format_info(tensor.format).name << " [";
    for (int i = 0; i < tensor.n_dims; ++i) {
      out << (i > 0 ? ", " : "") << tensor.dims[static_cast<size_t>(i)];
    }
    out << "]\n";
  }
}

}  // namespace

Action define_inspect(CLI::App& app, const Process& process) {
  struct Arguments {
    std::string file;
    bool json = false;
    bool tensors = false;
  };
  auto arguments = std::make_shared<Arguments>();
  app.add_option("FILE", arguments->file, "GGUF file (the first of a split model)")->required();
  app.add_flag("--tensors", arguments->tensors, "list every tensor");
  app.add_flag("--json", arguments->json, "print everything as JSON");
  app.footer("\nExamples:\n  quern inspect model.gguf\n  quern inspect --json model.gguf\n");
  return [arguments, &process] {
    const auto file = gguf::GgufFile::open(arguments->file);
    if (!file.ok()) return fail(process, file.error());
    if (arguments->json) {
      process.out << dump_json(file_json(**file), 2) << '\n';
    } else {
      print_file(process.out, **file, arguments->tensors);
    }
    process.out.flush();
    return kExitDone;
  };
}

}  // namespace quern::cli
