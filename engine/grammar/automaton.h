// The compiled form of a grammar: nodes over bytes with calls, returns and counted loops.
//
// A push-down automaton: whoever runs it keeps a stack of return nodes and loop counts (see
// state_table.h). Immutable after compile(). Rules in tail position are jumps, so right recursion
// does not grow the stack; repetitions with large counts are loops with a counter on the stack, so
// {0,2000} costs as many nodes as {0,2}.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "config/base/result.h"
#include "engine/grammar/grammar.h"

namespace quern::grammar {

using NodeId = uint32_t;

enum class NodeKind : uint8_t {
  kBytes,      // consumes one byte along one of its edges
  kSplit,      // goes to all of its targets
  kCall,       // pushes `target`, goes to `first`
  kReturn,     // pops; with an empty stack the text is complete
  kLoopEnter,  // begins the counted loop `first`
  kLoopBack,   // an iteration of the counted loop `first` is over
};

struct Edge {
  uint8_t low;
  uint8_t high;
  NodeId target;
};

struct Node {
  NodeKind kind;
  uint32_t first = 0;        // kBytes: in edges; kSplit: in targets; kCall: callee; loops: id
  uint32_t count = 0;        // of edges or targets
  NodeId target = kNone;     // kCall: where to return; kBytes of a class: node after the character
  ClassId class_id = kNone;  // kBytes: the node that begins a character of this class
};

// Runs `body` between min and max times, then `next`. `back` is the node at the end of the body.
struct Loop {
  uint32_t min;
  uint32_t max;  // or kUnbounded
  NodeId body;
  NodeId next;
  NodeId back;
};

struct Automaton {
  std::vector<Node> nodes;
  std::vector<Edge> edges;
  std::vector<NodeId> targets;
  std::vector<Loop> loops;
  std::vector<CharSet> classes;
  NodeId start = 0;
  // Bytes that no edge tells apart share a number below n_byte_classes.
  std::array<uint8_t, 256> byte_class{};
  uint32_t n_byte_classes = 0;
  Limits limits;

  size_t bytes() const;  // of memory, about
};

// Errors (kInvalidInput): whatever analyze() refuses, and limits. Precondition: as analyze().
Result<Automaton> compile(const Grammar& grammar);

}  // namespace quern::grammar
