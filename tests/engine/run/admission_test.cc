// Requests refused before any work (D-01, D-02, J-13 to J-18).
#include "engine/run/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quern::engine {
namespace {

using testing::HasSubstr;

const AdmissionLimits kLimits{100, 16};

Request request(size_t n_prompt) {
  Request r;
  r.prompt.assign(n_prompt, 5);
  return r;
}

TEST(ValidateRequest, PromptAgainstContext) {
  EXPECT_TRUE(validate_request(request(15), kLimits).ok());
  for (const size_t n : {16, 17, 1600}) {
    const Status status = validate_request(request(n), kLimits);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().kind(), ErrorKind::kContextOverflow);
    EXPECT_THAT(status.error().message(), HasSubstr(std::to_string(n) + " tokens"));
    EXPECT_THAT(status.error().message(), HasSubstr("holds 16"));
  }
  Request full = request(16);
  full.max_tokens = 0;
  EXPECT_TRUE(validate_request(full, kLimits).ok());
  EXPECT_EQ(validate_request(request(0), kLimits).error().kind(), ErrorKind::kInvalidInput);
}

TEST(ValidateRequest, EveryFieldIsChecked) {
  Request r = request(1);
  r.prompt = {5, 100};
  EXPECT_THAT(validate_request(r, kLimits).error().message(), HasSubstr("prompt token 1 is 100"));
  r = request(1);
  r.max_tokens = -2;
  EXPECT_THAT(validate_request(r, kLimits).error().message(), HasSubstr("max_tokens"));
  r = request(1);
  r.top_logprobs = 129;
  EXPECT_THAT(validate_request(r, kLimits).error().message(), HasSubstr("top_logprobs"));
  r.top_logprobs = -1;
  EXPECT_FALSE(validate_request(r, kLimits).ok());
  r = request(1);
  r.shift_keep = 8;
  EXPECT_TRUE(validate_request(r, kLimits).ok());
  r.shift_keep = 9;
  EXPECT_THAT(validate_request(r, kLimits).error().message(),
              HasSubstr("first 9 tokens; it must be from 0 to 8"));
  r = request(1);
  r.stop = {""};
  EXPECT_THAT(validate_request(r, kLimits).error().message(), HasSubstr("stop[0]"));
  r = request(1);
  r.sampling.top_p = 2;
  EXPECT_THAT(validate_request(r, kLimits).error().message(), HasSubstr("top_p"));
}

}  // namespace
}  // namespace quern::engine
