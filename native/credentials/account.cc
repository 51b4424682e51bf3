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

}  // namespace

// Not found is a return of 0 with a null result, nothing else. getpwnam(3) also lists ENOENT, ESRCH,
// EBADF and EPERM "or ..." because other systems use them; glibc maps every true "not found" to 0, and
// there ENOENT means that a service could not be reached, such as the missing socket of a stopped SSSD.
Result<std::optional<Account>> look_up_account(const std::string& name) noexcept {
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(4096);
  int error = 0;
  while ((error = getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found)) != 0) {
    if (error == EINTR) continue;
    if (error != ERANGE || buffer.size() >= largest_entry) return Failure{Step::passwd, error};
    buffer.resize(buffer.size() * 2);
  }
  if (found == nullptr) return std::nullopt;
  Account account{entry.pw_name, entry.pw_dir, entry.pw_shell, entry.pw_uid, entry.pw_gid, {}};
  if (auto failure = list_groups(entry, account.groups)) return *failure;
  return account;
}

}  // namespace jacamar
