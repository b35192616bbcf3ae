#include "process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>

namespace quern::testing {
namespace {

std::string config_directory() {
  return (std::filesystem::temp_directory_path() / ("quern-cli-" + std::to_string(getpid())))
      .string();
}

// Reads both pipes until both are closed.
void collect(int out, int err, Outcome& outcome) {
  std::array<pollfd, 2> fds = {pollfd{out, POLLIN, 0}, pollfd{err, POLLIN, 0}};
  int open = 2;
  while (open > 0) {
    if (poll(fds.data(), fds.size(), -1) < 0) break;
    for (size_t i = 0; i < fds.size(); ++i) {
      if (fds[i].fd < 0 || fds[i].revents == 0) continue;
      std::array<char, 4096> buffer{};
      const ssize_t n = read(fds[i].fd, buffer.data(), buffer.size());
      if (n <= 0) {
        fds[i].fd = -1;
        --open;
        continue;
      }
      (i == 0 ? outcome.out : outcome.err).append(buffer.data(), static_cast<size_t>(n));
    }
  }
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (std::string& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

Outcome run_program(const std::string& program, const std::vector<std::string>& arguments,
                    const std::string& input, const std::vector<std::string>& variables) {
  int in[2];
  int out[2];
  int err[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) {
    return {};
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);

  std::vector<std::string> argument_texts = {program};
  argument_texts.insert(argument_texts.end(), arguments.begin(), arguments.end());
  std::vector<std::string> environment = {"QUERN_CONFIG_DIR=" + config_directory(),
                                          "PATH=/usr/bin:/bin"};
  environment.insert(environment.end(), variables.begin(), variables.end());
  std::vector<char*> argv = pointers(argument_texts);
  std::vector<char*> envp = pointers(environment);

  Outcome outcome;
  pid_t child = 0;
  const int spawned =
      posix_spawn(&child, program.c_str(), &actions, nullptr, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  for (const int fd : {in[0], out[1], err[1]}) close(fd);
  if (spawned == 0) {
    // Inputs of these tests are shorter than a pipe's buffer, so that this cannot block.
    if (write(in[1], input.data(), input.size()) < 0) outcome.err = "write failed";
    close(in[1]);
    collect(out[0], err[0], outcome);
    int status = 0;
    waitpid(child, &status, 0);
    outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  } else {
    close(in[1]);
  }
  close(out[0]);
  close(err[0]);
  return outcome;
}

}  // namespace

Outcome run_quern(const std::vector<std::string>& arguments, const std::string& input,
                  const std::vector<std::string>& variables) {
  return run_program(QUERN_BINARY, arguments, input, variables);
}

Outcome run_script(const std::string& script, const std::vector<std::string>& variables) {
  std::vector<std::string> all = variables;
  all.push_back(std::string("QUERN=") + QUERN_BINARY);
  return run_program("/bin/sh", {"-c", script}, "", all);
}

}  // namespace quern::testing
