// Names, block lists and foreign architectures are libseccomp's work. What its rules cannot say (an argument that
// must be one of two values) stands in instructions of our own in front of its program.

#include "filter.hh"

#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <optional>

#include "../support/owned_descriptor.hh"

namespace jacamar {
namespace {

using Outcome = std::optional<FilterFailure>;
using Context = std::unique_ptr<void, decltype(&seccomp_release)>;

constexpr std::uint32_t unchanged = UINT32_MAX;
constexpr int highest_call = 1024;  // the kernel's tables end near 500

/// Kill, not stop one thread: what is left of a process without one of its threads hangs and holds its locks.
[[nodiscard]] std::uint32_t refusal_of(const FilterRules& rules) noexcept {
  return rules.error == 0 ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(rules.error);
}

[[nodiscard]] std::uint32_t permission_of(const FilterRules& rules) noexcept {
  return rules.log_allowed ? SCMP_ACT_LOG : SCMP_ACT_ALLOW;
}

/// A negative number stands for a call that this architecture lacks.
[[nodiscard]] int number_of(const std::string& name) noexcept { return seccomp_syscall_resolve_name(name.c_str()); }

[[nodiscard]] Outcome add(const Context& filter, std::uint32_t action, const std::string& name,
                          const scmp_arg_cmp* condition = nullptr) noexcept {
  const int number = number_of(name);
  if (number == __NR_SCMP_ERROR) return FilterFailure{"seccomp_syscall_resolve_name", ENOENT};
  if (number < 0) return std::nullopt;
  const int error = seccomp_rule_add_array(filter.get(), action, number, condition == nullptr ? 0 : 1, condition);
  if (error != 0) return FilterFailure{"seccomp_rule_add_array", -error};
  return std::nullopt;
}

[[nodiscard]] Outcome add_all(const Context& filter, std::uint32_t action,
                              const std::vector<std::string>& names) noexcept {
  for (const auto& name : names) {
    if (auto failure = add(filter, action, name)) return failure;
  }
  return std::nullopt;
}

[[nodiscard]] Outcome add_rules(const Context& filter, const FilterRules& rules) noexcept {
  if (rules.only_allowed) return add_all(filter, permission_of(rules), rules.allowed);
  if (auto failure = add_all(filter, refusal_of(rules), rules.blocked)) return failure;
  if (auto failure = add_all(filter, SCMP_ACT_ERRNO(ENOSYS), rules.absent)) return failure;
  for (const auto& refusal : rules.refusals) {
    // Masked, because 32 bits on top of the value are nothing to the kernel (CVE-2019-7303 was such a comparison).
    const scmp_arg_cmp equal{refusal.argument, SCMP_CMP_MASKED_EQ, UINT32_MAX, refusal.value};
    if (auto failure = add(filter, refusal_of(rules), refusal.call, &equal)) return failure;
  }
  return std::nullopt;
}

/// libseccomp writes to a descriptor only (into memory since 2.6).
[[nodiscard]] std::variant<FilterProgram, FilterFailure> exported(const Context& filter) noexcept {
  const Descriptor memory(memfd_create("jacamar-filter", MFD_CLOEXEC));
  if (memory.get() < 0) return FilterFailure{"memfd_create", errno};
  const int error = seccomp_export_bpf(filter.get(), memory.get());
  if (error != 0) return FilterFailure{"seccomp_export_bpf", -error};
  const off_t bytes = lseek(memory.get(), 0, SEEK_END);
  if (bytes < 0) return FilterFailure{"lseek", errno};
  FilterProgram program(static_cast<std::size_t>(bytes) / sizeof(sock_filter));
  if (pread(memory.get(), program.data(), static_cast<std::size_t>(bytes), 0) != bytes)
    return FilterFailure{"pread", EIO};
  return program;
}

[[nodiscard]] std::uint32_t offset_of_lower_half(std::uint32_t argument) noexcept {
  constexpr std::uint32_t within = std::endian::native == std::endian::little ? 0 : 4;
  return static_cast<std::uint32_t>(offsetof(seccomp_data, args)) + argument * 8 + within;
}

void append_limit(FilterProgram& program, const IdLimit& limit, std::uint32_t refusal) noexcept {
  const auto number = static_cast<std::uint32_t>(number_of(limit.call));
  const auto past_all = static_cast<std::uint8_t>(limit.arguments * 4);
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, past_all));
  for (std::uint32_t argument = 0; argument < limit.arguments; ++argument) {
    program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset_of_lower_half(argument)));
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, limit.id, 2, 0));
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, unchanged, 1, 0));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, refusal));
  }
}

/// Refuses or falls through. Numbers mean something for the native architecture only; to the others libseccomp's
/// program has the answer, and to x32, whose numbers have a bit of their own, as well.
[[nodiscard]] std::variant<FilterProgram, FilterFailure> preface(const FilterRules& rules) noexcept {
  FilterProgram checks;
  for (const auto& limit : rules.limits) {
    const int number = number_of(limit.call);
    if (number == __NR_SCMP_ERROR) return FilterFailure{"seccomp_syscall_resolve_name", ENOENT};
    if (limit.arguments > 6) return FilterFailure{"compile_filter", EINVAL};
    if (number >= 0) append_limit(checks, limit, refusal_of(rules));
  }
  if (checks.empty()) return checks;
  FilterProgram program{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, seccomp_arch_native(), 1, 0),
      BPF_STMT(BPF_JMP | BPF_JA, static_cast<std::uint32_t>(checks.size())),
  };
  program.insert(program.end(), checks.begin(), checks.end());
  return program;
}

}  // namespace

std::variant<FilterProgram, FilterFailure> compile_filter(const FilterRules& rules) noexcept {
  const std::uint32_t otherwise = rules.only_allowed ? refusal_of(rules) : permission_of(rules);
  const Context filter(seccomp_init(otherwise), seccomp_release);
  if (!filter) return FilterFailure{"seccomp_init", EINVAL};
  const int error = seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  if (error != 0) return FilterFailure{"seccomp_attr_set", -error};
  if (auto failure = add_rules(filter, rules)) return *failure;
  auto program = preface(rules);
  auto rest = exported(filter);
  if (std::holds_alternative<FilterFailure>(program)) return program;
  if (std::holds_alternative<FilterFailure>(rest)) return rest;
  auto& whole = *std::get_if<FilterProgram>(&program);
  const auto& end = *std::get_if<FilterProgram>(&rest);
  whole.insert(whole.end(), end.begin(), end.end());
  if (whole.size() > BPF_MAXINSNS) return FilterFailure{"compile_filter", E2BIG};
  return program;
}

bool knows_call(const std::string& name) noexcept { return number_of(name) != __NR_SCMP_ERROR; }

std::vector<std::string> call_names() noexcept {
  std::vector<std::string> names;
  for (int number = 0; number < highest_call; ++number) {
    const std::unique_ptr<char, decltype(&std::free)> name(seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number),
                                                           std::free);
    if (name) names.emplace_back(name.get());
  }
  return names;
}

}  // namespace jacamar
