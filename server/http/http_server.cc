// The poll thread and its bookkeeping.
//
// Invariant: a Connection is owned by exactly one of connections_ (poll thread), a worker's task,
// or returned_ (on its way back).
#include "server/http/http_server.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <mutex>
#include <new>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "server/http/worker_pool.h"

namespace quern::http {
namespace {

constexpr auto kTick = std::chrono::milliseconds(250);
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

class PollingServer final : public HttpServer {
 public:
  PollingServer(ServerOptions options, Router router, std::vector<Listener> listeners)
      : listeners_(std::move(listeners)),
        workers_(options.limits.max_workers, options.limits.max_waiting,
                 options.limits.worker_stack_bytes),
        quick_worker_(1, options.limits.max_waiting, options.limits.worker_stack_bytes) {
    site_.limits = options.limits;
    site_.access = std::move(options.access);
    site_.router = std::move(router);
    site_.error_body = std::move(options.error_body);
    site_.server_name = std::move(options.server_name);
    site_.on_answered = std::move(options.on_answered);
    port_ = bound_port(listeners_.front().fd);
    for (const Listener& listener : listeners_) addresses_.push_back(listener.address);
  }
  ~PollingServer() override { stop(); }

  Status start() override;
  int port() const override { return port_; }
  std::vector<std::string> addresses() const override { return addresses_; }
  ServerCounters counters() const override;
  void stop_accepting() override;
  bool wait_idle(std::chrono::steady_clock::time_point deadline) override;
  void stop() override;

 private:
  using Owned = std::unique_ptr<Connection>;

  void poll_loop();
  void look_at(int fd);
  void watch(int fd, uint32_t events) const;
  void wake() const;
  void accept_from(const Listener& listener);
  void shed_one(const Listener& listener);
  void admit(Fd socket);
  void on_readable(int fd);
  void on_head(Owned connection);
  void dispatch(Owned connection);
  void serve_on_worker(Owned connection);
  void give_back(Owned connection);
  void take_back();
  void linger(Owned connection);
  void drain_lingering(int fd);
  void expire(Clock::time_point now);
  void refuse(Owned connection, int status, std::string message);
  void close_listeners();

  Site site_;
  std::vector<Listener> listeners_;
  std::vector<std::string> addresses_;
  int port_ = 0;
  Fd epoll_;
  Fd wake_;
  Fd spare_;  // given up for a moment when descriptors run out
  std::thread poll_thread_;
  std::unordered_map<int, Owned> connections_;  // poll thread only
  Clock::time_point accept_after_{};            // poll thread only

  mutable std::mutex mutex_;
  std::vector<Owned> returned_;
  std::unordered_set<int> busy_;  // descriptors of connections at workers
  std::atomic<int> open_{0};
  std::atomic<uint64_t> accepted_{0};
  std::atomic<uint64_t> refused_{0};
  std::atomic<bool> stop_polling_{false};
  WorkerPool workers_;
  WorkerPool quick_worker_;
};

Status PollingServer::start() {
  epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
  wake_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  spare_ = Fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!epoll_.valid() || !wake_.valid()) {
    return Error(ErrorKind::kIo,
                 "Cannot start the server: no file descriptors left; raise the limit (ulimit -n).");
  }
  watch(wake_.get(), EPOLLIN);
  for (const Listener& listener : listeners_) watch(listener.fd.get(), EPOLLIN);
  try {
    poll_thread_ = std::thread([this] { poll_loop(); });
  } catch (const std::system_error&) {
    return Error(ErrorKind::kIo, "Cannot start the server: no thread to be had; check ulimit -u.");
  }
  return ok_status();
}

void PollingServer::watch(int fd, uint32_t events) const {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
}

void PollingServer::wake() const {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(wake_.get(), &one, sizeof(one));
}

void PollingServer::poll_loop() {
  std::array<epoll_event, 64> events{};
  Clock::time_point next_tick = Clock::now() + kTick;
  while (!stop_polling_.load()) {
    const int n = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                             static_cast<int>(kTick.count()));
    for (int i = 0; i < n; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      try {
        look_at(fd);
      } catch (const std::bad_alloc&) {
        connections_.erase(fd);  // one client less
      }
    }
    try {
      take_back();
      if (site_.stopping.load()) close_listeners();
      if (const auto now = Clock::now(); now >= next_tick || site_.stopping.load()) {
        expire(now);
        next_tick = now + kTick;
      }
    } catch (const std::bad_alloc&) {
      // Those it concerned are closed; the others have their turn again.
    }
  }
  connections_.clear();
}

