// Fork, drop, exec. Everything that allocates happens before the fork; the child makes async-signal-safe
// calls only, reports the step that failed through a close-on-exec pipe, and ends with _exit.

#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>

#include "../support/descriptors.hh"
#include "../support/owned_descriptor.hh"
#include "credentials.hh"

namespace jacamar {
namespace {

// The one piece of state: harden() takes the core limit away from us, and jobs are to get back what the
// runner gave. Written by harden() and read by launch(), both on the main thread.
std::optional<rlimit> inherited_core_limit;

constexpr time_t patience = 60;  // seconds for the way to exec; a chdir may wait for an automounter

/// What the child works with; complete before the fork.
struct Prepared {
  const Plan& plan;
  std::vector<char*> argv, env;
  std::vector<gid_t> scratch;
  pid_t parent;
  bool own_capabilities;  // not root, no other account asked for: then the sets are cleared by us
  sock_fprog filter;
  bool binary;  // the descriptor holds an ELF file, so it need not stay open after exec
};

[[nodiscard]] std::vector<char*> pointers(std::vector<std::string>& strings) noexcept {
  std::vector<char*> list;
  list.reserve(strings.size() + 1);
  for (auto& string : strings) list.push_back(string.data());
  list.push_back(nullptr);
  return list;
}

/// The kernel gives a script to its interpreter as /dev/fd/N, so N must survive the exec then.
[[nodiscard]] bool is_elf(int descriptor) noexcept {
  std::array<char, 4> magic{};
  return descriptor >= 0 && pread(descriptor, magic.data(), magic.size(), 0) == 4 &&
         std::string_view(magic.data(), 4) ==
             "\x7f"
             "ELF";
}

/// Glibc's own call leaves out the two signals it uses internally; both must wait here as well.
void set_signal_mask(const sigset_t& mask, sigset_t* old) noexcept {
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, old, _NSIG / 8);
}

void default_signals() noexcept {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < _NSIG; ++number) sigaction(number, &action, nullptr);  // fails for KILL and STOP
}

/// Copies above 2 first: sources may be 0 to 2 themselves, in any order. dup2 leaves the result
/// without close-on-exec, which Node sets on whatever it inherits.
[[nodiscard]] Outcome connect_streams(const std::array<int, 3>& sources) noexcept {
  std::array<int, 3> copies{};
  for (std::size_t i = 0; i < copies.size(); ++i) {
    copies[i] = fcntl(sources[i], F_DUPFD_CLOEXEC, 3);
    if (copies[i] < 0) return Failure{Step::streams, errno};
  }
  for (std::size_t i = 0; i < copies.size(); ++i) {
    if (dup2(copies[i], static_cast<int>(i)) < 0) return Failure{Step::streams, errno};
  }
  return std::nullopt;
}

[[nodiscard]] Outcome shed_inheritance(const Prepared& prepared, int program, int report) noexcept {
  if (prepared.plan.new_session && setsid() < 0) return Failure{Step::session, errno};
  default_signals();
  if (auto failure = connect_streams(prepared.plan.stdio)) return failure;
  if (!close_all_but({program, report})) return Failure{Step::descriptors, errno};
  if (program >= 0 && fcntl(program, F_SETFD, prepared.binary ? FD_CLOEXEC : 0) != 0) {
    return Failure{Step::descriptors, errno};
  }
  if (inherited_core_limit && setrlimit(RLIMIT_CORE, &*inherited_core_limit) != 0) {
    return Failure{Step::core_limit, errno};
  }
  umask(prepared.plan.umask);
  return std::nullopt;
}

[[nodiscard]] Outcome take_credentials(Prepared& prepared) noexcept {
  const Plan& plan = prepared.plan;
  const bool bare_filter = !plan.seccomp_filter.empty() && !plan.no_new_privileges;
  const auto rights = bare_filter ? Rights::for_filter : Rights::nothing;
  if (plan.credentials) return drop(*plan.credentials, prepared.scratch, rights);
  if (prepared.own_capabilities) return clear_capabilities(Rights::nothing);
  return std::nullopt;
}

/// By hand, as libseccomp allocates. Without SECCOMP_FILTER_FLAG_LOG: the kernel logs a killed process anyway, and
/// a job must not be able to fill the audit log with calls that are merely answered with an error.
[[nodiscard]] Outcome install_filter(const sock_fprog& filter) noexcept {
  if (filter.len == 0) return std::nullopt;
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0) return std::nullopt;
  return Failure{Step::filter, errno};
}

