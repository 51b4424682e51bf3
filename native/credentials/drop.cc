// Groups, gid, uid, capabilities; then the proof that there is no way back. Runs in the child of a
// launch, where only async-signal-safe calls are allowed. The set*id calls are raw system calls: glibc's
// wrappers signal every thread it believes to exist, and those were not forked.

#include <linux/capability.h>
#include <linux/keyctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "credentials.hh"

namespace jacamar {
namespace {

constexpr auto unchanged = static_cast<uid_t>(-1);  // "leave as it is" to the set*id calls

struct CapabilitySets {
  std::array<__user_cap_data_struct, 2> words{};
};

[[nodiscard]] bool operator==(const CapabilitySets& one, const CapabilitySets& other) noexcept {
  return std::equal(one.words.begin(), one.words.end(), other.words.begin(), [](const auto& left, const auto& right) {
    return left.effective == right.effective && left.permitted == right.permitted &&
           left.inheritable == right.inheritable;
  });
}

[[nodiscard]] CapabilitySets sets_with(Rights rights) noexcept {
  constexpr std::uint32_t admin = std::uint32_t{1} << CAP_SYS_ADMIN;
  if (rights == Rights::nothing) return {};
  return {{{{admin, admin, 0}, {0, 0, 0}}}};
}

[[nodiscard]] bool read_capabilities(CapabilitySets& sets) noexcept {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  return syscall(SYS_capget, &header, sets.words.data()) == 0;
}

[[nodiscard]] std::uint64_t ambient_set() noexcept {
  std::uint64_t set = 0;
  for (unsigned long number = 0; number < 64; ++number) {
    const int raised = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, number, 0, 0);
    if (raised > 0) set |= std::uint64_t{1} << number;
  }
  return set;
}

/// errno, or for a value that merely differs from what was asked, ENOTRECOVERABLE.
[[nodiscard]] Outcome unless(bool holds, Step step, int error = ENOTRECOVERABLE) noexcept {
  if (holds) return std::nullopt;
  return Failure{step, error};
}

[[nodiscard]] Outcome prove_ids(const Credentials& wanted) noexcept {
  uid_t ruid = 0, euid = 0, suid = 0;
  gid_t rgid = 0, egid = 0, sgid = 0;
  if (getresuid(&ruid, &euid, &suid) != 0 || getresgid(&rgid, &egid, &sgid) != 0) {
    return Failure{Step::proof_ids, errno};
  }
  const bool uids = ruid == wanted.uid && euid == wanted.uid && suid == wanted.uid;
  const bool gids = rgid == wanted.gid && egid == wanted.gid && sgid == wanted.gid;
  return unless(uids && gids && acceptable(wanted), Step::proof_ids);
}

[[nodiscard]] Outcome prove_groups(const Credentials& wanted, std::vector<gid_t>& scratch) noexcept {
  const int count = getgroups(static_cast<int>(scratch.size()), scratch.data());
  if (count < 0) return Failure{Step::proof_groups, errno};
  const auto end = scratch.begin() + count;
  std::sort(scratch.begin(), end);
  return unless(std::equal(scratch.begin(), end, wanted.groups.begin(), wanted.groups.end()), Step::proof_groups);
}

/// A new session keyring, or the error. The old one outlives setresuid and exec: a job would find the keys of root, or
/// of the job before. Where the call is missing or forbidden (containers), the job cannot make it either.
[[nodiscard]] int join_new_keyring() noexcept {
  const bool joined = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) >= 0;
  return joined || errno == ENOSYS || errno == EPERM ? 0 : errno;
}

/// With CAP_SETUID left in any set the way back to root is one call (found in practice with file
/// capabilities, where changing between two ordinary ids clears nothing). So it is tried.
[[nodiscard]] Outcome prove_no_return() noexcept {
  const bool uid = syscall(SYS_setresuid, unchanged, 0, unchanged) != 0 && syscall(SYS_setresuid, 0, 0, 0) != 0;
  if (auto failure = unless(uid, Step::regain_uid)) return failure;
  const bool gid = syscall(SYS_setresgid, unchanged, 0, unchanged) != 0 && syscall(SYS_setresgid, 0, 0, 0) != 0;
  if (auto failure = unless(gid, Step::regain_gid)) return failure;
  return unless(syscall(SYS_setgroups, 0, nullptr) != 0, Step::regain_groups);
}

}  // namespace

bool acceptable(const Credentials& credentials) noexcept {
  const auto reserved = [](id_t number) { return number == 0 || number == unchanged; };
  const auto& groups = credentials.groups;
  return !reserved(credentials.uid) && !reserved(credentials.gid) && groups.size() <= 65536 &&
         std::find(groups.begin(), groups.end(), static_cast<gid_t>(-1)) == groups.end();
}

Outcome clear_capabilities(Rights rights) noexcept {
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return Failure{Step::ambient, errno};
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  CapabilitySets sets = sets_with(rights);
  if (syscall(SYS_capset, &header, sets.words.data()) != 0) return Failure{Step::capabilities, errno};
  if (!read_capabilities(sets)) return Failure{Step::proof_capabilities, errno};
  return unless(sets == sets_with(rights) && ambient_set() == 0, Step::proof_capabilities);
}

Outcome drop(const Credentials& to, std::vector<gid_t>& scratch, Rights rights) noexcept {
  // Else leaving uid 0 empties the sets. Exec takes this back, and what it kept: the sets of a process that is
  // not root become those of the program file.
  if (rights != Rights::nothing && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return Failure{Step::keep, errno};
  // The account's quota may be used up, by 200 jobs that wait, or by the account itself. Then the job has to do with
  // a new one that counts as ours.
  const int spare_error = join_new_keyring();
  if (syscall(SYS_setgroups, to.groups.size(), to.groups.data()) != 0) return Failure{Step::groups, errno};
  if (syscall(SYS_setresgid, to.gid, to.gid, to.gid) != 0) return Failure{Step::gid, errno};
  if (syscall(SYS_setresuid, to.uid, to.uid, to.uid) != 0) return Failure{Step::uid, errno};
  const int error = join_new_keyring();
  if (error != 0 && (error != EDQUOT || spare_error != 0)) return Failure{Step::keyring, error};
  if (auto failure = clear_capabilities(rights)) return failure;
  if (auto failure = prove_ids(to)) return failure;
  if (auto failure = prove_groups(to, scratch)) return failure;
  return prove_no_return();
}

Result<Capabilities> capabilities() noexcept {
  CapabilitySets sets;
  if (!read_capabilities(sets)) return Failure{Step::proof_capabilities, errno};
  const auto& [low, high] = sets.words;
  const auto join = [](std::uint32_t upper, std::uint32_t lower) { return std::uint64_t{upper} << 32U | lower; };
  return Capabilities{join(high.permitted, low.permitted), join(high.effective, low.effective), ambient_set()};
}

}  // namespace jacamar
