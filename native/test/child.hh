// Launches a shell by a plan and collects what it prints.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "../credentials/credentials.hh"

namespace test {

constexpr uid_t account = 61234;  // numeric only: no such entry exists, none is needed

struct Ended {
  jacamar::Result<pid_t> launched;
  std::string output;
  int exit_code;  // -1: by signal
  int signal;
};

/// /bin/sh -c `script` as `account` with groups {61234, 61235}, all streams usable.
[[nodiscard]] jacamar::Plan shell_plan(std::string_view script);
/// Runs to the end; stdout of the plan is replaced by a pipe and collected.
[[nodiscard]] Ended run(jacamar::Plan plan);
/// The output of a script that is expected to end well.
[[nodiscard]] std::string output_of(std::string_view script);
/// Runs `body` in a child process, for what would spoil this one. True if it returned true.
[[nodiscard]] bool in_child(const std::function<bool()>& body);
[[nodiscard]] bool failed_at(const Ended& ended, jacamar::Step step, int error);
[[nodiscard]] std::string read_all(int descriptor);

}  // namespace test
