// One line to the local syslog, and the texts of the steps. syslog(3) is not used: it may block without
// end when the daemon stands still, and it cannot say that a line was lost, on which the audit log depends.

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "credentials.hh"

namespace jacamar {
namespace {

// clang-format off
constexpr std::array<StepText, static_cast<std::size_t>(Step::last)> texts{{
    {"check the plan", "launch"}, {"start a child", "fork"}, {"start a session", "setsid"},
    {"reset signals", "sigaction"}, {"connect standard streams", "dup2"},
    {"close inherited descriptors", "close_range"}, {"restore the core limit", "setrlimit"},
    {"keep the right to install a filter", "prctl"},
    {"set groups", "setgroups"}, {"set the group id", "setresgid"}, {"set the user id", "setresuid"},
    {"leave the session keyring", "keyctl"},
    {"clear ambient capabilities", "prctl"}, {"clear capabilities", "capset"},
    {"prove the ids", "getresuid"}, {"prove the groups", "getgroups"}, {"prove the capabilities", "capget"},
    {"prove that root is out of reach", "setresuid"}, {"prove that group 0 is out of reach", "setresgid"},
    {"prove that groups are fixed", "setgroups"}, {"enter the directory", "chdir"},
    {"forbid new privileges", "prctl"}, {"set the death signal", "prctl"}, {"find the parent alive", "getppid"},
    {"install the filter of system calls", "seccomp"},
    {"execute the program", "execve"}, {"hear from the child", "read"}, {"look up the account", "getpwnam_r"},
    {"list the groups", "getgrouplist"}, {"look up the group", "getgrnam_r"}, {"forbid dumps and tracing", "prctl"}, {"write to syslog", "sendto"},
}};
// clang-format on

/// RFC 3164, as glibc writes it: <priority>time ident[pid]: text
[[nodiscard]] std::string datagram(int priority, std::string_view text) noexcept {
  const time_t now = time(nullptr);
  tm local{};
  localtime_r(&now, &local);
  std::array<char, 32> stamp{};
  const std::size_t length = strftime(stamp.data(), stamp.size(), "%b %e %T", &local);
  std::string line = "<" + std::to_string(LOG_DAEMON | priority) + ">";
  line.append(stamp.data(), length);
  return line.append(" jacamar-auth[").append(std::to_string(getpid())).append("]: ").append(text);
}

[[nodiscard]] int send_line(int socket_descriptor, const std::string& line) noexcept {
  constexpr int one_second = 1000;
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (send(socket_descriptor, line.data(), line.size(), MSG_NOSIGNAL) >= 0) return 0;
    if (errno != EAGAIN) return errno;
    pollfd writable{socket_descriptor, POLLOUT, 0};
    poll(&writable, 1, one_second);
  }
  return EAGAIN;
}

}  // namespace

StepText text_of(Step step) noexcept { return texts.at(static_cast<std::size_t>(step)); }

Outcome write_syslog(const char* socket_path, int priority, std::string_view text) noexcept {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string_view path(socket_path);
  if (path.size() >= sizeof address.sun_path) return Failure{Step::syslog, ENAMETOOLONG};
  std::copy(path.begin(), path.end(), address.sun_path);
  const int daemon = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (daemon < 0) return Failure{Step::syslog, errno};
  // SAFETY: the sockets API takes every address type through this one pointer type.
  const int connected = connect(daemon, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = connected == 0 ? send_line(daemon, datagram(priority, text)) : errno;
  close(daemon);
  if (error != 0) return Failure{Step::syslog, error};
  return std::nullopt;
}

}  // namespace jacamar
