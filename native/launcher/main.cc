// bin/jacamar-auth, bin/jacamar and bin/jacamar-admin: one source, the role compiled in. Makes the process
// fit for a runtime that trusts its surroundings (descriptors, environment, signals), makes sure that the
// runtime beside it is ours, and executes that. Static, so that no LD_ variable reaches it.
//
// The check of owners keeps a hard link of a jacamar-auth that bears capabilities from starting somebody
// else's runtime with them: the link's path leads through directories that are not root's.

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "../support/descriptors.hh"
#include "head_start.hh"
#include "trusted_path.hh"

namespace {

using jacamar::Trust;
using std::string_view;

constexpr string_view role = JACAMAR_ROLE;

/// System failure in the runner's words: a refusal here is never the job's fault.
[[noreturn]] void refuse(const std::string& path, const std::string& rule) {
  const char* wanted = std::getenv("SYSTEM_FAILURE_EXIT_CODE");
  char* end = nullptr;
  const long number = wanted == nullptr ? 0 : std::strtol(wanted, &end, 10);
  const bool usable = number >= 1 && number <= 255 && *end == '\0';
  dprintf(2, "%s: %s: %s\n", role.data(), path.c_str(), rule.c_str());
  _exit(usable ? static_cast<int>(number) : 2);
}

[[noreturn]] void refuse(const std::string& path) { refuse(path, std::strerror(errno)); }

void mend_descriptors() {
  for (int wanted = 0; wanted < 3; ++wanted) {
    if (fcntl(wanted, F_GETFD) < 0 && open("/dev/null", O_RDWR) != wanted) refuse("/dev/null");
  }
  if (!jacamar::close_all_but({-1, -1})) refuse("/proc/self/fd");
}

void mend_signals() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < _NSIG; ++number) sigaction(number, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// The runner's side of the contract for every role. Of the caller's own variables the unprivileged programs
// keep what a login shell or a terminal needs. PATH is fixed for all three: jobs get theirs from the login
// shell, and root's PATH decides nothing in a tool that root runs.
constexpr std::array<string_view, 4> contract{"BUILD_FAILURE_EXIT_CODE", "SYSTEM_FAILURE_EXIT_CODE",
                                              "BUILD_EXIT_CODE_FILE", "JOB_RESPONSE_FILE"};
constexpr std::array<string_view, 2> prefixes{"CUSTOM_ENV_", "JACAMAR_CI_"};
constexpr std::array<string_view, 4> of_account{"HOME", "USER", "LOGNAME", "SHELL"};
constexpr std::array<string_view, 6> of_terminal{"HOME", "USER", "LOGNAME", "TERM", "NO_COLOR", "COLUMNS"};

[[nodiscard]] bool passes(string_view entry) {
  const auto end = entry.find('=');
  if (end == string_view::npos) return false;
  const auto name = entry.substr(0, end);
  const auto lists = [name](const auto& names) { return std::find(names.begin(), names.end(), name) != names.end(); };
  if (lists(contract)) return true;
  if (role == "jacamar" && lists(of_account)) return true;
  if (role == "jacamar-admin" && lists(of_terminal)) return true;
  return std::any_of(prefixes.begin(), prefixes.end(), [name](string_view prefix) { return name.starts_with(prefix); });
}

/// Node raises this limit for itself as soon as it starts; the programs give their jobs back what we find here.
[[nodiscard]] std::string soft_open_files() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) refuse("getrlimit");
  return std::to_string(limit.rlim_cur);
}

/// What the runtime is to know of a jacamar that runs already. No caller can set this name; see `passes`.
[[nodiscard]] std::string head_start_entry(const std::string& prefix, char** arguments) {
  if constexpr (role == "jacamar-auth") {
    if (const auto ahead = jacamar::start_ahead(prefix, arguments)) {
      const auto& [pid, channel, plan] = *ahead;
      return "JACAMAR_HEAD_START=" + std::to_string(pid) + ' ' + std::to_string(channel) + ' ' + std::to_string(plan);
    }
  }
  return {};
}

[[nodiscard]] std::vector<char*> clean_environment(char** entries, std::string& head_start) {
  static std::array<char, 66> path{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  static std::array<char, 13> language{"LANG=C.UTF-8"};
  static std::string open_files = "JACAMAR_OPEN_FILES=" + soft_open_files();
  std::vector<char*> kept{path.data(), language.data(), open_files.data()};
  if (!head_start.empty()) kept.push_back(head_start.data());
  for (; *entries != nullptr; ++entries) {
    if (passes(*entries)) kept.push_back(*entries);
  }
  kept.push_back(nullptr);
  return kept;
}

using CapabilityWords = std::array<__user_cap_data_struct, 2>;

[[nodiscard]] CapabilityWords read_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  CapabilityWords words{};
  if (syscall(SYS_capget, &header, words.data()) != 0) refuse("capget");
  return words;
}

