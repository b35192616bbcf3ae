// The Scheduler's dealings with pages: admission, growth, preemption, and what equal prompts share.
#include <algorithm>
#include <new>
#include <tuple>
#include <utility>

#include "config/base/check.h"
#include "engine/scheduler/scheduler.h"

namespace quern::engine {

// Each running sequence may take a page at any step. Keeping one spare for each avoids that an
// admission is undone by a preemption one step later.
int64_t Scheduler::pages_kept_for_growth() const {
  int64_t kept = 0;
  for (const SequenceId id : running_) {
    const Entry& found = entry(id);
    kept += found.pages.capacity() < found.max_positions ? 1 : 0;
  }
  return kept;
}

// Logits are wanted of the last token at least, so that one is always computed; when it ends a page
// that is known, the page is copied and only the token computed again.
Scheduler::Match Scheduler::match(const Entry& found) const {
  Match out;
  if (!reuses()) return out;
  const int64_t reusable = std::min(found.n_tokens() - 1, found.first_output);
  tree_.find(found.space, found.tokens,
             static_cast<size_t>(pages_for(reusable, budget_.page_tokens)), out.pages);
  const auto n_pages = static_cast<int64_t>(out.pages.size());
  out.n_tokens = std::min(n_pages * budget_.page_tokens, reusable);
  out.n_idle = std::count_if(out.pages.begin(), out.pages.end(),
                             [&](PageId page) { return pool_.reference_count(page) == 0; });
  return out;
}

std::optional<SequenceId> Scheduler::admit_next(StepPlan& plan) {
  if (n_running() >= budget_.max_running) return std::nullopt;
  const std::optional<SequenceId> id = queue_.next();
  if (!id) return std::nullopt;
  Entry& next = entry(*id);
  Match known = match(next);
  const int64_t room = pool_.n_free() + pool_.n_idle() - pages_kept_for_growth();
  const int64_t wanted = pages_for(next.n_tokens(), budget_.page_tokens);
  auto n_known = static_cast<int64_t>(known.pages.size());
  bool copies = known.n_tokens < n_known * budget_.page_tokens;
  if (copies && wanted - n_known + 1 > room - known.n_idle) {
    // Alone in the pool there might be no page to copy to.
    known.n_idle -= pool_.reference_count(known.pages.back()) == 0 ? 1 : 0;
    known.pages.pop_back();
    known.n_tokens = --n_known * budget_.page_tokens;
    copies = false;
  }
  if (wanted - n_known + (copies ? 1 : 0) > room - known.n_idle) return std::nullopt;

  next.pages.share_front(known.pages);
  tree_.touch(known.pages);
  next.n_computed = known.n_tokens;
  next.n_filed = n_known;
  if (next.n_cached < 0) next.n_cached = known.n_tokens;
  CHECK(free_pages(wanted - n_known + (copies ? 1 : 0)));
  CHECK(next.pages.grow(next.n_tokens()));
  if (copies) {
    const PageTable::Writable own = next.pages.make_writable(next.n_computed);
    CHECK(own.ok && own.copy);
    plan.copies.push_back(*own.copy);
    --next.n_filed;
  }
  queue_.pop(next.ticket);
  start_running(*id, next);
  return id;
}

// Makes n pages free by giving up unused ones of the tree.
bool Scheduler::free_pages(int64_t n) {
  while (pool_.n_free() < n) {
    if (!tree_.evict_one()) return false;
  }
  return true;
}

// Pages for all tokens of `wanting`, the next one to be written its own.
bool Scheduler::secure(Entry& wanting, StepPlan& plan) {
  const auto n_pages = static_cast<int64_t>(wanting.pages.pages().size());
  const int64_t missing = pages_for(wanting.n_tokens(), budget_.page_tokens) - n_pages;
  if (missing > 0 && (!free_pages(missing) || !wanting.pages.grow(wanting.n_tokens()))) {
    return false;
  }
  if (wanting.pages.writable(wanting.n_computed)) return true;
  if (!free_pages(1)) return false;
  const PageTable::Writable own = wanting.pages.make_writable(wanting.n_computed);
  CHECK(own.ok && own.copy);
  plan.copies.push_back(*own.copy);
  return true;
}

// Until `id` has its pages or has given up its own.
void Scheduler::make_room(SequenceId id, StepPlan& plan) {
  while (!secure(entry(id), plan)) {
    if (preempt_one(plan) == id) return;
  }
}

// For how many of `n_wanted` more positions there are pages that no sequence uses.
int64_t Scheduler::room_behind(Entry& found, int64_t n_wanted) {
  const auto n_pages = static_cast<int64_t>(found.pages.pages().size());
  const int64_t there = int64_t{pool_.n_free()} + pool_.n_idle();
  const int64_t missing = pages_for(found.n_tokens() + n_wanted, budget_.page_tokens) - n_pages;
  if (missing > 0 && free_pages(std::min(missing, there))) {
    found.pages.grow((n_pages + std::min(missing, there)) * budget_.page_tokens);
  }
  return std::min(n_wanted, found.pages.capacity() - found.n_tokens());
}

// By share. Shares have no page in common, so a page counts once, for whoever holds it.
std::map<ShareId, int64_t> Scheduler::pages_held() const {
  std::map<ShareId, int64_t> held;
  std::vector<bool> seen(static_cast<size_t>(pool_.n_pages()));
  for (const SequenceId id : running_) {
    const Entry& found = entry(id);
    int64_t& count = held[found.ticket.share];
    for (const PageId page : found.pages.pages()) {
      count += seen[static_cast<size_t>(page)] ? 0 : 1;
      seen[static_cast<size_t>(page)] = true;
    }
  }
  return held;
}

// The oldest is spared, so that it ends and the next oldest is spared after it: nobody's work is
// undone for ever. Of the others, one of the share that holds most: when all pages are taken, that
// is a share with its part or more. Within it the least urgent, then the newest.
SequenceId Scheduler::choose_victim() const {
  // Alone it would fit: add() refuses what outgrows the pool.
  CHECK(running_.size() > 1);
  const std::map<ShareId, int64_t> held = pages_held();
  const auto rank = [&](SequenceId id) {
    const WaitQueue::Ticket& ticket = entry(id).ticket;
    return std::tuple(held.at(ticket.share), ticket.share, ticket.priority, id);
  };
  return *std::max_element(running_.begin() + 1, running_.end(),
                           [&](SequenceId a, SequenceId b) { return rank(a) < rank(b); });
}

// Before anything is planned, so that nothing of the victim's is.
SequenceId Scheduler::preempt_one(StepPlan& plan) {
  CHECK(plan.sequences.empty());
  const SequenceId id = choose_victim();
  Entry& victim = entry(id);
  const auto pages = victim.pages.pages();
  std::erase_if(plan.copies, [&](const PageCopy& copy) {
    return std::find(pages.begin(), pages.end(), copy.to) != pages.end();
  });
  stop_running(id, victim);
  victim.state = State::kWaiting;
  queue_.push(victim.ticket);
  plan.preempted.push_back(id);
  return id;
}

void Scheduler::give_up_pages(Entry& found) {
  tree_.touch(found.pages.pages());
  found.pages.release();
  found.n_computed = 0;
  found.n_filed = 0;
  drop_surplus();
}

void Scheduler::drop_surplus() {
  while (pool_.n_idle() > budget_.max_idle_pages && tree_.evict_one()) {
  }
}

PageId Scheduler::parent_of(const Entry& found, int64_t index) const {
  return index == 0 ? PrefixTree::kRoot : found.pages.pages()[static_cast<size_t>(index - 1)];
}

// Offers full pages to the tree. Where an equal page is there already, it takes the place of this
// one: the bytes are the same.
void Scheduler::file_pages(SequenceId id, Entry& found) {
  if (!reuses()) return;
  const int64_t width = budget_.page_tokens;
  for (; (found.n_filed + 1) * width <= found.n_computed; ++found.n_filed) {
    const int64_t index = found.n_filed;
    const PageId parent = parent_of(found, index);
    if (parent != PrefixTree::kRoot && !tree_.contains(parent)) continue;
    const PageId own = found.pages.pages()[static_cast<size_t>(index)];
    const auto tokens =
        std::span<const TokenId>(found.tokens)
            .subspan(static_cast<size_t>(index * width), static_cast<size_t>(width));
    const PageId page = tree_.insert(found.space, parent, tokens, own, id);
    if (page != own) found.pages.replace(static_cast<size_t>(index), page);
  }
}

// Pages that somebody else has computed since this prompt was admitted.
void Scheduler::skip_known_pages(Entry& found) {
  if (!reuses()) return;
  const int64_t width = budget_.page_tokens;
  const int64_t reusable = std::min(found.n_tokens() - 1, found.first_output);
  while (found.n_computed % width == 0 && found.n_computed + width <= reusable) {
    const int64_t index = found.n_computed / width;
    const PageId parent = parent_of(found, index);
    if (parent != PrefixTree::kRoot && !tree_.contains(parent)) return;
    const auto tokens =
        std::span<const TokenId>(found.tokens)
            .subspan(static_cast<size_t>(found.n_computed), static_cast<size_t>(width));
    const auto known = tree_.child(found.space, parent, tokens);
    if (!known) return;
    found.pages.replace(static_cast<size_t>(index), *known);
    if (found.n_cached == found.n_computed) found.n_cached += width;
    found.n_computed += width;
    found.n_filed = index + 1;
  }
}

// Whether a prompt planned before it in this step will compute its next page, so that waiting saves
// the work.
bool Scheduler::computed_by_other(const Entry& found, const StepPlan& plan) const {
  if (!reuses() || found.n_computed % budget_.page_tokens != 0) return false;
  const int64_t begin = found.n_computed;
  const int64_t end = begin + budget_.page_tokens;
  if (end > std::min(found.n_tokens() - 1, found.first_output)) return false;
  const PageId parent = parent_of(found, begin / budget_.page_tokens);
  if (parent != PrefixTree::kRoot && !tree_.contains(parent)) return false;
  for (size_t i = static_cast<size_t>(plan.n_decodes); i < plan.sequences.size(); ++i) {
    const Entry& other = entry(plan.sequences[i].id);
    // One that is further has filed the page already, unless it is in the middle of it.
    if (&other == &found || other.space != found.space || other.n_computed < begin ||
        other.n_computed >= end || other.n_tokens() < end ||
        parent_of(other, begin / budget_.page_tokens) != parent) {
      continue;
    }
    const auto part = [&](const Entry& of) {
      return std::span<const TokenId>(of.tokens).subspan(static_cast<size_t>(begin),
                                                         static_cast<size_t>(budget_.page_tokens));
    };
    const auto mine = part(found);
    if (std::equal(mine.begin(), mine.end(), part(other).begin())) return true;
  }
  return false;
}

std::vector<PageId> Scheduler::known_pages(PromptSpace space, std::span<const TokenId> tokens,
                                           size_t max_pages) const {
  std::vector<PageId> out;
  if (reuses()) tree_.find(space, tokens, max_pages, out);
  return out;
}

std::vector<Scheduler::Adopted> Scheduler::adopt(PromptSpace space, std::span<const TokenId> tokens,
                                                 size_t first, size_t n) {
  constexpr uint64_t kNobody = 0;
  std::vector<Adopted> out;
  std::vector<PageId> path = known_pages(space, tokens, first + n);
  if (!reuses() || path.size() < first) return out;
  path.reserve(first + n);
  out.reserve(n);
  // In use for now, so that making room for one does not take another.
  for (const PageId page : path) pool_.add_reference(page);
  const auto width = static_cast<size_t>(budget_.page_tokens);
  for (size_t index = path.size(); index < first + n && free_pages(1); ++index) {
    const PageId own = *pool_.take();
    PageId page = own;
    try {
      page = tree_.insert(space, index == 0 ? PrefixTree::kRoot : path.back(),
                          tokens.subspan(index * width, width), own, kNobody);
    } catch (const std::bad_alloc&) {
      pool_.release(own);
      break;
    }
    CHECK(page == own);
    path.push_back(page);
    out.push_back({index, page});
  }
  tree_.touch(path);
  for (const PageId page : path) pool_.release(page);
  drop_surplus();
  std::erase_if(out, [&](const Adopted& one) { return !tree_.contains(one.page); });
  return out;
}

void Scheduler::distrust(SequenceId id) {
  for (const PageId page : entry(id).pages.pages()) {
    if (!tree_.contains(page) || tree_.creator(page) != id) continue;
    tree_.forget(page);
    return;  // with all below it
  }
}

}  // namespace quern::engine
