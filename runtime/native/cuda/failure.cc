// The texts of failures.
#include "failure.h"

namespace warploom::cuda {

Failure Failure::of(Kind kind, const char *call, Code code, const std::string &about) {
  const Driver &table = driver();
  const std::string text = table.describe(call, code) + (about.empty() ? "" : "; " + about);
  Failure failure;
  failure.details = std::make_shared<Details>(Details{kind, text, call, table.nameOf(code), code});
  return failure;
}

Failure Failure::of(Kind kind, const std::string &text) {
  Failure failure;
  failure.details = std::make_shared<Details>(Details{kind, text, "", "", 0});
  return failure;
}

} // namespace warploom::cuda
