// Runs the text cases of tests/cases/*.case against the whole front door with a fake engine.
//
// A case file holds any number of cases:
//   === name
//   POST /path            (method and path)
//   header: value         (any number)
//
//   body up to the next "---" line
//   --- 400               (expected status)
//   JSON that must be contained in the answer: objects member by member, arrays and other values
//   exactly; or lines "~ text", each of which must occur in the raw body. "~! text" must not occur.
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/base/json.h"
#include "server/api/app/app.h"
#include "tests/server/fakes/fake_engine.h"
#include "tests/server/support/raw_client.h"

namespace quern::api {
namespace {

struct Case {
  std::string name;
  std::string method_and_path;
  std::string headers;
  std::string body;
  int status = 0;
  std::string expected;
};

std::vector<Case> read_cases(const std::filesystem::path& path) {
  std::vector<Case> cases;
  std::ifstream in(path);
  enum class Part { kNone, kRequest, kHeaders, kBody, kExpected } part = Part::kNone;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("=== ")) {
      cases.push_back({});
      cases.back().name = line.substr(4);
      part = Part::kRequest;
    } else if (part == Part::kRequest) {
      cases.back().method_and_path = line;
      part = Part::kHeaders;
    } else if (part != Part::kNone && line.starts_with("--- ")) {
      std::from_chars(line.data() + 4, line.data() + line.size(), cases.back().status);
      part = Part::kExpected;
    } else if (part == Part::kHeaders) {
      if (line.empty()) {
        part = Part::kBody;
      } else {
        cases.back().headers += line + "\r\n";
      }
    } else if (part == Part::kBody) {
      cases.back().body += line + "\n";
    } else if (part == Part::kExpected) {
      cases.back().expected += line + "\n";
    }
  }
  return cases;
}

bool contains(const Json& whole, const Json& part) {
  if (!part.is_object()) return whole == part;
  if (!whole.is_object()) return false;
  return std::all_of(part.items().begin(), part.items().end(), [&](const auto& member) {
    return whole.contains(member.key()) && contains(whole[member.key()], member.value());
  });
}

void check(const Case& c, const tests::RawResponse& response) {
  EXPECT_EQ(response.status, c.status) << response.body;
  std::istringstream lines(c.expected);
  std::string json;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("~! ")) {
      EXPECT_EQ(response.body.find(line.substr(3)), std::string::npos) << response.body;
    } else if (line.starts_with("~ ")) {
      const std::string wanted = line.substr(2);
      const size_t colon = std::min(wanted.find(": "), wanted.size());
      const bool in_header =
          colon + 2 <= wanted.size() &&
          response.header(wanted.substr(0, colon)).starts_with(wanted.substr(colon + 2));
      const bool found = in_header || response.body.find(wanted) != std::string::npos;
      EXPECT_TRUE(found) << line << "\n" << response.head << response.body;
    } else {
      json += line;
    }
  }
  if (json.empty()) return;
  const auto expected = parse_json(json);
  ASSERT_TRUE(expected.ok()) << "the case itself: " << expected.error().message();
  const auto actual = parse_json(response.body);
  ASSERT_TRUE(actual.ok()) << response.body;
  EXPECT_TRUE(contains(*actual, *expected)) << response.body << "\nlacks " << json;
}

TEST(Cases, AllFiles) {
  tests::FakeModel model;
  AppOptions options;
  options.port = 0;
  auto app = App::create(options, {model.served()});
  ASSERT_TRUE(app.ok()) << app.error().message();
  ASSERT_TRUE((*app)->start().ok());
  size_t n_cases = 0;
  size_t n_refusals = 0;
  for (const auto& entry : std::filesystem::directory_iterator(QUERN_SOURCE_DIR "/tests/cases")) {
    if (entry.path().extension() != ".case") continue;
    for (const Case& c : read_cases(entry.path())) {
      SCOPED_TRACE(entry.path().filename().string() + ": " + c.name);
      std::string body = c.body;
      if (body.ends_with('\n')) body.pop_back();
      const bool has_body = c.method_and_path.starts_with("POST");
      const std::string length =
          has_body ? "Content-Length: " + std::to_string(body.size()) + "\r\n" : "";
      check(c, tests::fetch((*app)->port(), c.method_and_path + " HTTP/1.1\r\nHost: localhost\r\n" +
                                                c.headers + length + "\r\n" + body));
      ++n_cases;
      n_refusals += c.status >= 400 ? 1 : 0;
    }
  }
  EXPECT_GT(n_cases, 60U);
  EXPECT_GT(n_refusals * 10, n_cases * 4);
  EXPECT_EQ(model.engine.alive(), 0);
}

}  // namespace
}  // namespace quern::api
