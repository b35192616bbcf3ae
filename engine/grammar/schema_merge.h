// Schemas that must hold together become one: allOf, $ref beside other keywords.
//
// Works on JSON, not on grammar. Owns the schemas it makes; equal ones are made once, so that
// recursion through merged schemas ends. Refuses by name what cannot be joined exactly.
#pragma once

#include <deque>
#include <map>
#include <string>

#include "config/base/result.h"
#include "engine/grammar/budget.h"
#include "engine/grammar/schema_keywords.h"

namespace quern::grammar {

class SchemaMerger {
 public:
  // Both must outlive it.
  SchemaMerger(const Json& root, Budget& budget) : root_(root), budget_(budget) {}

  // Where a local reference points. Errors: remote, dangling.
  Result<SchemaRef> resolve(const SchemaRef& at, const Json& reference) const;

  // The schema without $ref and allOf; itself when it has neither.
  Result<SchemaRef> flatten(const SchemaRef& at);

  // One schema that holds where all of them do; its allOf is not merged yet.
  SchemaRef all_of(const std::vector<const Json*>& parts, const std::string& path);

  // A schema of one's own making. Equal ones share an address.
  SchemaRef keep(Json schema, const std::string& path);

 private:
  Status merge_into(Json& all, const SchemaRef& part, const Json& own);
  Status merge_keyword(Json& all, const SchemaRef& part, const std::string& name,
                       const Json& value);
  Status merge_objects(Json& all, const SchemaRef& part, const Json& own);
  Status merge_choices(Json& all, const SchemaRef& part, const std::string& name,
                       const Json& value);

  const Json& root_;
  Budget& budget_;
  std::deque<Json> made_;
  std::map<std::string, const Json*> by_text_;
};

}  // namespace quern::grammar
