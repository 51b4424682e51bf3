// The line to syslog: its form, and that a daemon which stands still costs a second, not the job.

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "../credentials/credentials.hh"
#include "check.hh"

namespace {

/// A syslog of our own, whose socket ends with the test.
class Daemon {
 public:
  Daemon() : socket_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    EXPECT(mkdtemp(directory_.data()) != nullptr);
    path_ = std::string(directory_.data()) + "/log";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    EXPECT(bind(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon() {
    close(socket_);
    unlink(path_.c_str());
    rmdir(directory_.data());
  }
  [[nodiscard]] const char* path() const { return path_.c_str(); }
  [[nodiscard]] std::string receive() const {
    std::array<char, 4096> buffer{};
    const ssize_t bytes = recv(socket_, buffer.data(), buffer.size(), 0);
    return {buffer.data(), bytes < 0 ? 0 : static_cast<std::size_t>(bytes)};
  }

 private:
  std::array<char, 32> directory_{"/tmp/jt_native_XXXXXX"};
  std::string path_;
  int socket_;
};

const test::Test form("a line carries facility daemon, its severity, our name and pid, and the text as it is", [] {
  const Daemon daemon;
  EXPECT(!jacamar::write_syslog(daemon.path(), 5, "100 %s of it"));
  const std::string line = daemon.receive();
  EXPECT(line.starts_with("<29>"));
  EXPECT(line.ends_with(" jacamar-auth[" + std::to_string(getpid()) + "]: 100 %s of it"));
});

const test::Test absent("an absent daemon is a failure to the caller", [] {
  const auto failure = jacamar::write_syslog("/does-not-exist", 5, "text");
  EXPECT(failure && failure->step == jacamar::Step::syslog && failure->error == ENOENT);
  EXPECT(jacamar::write_syslog(std::string(200, 'x').c_str(), 5, "text")->error == ENAMETOOLONG);
});

const test::Test stuck("a daemon that stands still loses the line after a second", [] {
  const Daemon daemon;
  jacamar::Outcome failure;
  const time_t start = time(nullptr);
  for (int lines = 0; lines < 10000 && !failure; ++lines) failure = jacamar::write_syslog(daemon.path(), 5, "text");
  EXPECT(failure && failure->error == EAGAIN);
  EXPECT(time(nullptr) - start <= 60);
});

}  // namespace