void PollingServer::look_at(int fd) {
  if (fd == wake_.get()) {
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = read(fd, &count, sizeof(count));
    return;
  }
  const auto listener = std::find_if(listeners_.begin(), listeners_.end(),
                                     [fd](const Listener& l) { return l.fd.get() == fd; });
  if (listener != listeners_.end()) {
    accept_from(*listener);
  } else {
    on_readable(fd);
  }
}

void PollingServer::accept_from(const Listener& listener) {
  if (Clock::now() < accept_after_) {
    // Out of kernel memory a moment ago: leave the backlog alone instead of spinning on it.
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return;
  }
  for (int i = 0; i < 64; ++i) {
    Fd socket(accept4(listener.fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.valid()) {
      admit(std::move(socket));
      continue;
    }
    if (errno == EMFILE || errno == ENFILE) return shed_one(listener);
    if (errno == ENOBUFS || errno == ENOMEM) accept_after_ = Clock::now() + kAcceptPause;
    // Anything else concerns one client only (ECONNABORTED, EPROTO, ...) or nobody (EAGAIN).
    if (errno != ECONNABORTED && errno != EINTR) return;
  }
}

// Out of descriptors: takes one client by the spare descriptor, to say so.
void PollingServer::shed_one(const Listener& listener) {
  spare_.reset();
  Fd socket(accept4(listener.fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket.valid()) {
    refused_.fetch_add(1);
    refuse_unserved(Connection(std::move(socket)), site_, 503,
                    "The server has no room for another connection; try again.");
  }
  spare_ = Fd();
  spare_ = Fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

void PollingServer::admit(Fd socket) {
  accepted_.fetch_add(1);
  const int fd = socket.get();
  send_without_delay(fd);
  auto connection = std::make_unique<Connection>(std::move(socket));
  connection->deadline = Clock::now() + site_.limits.keep_alive;
  const bool full = open_.load() >= site_.limits.max_connections;
  connection->counted = Counted(open_);
  watch(fd, EPOLLIN | EPOLLRDHUP);
  if (full) {
    refuse(std::move(connection), 503,
           "The server has as many connections as it allows; try again shortly.");
    return;
  }
  connections_.emplace(fd, std::move(connection));
}

void PollingServer::refuse(Owned connection, int status, std::string message) {
  if (status == 503) refused_.fetch_add(1);
  refuse_unserved(*connection, site_, status, std::move(message));
  linger(std::move(connection));
}

// Half-closes and keeps reading for a while: closing with unread input would make the kernel send a
// reset that can overtake the answer.
void PollingServer::linger(Owned connection) {
  const int fd = connection->fd.get();
  shutdown(fd, SHUT_WR);
  connection->lingering = true;
  connection->buffer.clear();
  connection->deadline = Clock::now() + site_.limits.linger;
  connections_[fd] = std::move(connection);
}

void PollingServer::drain_lingering(int fd) {
  std::string discarded;
  for (int i = 0; i < 16; ++i) {
    discarded.clear();
    const IoState state = receive(fd, discarded, size_t{64} << 10, Clock::time_point::min());
    if (state == IoState::kTimeout) return;
    if (state == IoState::kClosed) {
      connections_.erase(fd);
      return;
    }
  }
}

void PollingServer::on_readable(int fd) {
  const auto found = connections_.find(fd);
  if (found == connections_.end()) return;
  if (found->second->lingering) return drain_lingering(fd);
  Connection& connection = *found->second;
  const IoState state = receive(fd, connection.buffer, size_t{16} << 10, Clock::time_point::min());
  if (state == IoState::kClosed) {
    connections_.erase(found);
    return;
  }
  if (state == IoState::kTimeout) return;
  if (!connection.started) {
    if (!begins_request(connection.buffer)) return;
    connection.started = true;
    connection.arrived = Clock::now();
    connection.deadline = Clock::now() + site_.limits.head_deadline;
  }
  const HeadProgress progress =
      scan_head(connection.buffer, site_.limits, connection.scanned, connection.head_bytes);
  if (progress == HeadProgress::kIncomplete) return;
  Owned owned = std::move(found->second);
  connections_.erase(found);
  on_head(std::move(owned));
}

void PollingServer::on_head(Owned connection) {
  if (site_.stopping.load()) {
    return refuse(std::move(connection), 503, "The server is shutting down; try another one.");
  }
  dispatch(std::move(connection));
}

void PollingServer::dispatch(Owned connection) {
  const int fd = connection->fd.get();
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  const std::string_view line =
      std::string_view(connection->buffer).substr(0, connection->buffer.find('\r'));
  WorkerPool& pool = site_.router.is_quick(line) ? quick_worker_ : workers_;
  {
    const std::lock_guard lock(mutex_);
    busy_.insert(fd);
  }
  // std::function wants a copyable task, hence the raw pointer; the task takes it over.
  Connection* raw = connection.get();
  bool taken = false;
  try {
    taken = pool.submit([this, raw] { serve_on_worker(Owned(raw)); });
  } catch (const std::bad_alloc&) {
    // As if there were no place.
  }
  if (taken) {
    [[maybe_unused]] Connection* const handed_over = connection.release();
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    busy_.erase(fd);
  }
  watch(fd, EPOLLIN | EPOLLRDHUP);
  refuse(std::move(connection), 503, "The server is busy with other requests; try again shortly.");
}

// Memory that runs out ends the connection, like everything that a request cannot be told.
void PollingServer::serve_on_worker(Owned connection) {
  AfterServe after = AfterServe::kClose;
  try {
    after = serve(*connection, site_);
  } catch (const std::bad_alloc&) {
    after = AfterServe::kClose;
  }
  connection->lingering = after == AfterServe::kLinger;
  if (after == AfterServe::kClose) {
    const std::lock_guard lock(mutex_);
    busy_.erase(connection->fd.get());
    connection.reset();
    return;
  }
  give_back(std::move(connection));
}

void PollingServer::give_back(Owned connection) {
  {
    const std::lock_guard lock(mutex_);
    busy_.erase(connection->fd.get());
    try {
      returned_.push_back(std::move(connection));
    } catch (const std::bad_alloc&) {
      connection.reset();
    }
  }
  wake();
}

void PollingServer::take_back() {
  std::vector<Owned> back;
  {
    const std::lock_guard lock(mutex_);
    back.swap(returned_);
  }
  for (Owned& connection : back) {
    const int fd = connection->fd.get();
    watch(fd, EPOLLIN | EPOLLRDHUP);
    if (connection->lingering) {
      linger(std::move(connection));
      continue;
    }
    connection->started = begins_request(connection->buffer);
    connection->deadline =
        Clock::now() + (connection->started ? site_.limits.head_deadline : site_.limits.keep_alive);
    connections_.emplace(fd, std::move(connection));
  }
}

void PollingServer::expire(Clock::time_point now) {
  std::vector<Owned> late;
  for (auto at = connections_.begin(); at != connections_.end();) {
    const Connection& connection = *at->second;
    const bool closing = site_.stopping.load() && !connection.lingering && !connection.started;
    if (connection.deadline > now && !closing) {
      ++at;
    } else if (connection.started && !connection.lingering) {
      late.push_back(std::move(at->second));
      at = connections_.erase(at);
    } else {
      at = connections_.erase(at);
    }
  }
  for (Owned& connection : late) {
    refuse(std::move(connection), 408, "The request head came too slowly; send it in one go.");
  }
}

void PollingServer::close_listeners() {
  for (Listener& listener : listeners_) listener.fd.reset();
}

ServerCounters PollingServer::counters() const {
  ServerCounters out;
  out.accepted = accepted_.load();
  out.refused = refused_.load();
  out.open = open_.load();
  const std::lock_guard lock(mutex_);
  out.busy = static_cast<int>(busy_.size());
  return out;
}

void PollingServer::stop_accepting() {
  site_.stopping.store(true);
  if (wake_.valid()) wake();
}

bool PollingServer::wait_idle(std::chrono::steady_clock::time_point deadline) {
  while (counters().busy > 0) {
    if (Clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

void PollingServer::stop() {
  stop_accepting();
  {
    const std::lock_guard lock(mutex_);
    for (const int fd : busy_) shutdown(fd, SHUT_RDWR);
  }
  workers_.stop();
  quick_worker_.stop();
  stop_polling_.store(true);
  if (wake_.valid()) wake();
  if (poll_thread_.joinable()) poll_thread_.join();
  returned_.clear();
  close_listeners();
}

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::create(ServerOptions options, Router router) {
  CHECK(options.error_body != nullptr);
  QUERN_ASSIGN_OR_RETURN(std::vector<Listener> listeners,
                         listen_on(options.host, options.port, options.limits.backlog));
  return std::unique_ptr<HttpServer>(
      std::make_unique<PollingServer>(std::move(options), std::move(router), std::move(listeners)));
}

}  // namespace quern::http
