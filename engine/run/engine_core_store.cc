// The EngineCore's dealings with the disk: prompts that are read before they are computed, and
// computed ones that are written. It never waits: reads are asked for and taken when they are
// there, writes are handed over a little per step.
#include <algorithm>
#include <new>
#include <utility>

#include "config/base/check.h"
#include "engine/run/engine_core.h"

namespace quern::engine {
namespace {

// Prompts that may wait to be written; later ones are not written.
constexpr size_t kMaxSaving = 16;

}  // namespace

// False: nothing is on disk that is not in memory, or the disk has enough to do.
bool EngineCore::start_loading(Submission& group) {
  if (store_ == nullptr || group.page_names.empty()) return false;
  const Request& request = group.sequence->request();
  // All logits of such a prompt are wanted, so it is computed anyway.
  if (request.prompt_logprobs) return false;
  try {
    const std::vector<Digest>& names = group.page_names;
    const size_t known =
        scheduler_.known_pages(space_of(request), request.prompt, names.size()).size();
    size_t end = known;
    while (end < names.size() && store_->contains(names[end])) ++end;
    if (end == known) return false;
    const uint64_t ticket = ++last_ticket_;
    Loading& loading = loading_[ticket];
    const auto begin = names.begin() + static_cast<std::ptrdiff_t>(known);
    const bool asked =
        store_->load(ticket, {begin, names.begin() + static_cast<std::ptrdiff_t>(end)});
    if (!asked) {
      loading_.erase(ticket);
      return false;
    }
    loading.first_page = known;
    loading.group = std::move(group);
    return true;
  } catch (const std::bad_alloc&) {
    // Without the disk, then.
    std::erase_if(loading_, [](const auto& item) { return !item.second.group.sequence; });
    return false;
  }
}

void EngineCore::take_loaded() {
  for (const StoreWorker::Loaded& loaded : store_->take_loaded()) {
    auto found = loading_.find(loaded.ticket);
    if (found == loading_.end()) continue;
    Loading loading = std::move(found->second);
    loading_.erase(found);
    const Request& request = loading.group.sequence->request();
    try {
      const auto adopted = scheduler_.adopt(space_of(request), request.prompt, loading.first_page,
                                            loaded.pages.size());
      for (const auto& [index, page] : adopted) {
        runner_->write_page(page, loaded.pages[index - loading.first_page]);
      }
      counters_.restored_pages += adopted.size();
    } catch (const std::bad_alloc&) {
      // It is computed instead.
    }
    accept_group(std::move(loading.group));
  }
}

int32_t EngineCore::n_loading() const {
  size_t n = 0;
  for (const auto& [ticket, loading] : loading_) n += 1 + loading.group.siblings.size();
  return static_cast<int32_t>(n);
}

// Cancelled, or failed with `error`.
void EngineCore::end_unstarted(const Submission& one, const std::optional<Error>& error) {
  ++(error ? counters_.failed : counters_.cancelled);
  try {
    Event event =
        one.sequence->finished(FinishReason::kCancelled, std::chrono::steady_clock::now());
    if (error) {
      event = Event();
      event.kind = Event::Kind::kFailed;
      event.error = error;
    }
    one.events->push(std::move(event));
  } catch (const std::bad_alloc&) {
    one.events->fail_out_of_memory();
  }
}

void EngineCore::sweep_loading(TimePoint time) {
  const auto is_over = [&](const Submission& one) {
    const auto& deadline = one.sequence->request().deadline;
    if (one.events->cancelled()) {
      end_unstarted(one, std::nullopt);
    } else if (deadline && time >= *deadline) {
      end_unstarted(one, too_late());
    } else {
      return false;
    }
    return true;
  };
  for (auto it = loading_.begin(); it != loading_.end();) {
    Submission& group = it->second.group;
    std::erase_if(group.siblings, is_over);
    if (!is_over(group)) {
      ++it;
      continue;
    }
    if (group.siblings.empty()) {
      it = loading_.erase(it);
      continue;
    }
    // Another one leads.
    Submission next = std::move(group.siblings.front());
    group.siblings.erase(group.siblings.begin());
    next.siblings = std::move(group.siblings);
    next.page_names = std::move(group.page_names);
    group = std::move(next);
    ++it;
  }
}

// Its prompt is computed; what of it is new goes to the disk.
void EngineCore::note_prompt(const Live& live) {
  if (store_ == nullptr || live.page_names.empty() || saving_.size() >= kMaxSaving) return;
  const bool stored = std::all_of(live.page_names.begin(), live.page_names.end(),
                                  [&](const Digest& name) { return store_->contains(name); });
  if (stored) return;
  const Request& request = live.sequence->request();
  saving_.push_back({space_of(request), request.prompt, live.page_names, 0});
}

// Pages are looked up anew each time: those that have been given up meanwhile, or are not trusted,
// are not there. False when the disk's queue is full or nothing is left.
bool EngineCore::save_some(uint64_t bytes) {
  while (!saving_.empty() && bytes > 0) {
    Saving& job = saving_.front();
    const auto pages = scheduler_.known_pages(job.space, job.tokens, job.names.size());
    for (; job.next < pages.size() && bytes > 0; ++job.next) {
      if (store_->contains(job.names[job.next])) continue;
      if (!store_->can_save()) return false;
      std::vector<std::byte> copy(runner_->page_bytes());
      runner_->read_page(pages[job.next], copy);
      bytes -= std::min<uint64_t>(bytes, copy.size());
      store_->save(job.names[job.next], std::move(copy));
    }
    if (job.next >= pages.size()) saving_.pop_front();
  }
  return !saving_.empty();
}

void EngineCore::save_all() {
  if (store_ == nullptr) return;
  try {
    while (save_some(UINT64_MAX)) {
    }
  } catch (const std::bad_alloc&) {
    // Less is kept.
  }
}

}  // namespace quern::engine
