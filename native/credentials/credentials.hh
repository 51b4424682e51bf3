// The whole privileged interface. Ids of a process change behind this header and nowhere else, and
// only in a freshly forked child: capset(2) and raw set*id calls act on one thread, and Node has ten.
// Nothing here throws. A failure is the step that failed and its errno.
#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace jacamar {

/// In the order in which a launch takes them; then those of the other functions.
// clang-format off
enum class Step : std::uint32_t {
  plan, fork, session, signals, streams, descriptors, core_limit, keep, groups, gid, uid, keyring, ambient,
  capabilities,
  proof_ids, proof_groups, proof_capabilities, regain_uid, regain_gid, regain_groups,
  directory, privileges, death_signal, parent, filter, program, report, passwd, group_list, group, dump, syslog, last,
};
// clang-format on

struct Failure {
  Step step;
  int error;
};
struct StepText {
  const char* step;
  const char* call;
};
[[nodiscard]] StepText text_of(Step step) noexcept;

template <typename Value>
using Result = std::variant<Value, Failure>;
using Outcome = std::optional<Failure>;

struct Account {
  std::string name, home, shell;
  uid_t uid;
  gid_t gid;
  std::vector<gid_t> groups;
};
/// Passwd entry and complete group list; nullopt only if the name service says there is no such
/// name. Any thread; may take as long as NSS does.
[[nodiscard]] Result<std::optional<Account>> look_up_account(const std::string& name) noexcept;

/// The number of a group, in the same way.
[[nodiscard]] Result<std::optional<gid_t>> look_up_group(const std::string& name) noexcept;

struct Credentials {
  uid_t uid;
  gid_t gid;
  std::vector<gid_t> groups;
};
/// What must hold of credentials before the fork and again after the drop: no root, no "unchanged".
[[nodiscard]] bool acceptable(const Credentials& credentials) noexcept;
/// The one capability that can outlive a drop, and only until exec: without it, the kernel takes a filter
/// from nobody who has not given up new privileges.
enum class Rights : std::uint8_t { nothing, for_filter };
/// Groups, gid, uid, then every capability set; then the proof. Child only; async-signal-safe.
/// `groups` are sorted, `scratch` has room for one more. A failure leaves a state fit for _exit only.
[[nodiscard]] Outcome drop(const Credentials& credentials, std::vector<gid_t>& scratch, Rights rights) noexcept;
/// Empties the capability sets and reads them back. Child only; async-signal-safe.
[[nodiscard]] Outcome clear_capabilities(Rights rights) noexcept;

struct Capabilities {
  std::uint64_t permitted, effective, ambient;
};
[[nodiscard]] Result<Capabilities> capabilities() noexcept;

struct Plan {
  std::string file;     // absolute path, unless
  int descriptor = -1;  // this is the program, executed by descriptor
  std::vector<std::string> argv, env;
  std::string cwd;
  std::array<int, 3> stdio{};
  std::optional<Credentials> credentials;
  mode_t umask = 077;
  int death_signal = 0;
  bool no_new_privileges = false;
  bool new_session = false;
  std::vector<sock_filter> seccomp_filter;  // empty: none. The last step before exec, which it must allow
};
/// Forks, drops, proves, executes. Returns when the program runs or the child has failed and is
/// reaped. Main thread only (the death signal is tied to the thread that forks).
[[nodiscard]] Result<pid_t> launch(Plan& plan) noexcept;

/// This process: undumpable, no core, umask 077, cwd /, no ambient capabilities for other children.
[[nodiscard]] Outcome harden() noexcept;
/// Sends one line to the datagram socket of the local syslog; waits a second at most.
[[nodiscard]] Outcome write_syslog(const char* socket_path, int priority, std::string_view text) noexcept;

}  // namespace jacamar
