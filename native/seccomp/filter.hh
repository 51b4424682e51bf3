// A job's filter of system calls, from rules to the program that the kernel takes. Needs no privilege, so it
// stands apart from native/credentials, and only this addon needs libseccomp. Compiled before any fork: neither
// libseccomp nor an allocation belongs into the child, which gets finished instructions. Nothing here throws.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace jacamar {

/// The first `arguments` arguments of a call must each be `id`, or -1, with which set*id calls say "unchanged".
struct IdLimit {
  std::string call;
  std::uint32_t arguments, id;
};

/// A call is refused when this argument, of which the kernel reads the lower half only, has this value.
struct Refusal {
  std::string call;
  std::uint32_t argument, value;
};

/// A name that other architectures have and this one lacks is no rule here, and no mistake.
struct FilterRules {
  bool only_allowed = false;         // refuse every call but
  std::vector<std::string> allowed;  // these; without only_allowed they are not looked at
  std::vector<std::string> blocked;
  std::vector<std::string> absent;  // answered as by a kernel without the call
  std::vector<Refusal> refusals;
  std::vector<IdLimit> limits;
  std::uint16_t error = 0;  // of a refused call, at most 4094; 0: its process is killed
  bool log_allowed = false;
};

/// The call that failed and its errno.
struct FilterFailure {
  const char* call;
  int error;
};

using FilterProgram = std::vector<sock_filter>;

/// The whole filter. Calls of a foreign kind (x32, i386) end their process, whatever the rules say.
[[nodiscard]] std::variant<FilterProgram, FilterFailure> compile_filter(const FilterRules& rules) noexcept;

/// Whether libseccomp knows a call of that name, on whichever architecture.
[[nodiscard]] bool knows_call(const std::string& name) noexcept;
/// Names of this architecture's calls, for messages.
[[nodiscard]] std::vector<std::string> call_names() noexcept;

}  // namespace jacamar
