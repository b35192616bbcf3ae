// What a streamed answer of the OpenAI form says: events (text/event-stream) and the JSON in them,
// of completions and of chat completions alike.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quern::loadgen {

// Cuts a stream into events; gives the data of each.
class EventReader {
 public:
  static constexpr size_t kMaxEventBytes = size_t{16} << 20;

  // False: an event is larger than the bound; nothing more is read.
  bool feed(std::string_view bytes, std::vector<std::string>& events);

 private:
  void take_line(std::string_view line, std::vector<std::string>& events);

  std::string line_;
  std::string data_;
  bool has_data_ = false;
  bool after_cr_ = false;
};

struct StreamUsage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t cached_tokens = 0;
};

// One event's contents.
struct StreamEvent {
  bool well_formed = true;  // [DONE], or an object with choices, usage or an error
  bool done = false;        // [DONE]
  bool text = false;        // carries a piece of the answer
  bool finished = false;    // gives a reason to end
  std::optional<StreamUsage> usage;
  std::string error;  // the server's message
};

StreamEvent read_stream_event(std::string_view data);

// The message of an error body in one of the usual forms, or its beginning.
std::string error_message(std::string_view body);

}  // namespace quern::loadgen
