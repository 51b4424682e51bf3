// What a launch does besides the drop: streams, descriptors, directory, session, signals, reports.

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>

#include "check.hh"
#include "child.hh"

namespace {

using jacamar::Step;
using test::failed_at;
using test::output_of;
using test::run;
using test::shell_plan;

/// A file that ends with the test.
class File {
 public:
  File(std::string_view content, mode_t mode) : descriptor_(mkostemp(name_.data(), O_CLOEXEC)) {
    EXPECT(write(descriptor_, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
    EXPECT(fchmod(descriptor_, mode) == 0);
    close(descriptor_);
    descriptor_ = open(path(), O_RDONLY | O_CLOEXEC);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    close(descriptor_);
    unlink(path());
  }
  [[nodiscard]] const char* path() const { return name_.data(); }
  [[nodiscard]] int descriptor() const { return descriptor_; }

 private:
  std::array<char, 32> name_{"/tmp/jt_native_XXXXXX"};
  int descriptor_;
};

const test::Test reports_directory("a directory that does not exist is reported with its step", [] {
  auto plan = shell_plan("true");
  plan.cwd = "/does-not-exist";
  EXPECT(failed_at(run(plan), Step::directory, ENOENT));
});

const test::Test enters_as_account("the directory is entered with the rights of the account", [] {
  std::array<char, 32> name{"/tmp/jt_native_XXXXXX"};
  EXPECT(mkdtemp(name.data()) != nullptr);  // 0700 root
  auto plan = shell_plan("true");
  plan.cwd = name.data();
  EXPECT(failed_at(run(plan), Step::directory, EACCES));
  rmdir(name.data());
});

const test::Test reports_missing("a program that does not exist is reported with its step", [] {
  auto plan = shell_plan("true");
  plan.file = "/does-not-exist";
  EXPECT(failed_at(run(plan), Step::program, ENOENT));
});

const test::Test reports_mode("a program that may not be executed is reported with its step", [] {
  const File file("#!/bin/sh\n", 0644);
  auto plan = shell_plan("true");
  plan.file = file.path();
  EXPECT(failed_at(run(plan), Step::program, EACCES));
});

const test::Test reports_format("a program of no known format is reported with its step", [] {
  const File file("\x01\x02\x03\x04", 0755);
  auto plan = shell_plan("true");
  plan.file = file.path();
  EXPECT(failed_at(run(plan), Step::program, ENOEXEC));
});

const test::Test refuses_relative("a relative program or directory and an empty vector are refused before the fork",
                                  [] {
                                    auto plan = shell_plan("true");
                                    plan.file = "sh";
                                    EXPECT(failed_at(run(plan), Step::plan, EINVAL));
                                    plan.file = "";
                                    EXPECT(failed_at(run(plan), Step::plan, EINVAL));
                                    plan = shell_plan("true");
                                    plan.cwd = "tmp";
                                    EXPECT(failed_at(run(plan), Step::plan, EINVAL));
                                    plan = shell_plan("true");
                                    plan.argv.clear();
                                    EXPECT(failed_at(run(plan), Step::plan, EINVAL));
                                  });

const test::Test no_zombie("a failed launch leaves no zombie", [] {
  auto plan = shell_plan("true");
  plan.cwd = "/does-not-exist";
  EXPECT(failed_at(run(plan), Step::directory, ENOENT));
  EXPECT(waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD);
});

const test::Test exit_code("exit code and signal of the program come back", [] {
  EXPECT(run(shell_plan("exit 7")).exit_code == 7);
  EXPECT(run(shell_plan("kill -TERM $$")).signal == SIGTERM);
});

const test::Test exact_vectors("arguments and environment are exactly those of the plan", [] {
  auto plan = shell_plan("printf '%s|' \"$0\" \"$@\"; tr '\\0' ';' < /proc/self/environ");
  plan.argv.insert(plan.argv.end(), {"zero", "", "a b"});
  plan.env = {"PATH=/usr/bin:/bin", "EMPTY=", "B=x y"};
  EXPECT_EQUAL(run(plan).output, "zero||a b|PATH=/usr/bin:/bin;EMPTY=;B=x y;");
});

const test::Test swapped("streams may be any of 0, 1 and 2, in any order", [] {
  EXPECT(test::in_child([] {
    const File input("from the file", 0600);
    int ends[2];
    EXPECT(pipe2(ends, 0) == 0);
    dup2(ends[1], 0);             // 0 is where output goes,
    dup2(input.descriptor(), 2);  // and 2 is where input comes from
    close(ends[1]);
    auto plan = shell_plan("cat; printf '; error' >&2");
    plan.stdio = {2, 0, 0};
    const auto launched = jacamar::launch(plan);
    close(0);
    EXPECT_EQUAL(test::read_all(ends[0]), "from the file; error");
    const auto* pid = std::get_if<pid_t>(&launched);
    return pid != nullptr && waitpid(*pid, nullptr, 0) == *pid;
  }));
});

const test::Test without_streams("a launch works for a process without streams of its own", [] {
  EXPECT(test::in_child([] {
    int ends[2];
    EXPECT(pipe2(ends, O_CLOEXEC) == 0);
    auto plan = shell_plan("echo here");
    for (int standard = 0; standard < 3; ++standard) close(standard);
    plan.stdio = {ends[0], ends[1], ends[1]};
    const auto launched = jacamar::launch(plan);  // its own pipe takes 0 and 1
    close(ends[1]);
    return std::holds_alternative<pid_t>(launched) && test::read_all(ends[0]) == "here\n";
  }));
});

const test::Test bad_stream("a stream that is not open is reported with its step", [] {
  auto plan = shell_plan("true");
  plan.stdio[2] = 987;
  EXPECT(failed_at(run(plan), Step::streams, EBADF));
});

const test::Test by_descriptor("a script given by descriptor reads itself as /dev/fd/N", [] {
  const File script("#!/bin/sh\necho \"$0 $1\"\n", 0755);
  auto plan = shell_plan("");
  plan.file = "";
  plan.descriptor = script.descriptor();
  plan.argv = {"script", "argument"};
  const auto ended = run(plan);
  EXPECT(ended.output.starts_with("/dev/fd/") && ended.output.ends_with(" argument\n"));
});

const test::Test binary_descriptor("a binary given by descriptor runs, and its descriptor is closed", [] {
  const int program = open("/bin/ls", O_RDONLY | O_CLOEXEC);
  auto plan = shell_plan("");
  plan.file = "";
  plan.descriptor = program;
  plan.argv = {"ls", "/proc/self/fd"};
  EXPECT_EQUAL(run(plan).output, "0\n1\n2\n3\n");  // 3 is ls's own
  close(program);
});

const test::Test session("a new session and process group on demand, without a terminal", [] {
  const auto script = "set -- $(sed 's/.*) //' /proc/$$/stat); [ $3 = $$ ] && [ $4 = $$ ] && echo own $5";
  EXPECT_EQUAL(output_of(script), "own 0\n");
  auto plan = shell_plan(script);
  plan.new_session = false;
  EXPECT_EQUAL(run(plan).output, "");
});

const test::Test mask("the umask is that of the plan", [] {
  auto plan = shell_plan("umask");
  plan.umask = 027;
  EXPECT_EQUAL(run(plan).output, "0027\n");
});

const test::Test signals("signals are neither blocked nor ignored", [] {
  EXPECT(test::in_child([] {
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigset_t blocked;
    sigfillset(&blocked);
    sigprocmask(SIG_SETMASK, &blocked, nullptr);
    const auto text = output_of("exec grep -E '^Sig(Blk|Ign)' /proc/self/status");
    EXPECT_EQUAL(text, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    sigset_t after;
    sigprocmask(SIG_SETMASK, nullptr, &after);
    return sigismember(&after, SIGTERM) == 1;
  }));
});

const test::Test privileges("new privileges are forbidden only on demand", [] {
  EXPECT_EQUAL(output_of("grep NoNewPrivs /proc/self/status"), "NoNewPrivs:\t0\n");
  auto plan = shell_plan("grep NoNewPrivs /proc/self/status");
  plan.no_new_privileges = true;
  EXPECT_EQUAL(run(plan).output, "NoNewPrivs:\t1\n");
});

const test::Test death_signal("the child gets the death signal when its parent is killed", [] {
  int ends[2];
  EXPECT(pipe2(ends, O_CLOEXEC) == 0);
  const pid_t parent = fork();
  if (parent == 0) {
    auto plan = shell_plan("echo up; exec sleep 600");
    plan.death_signal = SIGKILL;
    plan.stdio[1] = ends[1];
    const auto launched = jacamar::launch(plan);
    pause();
    _exit(std::holds_alternative<pid_t>(launched) ? 0 : 1);
  }
  close(ends[1]);
  char line[3];
  EXPECT(read(ends[0], line, sizeof line) == 3);
  kill(parent, SIGKILL);
  EXPECT(waitpid(parent, nullptr, 0) == parent);
  EXPECT_EQUAL(test::read_all(ends[0]), "");  // end of file: sleep held the other end
  close(ends[0]);
});

const test::Test core_limit("jobs get back the core limit that hardening took away", [] {
  EXPECT(test::in_child([] {
    const rlimit given{4096, 8192};
    EXPECT(setrlimit(RLIMIT_CORE, &given) == 0);
    EXPECT(!jacamar::harden() && !jacamar::harden());
    rlimit own{};
    EXPECT(getrlimit(RLIMIT_CORE, &own) == 0 && own.rlim_cur == 0 && own.rlim_max == 8192);
    EXPECT(prctl(PR_GET_DUMPABLE) == 0);
    EXPECT(umask(0) == 077);
    EXPECT_EQUAL(output_of("ulimit -Sc; ulimit -Hc"), "8\n16\n");  // blocks of 512
    return true;
  }));
});

}  // namespace