/// Returns only on failure. Undumpable on both sides of the drop, because a change of ids resets the
/// flag to fs.suid_dumpable; until exec the memory is a copy of the parent's and may be traced by nobody.
[[nodiscard]] Failure become(Prepared& prepared, int program, int report) noexcept {
  const Plan& plan = prepared.plan;
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return {Step::dump, errno};
  if (auto failure = shed_inheritance(prepared, program, report)) return *failure;
  if (auto failure = take_credentials(prepared)) return *failure;
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return {Step::dump, errno};
  if (chdir(plan.cwd.c_str()) != 0) return {Step::directory, errno};  // with the account's rights, not ours
  if (plan.no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return {Step::privileges, errno};
  if (prctl(PR_SET_PDEATHSIG, plan.death_signal, 0, 0, 0) != 0) return {Step::death_signal, errno};
  // The kernel forgets the death signal when ids change, hence so late; a parent that died before is seen here.
  if (getppid() != prepared.parent) return {Step::parent, ESRCH};
  set_signal_mask(sigset_t{}, nullptr);
  // From here on only what the filter lets through: exec, or the report of its failure.
  if (auto failure = install_filter(prepared.filter)) return *failure;
  if (program < 0) {
    execve(plan.file.c_str(), prepared.argv.data(), prepared.env.data());
  } else {
    syscall(SYS_execveat, program, "", prepared.argv.data(), prepared.env.data(), AT_EMPTY_PATH);
  }
  return {Step::program, errno};
}

/// True once the child is gone and reaped. Not for ever: one that hangs in the kernel or was stopped
/// by its new owner must not take us with it.
[[nodiscard]] bool reap_soon(pid_t child) noexcept {
  kill(child, SIGKILL);
  for (int attempt = 0; attempt < 200; ++attempt) {
    const pid_t reaped = waitpid(child, nullptr, WNOHANG);
    if (reaped == child || (reaped < 0 && errno != EINTR)) return true;
    poll(nullptr, 0, 10);
  }
  return false;
}

[[nodiscard]] int milliseconds_since(const timespec& start) noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int>((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000);
}

/// The child's report; nothing at end of file, which exec caused by closing the pipe.
[[nodiscard]] Outcome await_report(int report) noexcept {
  timespec start{};
  clock_gettime(CLOCK_MONOTONIC, &start);
  for (;;) {
    pollfd readable{report, POLLIN, 0};
    const int left = static_cast<int>(patience) * 1000 - milliseconds_since(start);
    const int ready = poll(&readable, 1, std::max(left, 0));
    if (ready == 0) return Failure{Step::report, ETIMEDOUT};
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return Failure{Step::report, errno};
    Failure failure{};
    const ssize_t bytes = read(report, &failure, sizeof failure);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes == 0) return std::nullopt;
    const bool whole = bytes == sizeof failure && failure.step < Step::last;
    return whole ? failure : Failure{Step::report, EPROTO};
  }
}

[[nodiscard]] Prepared prepare(Plan& plan) noexcept {
  std::vector<gid_t> scratch;
  if (plan.credentials) {
    auto& groups = plan.credentials->groups;
    std::sort(groups.begin(), groups.end());
    groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
    scratch.resize(groups.size() + 1);
  }
  const bool root = getuid() == 0 || geteuid() == 0;  // exec gives root its capabilities anyway
  auto& filter = plan.seccomp_filter;
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  return {plan, pointers(plan.argv), pointers(plan.env), scratch, getpid(), !root, program, is_elf(plan.descriptor)};
}

/// The child's whole life. A script's descriptor moves out of the way of the streams first.
[[noreturn]] void live(Prepared& prepared, int report) noexcept {
  const int source = prepared.plan.descriptor;
  const int program = source < 0 ? -1 : fcntl(source, F_DUPFD_CLOEXEC, 3);
  const bool lost = source >= 0 && program < 0;
  const Failure failure = lost ? Failure{Step::descriptors, errno} : become(prepared, program, report);
  const ssize_t written = write(report, &failure, sizeof failure);
  _exit(written == sizeof failure ? 127 : 126);
}

}  // namespace

Result<pid_t> launch(Plan& plan) noexcept {
  if (plan.credentials && !acceptable(*plan.credentials)) return Failure{Step::plan, EPERM};
  const bool program = plan.descriptor >= 0 || plan.file.starts_with('/');
  const bool too_long = plan.seccomp_filter.size() > BPF_MAXINSNS;
  if (plan.argv.empty() || !program || !plan.cwd.starts_with('/') || too_long) return Failure{Step::plan, EINVAL};
  Prepared prepared = prepare(plan);
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) return Failure{Step::report, errno};
  Descriptor reading(ends[0]);
  Descriptor low(ends[1]);
  Descriptor writing(fcntl(low.get(), F_DUPFD_CLOEXEC, 3));  // above the streams, which the child replaces
  if (writing.get() < 0) return Failure{Step::report, errno};
  sigset_t all;
  sigset_t old;
  sigfillset(&all);
  set_signal_mask(all, &old);
  const pid_t child = fork();
  const int error = errno;
  if (child == 0) live(prepared, writing.get());
  set_signal_mask(old, nullptr);
  if (child < 0) return Failure{Step::fork, error};
  low.reset();
  writing.reset();
  const auto failure = await_report(reading.get());
  if (!failure) return child;
  return reap_soon(child) ? *failure : Failure{Step::report, ETIMEDOUT};
}

Outcome harden() noexcept {
  rlimit core{};
  if (getrlimit(RLIMIT_CORE, &core) != 0) return Failure{Step::core_limit, errno};
  if (!inherited_core_limit) inherited_core_limit = core;
  core.rlim_cur = 0;
  if (setrlimit(RLIMIT_CORE, &core) != 0) return Failure{Step::core_limit, errno};
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return Failure{Step::dump, errno};
  // Permitted and effective stay for launch(); ambient would hand both capabilities to any other child.
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return Failure{Step::ambient, errno};
  umask(077);
  if (chdir("/") != 0) return Failure{Step::directory, errno};
  return std::nullopt;
}

}  // namespace jacamar
