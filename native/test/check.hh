// A test program small enough to read: tests register themselves, a failed expectation is counted and
// printed with its place, the exit status tells. No framework, as nothing may be downloaded.
#pragma once

#include <string>
#include <string_view>

namespace test {

struct Test {
  Test(const char* title, void (*body)());
  const char* title;
  void (*body)();
};

void expect(bool holds, std::string_view what, const char* file, int line);
/// No expectation of the running test has failed in this process.
[[nodiscard]] bool clean();
void expect_equal(std::string_view actual, std::string_view expected, const char* file, int line);

}  // namespace test

// Macros only here, for __FILE__ and __LINE__ of the caller.
#define EXPECT(condition) test::expect((condition), #condition, __FILE__, __LINE__)
#define EXPECT_EQUAL(actual, expected) test::expect_equal((actual), (expected), __FILE__, __LINE__)
