// See overflow.h.
#include "server/api/overflow.h"

#include <algorithm>
#include <vector>

#include "server/api/fields.h"
#include "server/api/messages.h"

namespace quern::api {
namespace {

constexpr size_t kMaxContextsToCut = 16;

struct NamedPolicy {
  std::string_view name;
  OverflowPolicy policy;
};

constexpr NamedPolicy kPolicies[] = {
    {"error", {}},
    {"truncate", {.truncate = true}},
    {"shift", {.shift = true}},
    {"truncate_and_shift", {.truncate = true, .shift = true}},
};

bool fits(const ServedModel& model, const Tokens& tokens, int64_t max_tokens) {
  const auto n = static_cast<int64_t>(tokens.size());
  return n + (max_tokens == 0 ? 0 : 1) <= model.engine->context_tokens();
}

// Tokens that a cut prompt may have.
int64_t target(const ServedModel& model, int64_t max_tokens) {
  const int64_t context = model.engine->context_tokens();
  const int64_t room = max_tokens < 0 ? context / 4 : std::min(max_tokens, context / 2);
  return std::max<int64_t>(context - std::max<int64_t>(room, max_tokens == 0 ? 0 : 1), 1);
}

bool starts_with_bos(const ServedModel& model, const Tokens& tokens) {
  const auto bos = model.tokenizer->special().bos;
  return bos && !tokens.empty() && tokens.front() == *bos;
}

std::string role_of(const Json& message) {
  const std::string role = read_string(message, "role");
  return role == "developer" ? "system" : role;
}

MaybeError encode_all(const ServedModel& model, const ChatPrompt& chat, const Json& messages,
                      size_t contexts, Tokens& out) {
  out.clear();
  Json clean;
  if (MaybeError error = check_messages(messages, model, clean)) return error;
  std::vector<chat::PromptSegment> segments;
  if (MaybeError error =
          render_messages(model, clean, chat.extra, chat.add_generation_prompt, segments)) {
    return error;
  }
  return encode_segments(model, segments, out, contexts);
}

// The messages without those before `first`, system messages excepted.
Json from_turn(const Json& messages, size_t first) {
  Json out = Json::array();
  for (size_t i = 0; i < messages.size(); ++i) {
    if (i >= first || role_of(messages[i]) == "system") out.push_back(messages[i]);
  }
  return out;
}

// Where turns begin, but for the first: user messages behind the first message that could go.
std::vector<size_t> turns(const Json& messages) {
  std::vector<size_t> out;
  bool something_before = false;
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string role = role_of(messages[i]);
    if (role == "user" && something_before) out.push_back(i);
    something_before = something_before || role != "system";
  }
  return out;
}

// As few of the oldest turns go as must. Each round renders and encodes, so they are halved.
MaybeError drop_turns(const ServedModel& model, const ChatPrompt& chat, int64_t max_tokens,
                      Tokens& out, Truncation& dropped) {
  const std::vector<size_t> borders = turns(chat.messages);
  if (borders.empty()) return std::nullopt;  // stays too long, which the engine says
  const auto n_full = static_cast<int64_t>(out.size());
  size_t low = 0;
  size_t high = borders.size() - 1;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    const Json rest = from_turn(chat.messages, borders[middle]);
    if (MaybeError error = encode_all(model, chat, rest, kMaxContextsToCut, out)) return error;
    if (static_cast<int64_t>(out.size()) <= target(model, max_tokens)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  const Json rest = from_turn(chat.messages, borders[low]);
  if (MaybeError error = encode_all(model, chat, rest, kMaxContextsToCut, out)) return error;
  dropped.messages += static_cast<int64_t>(chat.messages.size() - rest.size());
  dropped.tokens += n_full - static_cast<int64_t>(out.size());
  return std::nullopt;
}

}  // namespace

std::optional<OverflowPolicy> overflow_policy(std::string_view name) {
  const auto* found = std::find_if(std::begin(kPolicies), std::end(kPolicies),
                                   [&](const NamedPolicy& one) { return one.name == name; });
  if (found == std::end(kPolicies)) return std::nullopt;
  return found->policy;
}

MaybeError encode_chat(const ServedModel& model, const ChatPrompt& chat,
                       const OverflowPolicy& policy, int64_t max_tokens, Tokens& out,
                       Truncation& dropped) {
  const size_t contexts = contexts_allowed(policy);
  if (MaybeError error = encode_all(model, chat, chat.messages, contexts, out)) return error;
  if (!policy.truncate || fits(model, out, max_tokens)) return std::nullopt;
  return drop_turns(model, chat, max_tokens, out, dropped);
}

void truncate_tokens(const ServedModel& model, const OverflowPolicy& policy, int64_t max_tokens,
                     size_t end, Tokens& tokens, Truncation& dropped) {
  if (!policy.truncate || policy.n_keep < 0 || fits(model, tokens, max_tokens)) return;
  const size_t bos = starts_with_bos(model, tokens) ? 1 : 0;
  const size_t begin = std::min(std::max(bos, static_cast<size_t>(policy.n_keep)), end);
  const size_t surplus = tokens.size() - static_cast<size_t>(target(model, max_tokens));
  const size_t n = std::min(surplus, end - begin);
  const auto first = tokens.begin() + static_cast<std::ptrdiff_t>(begin);
  tokens.erase(first, first + static_cast<std::ptrdiff_t>(n));
  dropped.tokens += static_cast<int64_t>(n);
}

size_t contexts_allowed(const OverflowPolicy& policy) {
  return policy.truncate ? kMaxContextsToCut : 1;
}

void set_shift(const ServedModel& model, const OverflowPolicy& policy, engine::Request& request) {
  if (!policy.shift) return;
  const auto n_prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t bos = starts_with_bos(model, request.prompt) ? 1 : 0;
  request.shift_keep =
      policy.n_keep < 0 ? n_prompt : std::min(std::max(bos, policy.n_keep), n_prompt);
}

std::string overflow_header(const Truncation& dropped, const engine::Usage& usage) {
  std::string out;
  if (dropped.tokens > 0) {
    out = "truncated; dropped_messages=" + std::to_string(dropped.messages) +
          "; dropped_tokens=" + std::to_string(dropped.tokens);
  }
  if (usage.shifts > 0) {
    out.append(out.empty() ? "" : ", ");
    out += "shifted; times=" + std::to_string(usage.shifts) +
           "; dropped_tokens=" + std::to_string(usage.shifted_tokens);
  }
  return out;
}

Json overflow_object(const Truncation& dropped, const engine::Usage& usage) {
  Json out;
  if (dropped.tokens > 0) {
    out["truncated"] = {{"dropped_messages", dropped.messages}, {"dropped_tokens", dropped.tokens}};
  }
  if (usage.shifts > 0) {
    out["shifted"] = {{"times", usage.shifts}, {"dropped_tokens", usage.shifted_tokens}};
  }
  return out;
}

}  // namespace quern::api
