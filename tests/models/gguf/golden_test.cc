// A file made by the Python reference implementation: read with the right values, written back to
// the same bytes. The other direction is tests/models/gguf/check_with_gguf_py.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "models/gguf/reader.h"
#include "models/gguf/writer.h"

namespace quern::gguf {
namespace {

using ::testing::ElementsAre;

std::filesystem::path golden_path() {
  return std::filesystem::path(QUERN_SOURCE_DIR) / "tests/golden/gguf/every_kind.gguf";
}

std::shared_ptr<const GgufFile> golden() {
  const auto file = GgufFile::open(golden_path());
  EXPECT_TRUE(file.ok()) << file.error().message();
  return file.ok() ? *file : nullptr;
}

template <typename T>
void expect_pair(const Metadata& meta, const std::string& kind, T value, T second) {
  const Value* one = meta.find("one." + kind);
  ASSERT_NE(one, nullptr) << kind;
  ASSERT_TRUE(std::holds_alternative<T>(*one)) << kind;
  EXPECT_EQ(std::get<T>(*one), value) << kind;
  EXPECT_EQ(value_kind_name(value_kind(*one)), kind);
  const Value* many = meta.find("many." + kind);
  ASSERT_NE(many, nullptr) << kind;
  EXPECT_EQ(value_kind(*many), ValueKind::kArray);
  EXPECT_EQ(value_kind_name(element_kind(*many)), kind);
  if constexpr (std::is_same_v<T, bool>) {
    EXPECT_THAT(std::get<BoolArray>(*many).values, ElementsAre(value, second, value));
  } else {
    const auto array = meta.find_array<T>("many." + kind);
    ASSERT_TRUE(array.ok()) << array.error().message();
    EXPECT_THAT(**array, ElementsAre(value, second, value)) << kind;
  }
}

TEST(Golden, HoldsEveryKindOfValue) {
  const auto file = golden();
  ASSERT_NE(file, nullptr);
  const Metadata& meta = file->metadata();
  EXPECT_EQ(*meta.get_string("general.architecture"), "golden");
  expect_pair<uint8_t>(meta, "uint8", 200, 1);
  expect_pair<int8_t>(meta, "int8", -100, 1);
  expect_pair<uint16_t>(meta, "uint16", 60000, 1);
  expect_pair<int16_t>(meta, "int16", -30000, 1);
  expect_pair<uint32_t>(meta, "uint32", 4'000'000'000u, 1);
  expect_pair<int32_t>(meta, "int32", -2'000'000'000, 1);
  expect_pair<uint64_t>(meta, "uint64", (uint64_t{1} << 63) + 1, 1);
  expect_pair<int64_t>(meta, "int64", -(int64_t{1} << 62), 1);
  expect_pair<float>(meta, "float32", 0.5f, 1);
  expect_pair<double>(meta, "float64", 1e300, 1);
  expect_pair<bool>(meta, "bool", true, false);
  expect_pair<std::string>(meta, "string", "na\xc3\xafve \xe2\x98\x83", "second");
}

TEST(Golden, HoldsTheTensors) {
  const auto file = golden();
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(file->tensors().size(), 4u);
  const TensorInfo* f32 = file->find_tensor("t.f32");
  ASSERT_NE(f32, nullptr);
  EXPECT_THAT(f32->dims, ElementsAre(32, 2, 1, 1));
  float last = 0;
  std::memcpy(&last, f32->data.data() + 63 * 4, sizeof(last));
  EXPECT_EQ(last, 43.0f);
  EXPECT_THAT(file->find_tensor("t.f16")->dims, ElementsAre(16, 4, 1, 1));
  EXPECT_EQ(file->find_tensor("t.i32")->n_dims, 1);
  const TensorInfo* q8 = file->find_tensor("t.q8_0");
  ASSERT_NE(q8, nullptr);
  EXPECT_EQ(q8->format, formats::FormatId::kQ8_0);
  EXPECT_THAT(q8->dims, ElementsAre(32, 2, 1, 1));
  float decoded[64];
  formats::format_info(q8->format).decode_row(q8->data.data(), decoded, 64);
  EXPECT_NEAR(decoded[0], -20.0f, 0.1f);
  EXPECT_NEAR(decoded[63], 43.0f, 0.2f);
}

TEST(Golden, IsWrittenBackByteForByte) {
  const auto file = golden();
  ASSERT_NE(file, nullptr);
  GgufWriter writer;
  ASSERT_TRUE(writer.copy_header(*file).ok());
  std::vector<std::byte> bytes;
  auto output = writer.create_in(bytes);
  ASSERT_TRUE(output.ok());
  for (const TensorInfo& tensor : file->tensors()) {
    ASSERT_TRUE((*output)->write_tensor(tensor.data).ok());
  }
  ASSERT_TRUE((*output)->finish().ok());
  std::ifstream in(golden_path(), std::ios::binary);
  const std::string expected{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  EXPECT_TRUE(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()) ==
              expected);
}

}  // namespace
}  // namespace quern::gguf