/// An ordinary user without any privilege may run his own build: he gains nothing by it.
[[nodiscard]] bool unprivileged(const CapabilityWords& words) {
  return geteuid() != 0 && getuid() != 0 && getauxval(AT_SECURE) == 0 && (words[0].permitted | words[1].permitted) == 0;
}

void check_path(const std::string& path, Trust trust) {
  if (const auto found = jacamar::distrust(path, trust)) refuse(found->path, found->rule);
}

/// Everything that our programs know to begin with a dash. Node reads some options from the arguments of a single
/// executable application too (--env-file, --experimental-config-file, ...), before any code of ours runs.
constexpr std::array<string_view, 16> options{
    "--configuration", "-u",     "--unobfuscated", "-v",       "--version", "-h",           "--help", "--no-auth",
    "--piped",         "--base", "--older-than",   "--budget", "--remove",  "--time-limit", "--dead", "--force"};

/// jacamar-admin takes free text from a terminal, so there only Node's own are refused.
[[nodiscard]] bool is_ours(string_view argument) {
  if (role == "jacamar-admin") return !argument.starts_with("--env-file") && !argument.starts_with("--experimental-");
  const auto name = argument.substr(0, argument.find('='));
  if (argument.size() <= 1 || !argument.starts_with('-')) return true;
  return std::find(options.begin(), options.end(), name) != options.end();
}

void check_arguments(char** arguments) {
  for (; *arguments != nullptr; ++arguments) {
    if (!is_ours(*arguments)) refuse(*arguments, "is no option of this program (--help names them)");
  }
}

/// <prefix> of <prefix>/bin/<role>, from the kernel and not from argv[0].
[[nodiscard]] std::string find_prefix() {
  std::array<char, PATH_MAX> buffer{};
  const ssize_t length = readlink("/proc/self/exe", buffer.data(), buffer.size());
  if (length <= 0) refuse("/proc/self/exe");
  const std::string self(buffer.data(), static_cast<std::size_t>(length));
  const std::string tail = "/bin/" + std::string(role);
  if (!self.ends_with(tail)) refuse(self, "must be installed as <prefix>" + tail);
  return self.substr(0, self.size() - tail.size());
}

/// Capabilities make whoever may execute this file the arbiter of all accounts: the service's group and no one else.
void check_audience(const std::string& self, const CapabilityWords& words) {
  struct stat status {};
  if (stat(self.c_str(), &status) != 0) refuse(self);
  const bool capable = geteuid() != 0 && (words[0].permitted | words[1].permitted) != 0;
  if (capable && (status.st_mode & S_IXOTH) != 0) refuse(self, "has capabilities and must not be executable by others");
}

/// With file capabilities on this launcher the runtime gets exactly these two, by way of the ambient set;
/// whatever else a service manager left there goes. Root keeps what it has.
void pass_capabilities(CapabilityWords words) {
  if (geteuid() == 0) return;
  constexpr std::uint32_t wanted = 1U << CAP_SETUID | 1U << CAP_SETGID;
  const bool raise = role == "jacamar-auth" && (words[0].permitted & wanted) == wanted;
  words[0].inheritable = raise ? wanted : 0;
  words[1].inheritable = 0;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  bool done =
      prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0 && syscall(SYS_capset, &header, words.data()) == 0;
  if (raise) {
    done = done && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SETUID, 0, 0) == 0 &&
           prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SETGID, 0, 0) == 0;
  }
  if (!done) refuse("capabilities");
}

}  // namespace

int main(int argc, char** argv, char** environment) {
  mend_descriptors();
  mend_signals();
  umask(077);
  if (argc < 1 || argv[0] == nullptr) refuse("argument list", "must not be empty");
  const auto words = read_capabilities();
  const auto trust = unprivileged(words) ? Trust::own_too : Trust::root_only;
  check_arguments(argv + 1);
  const std::string prefix = find_prefix();
  std::string self = prefix + "/bin/" + std::string(role);
  const std::string runtime = prefix + "/libexec/jacamar-runtime";
  check_path(self, trust);
  if (role == "jacamar-auth") check_audience(self, words);
  check_path(runtime, trust);
  check_path(prefix + "/lib/lock.node", trust);
  if (role != "jacamar") check_path(prefix + "/lib/credentials.node", trust);
  if (role == "jacamar-auth") check_path(prefix + "/lib/seccomp.node", trust);
  pass_capabilities(words);
  argv[0] = self.data();
  std::string head_start = head_start_entry(prefix, argv);
  auto kept = clean_environment(environment, head_start);
  execve(runtime.c_str(), argv, kept.data());
  refuse(runtime);
}
