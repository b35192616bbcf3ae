// Requests in progress are Links; finished ones are removed at the end of each round of poll.
#include "server/loadgen/load_run.h"

#include <poll.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>

#include "server/loadgen/fetch.h"
#include "server/loadgen/response_reader.h"

namespace quern::loadgen {
namespace {

using http::Clock;
using http::IoState;

constexpr double kNever = std::numeric_limits<double>::infinity();
// A closed loop whose requests fail at once must not become a flood.
constexpr double kPauseAfterFailure = 0.1;
constexpr double kProgressSeconds = 0.5;
constexpr size_t kMaxErrorBytes = size_t{64} << 10;

struct Link {
  http::Fd fd;
  size_t address = 0;   // of the destination
  size_t attempts = 0;  // addresses tried
  bool connected = false;
  bool over = false;
  bool reason_seen = false;  // why the answer ended
  std::string to_send;
  size_t n_sent = 0;
  ResponseReader response;
  EventReader events;
  std::string error_body;
  Outcome outcome;
};

struct Bounds {
  uint64_t first_number = 0;  // of the workload
  uint64_t n_requests = 0;
  double duration = 0;
  bool warm_up = false;
};

class Phase {
 public:
  Phase(const RunOptions& options, const http::Destination& destination, const Workload& workload,
        const Bounds& bounds)
      : options_(options),
        destination_(destination),
        workload_(workload),
        bounds_(bounds),
        // Warm-up has arrivals of its own. A closed loop asks nothing of its schedule.
        schedule_(options.arrivals, options.rate > 0 ? options.rate : 1,
                  options.seed + (bounds.warm_up ? 1 : 0)) {
    if (!open()) free_clients_.assign(static_cast<size_t>(options.clients), 0.0);
  }

  Tally run(const OnProgress& on_progress) {
    while (true) {
      start_due();
      if (links_.empty() && next_start() == kNever) return std::move(tally_);
      wait();
      expire();
      std::erase_if(links_, [](const auto& link) { return link->over; });
      if (on_progress && now() >= next_progress_) {
        next_progress_ = now() + kProgressSeconds;
        on_progress({bounds_.warm_up, n_ended_, links_.size()});
      }
    }
  }

 private:
  bool open() const { return options_.rate > 0; }
  double now() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

  // When the next request may start: a time that may have passed, or never.
  double next_start() const {
    double at = kNever;
    if (n_started_ == bounds_.n_requests) return kNever;
    if (open()) {
      if (links_.size() < static_cast<size_t>(options_.max_in_flight)) at = schedule_.next();
      // What was to start in time starts, however late.
      return bounds_.duration > 0 && schedule_.next() >= bounds_.duration ? kNever : at;
    }
    if (!free_clients_.empty()) at = *std::min_element(free_clients_.begin(), free_clients_.end());
    return bounds_.duration > 0 && std::max(at, now()) >= bounds_.duration ? kNever : at;
  }

  void start_due() {
    for (double at = next_start(); at <= now(); at = next_start()) {
      if (open()) {
        schedule_.advance();
        start(at);
      } else {
        free_clients_.erase(std::min_element(free_clients_.begin(), free_clients_.end()));
        start(now());
      }
    }
  }

  void start(double intended) {
    auto link = std::make_unique<Link>();
    const std::string body = workload_.body(bounds_.first_number + n_started_);
    ++n_started_;
    link->to_send = "POST " + options_.target.path + " HTTP/1.1\r\n" +
                    common_headers(options_.target, options_.key) +
                    "Content-Type: application/json\r\nAccept: text/event-stream\r\n"
                    "Connection: close\r\nContent-Length: " +
                    std::to_string(body.size()) + "\r\n\r\n" + body;
    link->outcome.intended = intended;
    link->outcome.started = now();
    link->address = good_address_;
    dial(*link);
    links_.push_back(std::move(link));
  }

  // Tries addresses from link.address on until one takes the call.
  void dial(Link& link) {
    while (true) {
      auto fd = destination_.dial(link.address);
      if (fd.ok()) {
        link.fd = std::move(*fd);
        return;
      }
      if (!take_next_address(link)) return finish(link, Failure::kConnect, fd.error().message());
    }
  }

  bool take_next_address(Link& link) const {
    link.address = (link.address + 1) % destination_.n_addresses();
    return ++link.attempts < destination_.n_addresses();
  }

  // Until something arrives, a request is to start, or one has taken too long.
  void wait() {
    double until = std::min(next_start(), now() + kProgressSeconds);
    polled_.clear();
    for (const auto& link : links_) {
      until = std::min(until, link->outcome.started + options_.timeout);
      const bool sending = link->n_sent < link->to_send.size();
      polled_.push_back({link->fd.get(), static_cast<short>(POLLIN | (sending ? POLLOUT : 0)), 0});
    }
    const double seconds = std::max(until - now(), 0.0);
    timespec patience{};
    patience.tv_sec = static_cast<time_t>(seconds);
    patience.tv_nsec = static_cast<long>((seconds - std::floor(seconds)) * 1e9);
    if (ppoll(polled_.data(), polled_.size(), &patience, nullptr) <= 0) return;
    for (size_t i = 0; i < polled_.size(); ++i) {
      if (polled_[i].revents != 0 && !links_[i]->over) serve(*links_[i], polled_[i].revents);
    }
  }

