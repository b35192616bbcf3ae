#include "server/cli/interrupt.h"

#include <csignal>

namespace quern::cli {
namespace {

// A signal handler reaches nothing else.
std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void on_signal(int /*signal*/) { interrupted.store(true, std::memory_order_relaxed); }

void install(void (*handler)(int), int flags) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM}) sigaction(signal, &action, nullptr);
}

}  // namespace

Interrupt::Interrupt() {
  interrupted.store(false, std::memory_order_relaxed);
  install(on_signal, static_cast<int>(SA_RESETHAND | SA_RESTART));
}

Interrupt::~Interrupt() { install(SIG_DFL, 0); }

const std::atomic<bool>& Interrupt::flag() const { return interrupted; }

}  // namespace quern::cli
