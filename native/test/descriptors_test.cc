// Inherited descriptors: none reaches the program, with and without close_range(2).

#include "../support/descriptors.hh"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "check.hh"
#include "child.hh"

namespace {

using test::in_child;
using test::output_of;

constexpr auto list = "exec ls /proc/self/fd";

/// As on Enterprise Linux 8: the call does not exist.
bool take_close_range_away() {
  std::array<sock_filter, 4> program{{
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_close_range},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ENOSYS},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  }};
  const sock_fprog filter{program.size(), program.data()};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0;
}

/// Five hundred, one of them far up, and the limit lowered below it afterwards.
void litter() {
  for (int i = 0; i < 500; ++i) EXPECT(dup(2) >= 0);
  EXPECT(dup2(2, 900) == 900);
  const rlimit low{600, 600};
  EXPECT(setrlimit(RLIMIT_NOFILE, &low) == 0);
}

const test::Test all_closed("no descriptor but the streams reaches the program", [] {
  EXPECT(in_child([] {
    litter();
    EXPECT_EQUAL(output_of(list), "0\n1\n2\n3\n");  // 3 is ls's own
    return true;
  }));
});

const test::Test all_closed_by_walk("nor on a kernel without close_range", [] {
  EXPECT(in_child([] {
    litter();
    EXPECT(take_close_range_away());
    EXPECT_EQUAL(output_of(list), "0\n1\n2\n3\n");
    return true;
  }));
});

const test::Test kept_ones("the two descriptors to keep stay open, both ways", [] {
  for (const bool by_range : {true, false}) {
    EXPECT(in_child([by_range] {
      litter();
      EXPECT(by_range || take_close_range_away());
      EXPECT(jacamar::close_all_but({900, 7}));
      int open_ones = 0;
      for (int number = 3; number < 1024; ++number) open_ones += fcntl(number, F_GETFD) >= 0 ? 1 : 0;
      return open_ones == 2 && fcntl(7, F_GETFD) >= 0 && fcntl(900, F_GETFD) >= 0;
    }));
  }
});

const test::Test no_proc("without close_range and without /proc a launch fails rather than guess", [] {
  EXPECT(in_child([] {
    EXPECT(unshare(CLONE_NEWNS) == 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
    EXPECT(mount("none", "/proc", "tmpfs", 0, nullptr) == 0);
    EXPECT(take_close_range_away());
    return test::failed_at(test::run(test::shell_plan("true")), jacamar::Step::descriptors, ENOENT);
  }));
});

}  // namespace
