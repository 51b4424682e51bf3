// The passwd entry and the groups of a name, before any fork: afterwards no NSS function may be called.

#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <cerrno>

#include "credentials.hh"

namespace jacamar {
namespace {

constexpr std::size_t largest_entry = std::size_t{1} << 20U;
constexpr int largest_group_list = 65536;  // NGROUPS_MAX of the kernel; setgroups(2) takes no more

/// getgrouplist(3) does not report what its services answered. Of the errno values they leave behind
/// these cannot stem from a look-up that went well: a list read without descriptors is incomplete.
[[nodiscard]] bool starved(int error) noexcept {
  return error == EMFILE || error == ENFILE || error == ENOMEM || error == EIO;
}

[[nodiscard]] Outcome list_groups(const passwd& entry, std::vector<gid_t>& groups) noexcept {
  groups.resize(64);
  for (;;) {
    auto count = static_cast<int>(groups.size());
    errno = 0;
    const int result = getgrouplist(entry.pw_name, entry.pw_gid, groups.data(), &count);
    if (starved(errno)) return Failure{Step::group_list, errno};
    if (count > largest_group_list) return Failure{Step::group_list, E2BIG};
    const bool grows = count > static_cast<int>(groups.size());
    if (result < 0 && !grows) return Failure{Step::group_list, ENOMEM};
    groups.resize(static_cast<std::size_t>(count));
    if (result >= 0) return std::nullopt;
  }
}

/// Calls a re-entrant look-up with a growing buffer until it has an answer; returns its error.
template <typename Entry, typename Look>
[[nodiscard]] int ask(Look look, const std::string& name, Entry& entry, Entry*& found,
                      std::vector<char>& buffer) noexcept {
  for (;;) {
    const int error = look(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (error == EINTR) continue;
    if (error != ERANGE || buffer.size() >= largest_entry) return error;
    buffer.resize(buffer.size() * 2);
  }
}

}  // namespace

// Not found is a return of 0 with a null result, nothing else. getpwnam(3) also lists ENOENT, ESRCH,
// EBADF and EPERM "or ..." because other systems use them; glibc maps every true "not found" to 0, and
// there ENOENT means that a service could not be reached, such as the missing socket of a stopped SSSD.
Result<std::optional<Account>> look_up_account(const std::string& name) noexcept {
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(4096);
  const int error = ask(getpwnam_r, name, entry, found, buffer);
  if (error != 0) return Failure{Step::passwd, error};
  if (found == nullptr) return std::nullopt;
  Account account{entry.pw_name, entry.pw_dir, entry.pw_shell, entry.pw_uid, entry.pw_gid, {}};
  if (auto failure = list_groups(entry, account.groups)) return *failure;
  return account;
}

Result<std::optional<gid_t>> look_up_group(const std::string& name) noexcept {
  group entry{};
  group* found = nullptr;
  std::vector<char> buffer(4096);
  const int error = ask(getgrnam_r, name, entry, found, buffer);
  if (error != 0) return Failure{Step::group, error};
  if (found == nullptr) return std::nullopt;
  return entry.gr_gid;
}

}  // namespace jacamar
