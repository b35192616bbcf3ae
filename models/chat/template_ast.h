// The syntax tree of a chat template.
//
// One node type for expressions and one for statements keep the tree plain data. Invariant: the
// parser bounds the depth of both, so evaluation and destruction may recurse.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "models/chat/template_value.h"

namespace quern::chat {

struct FilterRow;
struct TestRow;
struct Expr;
struct Stmt;
using ExprPtr = std::unique_ptr<Expr>;
using StmtPtr = std::unique_ptr<Stmt>;
using Block = std::vector<StmtPtr>;

enum class ExprKind {
  kConstant,
  kName,          // symbol
  kTuple,         // children
  kList,          // children
  kDict,          // children: key, value, key, value...
  kAttribute,     // children[0] . name
  kItem,          // children[0] [ children[1] ]
  kSlice,         // children[0] [ children[1] : children[2] : children[3] ], parts may be null
  kCall,          // children[0] ( arguments )
  kFilter,        // children[0] | name ( arguments )
  kTest,          // children[0] is name ( arguments )
  kNot,           // children[0]
  kNegate,        // children[0]
  kPlus,          // children[0]
  kAnd,           // children[0], children[1]
  kOr,            // children[0], children[1]
  kBinary,        // children[0] op children[1]
  kConcat,        // children joined by ~
  kCompare,       // children[0] ops[0] children[1] ops[1] children[2]...
  kConditional,   // children[0] if children[1] else children[2] (may be null)
  kNamespaceRef,  // assignment target: symbol . name
};

enum class Op {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};

// Arguments of a call, filter or test as written.
struct ArgumentList {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star;         // *expression
  ExprPtr double_star;  // **expression
};

struct Expr {
  ExprKind kind = ExprKind::kConstant;
  Op op = Op::kAdd;
  int line = 0;
  int depth = 1;
  int symbol = -1;
  std::string name;
  Value constant;
  std::vector<ExprPtr> children;
  std::vector<Op> ops;
  std::unique_ptr<ArgumentList> arguments;
  const FilterRow* filter = nullptr;  // null: unknown, an error if it is evaluated
  const TestRow* test = nullptr;
};

enum class StmtKind {
  kText,         // text
  kOutput,       // values
  kIf,           // values: conditions; branches: one body each, and one more for else
  kFor,          // target in values[0] if values[1] (may be null); branches: body, else
  kSet,          // target = values[0]
  kSetBlock,     // target = rendered branches[0], through filters values[0] if not null
  kMacro,        // macro
  kCallBlock,    // values[0] is the call; macro is the caller
  kFilterBlock,  // branches[0] through values[0]
  kWith,         // targets of `values` in pairs (target, value); branches[0]
  kScope,        // branches[0] in a scope of its own
  kBreak,
  kContinue,
};

struct MacroParts {
  std::string name;
  int symbol = -1;
  std::vector<std::pair<std::string, int>> parameters;  // name and symbol
  std::vector<ExprPtr> defaults;                        // of the last parameters
  Block body;
  bool uses_caller = false;
  bool uses_varargs = false;
  bool uses_kwargs = false;
};

struct Stmt {
  StmtKind kind = StmtKind::kText;
  int line = 0;
  std::string text;
  ExprPtr target;
  std::vector<ExprPtr> values;
  std::vector<Block> branches;
  std::unique_ptr<MacroParts> macro;
};

// Symbols that every template has. The first stands for the rendered block in a filter chain; no
// source can name it.
inline constexpr int kBlockInputSymbol = 0;
inline constexpr int kLoopSymbol = 1;
inline constexpr int kCallerSymbol = 2;
inline constexpr int kVarargsSymbol = 3;
inline constexpr int kKwargsSymbol = 4;

struct TemplateTree {
  Block body;
  std::vector<std::string> symbols;  // names of variables; index = symbol
  std::unordered_map<std::string, int> symbol_numbers;
};

}  // namespace quern::chat
