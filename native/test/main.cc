// Runs every registered test and prints the result in TAP. Must be root: real drops are the subject.

#include <unistd.h>

#include <cstdio>
#include <vector>

#include "check.hh"

namespace {

std::vector<test::Test>& tests() {
  static std::vector<test::Test> list;
  return list;
}
int failures = 0;

}  // namespace

namespace test {

Test::Test(const char* its_title, void (*its_body)()) : title(its_title), body(its_body) { tests().push_back(*this); }

void expect(bool holds, std::string_view what, const char* file, int line) {
  if (holds) return;
  ++failures;
  std::printf("# %s:%d: does not hold: %.*s\n", file, line, static_cast<int>(what.size()), what.data());
}

bool clean() { return failures == 0; }

void expect_equal(std::string_view actual, std::string_view expected, const char* file, int line) {
  if (actual == expected) return;
  expect(false, "got \"" + std::string(actual) + "\" in place of \"" + std::string(expected) + "\"", file, line);
}

}  // namespace test

int main() {
  if (geteuid() != 0) {
    std::puts("Bail out! These tests drop privilege, so they need root.");
    return 1;
  }
  int failed = 0;
  int number = 0;
  for (const auto& test : tests()) {
    failures = 0;
    test.body();
    if (failures != 0) ++failed;
    std::printf("%sok %d - %s\n", failures == 0 ? "" : "not ", ++number, test.title);
    std::fflush(stdout);
  }
  std::printf("1..%d\n", number);
  return failed == 0 ? 0 : 1;
}