  void expire() {
    const double time = now();
    for (const auto& link : links_) {
      if (!link->over && time >= link->outcome.started + options_.timeout) {
        finish(*link, Failure::kTimeout, "no end of the answer within the time of --timeout");
      }
    }
  }

  void serve(Link& link, short events) {
    if (!link.connected && !note_connected(link)) return;
    if ((events & POLLOUT) != 0 && link.n_sent < link.to_send.size()) {
      link.n_sent +=
          http::send_some(link.fd.get(), std::string_view(link.to_send).substr(link.n_sent));
    }
    if ((events & (POLLIN | POLLHUP | POLLERR)) != 0) receive(link);
  }

  bool note_connected(Link& link) {
    const std::string error = http::connect_error(link.fd.get());
    link.connected = error.empty();
    if (link.connected) {
      good_address_ = link.address;
    } else if (take_next_address(link)) {
      dial(link);
    } else {
      finish(link, Failure::kConnect, error);
    }
    return link.connected;
  }

  void receive(Link& link) {
    std::string bytes;
    const IoState state =
        http::receive(link.fd.get(), bytes, size_t{64} << 10, Clock::time_point::min());
    if (state == IoState::kTimeout) return;  // nothing there after all
    const double at = now();
    std::string body;
    link.response.feed(bytes, body);
    const std::string fault = link.response.fault();
    if (state == IoState::kClosed) link.response.close();
    if (link.response.begun()) take_body(link, body, at);
    if (link.over) return;
    if (!fault.empty()) return finish(link, Failure::kMalformed, fault);
    if (!link.response.fault().empty()) finish(link, Failure::kBroken, link.response.fault());
  }

  void take_body(Link& link, std::string_view body, double at) {
    const ResponseReader& response = link.response;
    link.outcome.status = response.status();
    if (response.status() != 200) {
      link.error_body.append(body.substr(0, kMaxErrorBytes - link.error_body.size()));
      const bool ended = response.done() || !response.fault().empty();
      if (ended || link.error_body.size() == kMaxErrorBytes) {
        finish(link, Failure::kStatus, error_message(link.error_body));
      }
      return;
    }
    if (response.content_type() != "text/event-stream") {
      return finish(link, Failure::kMalformed,
                    "the answer is \"" + response.content_type() + "\" and no event stream");
    }
    std::vector<std::string> events;
    const bool bounded = link.events.feed(body, events);
    for (const std::string& event : events) {
      take_event(link, read_stream_event(event), at);
      if (link.over) return;
    }
    if (!bounded) return finish(link, Failure::kMalformed, "an event of the stream does not end");
    if (response.done()) end_of_stream(link);
  }

  void take_event(Link& link, const StreamEvent& event, double at) {
    if (!event.well_formed) {
      return finish(link, Failure::kMalformed, "an event of the stream is no completion");
    }
    if (!event.error.empty()) return finish(link, Failure::kStreamError, event.error);
    Outcome& outcome = link.outcome;
    link.reason_seen = link.reason_seen || event.finished || event.done;
    if (event.usage) outcome.usage = event.usage;
    if (event.text) {
      if (outcome.n_pieces++ == 0) {
        outcome.first = at;
      } else {
        outcome.gaps.push_back(static_cast<float>(at - outcome.last));
      }
      outcome.last = at;
    }
    if (event.done) end_of_stream(link);
  }

  void end_of_stream(Link& link) {
    if (!link.reason_seen) {
      return finish(link, Failure::kBroken, "the stream ended without [DONE] or a finish_reason");
    }
    if (link.outcome.n_pieces == 0) return finish(link, Failure::kEmpty, "no text was sent");
    finish(link, Failure::kNone, "");
  }

  void finish(Link& link, Failure failure, std::string message) {
    link.over = true;
    link.fd.reset();
    link.outcome.failure = failure;
    link.outcome.message = std::move(message);
    link.outcome.ended = now();
    tally_.add(link.outcome);
    ++n_ended_;
    if (open()) return;
    const double pause = failure == Failure::kNone ? 0 : kPauseAfterFailure;
    free_clients_.push_back(link.outcome.ended + pause);
  }

  const RunOptions& options_;
  const http::Destination& destination_;
  const Workload& workload_;
  const Bounds bounds_;
  Schedule schedule_;
  Clock::time_point begin_ = Clock::now();
  std::vector<std::unique_ptr<Link>> links_;
  std::vector<pollfd> polled_;        // one per link while poll is asked
  std::vector<double> free_clients_;  // from when on each may ask again; closed loop
  size_t good_address_ = 0;           // the last one that worked
  uint64_t n_started_ = 0;
  uint64_t n_ended_ = 0;
  double next_progress_ = 0;
  Tally tally_;
};

}  // namespace

Tally run_load(const RunOptions& options, const http::Destination& destination,
               const Workload& workload, const OnProgress& on_progress) {
  if (options.n_warm_up > 0) {
    Phase(options, destination, workload, {0, options.n_warm_up, 0, true}).run(on_progress);
  }
  return Phase(options, destination, workload,
               {options.n_warm_up, options.n_requests, options.duration, false})
      .run(on_progress);
}

}  // namespace quern::loadgen
