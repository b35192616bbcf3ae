// See server_process.h.
#include "server_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <thread>

#include "tests/server/support/raw_client.h"

namespace quern::testing {

using Clock = std::chrono::steady_clock;

ServerProcess::ServerProcess(const std::vector<std::string>& options, const std::string& log) {
  std::vector<std::string> texts = {QUERN_BINARY, "serve", "--port", "0", "--host", "127.0.0.1"};
  texts.insert(texts.end(), options.begin(), options.end());
  std::vector<char*> argv;
  for (std::string& text : texts) argv.push_back(text.data());
  argv.push_back(nullptr);
  std::string config = "QUERN_CONFIG_DIR=/nonexistent";
  // A sanitizer's options hold for the server too.
  const char* sanitizer = std::getenv("TSAN_OPTIONS");
  std::string tsan = std::string("TSAN_OPTIONS=") + (sanitizer == nullptr ? "" : sanitizer);
  char* envp[] = {config.data(), tsan.data(), nullptr};
  int out[2];
  if (pipe2(out, O_CLOEXEC) != 0) return;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (posix_spawn(&pid_, QUERN_BINARY, &actions, nullptr, argv.data(), envp) != 0) pid_ = 0;
  posix_spawn_file_actions_destroy(&actions);
  ::close(out[1]);
  out_ = out[0];
  read_port();
}

ServerProcess::~ServerProcess() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  if (out_ >= 0) ::close(out_);
}

void ServerProcess::signal(int number) const { ::kill(pid_, number); }

int ServerProcess::wait(std::chrono::milliseconds timeout) {
  for (const auto end = Clock::now() + timeout; Clock::now() < end;) {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = 0;
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return -1;
}

Json ServerProcess::ask(const std::string& prompt) const {
  const Json body = {{"prompt", prompt}, {"seed", 3}, {"max_tokens", 12}};
  const tests::RawResponse response = tests::post_json(port_, "/v1/completions", body.dump());
  auto parsed = parse_json(response.body);
  EXPECT_EQ(response.status, 200) << response.body;
  return parsed.ok() ? std::move(*parsed) : Json();
}

Json ServerProcess::metrics(const std::string& name) const {
  const std::string text = tests::get(port_, "/metrics").body;
  const size_t at = text.find("\n" + name + "{");
  if (at == std::string::npos) return nullptr;
  const size_t begin = text.find(' ', at + 1) + 1;
  auto parsed = parse_json(text.substr(begin, text.find('\n', begin) - begin));
  return parsed.ok() ? *parsed : Json();
}

void ServerProcess::read_port() {
  char c = 0;
  while (::read(out_, &c, 1) == 1) {
    summary_.push_back(c);
    const size_t at = summary_.find("127.0.0.1:");
    if (c != '\n' || at == std::string::npos) continue;
    std::from_chars(summary_.data() + at + 10, summary_.data() + summary_.size(), port_);
    return;
  }
}

}  // namespace quern::testing
