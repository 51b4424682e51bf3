#include "child.hh"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "check.hh"

namespace test {

jacamar::Plan shell_plan(std::string_view script) {
  static const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  jacamar::Plan plan;
  plan.file = "/bin/sh";
  plan.argv = {"sh", "-c", std::string(script)};
  plan.env = {"PATH=/usr/bin:/bin"};
  plan.cwd = "/";
  plan.stdio = {null, null, 2};
  plan.credentials = {account, account, {account, account + 1}};
  plan.new_session = true;
  return plan;
}

std::string read_all(int descriptor) {
  std::string text;
  char buffer[4096];
  for (ssize_t bytes = 0; (bytes = read(descriptor, buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(bytes));
  }
  return text;
}

Ended run(jacamar::Plan plan) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return {jacamar::Failure{jacamar::Step::report, errno}, "", -1, 0};
  plan.stdio[1] = ends[1];
  Ended ended{jacamar::launch(plan), "", -1, 0};
  close(ends[1]);
  ended.output = read_all(ends[0]);
  close(ends[0]);
  const auto* pid = std::get_if<pid_t>(&ended.launched);
  int status = 0;
  if (pid == nullptr || waitpid(*pid, &status, 0) != *pid) return ended;
  if (WIFEXITED(status)) ended.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) ended.signal = WTERMSIG(status);
  return ended;
}

std::string output_of(std::string_view script) {
  const auto ended = run(shell_plan(script));
  if (const auto* failure = std::get_if<jacamar::Failure>(&ended.launched)) {
    return std::string("failed: ") + jacamar::text_of(failure->step).step;
  }
  return ended.output;
}

bool in_child(const std::function<bool()>& body) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    const bool held = body() && clean();
    std::fflush(stdout);
    _exit(held ? 0 : 1);
  }
  int status = 0;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool failed_at(const Ended& ended, jacamar::Step step, int error) {
  const auto* failure = std::get_if<jacamar::Failure>(&ended.launched);
  if (failure == nullptr) return false;
  if (failure->step != step || failure->error != error) {
    std::printf("# failed at \"%s\", errno %d\n", jacamar::text_of(failure->step).step, failure->error);
  }
  return failure->step == step && failure->error == error;
}

}  // namespace test
